"""The interface of minimizers: the problem, the budget, and the result.

A `Problem` is a function of theta with its derivatives, on the host. A `Budget` limits a minimization, a `Tracker`
enforces it and keeps the best point, and a `MinimizerResult` says where and how a minimization ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from ffnn_xp._lib import journal
from ffnn_xp._lib.limits import INTERRUPTED, TIME_IS_UP, StopMinimization, interrupted, limited
from ffnn_xp._lib.progress import tick
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.conjugate_gradients import EDMBounds

Factors = list[tuple[HostArray, HostArray, HostArray]]
"""The Kronecker factors of each layer: G ``(h, h)``, A / n ``(c, c)``, the prior's part of the diagonal ``(h, c)``."""

End = TypeVar("End")

Prune = Callable[[HostArray, float], bool]
"""A function of theta and the gain that is still possible there; it returns True to end the minimization as pruned."""

ROUNDING_MARGIN = 100.0  # differences of S below so many times its rounding count as zero
NEGLIGIBLE = 1e-5  # a difference of S, in errordefs, that decides nothing: a twentieth of MIGRAD's goal of EDM


class Status(str, Enum):
    """The ways in which a minimization ends; `sentence` explains them."""

    MINIMUM = "minimum"
    SADDLE_POINT = "saddle point"
    WEAKLY_DETERMINED = "weakly determined"
    NON_SMOOTH_POINT = "non-smooth point"
    NO_GAIN = "no gain"
    PRUNED = "pruned"
    INTERRUPTED = "interrupted"
    BUDGET_USED_UP = "budget used up"
    NOT_FINITE = "no finite value"

    def __str__(self) -> str:
        return self.value

    @property
    def sentence(self) -> str:
        """A sentence that explains the status."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.MINIMUM: "EDM is below its goal.",
    Status.SADDLE_POINT: "S curves down along some direction.",
    Status.WEAKLY_DETERMINED: "S gains no more, but EDM is above its goal: some directions have next to no curvature.",
    Status.NON_SMOOTH_POINT: "S gains no more at a point where its gradient jumps.",
    Status.NO_GAIN: "The last steps gained too little to go on, above the goal of EDM.",
    Status.PRUNED: "The minimization was ended since it leads to a worse minimum than others.",
    Status.INTERRUPTED: "The minimization was interrupted, by the user or by the time limit.",
    Status.BUDGET_USED_UP: "The minimization took as many evaluations as it may.",
    Status.NOT_FINITE: "S is not finite at the start.",
}


@dataclass(frozen=True)
class Budget:
    """The limits of a minimization, with a report of its progress and a function that may prune it.

    Parameters
    ----------
    deadline : float
        `time.monotonic` value after which `StopMinimization` is raised.
    max_evaluations : float
        Gradients after which it is raised too.
    report : callable, optional
        Called with (value, evaluations) at each new best; returns True to stop.
    prune : callable, optional
        Called with theta and the gain that is still possible (EDM or the last gain); True ends the minimization.
    """

    deadline: float = np.inf
    max_evaluations: float = np.inf
    report: Callable[[float, int], bool | None] | None = None
    prune: Prune | None = None

    def check(self, evaluations: int) -> None:
        """Raise `StopMinimization` if time is up, the user interrupted it, or so many evaluations are too many."""
        tick()
        journal.tick()
        if interrupted():
            raise StopMinimization(INTERRUPTED)
        if time.monotonic() > self.deadline:
            raise StopMinimization(TIME_IS_UP)
        if evaluations > self.max_evaluations:
            raise StopMinimization(f"the {self.max_evaluations:.0f} gradients that it may take are spent")

    def of_call(self, evaluations: int) -> limited:
        """Check the budget before an evaluation, and return the block in which that ends when time is up."""
        self.check(evaluations)
        return limited(self.deadline)

    def tell(self, value: float, evaluations: int) -> None:
        """Report a new best value; raise `StopMinimization` if the report returns True."""
        if self.report is not None and self.report(value, evaluations):
            raise StopMinimization("the callback returned True")


UNLIMITED = Budget()


class Units(Protocol):
    """The units and the precision of S."""

    @property
    def errordef(self) -> float:
        """The rise of S at one standard deviation."""

    @property
    def epsilon(self) -> float:
        """The relative precision of the numbers that S is computed with."""


class Problem(Units, Protocol):
    """A function of theta with its derivatives, on the host."""

    def value_and_gradient(self, theta: HostArray) -> tuple[float, HostArray]:
        """Return S and its gradient."""

    def chi2(self, theta: HostArray) -> float:
        """Return the data's part of S."""

    def gauss_newton(self, theta: HostArray) -> HostArray:
        """Return the Gauss-Newton matrix, a positive semidefinite approximation of the Hessian."""

    def hessian(self, theta: HostArray) -> HostArray:
        """Return the exact Hessian."""

    def gauss_newton_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """Return the Gauss-Newton matrix times v, without forming it."""

    def hessian_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """Return the exact Hessian times v, without forming it."""

    def kronecker_factors(self, theta: HostArray) -> Factors:
        """Return the Kronecker factors of each layer's Gauss-Newton matrix."""


class Tracker:
    """A problem that counts its evaluations, keeps the best point, and enforces a budget.

    Parameters
    ----------
    problem : Problem
        The function that is minimised.
    budget : Budget
        Its limits.

    Attributes
    ----------
    best : array with shape (p,) or None
        The point with the lowest finite value so far.
    best_value : float
        S there.
    calls : int
        Gradients so far.
    """

    def __init__(self, problem: Problem, budget: Budget = UNLIMITED) -> None:
        self.problem, self.budget = problem, budget
        self.best: HostArray | None = None
        self.best_value, self.calls = np.inf, 0

    @classmethod
    def of(cls, problem: Problem, budget: Budget) -> Tracker:
        """Return a tracker of this problem; a tracker that is given is returned itself, unless a budget is given."""
        return problem if isinstance(problem, Tracker) and budget == UNLIMITED else cls(problem, budget)

    @property
    def errordef(self) -> float:
        """The rise of S at one standard deviation."""
        return self.problem.errordef

    @property
    def epsilon(self) -> float:
        """The relative precision of the numbers that S is computed with."""
        return self.problem.epsilon

    def value_and_gradient(self, theta: HostArray) -> tuple[float, HostArray]:
        """Return S and its gradient; a value that is not finite becomes infinite, with a gradient of zeros."""
        with self.budget.of_call(self.calls):
            value, gradient = self.problem.value_and_gradient(theta)
        self.calls += 1
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            return np.inf, np.zeros_like(theta)
        if value < self.best_value:
            self.best_value, self.best = value, theta.copy()
            if self.budget.report is not None:
                self.budget.tell(value, self.calls)
        return value, gradient

    def consider(self, theta: HostArray) -> None:
        """Keep a point from elsewhere if it is the best, also after the deadline; there is no report."""
        with limited(None):
            value, _ = self.problem.value_and_gradient(theta)
        if value < self.best_value:
            self.best_value, self.best = value, theta.copy()

    @contextmanager
    def on(self, problem: Problem, *, same: bool = True) -> Iterator[Tracker]:
        """Yield a tracker of another form of the problem, such as single precision, with the rest of this budget.

        Its best point and its calls are added to this tracker at the end.

        Parameters
        ----------
        problem : Problem
            The other form of the problem.
        same : bool
            Whether its S is that of this problem. Otherwise reports have this problem's best S, and nothing is pruned.
        """
        budget = self.budget
        if not same:
            tell = budget.report
            report = None if tell is None else lambda _, calls: tell(self.best_value, calls)
            budget = replace(budget, report=report, prune=None)
        other = Tracker(problem, budget)
        other.calls = self.calls
        try:
            yield other
        finally:
            self.calls = other.calls
            if other.best is not None:
                self.consider(other.best)

    def stage(self, name: str, minimize: Callable[[HostArray], End], theta: HostArray) -> End:
        """Minimise from theta ``(p,)`` by a function that uses this tracker, or take its end from a checkpoint."""

        def run() -> tuple[End, HostArray | None, float, int]:
            end = minimize(journal.resumed(theta, lambda: self.best))
            return end, self.best, self.best_value, self.calls

        end, self.best, self.best_value, self.calls = journal.recorded(name, run)
        return end

    def chi2(self, theta: HostArray) -> float:
        """Return the data's part of S."""
        return self.problem.chi2(theta)

    def gauss_newton(self, theta: HostArray) -> HostArray:
        """Return the problem's Gauss-Newton matrix, unless the budget is used up."""
        with self.budget.of_call(self.calls):
            return self.problem.gauss_newton(theta)

    def hessian(self, theta: HostArray) -> HostArray:
        """Return the problem's exact Hessian, unless the budget is used up."""
        with self.budget.of_call(self.calls):
            return self.problem.hessian(theta)

    def gauss_newton_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """Return the problem's Gauss-Newton matrix times v, unless the budget is used up."""
        with self.budget.of_call(self.calls):
            return self.problem.gauss_newton_product(theta, v)

    def hessian_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """Return the problem's exact Hessian times v, unless the budget is used up."""
        with self.budget.of_call(self.calls):
            return self.problem.hessian_product(theta, v)

    def kronecker_factors(self, theta: HostArray) -> Factors:
        """Return the problem's Kronecker factors, unless the budget is used up."""
        with self.budget.of_call(self.calls):
            return self.problem.kronecker_factors(theta)


@dataclass(frozen=True)
class MinimizerResult:
    """The result of a minimization.

    Attributes
    ----------
    theta : array with shape (p,)
        The last point.
    value, edm : float
        S and EDM there; EDM is infinite where the minimizer does not know it.
    status : Status
        How it ended; `Status.MINIMUM` says that EDM is below the goal.
    hessian_is_positive : bool
        Whether the exact Hessian is positive definite there; False also where it was not computed.
    saddles : int
        Saddle points that were escaped on the way.
    bounds : EDMBounds or None
        Bounds on EDM, from a minimizer that forms no matrix.
    """

    theta: HostArray
    value: float
    edm: float
    status: Status
    hessian_is_positive: bool = False
    saddles: int = 0
    bounds: EDMBounds | None = None

    @property
    def converged(self) -> bool:
        """True if EDM is below the goal."""
        return self.status is Status.MINIMUM

    @property
    def pruned(self) -> bool:
        """True if the minimization was ended since it leads to a worse minimum than others."""
        return self.status is Status.PRUNED


@runtime_checkable
class Minimizer(Protocol):
    """A frozen object with its options as fields that minimises any problem."""

    def run(self, problem: Problem, theta: HostArray, budget: Budget = UNLIMITED) -> MinimizerResult:
        """Minimise from theta with shape (p,); a `Tracker` given as the problem keeps the best point."""


def rounding_error(epsilon: float, value: float) -> float:
    """Return the largest change of S by rounding alone, where it has this value."""
    return ROUNDING_MARGIN * epsilon * abs(value)


def is_lower(units: Units, value: float, than: float) -> bool:
    """Return True if S is lower than another value of it, by more than its rounding and by more than next to nothing.

    Two minimizations to the same minimum differ in the last digits of S; no decision may depend on them.
    """
    if not np.isfinite(than):
        return bool(value < than)
    return bool(value < than - max(rounding_error(units.epsilon, than), NEGLIGIBLE * units.errordef))


def marquardt_diagonal(B: HostArray) -> HostArray:
    """Return the absolute diagonal of B, the unit of damping; where it is zero, a small number."""
    d: HostArray = np.abs(np.diag(B))
    return np.maximum(d, 1e-10 * (float(d.max()) or 1.0))
