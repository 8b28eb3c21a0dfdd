"""MINUIT's MIGRAD, as a certificate of a point that other minimizers found, or alone.

A preset covariance is the only second-derivative input that MIGRAD uses whole (of a user's Hessian it takes the
diagonal). The public way to preset one is `Minuit.scipy` with a method that returns a finished result.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import iminuit
import numpy as np
import scipy  # its submodules load when they are first used
from iminuit.util import describe

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.base import UNLIMITED, Budget, MinimizerResult, Problem, Status, Tracker

TOLERANCE = 0.1  # MINUIT's default of `Minuit.tol`
EDM_FACTOR = 2e-3  # MIGRAD's goal is this times tol times errordef; up to ten times that it calls a minimum valid
COARSE = 2e-13  # relative precision of S; with a coarser one MINUIT raises a covariance's small eigenvalues


@dataclass(frozen=True)
class Certificate:
    """The result of a run of MIGRAD, as a certificate of a point.

    Attributes
    ----------
    values : array with shape (p,)
        Its last point.
    fval, edm : float
        S and EDM there.
    calls : int
        Calls that it took.
    certified : bool
        Whether it certified a minimum (`is_certified`).
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
        """Return the certificate of a `Minuit` that has run."""
        f, values = m.fmin, np.array(m.values, dtype=np.float64)
        return cls(values, float(m.fval), float(f.edm), int(m.nfcn), is_certified(m), bool(f.has_reached_call_limit))


class _Certifier(iminuit.Minuit):  # type: ignore[misc]
    """A `Minuit` that does not copy its covariance.

    Minuit copies it number by number in Python after each run, here the one that was preset: at 726 parameters that
    took 0.31 of 0.33 seconds. With another iminuit, whose method has another name, it is copied all the same.
    """

    def _make_covariance(self) -> None:
        self._covariance = None


class LiveMinuit(iminuit.Minuit):  # type: ignore[misc]
    """A `Minuit` of a cost, with the names of the cost's parameters, and the cost itself as `cost`.

    `Minuit` alone takes the name of a single parameter for that of a vector, and calls its elements x0, x1, ...
    """

    def __init__(self, cost: Any, theta: HostArray) -> None:
        names = tuple(describe(cost))
        super().__init__(cost, theta, name=names if len(names) == len(theta) else None)
        self.cost = cost


@dataclass(frozen=True)
class Migrad:
    """MINUIT's MIGRAD, with its limits.

    Parameters
    ----------
    history_bytes : int
        Memory that a certificate may take: MINUIT keeps the covariance of each step, of two or three calls, p^2 / 2
        numbers.
    min_calls : int
        Calls that a certificate may take, whatever their memory.
    collect_bytes : int
        Memory that is worth a garbage collection.
    max_calls : int
        Calls after which MIGRAD alone ends.
    """

    history_bytes: int = tuned(2**34, "more: certificates of large networks are cut short later, more memory")
    min_calls: int = 50
    collect_bytes: int = 2**26
    max_calls: int = 100_000

    def certify(self, cost: Any, theta: HostArray, inverse_hessian: HostArray) -> Certificate:
        """Return MIGRAD's certificate of this point with this covariance; EDM is computed by MINUIT itself.

        It may take as many calls as MINUIT does by default, but not more than there is memory for their covariances: a
        point that needs more is far from a minimum, and other minimizers get there faster. The memory is freed at once:
        a `Minuit` refers to itself, and would keep it until Python looks for such cycles. See `preset` for the
        arguments.
        """
        p = len(theta)
        calls = min(200 + 100 * p + 5 * p * p, max(self.min_calls, self.history_bytes // (4 * p * p)))
        m = _preset(_Certifier(cost, theta), cost, theta, inverse_hessian)
        with _silent(m):
            m.migrad(ncall=calls, iterate=1, use_simplex=False)
        found = Certificate.of(m)
        if 4 * p * p * found.calls > self.collect_bytes:
            del m
            gc.collect()
        return found

    def run(self, problem: Problem, theta: HostArray, budget: Budget = UNLIMITED) -> MinimizerResult:
        """Minimise from theta with shape (p,) by MIGRAD alone, with gradient and curvature.

        Its covariance is the one that its own steps have built up, from the diagonal of the Gauss-Newton matrix.
        """
        tracker = Tracker.of(problem, budget)
        last: tuple[bytes, float, HostArray] = b"", np.inf, theta

        def at(point: HostArray) -> tuple[bytes, float, HostArray]:
            nonlocal last
            key = point.tobytes()
            if key != last[0]:
                last = key, *tracker.value_and_gradient(point.copy())
            return last

        m = iminuit.Minuit(
            lambda point: at(point)[1],
            theta,
            grad=lambda point: at(point)[2],
            g2=lambda point: np.diag(tracker.gauss_newton(point.copy())),
        )
        m.errordef, m.strategy = tracker.errordef, 0
        with _silent(m):
            m.migrad(ncall=self.max_calls, iterate=1, use_simplex=False)
        found = Certificate.of(m)
        missed = Status.BUDGET_USED_UP if found.cut_short else Status.NO_GAIN
        return MinimizerResult(found.values, found.fval, found.edm, Status.MINIMUM if found.certified else missed)


def edm_goal(errordef: float) -> float:
    """Return MIGRAD's goal for EDM at its default tolerance."""
    return EDM_FACTOR * TOLERANCE * errordef


def unstarted(cost: Any, theta: HostArray) -> iminuit.Minuit:
    """Return a live `Minuit` at this point that has not run: it certifies nothing."""
    return LiveMinuit(cost, theta)


def at_minimum(cost: Any, theta: HostArray, inverse_hessian: HostArray) -> iminuit.Minuit:
    """Return a live `Minuit` that has run MIGRAD from this point with this covariance; see `preset` for the arguments.

    A gain that may be rounding counts as none. MIGRAD takes a step even at a minimum; from one of pure rounding it
    would update its covariance by the rounding of two gradients, and errors could be far too small, or NaN.
    """
    m = preset(cost, theta, inverse_hessian)
    usual = m.precision
    m.precision = max(COARSE, 0.0 if usual is None else usual)
    with _silent(m):
        m.migrad(iterate=1, use_simplex=False)
    m.precision = usual
    return m


def is_certified(m: iminuit.Minuit) -> bool:
    """Return True if MIGRAD certified a minimum.

    MIGRAD's own `valid` is not enough: where the preset covariance is not positive definite in its arithmetic, MIGRAD
    gives up, returns its start, and calls that valid whatever the EDM.
    """
    f = m.fmin
    goal = EDM_FACTOR * m.tol * m.errordef
    return bool(f is not None and f.is_valid and f.edm < 10 * goal and not f.has_made_posdef_covar)


def preset(cost: Any, theta: HostArray, inverse_hessian: HostArray) -> iminuit.Minuit:
    """Return a live `Minuit` at this point, with this covariance.

    Parameters
    ----------
    cost : NetworkCost
        The cost, in the units of theta.
    theta : array with shape (p,)
        The point, which should be a minimum.
    inverse_hessian : array with shape (p, p)
        A positive definite matrix.
    """
    return _preset(LiveMinuit(cost, theta), cost, theta, inverse_hessian)


@contextmanager
def _silent(m: iminuit.Minuit) -> Iterator[None]:
    """Keep MINUIT from printing its errors, such as a matrix that is not positive definite: the caller looks for them.

    The level is one of all `Minuit` objects, and that of the user's program comes back.
    """
    level, m.print_level = m.print_level, -1
    try:
        yield
    finally:
        m.print_level = level


def _preset(m: iminuit.Minuit, cost: Any, theta: HostArray, inverse_hessian: HostArray) -> iminuit.Minuit:
    m.strategy = 0
    value, gradient = cost.value_and_gradient(theta)

    def finished(fun: Any, x0: Any, *args: Any, **kwargs: Any) -> Any:
        found = {"x": theta, "fun": value, "jac": gradient, "hess_inv": inverse_hessian, "nfev": 1, "njev": 1}
        return scipy.optimize.OptimizeResult({**found, "success": True})

    return m.scipy(method=finished)


def hesse_errors(cost: Any, theta: HostArray) -> HostArray | None:
    """Return standard deviations ``(p,)`` by MINUIT's HESSE from the cost's own Hessian; None where HESSE failed.

    A preset covariance cannot check itself: here MINUIT inverts the Hessian with its own linear algebra.
    """
    m = iminuit.Minuit(cost, theta)
    m.strategy = 1
    with _silent(m):
        m.hesse()
    good = m.fmin is not None and m.fmin.has_accurate_covar and not m.fmin.has_made_posdef_covar
    return np.asarray(m.errors, dtype=np.float64) if good else None
