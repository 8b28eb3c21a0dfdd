"""MIGRAD: as a certificate for a point that others found, or alone, as in the lesson.

A preset covariance is the only second-derivative input that MIGRAD uses whole (a user's Hessian seeds it with its
diagonal alone). The public way to preset one is `Minuit.scipy` with a method that returns a finished result.
"""

from __future__ import annotations

from typing import Any

import iminuit
import scipy  # its submodules load when they are first used

from .._typing import HostArray


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


def migrad_alone(cost: Any, theta: HostArray, *, ncall: int | None = None) -> iminuit.Minuit:
    """MIGRAD from the start values with the gradient and nothing else: the lesson's way.

    Its covariance is the one that its own steps have built up.
    """
    m = iminuit.Minuit(cost, theta)
    m.strategy = 0
    return m.migrad(ncall=ncall, iterate=1, use_simplex=False)
