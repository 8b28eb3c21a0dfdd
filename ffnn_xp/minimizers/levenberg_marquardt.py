r"""Levenberg-Marquardt: Gauss-Newton steps, damped where S is not quadratic; also for non-smooth functions.

Each step solves :math:`(B + \mu D)\,s = -g` with the Gauss-Newton matrix B and Marquardt's diagonal D = diag(B), and mu
follows the gain ratio of real to predicted decrease (H. B. Nielsen, IMM-REP-1999-05, eq. 2.4). Convergence is judged as
MINUIT does, by EDM = g^T B^-1 g / 2. Near a non-smooth point the gradient does not vanish, so the minimization also
ends where it gains no more. It gets closer to such a point than a quasi-Newton method, whose model of the curvature is
spoiled by gradients that jump.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.base import (
    UNLIMITED,
    Budget,
    MinimizerResult,
    Problem,
    Status,
    Tracker,
    marquardt_diagonal,
)

ROUNDING_DIGITS = 50  # a predicted gain of fewer epsilons than this is rounding
LEAST_DAMPING = 1e-12  # damping at which the solution of a singular system stays finite
MOST_DAMPING = 1e14  # damping at which a step is too short for any gain


@dataclass(frozen=True)
class DampedSteps:
    """Options of Levenberg-Marquardt steps, of one minimization or of a batch.

    Parameters
    ----------
    edm_goal : float
        EDM that ends it, in units of errordef.
    max_iterations : int
        Upper limit of steps.
    damping : float
        First mu, in units of the diagonal.
    min_gain : float
        Gain of `patience` steps together, in units of errordef, below which it ends.
    patience : int
        Steps with little gain.
    """

    edm_goal: float = 1e-6
    max_iterations: int = 200
    damping: float = tuned(1e-3, "larger: shorter first steps, safer far from a minimum, slower near one")
    min_gain: float = tuned(1e-3, "larger: ends earlier at non-smooth points and along weakly determined directions")
    patience: int = tuned(5, "more: more steps that gain little are taken before it ends")


@dataclass(frozen=True)
class LevenbergMarquardt(DampedSteps):
    """Levenberg-Marquardt steps, until EDM is below the goal or, at a non-smooth point, they gain no more."""

    def run(self, problem: Problem, theta: HostArray, budget: Budget = UNLIMITED) -> MinimizerResult:
        """Minimise from theta with shape (p,); value, gradient and Gauss-Newton matrix are used."""
        tracker = Tracker.of(problem, budget)
        prune, edm_goal = tracker.budget.prune, self.edm_goal * tracker.errordef
        value, g = tracker.value_and_gradient(theta)
        B, mu, nu = tracker.gauss_newton(theta), self.damping, 2.0
        history, status = [value], Status.NO_GAIN
        for _ in range(self.max_iterations):
            D = marquardt_diagonal(B)
            edm = _edm(B, D, g)
            stuck = (
                len(history) > self.patience and history[-1 - self.patience] - value < self.min_gain * tracker.errordef
            )
            if edm < edm_goal or stuck or mu > MOST_DAMPING:
                break
            if prune is not None and prune(theta, edm):
                return MinimizerResult(theta, value, edm, Status.PRUNED)
            step = _solve(B, mu * D, -g)
            if step is None:
                mu, nu = max(mu * nu, LEAST_DAMPING), 2 * nu
                continue
            predicted = -float(g @ step + 0.5 * step @ (B @ step))
            if predicted < ROUNDING_DIGITS * tracker.epsilon * abs(value):
                break
            new_value, new_g = tracker.value_and_gradient(theta + step)
            gain = (value - new_value) / predicted
            if gain > 0:
                theta, value, g = theta + step, new_value, new_g
                B = tracker.gauss_newton(theta)
                mu, nu = max(mu * max(1 / 3, 1 - (2 * min(gain, 1.0) - 1) ** 3), LEAST_DAMPING), 2.0
                history.append(value)
            else:
                mu, nu = mu * nu, 2 * nu
        else:
            status = Status.BUDGET_USED_UP
        return MinimizerResult(theta, value, edm, Status.MINIMUM if edm < edm_goal else status)


def _edm(B: HostArray, D: HostArray, g: HostArray) -> float:
    step = _solve(B, LEAST_DAMPING * D, g)
    return np.inf if step is None else 0.5 * float(g @ step)


def _solve(B: HostArray, damping: HostArray, rhs: HostArray) -> HostArray | None:
    """Return (B + diag(damping))^-1 rhs, or None where the matrix is not positive definite."""
    scale = 1 / np.sqrt(marquardt_diagonal(B))
    A = B * (scale[:, None] * scale)
    A[np.diag_indices_from(A)] += damping * scale * scale
    try:
        factor = scipy.linalg.cho_factor(A, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    step: HostArray = np.multiply(scale, scipy.linalg.cho_solve(factor, scale * rhs, check_finite=False))
    return step if np.isfinite(step).all() else None
