r"""L-BFGS in the coordinates of Kronecker factors: a stage without p x p matrices.

S is well conditioned in them where they were made, and less so with each step. New ones cost some gradients, and the
memory of L-BFGS. They are renewed by the marginal value theorem (E. L. Charnov, Theoretical Population Biology 9 (1976)
129): as soon as the last steps gain less for each gradient than the whole round has.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.ask_tell import AskTellHessian, run_ask_tell
from ffnn_xp.minimizers.base import (
    UNLIMITED,
    Budget,
    MinimizerResult,
    Problem,
    Prune,
    Status,
    Tracker,
    rounding_error,
)
from ffnn_xp.minimizers.kronecker import KroneckerCoordinates
from ffnn_xp.minimizers.quasi_newton import QuasiNewton


@dataclass(frozen=True)
class KroneckerLBFGS:
    """L-BFGS in Kronecker coordinates, until EDM in these coordinates is below a goal, or the gain below another.

    Parameters
    ----------
    edm_goal : float
        EDM that ends it, in units of errordef. It is too small, by a factor that grows with the coordinates' error.
    min_gain : float
        Gain of a round for each of its gradients, in units of errordef, below which it is the last one.
    max_evaluations : float
        Gradients after which it ends.
    max_rounds : int
        Upper limit of renewals of the coordinates.
    """

    edm_goal: float = tuned(1e-6, "smaller: nearer to the minimum, more gradients")
    min_gain: float = tuned(0.0, "larger: ends earlier where it gains slowly")
    max_evaluations: float = np.inf
    max_rounds: int = 10_000
    check_every: int = tuned(10, "more steps between checks of whether the coordinates still pay: later renewals")
    renewal_cost: float = tuned(5.0, "larger: coordinates are renewed less often; what they cost, in gradients")
    close: float = tuned(1e-3, "EDM in units of errordef below which coordinates are kept: larger, fewer renewals")
    quasi_newton: QuasiNewton = field(default=QuasiNewton(memory=10))

    def run(self, problem: Problem, theta: HostArray, budget: Budget = UNLIMITED) -> MinimizerResult:
        """Minimise from theta with shape (p,); value, gradient and factors are used."""
        tracker = Tracker.of(problem, budget)
        return run_ask_tell(self.steps(tracker, theta, prune=tracker.budget.prune), tracker.value_and_gradient)

    def steps(
        self,
        problem: Problem,
        theta: HostArray,
        *,
        start: tuple[float, HostArray] | None = None,
        prune: Prune | None = None,
    ) -> AskTellHessian[MinimizerResult]:
        """Yield the points of the minimization.

        Parameters
        ----------
        problem : Problem
            Its factors are used; values and gradients are requested.
        theta : array with shape (p,)
            The start.
        start : tuple of float and array with shape (p,), optional
            Value and gradient at the start, if they are known.
        prune : callable, optional
            Called with theta and the gain of each round; True ends the minimization.
        """
        edm_goal, min_gain = self.edm_goal * problem.errordef, self.min_gain * problem.errordef
        close = self.close * problem.errordef
        evaluations, status = 0, Status.BUDGET_USED_UP
        value, g = (yield theta) if start is None else start
        for _ in range(self.max_rounds):
            W = KroneckerCoordinates(problem.kronecker_factors(theta))
            this = _Round(self, edm_goal, close, self.max_evaluations - evaluations, start=value)
            theta, reached, g = yield from self.quasi_newton.steps(W, theta, value, g, this)
            evaluations += this.evaluations
            gain, value = value - reached, reached
            edm = this.edm
            if edm < edm_goal:
                return MinimizerResult(theta, value, edm, Status.MINIMUM)
            if prune is not None and prune(theta, gain):
                return MinimizerResult(theta, value, edm, Status.PRUNED)
            if evaluations >= self.max_evaluations:
                break
            if gain < min_gain * this.evaluations or gain <= rounding_error(problem.epsilon, value):
                status = Status.NO_GAIN
                break
        return MinimizerResult(theta, value, edm, status)


@dataclass
class _Round:
    """A round of steps in the same coordinates; its call after each step returns whether it goes on."""

    options: KroneckerLBFGS
    edm_goal: float
    close: float
    most: float
    start: float
    evaluations: int = 0
    edm: float = np.inf
    steps: int = -1
    checked: tuple[float, int] = field(default=(np.inf, 0))

    def __call__(self, value: float, edm: float, largest: float, evaluations: int) -> bool:
        """Return False if EDM is at its goal, or if, far from it, the last steps gained less than the average."""
        self.evaluations, self.steps = self.evaluations + evaluations, self.steps + 1
        self.edm = edm
        if self.edm < self.edm_goal or self.evaluations >= self.most:
            return False
        if self.steps % self.options.check_every or self.edm <= self.close:
            return True
        (before, earlier), self.checked = self.checked, (value, self.evaluations)
        gain, whole = before - value, self.start - value
        return not gain * (self.evaluations + self.options.renewal_cost) < whole * (self.evaluations - earlier)
