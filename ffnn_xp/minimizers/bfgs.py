r"""BFGS with steps that meet the weak Wolfe conditions: for functions with kinks, too.

At a minimum in a kink the gradient does not vanish: it jumps, and so do the slopes that Newton's steps rest on. BFGS
learns the jumps as curvature, and then steps along the kinks (A. S. Lewis and M. L. Overton, Math. Program. 141 (2013)
135). A step is doubled while S falls steeply at its end, and halved while S is too high there (their algorithm 2.6):

.. math:: S(\theta + t d) < S + c_1 t\,g^T d, \qquad g(\theta + t d)^T d > c_2\,g^T d

The first model of the curvature is the Hessian on this side of all kinks, with the sign of negative eigenvalues turned,
so that the first step leads down along them. EDM is that of the model: where it has learned of the kinks, EDM vanishes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.limits import before_eigenvectors
from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.base import (
    UNLIMITED,
    Budget,
    MinimizerResult,
    Problem,
    Status,
    Tracker,
)
from ffnn_xp.minimizers.quasi_newton import CURVATURE, DECREASE

FLOOR = 1e-12  # share of the largest eigenvalue of a matrix with a diagonal of one below which the rest is rounding


@dataclass(frozen=True)
class BFGS:
    """BFGS with weak Wolfe steps, which begin with the Hessian at the start; also for non-smooth functions.

    Parameters
    ----------
    edm_goal : float
        EDM by BFGS's own model of the curvature that ends it, in units of errordef.
    max_steps : int
        Upper limit of steps.
    confirmations : int
        Further steps at which EDM has to stay below the goal.
    max_tries : int
        Points that are tried for a step.

    Examples
    --------
    >>> class Kink:
    ...     errordef, epsilon = 1.0, 2.2e-16
    ...
    ...     def value_and_gradient(self, t):
    ...         return t[0] ** 2 + abs(t[1]), np.array([2 * t[0], np.sign(t[1])])
    ...
    ...     def hessian(self, t):
    ...         return np.diag([2.0, 0.0])
    >>> round(float(BFGS().run(Kink(), np.array([3.0, 1.5])).value), 2)
    0.0
    """

    edm_goal: float = tuned(1e-4, "smaller: a minimum to more digits, more steps (half of MIGRAD's goal)")
    max_steps: int = tuned(200, "more: minimizations that gain slowly are ended later")
    confirmations: int = tuned(2, "more: EDM is small by chance less often, where the model has just met a kink")
    max_tries: int = tuned(40, "more: closer kinks are told apart before it ends there")

    def run(self, problem: Problem, theta: HostArray, budget: Budget = UNLIMITED) -> MinimizerResult:
        """Minimise from theta with shape (p,); value, gradient, and the Hessian at the start are used."""
        return self.with_inverse(problem, theta, budget)[0]

    def with_inverse(
        self, problem: Problem, theta: HostArray, budget: Budget = UNLIMITED
    ) -> tuple[MinimizerResult, HostArray]:
        """Minimise as `run` does; return the result, and the model of the inverse Hessian at its end ``(p, p)``."""
        tracker = Tracker.of(problem, budget)
        prune, edm_goal = tracker.budget.prune, self.edm_goal * tracker.errordef
        value, g = tracker.value_and_gradient(theta)
        if not np.isfinite(value):
            return MinimizerResult(theta, value, np.inf, Status.NOT_FINITE), np.eye(len(theta))
        inverse, calm, edm = _inverse(tracker.hessian(theta)), 0, np.inf
        status = Status.BUDGET_USED_UP
        for _ in range(self.max_steps):
            d = -inverse @ g
            slope = float(g @ d)
            edm = -0.5 * slope
            calm = calm + 1 if edm <= edm_goal else 0
            if calm > self.confirmations:
                status = Status.MINIMUM
                break
            if prune is not None and prune(theta, edm):
                status = Status.PRUNED
                break
            t, new, there = self._step(tracker, theta, value, slope, d)
            if t == 0:
                status = Status.MINIMUM if calm else Status.NO_GAIN
                break
            _update(inverse, t * d, there - g)
            theta, value, g = theta + t * d, new, there
        return MinimizerResult(theta, value, edm, status), inverse

    def _step(
        self, problem: Problem, theta: HostArray, value: float, slope: float, d: HostArray
    ) -> tuple[float, float, HostArray]:
        """Return the length of a step along d, with S and the gradient at its end; 0 if S is nowhere lower."""
        best = (0.0, value, d)
        high, t = np.inf, 1.0
        for _ in range(self.max_tries):
            new, there = problem.value_and_gradient(theta + t * d)
            if not new < value + DECREASE * t * slope:
                high = t
            else:
                best = t, new, there
                if float(there @ d) > CURVATURE * slope:
                    break
            t = 2 * t if high == np.inf else 0.5 * (best[0] + high)
        return best


def _inverse(H: HostArray) -> HostArray:
    """Return the inverse of H ``(p, p)``, scaled to a diagonal of one, with positive eigenvalues; one for rounding."""
    before_eigenvectors(len(H))
    if not np.all(np.isfinite(H)):
        return np.eye(len(H))
    diagonal = np.abs(np.diag(H))
    scale = 1 / np.sqrt(np.where(diagonal > 0, np.maximum(diagonal, 1e-30 * diagonal.max(initial=0.0)), 1.0))
    w, V = scipy.linalg.eigh(H * (scale[:, None] * scale), check_finite=False)
    w = np.abs(w)
    root = scale[:, None] * V / np.sqrt(np.where(w > FLOOR * w.max(initial=0.0), w, 1.0))
    return np.asarray(root @ root.T)


def _update(inverse: HostArray, step: HostArray, change: HostArray) -> None:
    """Change the inverse so that it maps the change of the gradient to the step, if the slope along the step grew."""
    growth = float(step @ change)
    if growth > np.finfo(np.float64).eps * float(np.linalg.norm(step) * np.linalg.norm(change)):
        along = inverse @ change
        half = np.outer((0.5 * (1 + float(change @ along) / growth) * step - along) / growth, step)
        inverse += half
        inverse += half.T
