"""L-BFGS (SciPy's) for the long way: cheap steps from a random start into the basin of a minimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.base import Problem

MEMORY = 20


def lbfgs(problem: Problem, theta: HostArray, *, ftol: float = 1e-4, max_iterations: int = 3000) -> HostArray:
    """Minimise until one step gains less than `ftol` of the value, and return the last point.

    Parameters
    ----------
    problem : Problem
        Value and gradient are used.
    theta : array with shape (p,)
        The start.
    ftol : float
        Relative gain of a step below which the walk is left to a second-order method.
    max_iterations : int
        Upper limit.
    """
    result: Any = scipy.optimize.minimize(
        problem.value_and_gradient,
        theta,
        jac=True,
        method="L-BFGS-B",
        options={"maxcor": MEMORY, "ftol": ftol, "gtol": 0.0, "maxiter": max_iterations, "maxfun": 10 * max_iterations},
    )
    return np.asarray(result.x)
