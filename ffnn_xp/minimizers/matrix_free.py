"""Minimization of large networks without a p x p matrix, with bounds on EDM, past saddle points.

L-BFGS in Kronecker coordinates minimises; conjugate gradients on products with the exact Hessian give bounds on EDM,
directions of negative curvature, and the last step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.base import UNLIMITED, Budget, MinimizerResult, Problem, Status, Tracker
from ffnn_xp.minimizers.conjugate_gradients import ConjugateGradients, EDMBounds
from ffnn_xp.minimizers.kronecker import KroneckerCoordinates
from ffnn_xp.minimizers.kronecker_lbfgs import KroneckerLBFGS
from ffnn_xp.minimizers.negative_curvature import SaddleEscape

LITTLE, PATIENCE = 0.1, 2  # share of the goal that is too small a gain of a round, and rounds of less before it ends


@dataclass(frozen=True)
class MatrixFree:
    """Minimization without a p x p matrix, until the upper bound of EDM is below the goal.

    Parameters
    ----------
    edm_goal : float
        Upper bound of EDM that ends it, in units of errordef.
    exact : bool
        Whether EDM is that of the exact Hessian, or, for non-smooth functions, of the Gauss-Newton matrix.
    max_rounds : int
        Upper limit of rounds of minimization and bounds.
    """

    edm_goal: float = tuned(1e-4, "smaller: a minimum to more digits, more products (half of MIGRAD's goal)")
    exact: bool = True
    near: float = tuned(
        1e-3,
        "share of the goal for EDM and gains in Kronecker coordinates; larger: bounds are computed more often",
    )
    max_rounds: int = 30
    kronecker: KroneckerLBFGS = field(default=KroneckerLBFGS())
    conjugate_gradients: ConjugateGradients = field(default=ConjugateGradients())
    escape: SaddleEscape = field(default=SaddleEscape())

    def run(self, problem: Problem, theta: HostArray, budget: Budget = UNLIMITED) -> MinimizerResult:
        """Minimise from theta with shape (p,); value, gradient, products and factors are used.

        The result has bounds on EDM, and its EDM is the upper one, or the lower one where that is infinite.
        """
        tracker = Tracker.of(problem, budget)
        edm_goal = self.edm_goal * tracker.errordef
        goal = self.near * self.edm_goal
        kronecker = replace(self.kronecker, edm_goal=goal, min_gain=goal)
        saddles, poor, status = 0, 0, Status.BUDGET_USED_UP
        for _ in range(self.max_rounds):
            before = tracker.value_and_gradient(theta)[0]
            result = kronecker.run(tracker, theta)
            theta, value = result.theta, result.value
            bounds = self.edm_bounds(tracker, theta, enough=edm_goal)
            if result.pruned:
                return replace(result, bounds=bounds, saddles=saddles)
            down, fall = bounds.negative_direction, self.escape.negligible_fall * tracker.errordef
            below = None if down is None else self.escape.lower_point(tracker, theta, value, down, fall)
            if below is not None:
                theta, saddles, poor = below, saddles + 1, 0
                continue
            if bounds.upper < edm_goal or down is not None:
                break
            there = tracker.value_and_gradient(theta - bounds.step)[0]
            if there < value:
                theta, value = theta - bounds.step, there
            poor = poor + 1 if before - value < LITTLE * edm_goal else 0
            if poor > PATIENCE:
                status = Status.NO_GAIN
                break
        if bounds.upper < edm_goal:
            status = Status.MINIMUM
        elif bounds.negative_direction is not None:
            status = Status.SADDLE_POINT
        edm = bounds.upper if np.isfinite(bounds.upper) else bounds.lower
        return MinimizerResult(theta, value, edm, status, saddles=saddles, bounds=bounds)

    def edm_bounds(self, problem: Problem, theta: HostArray, enough: float = 0.0) -> EDMBounds:
        """Return bounds on EDM, and a direction of negative curvature, if one is found.

        The search is in the Krylov space of the gradient and, if EDM is below `enough`, also in that of a random
        vector: at a saddle point the gradient may have no component along a direction of negative curvature. Such a
        direction counts if S is lower along it, by more than is negligible; otherwise it is weakly determined. The
        upper bound uses the prior, if there is one, and is not improved further once it is below `enough`.
        """
        W = KroneckerCoordinates(problem.kronecker_factors(theta))
        g = problem.value_and_gradient(theta)[1]
        product = partial(problem.hessian_product if self.exact else problem.gauss_newton_product, theta)
        found = self.conjugate_gradients.bounds(product, g, W.precondition, enough=enough, least=W.least)
        if not (self.exact and found.upper < enough):
            return found
        random = np.random.default_rng(len(g)).normal(size=len(g))
        other = replace(self.conjugate_gradients, tolerance=0.0).bounds(product, random, W.precondition)
        if other.negative_direction is None:
            return found
        value, fall = problem.value_and_gradient(theta)[0], self.escape.negligible_fall * problem.errordef
        if self.escape.lower_point(problem, theta, value, other.negative_direction, fall) is None:
            return replace(found, weakly_determined=True)
        iterations = found.iterations + other.iterations
        return EDMBounds(found.step, found.lower, np.inf, iterations, other.negative_direction)
