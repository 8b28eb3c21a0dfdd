"""To a minimum of 20,000 parameters without a p x p matrix, with bounds on EDM, and round saddles.

L-BFGS in Kronecker coordinates walks; conjugate gradients on products with the exact Hessian say how far the minimum is
and where S falls, and their solution is the last step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.base import MinimizerResult, Problem
from ffnn_xp.minimizers.conjugate_gradients import Distance, edm_by_products
from ffnn_xp.minimizers.kronecker import KroneckerCoordinates
from ffnn_xp.minimizers.kronecker_lbfgs import kronecker_lbfgs
from ffnn_xp.minimizers.negative_curvature import FLAT, lower_point

NEAR = 1e-3  # of the goal: EDM in Kronecker coordinates at which conjugate gradients are asked
ROUNDS = 30  # of walk and question, at most
GAIN = 0.1  # in units of the goal: a round of less is not worth another one
PATIENCE = 2  # rounds of less
SHARES = (1.0, 0.5, 0.25, 0.125)  # of a Newton step that are tried
LOOKS = 300  # products of a look for falling directions that the gradient has no part in: one was met after 170


def minimize_matrix_free(
    problem: Problem,
    theta: HostArray,
    *,
    edm_goal: float,
    exact: bool = True,
    hopeless: Callable[[HostArray, float], bool] | None = None,
) -> tuple[MinimizerResult, Distance, int]:
    """Walk until the upper bound of EDM is below `edm_goal`; the end, EDM there, and the number of saddles on the way.

    Parameters
    ----------
    problem : Problem
        Value, gradient, products and factors are used.
    theta : array with shape (p,)
        The start.
    edm_goal : float
        In units of S.
    exact : bool
        Whether EDM is the exact Hessian's; else, for functions with kinks, the Gauss-Newton matrix's.
    hopeless : callable, optional
        Called with theta and the gain of the last rounds; True ends the walk there.
    """
    saddles, poor = 0, 0
    for _ in range(ROUNDS):
        before = problem.value_and_gradient(theta)[0]
        end = kronecker_lbfgs(problem, theta, near=NEAR * edm_goal, enough=GAIN * edm_goal, hopeless=hopeless)
        theta, value = end.theta, end.value
        found = distance(problem, theta, exact=exact, enough=edm_goal)
        if end.hopeless:
            return end, found, saddles
        fall, down = FLAT * problem.errordef, found.negative_directions
        below = None if down is None else lower_point(problem, theta, value, down, fall)
        if below is not None:
            theta, saddles, poor = below, saddles + 1, 0
            continue
        if found.upper < edm_goal or found.negative_directions is not None:
            break
        theta, value = _downhill(problem, theta, value, found.step)
        poor = poor + 1 if before - value < GAIN * edm_goal else 0
        if poor > PATIENCE:
            break
    edm = found.upper if np.isfinite(found.upper) else found.lower
    return MinimizerResult(theta, value, edm, bool(found.upper < edm_goal)), found, saddles


def distance(problem: Problem, theta: HostArray, *, exact: bool = True, enough: float = 0.0) -> Distance:
    """EDM by the exact Hessian (or by the Gauss-Newton matrix), and a direction along which S falls, if one is met.

    Looked for is in the Krylov space of the gradient and, if EDM is below `enough`, in that of a random vector: at a
    saddle the gradient may have no part in the direction that falls. What is met there counts if S is lower along it,
    by `FLAT`; otherwise it is the bottom of a valley (`Distance.flat`). The upper bound leans on the prior, if there is
    one, and ends when it is below `enough`.
    """
    W = KroneckerCoordinates(problem.kronecker_factors(theta))
    g = problem.value_and_gradient(theta)[1]
    product = partial(problem.hessian_product if exact else problem.gauss_newton_product, theta)
    found = edm_by_products(product, g, W.precondition, enough=enough, least=W.least)
    if exact and found.upper < enough:
        anything = np.random.default_rng(len(g)).normal(size=len(g))
        other = edm_by_products(product, anything, W.precondition, tolerance=0.0, max_iterations=LOOKS)
        if other.negative_directions is not None:
            value = problem.value_and_gradient(theta)[0]
            if lower_point(problem, theta, value, other.negative_directions, FLAT * problem.errordef) is None:
                return replace(found, flat=True)
            return Distance(
                found.step, found.lower, np.inf, found.iterations + other.iterations, other.negative_directions
            )
    return found


def _downhill(problem: Problem, theta: HostArray, value: float, step: HostArray) -> tuple[HostArray, float]:
    """The first lower point of the whole way back along a step, half of it, and so on; if there is none, the start."""
    for share in SHARES:
        trial = theta - share * step
        there = problem.value_and_gradient(trial)[0]
        if there < value:
            return trial, there
    return theta, value
