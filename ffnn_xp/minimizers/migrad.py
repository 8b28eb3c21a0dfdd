"""MIGRAD: as a certificate for a point that others found, or alone, as in the lesson.

A preset covariance is the only second-derivative input that MIGRAD uses whole (a user's Hessian seeds it with its
diagonal alone). The public way to preset one is `Minuit.scipy` with a method that returns a finished result.
"""

from __future__ import annotations

import time
from typing import Any

import iminuit
import numpy as np
import scipy  # its submodules load when they are first used

from .._typing import HostArray

TOLERANCE = 0.1  # Minuit.tol as it comes
EDM_FACTOR = 2e-3  # MIGRAD's goal is this times tol times errordef; it calls valid what is within ten times that
CALLS = 500
MOST_CALLS = 100_000


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


def certify(cost: Any, theta: HostArray, inverse_hessian: HostArray, *, live: bool = False) -> iminuit.Minuit:
    """A `Minuit` that has run MIGRAD from this point with this covariance.

    See `preset` for the arguments. Its verdict is `is_certified`, with an EDM that MINUIT computed itself. Only a
    `live` one shows a covariance.
    """
    m = (iminuit.Minuit if live else _Certifier)(cost, theta)
    return _preset(m, cost, theta, inverse_hessian).migrad(iterate=1, use_simplex=False)


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
