"""MIGRAD: as a certificate for a point that others found, or alone, as in the lesson.

A preset covariance is the only second-derivative input that MIGRAD uses whole (a user's Hessian seeds it with its
diagonal alone). The public way to preset one is `Minuit.scipy` with a method that returns a finished result.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from typing import Any

import iminuit
import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray

TOLERANCE = 0.1  # Minuit.tol as it comes
EDM_FACTOR = 2e-3  # MIGRAD's goal is this times tol times errordef; it calls valid what is within ten times that
COARSE = 2e-13  # relative precision of S; from a coarser one on MINUIT raises a covariance's small eigenvalues
CALLS = 500
MOST_CALLS = 100_000
HISTORY = 2**34  # bytes: MINUIT keeps the covariance of each step, of two or three calls, p^2 / 2 numbers
LEAST_CALLS = 50  # all the same
COLLECTED = 2**26  # bytes of it that are worth looking for


@dataclass(frozen=True)
class Certificate:
    """What a run of MIGRAD has to say of a point.

    Attributes
    ----------
    values : array with shape (p,)
        Where it ended.
    fval, edm : float
        S and EDM there.
    calls : int
        That it took.
    certified : bool
        Whether it saw a minimum (`is_certified`).
    cut_short : bool
        Whether it ran out of calls.
    """

    values: HostArray
    fval: float
    edm: float
    calls: int
    certified: bool
    cut_short: bool = False

    @classmethod
    def of(cls, m: iminuit.Minuit) -> Certificate:
        """That of a `Minuit` that has run."""
        f, values = m.fmin, np.array(m.values, dtype=np.float64)
        return cls(values, float(m.fval), float(f.edm), int(m.nfcn), is_certified(m), bool(f.has_reached_call_limit))


class _Certifier(iminuit.Minuit):  # type: ignore[misc]
    """A `Minuit` that is asked for a verdict only.

    Minuit copies its covariance, which here is the one that was preset, number by number in Python after each run: at
    726 parameters that took 0.31 of 0.33 seconds. Where iminuit names that differently, it copies.
    """

    def _make_covariance(self) -> None:
        self._covariance = None


def unstarted(cost: Any, theta: HostArray) -> iminuit.Minuit:
    """A live `Minuit` at this point that has not run: it has no verdict."""
    return iminuit.Minuit(cost, theta)


def certify(cost: Any, theta: HostArray, inverse_hessian: HostArray) -> Certificate:
    """MIGRAD's word on this point with this covariance; EDM is computed by MINUIT itself.

    It has as many calls as MINUIT takes by default, but not more than there is memory for their covariances: whoever
    needs more is far from a minimum, and other walkers are better at getting there. That memory is given back: a
    `Minuit` refers to itself, and would keep it until Python looks for such cycles. See `preset` for the arguments.
    """
    p = len(theta)
    calls = min(200 + 100 * p + 5 * p * p, max(LEAST_CALLS, HISTORY // (4 * p * p)))
    m = _preset(_Certifier(cost, theta), cost, theta, inverse_hessian).migrad(ncall=calls, iterate=1, use_simplex=False)
    found = Certificate.of(m)
    if 4 * p * p * found.calls > COLLECTED:
        del m
        gc.collect()
    return found


def at_minimum(cost: Any, theta: HostArray, inverse_hessian: HostArray) -> iminuit.Minuit:
    """A live `Minuit` that has run MIGRAD from this point with this covariance; see `preset` for the arguments.

    A gain that may be rounding is none: from such a step MIGRAD, which takes one even at a minimum, would learn as
    curvature what rounding did to two gradients, and an error could lose a large part, or be NaN.
    """
    m = preset(cost, theta, inverse_hessian)
    usual = m.precision
    m.precision = max(COARSE, 0.0 if usual is None else usual)
    m.migrad(iterate=1, use_simplex=False)
    m.precision = usual
    return m


def is_certified(m: iminuit.Minuit) -> bool:
    """Whether MIGRAD saw a minimum.

    Its own word alone is not enough: where the preset covariance is not positive definite in its arithmetic, MIGRAD
    gives up, hands back its seed, and calls that valid whatever the EDM.
    """
    f = m.fmin
    goal = EDM_FACTOR * m.tol * m.errordef
    return bool(f is not None and f.is_valid and f.edm < 10 * goal and not f.has_made_posdef_covar)


def preset(cost: Any, theta: HostArray, inverse_hessian: HostArray) -> iminuit.Minuit:
    """A live `Minuit` at this point, with this covariance.

    Parameters
    ----------
    cost : NetworkCost
        In the units of theta.
    theta : array with shape (p,)
        Where to start: a minimum, if the walk was good.
    inverse_hessian : array with shape (p, p)
        Positive definite.
    """
    return _preset(iminuit.Minuit(cost, theta), cost, theta, inverse_hessian)


def _preset(m: iminuit.Minuit, cost: Any, theta: HostArray, inverse_hessian: HostArray) -> iminuit.Minuit:
    m.strategy = 0
    value, gradient = cost.value_and_gradient(theta)

    def arrived(fun: Any, x0: Any, *args: Any, **kwargs: Any) -> Any:
        found = {"x": theta, "fun": value, "jac": gradient, "hess_inv": inverse_hessian, "nfev": 1, "njev": 1}
        return scipy.optimize.OptimizeResult({**found, "success": True})

    return m.scipy(method=arrived)


def hesse_errors(cost: Any, theta: HostArray) -> HostArray | None:
    """Standard deviations by MINUIT's HESSE from the cost's own Hessian, ``(p,)``; None where HESSE is not content.

    A preset covariance is no check of itself: this one is inverted, and judged, by MINUIT's own linear algebra.
    """
    m = iminuit.Minuit(cost, theta)
    m.strategy = 1
    m.hesse()
    good = m.fmin is not None and m.fmin.has_accurate_covar and not m.fmin.has_made_posdef_covar
    return np.asarray(m.errors, dtype=np.float64) if good else None


def migrad_alone(cost: Any, theta: HostArray, *, deadline: float = np.inf) -> iminuit.Minuit:
    """MIGRAD from the start values, with gradient and curvature but without any other walk: the lesson's way.

    Its covariance is the one that its own steps have built up. It runs a few hundred calls at a time, to look at the
    clock, until it says itself that it is done.
    """
    m = iminuit.Minuit(cost, theta)
    m.strategy = 0
    while True:
        m.migrad(ncall=CALLS, iterate=1, use_simplex=False)
        if not m.fmin.has_reached_call_limit or m.nfcn > MOST_CALLS or time.monotonic() > deadline:
            return m
