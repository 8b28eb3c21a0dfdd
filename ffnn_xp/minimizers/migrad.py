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

CALLS = 500
MOST_CALLS = 100_000


def unstarted(cost: Any, theta: HostArray) -> iminuit.Minuit:
    """A live `Minuit` at this point that has not run: it has no verdict."""
    return iminuit.Minuit(cost, theta)


def certify(cost: Any, theta: HostArray, inverse_hessian: HostArray) -> iminuit.Minuit:
    """A live `Minuit` that has run MIGRAD from this point with this covariance.

    Parameters
    ----------
    cost : NetworkCost
        In the units of theta.
    theta : array with shape (p,)
        Where to start: a minimum, if the walk was good.
    inverse_hessian : array with shape (p, p)
        Positive definite.

    Returns
    -------
    iminuit.Minuit
        Its verdict is `valid`, with an EDM that MINUIT computed itself.
    """
    m = iminuit.Minuit(cost, theta)
    m.strategy = 0
    value, gradient = cost.value_and_gradient(theta)

    def arrived(fun: Any, x0: Any, *args: Any, **kwargs: Any) -> Any:
        found = {"x": theta, "fun": value, "jac": gradient, "hess_inv": inverse_hessian, "nfev": 1, "njev": 1}
        return scipy.optimize.OptimizeResult({**found, "success": True})

    m.scipy(method=arrived)
    return m.migrad(iterate=1, use_simplex=False)


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
