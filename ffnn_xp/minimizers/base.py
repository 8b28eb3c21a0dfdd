"""What a minimizer sees of a fit, and the log of a walk, which outlives any interruption."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np

from ffnn_xp._lib.typing import HostArray

Factors = list[tuple[HostArray, HostArray, HostArray]]
"""For each layer G ``(h, h)``, A / n ``(c, c)``, and the prior's part of the diagonal ``(h, c)``."""

TIME_IS_UP = "the time given by max_seconds is up"
NOISE = 100.0  # differences of S below so many times its rounding are not believed


class Status(str, Enum):
    """How a minimization ended; `sentence` says it in words."""

    MINIMUM = "minimum"
    SADDLE_POINT = "saddle point"
    WEAKLY_DETERMINED = "weakly determined"
    NON_SMOOTH_POINT = "non-smooth point"
    PRUNED = "pruned"
    INTERRUPTED = "interrupted"
    BUDGET_USED_UP = "budget used up"
    NOT_FINITE = "no finite value"

    def __str__(self) -> str:
        return self.value

    @property
    def sentence(self) -> str:
        """One sentence for people."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.MINIMUM: "EDM is below its goal and S curves up in every direction.",
    Status.SADDLE_POINT: "S still falls along directions of negative curvature.",
    Status.WEAKLY_DETERMINED: "S gains no more, but along some directions it is too flat to reach the goal of EDM.",
    Status.NON_SMOOTH_POINT: "S gains no more at a point where its gradient jumps.",
    Status.PRUNED: "The minimization was ended since it leads to a worse minimum than others.",
    Status.INTERRUPTED: "The minimization was interrupted, by the user or by the time limit.",
    Status.BUDGET_USED_UP: "The minimization took as many evaluations as it may.",
    Status.NOT_FINITE: "S is not finite at the start.",
}


@dataclass(frozen=True)
class Budget:
    """What a minimization may take, and whom it tells.

    Parameters
    ----------
    deadline : float
        `time.monotonic` value after which `StopMinimization` is raised.
    max_evaluations : float
        Gradients after which it is raised too.
    report : callable, optional
        Called with (value, evaluations) at each new best; returns True to stop.
    prune : callable, optional
        Called with theta and what may still be gained (EDM or the last gain); True ends the minimization as pruned.
    """

    deadline: float = np.inf
    max_evaluations: float = np.inf
    report: Callable[[float, int], bool | None] | None = None
    prune: Callable[[HostArray, float], bool] | None = None


class Problem(Protocol):
    """A function of theta with its derivatives, on the host."""

    @property
    def errordef(self) -> float:
        """Rise at one standard deviation."""

    @property
    def epsilon(self) -> float:
        """Relative precision of the numbers it computes with."""

    def value_and_gradient(self, theta: HostArray) -> tuple[float, HostArray]:
        """S and its gradient."""

    def chi2(self, theta: HostArray) -> float:
        """The data's part of S."""

    def gauss_newton(self, theta: HostArray) -> HostArray:
        """Positive semidefinite approximation of the Hessian."""

    def hessian(self, theta: HostArray) -> HostArray:
        """Exact second derivative."""

    def gauss_newton_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """Gauss-Newton matrix times v, without the matrix."""

    def hessian_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """Exact second derivative times v, without the matrix."""

    def kronecker_factors(self, theta: HostArray) -> Factors:
        """Of each layer's Gauss-Newton matrix."""


class StopMinimization(Exception):  # noqa: N818, an ending and no error
    """Time is up, or the user's callback wants an end. The walk's best point is kept."""


@dataclass
class Tracker:
    """A problem that remembers the best point seen, counts calls, and stops when told to.

    Parameters
    ----------
    problem : Problem
        What to minimise.
    deadline : float
        `time.monotonic` value after which `StopMinimization` is raised.
    report : callable, optional
        Called with (value, calls) at each new best; returns True to stop.
    most : float
        Gradients after which it is raised too.
    """

    problem: Problem
    deadline: float = np.inf
    report: Callable[[float, int], bool | None] | None = None
    best: HostArray | None = None
    best_value: float = np.inf
    calls: int = field(default=0)
    most: float = field(default=np.inf)

    @property
    def errordef(self) -> float:
        """Rise at one standard deviation."""
        return self.problem.errordef

    @property
    def epsilon(self) -> float:
        """Relative precision of the numbers that the problem computes with."""
        return self.problem.epsilon

    def value_and_gradient(self, theta: HostArray) -> tuple[float, HostArray]:
        """S and its gradient; anything that is not finite becomes infinitely bad."""
        self._look_at_the_clock()
        value, gradient = self.problem.value_and_gradient(theta)
        self.calls += 1
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            return np.inf, np.zeros_like(theta)
        if value < self.best_value:
            self.best_value, self.best = value, theta.copy()
            if self.report is not None and self.report(value, self.calls):
                raise StopMinimization("the callback asked for an end")
        return value, gradient

    def arrive(self, theta: HostArray) -> None:
        """Take note of a point that somebody else found, also after the deadline, and without a word to the user."""
        value, _ = self.problem.value_and_gradient(theta)
        if value < self.best_value:
            self.best_value, self.best = value, theta.copy()

    def look(self, value: float, step: int) -> None:
        """At the clock, and at the user, for a minimizer that does its own calls."""
        self._look_at_the_clock()
        if value < self.best_value:
            self.best_value = value
            if self.report is not None and self.report(value, step):
                raise StopMinimization("the callback asked for an end")

    def chi2(self, theta: HostArray) -> float:
        """The data's part of S."""
        return self.problem.chi2(theta)

    def gauss_newton(self, theta: HostArray) -> HostArray:
        """The problem's, unless time is up."""
        self._look_at_the_clock()
        return self.problem.gauss_newton(theta)

    def hessian(self, theta: HostArray) -> HostArray:
        """The problem's, unless time is up."""
        self._look_at_the_clock()
        return self.problem.hessian(theta)

    def gauss_newton_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """The problem's, unless time is up."""
        self._look_at_the_clock()
        return self.problem.gauss_newton_product(theta, v)

    def hessian_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """The problem's, unless time is up."""
        self._look_at_the_clock()
        return self.problem.hessian_product(theta, v)

    def kronecker_factors(self, theta: HostArray) -> Factors:
        """The problem's, unless time is up."""
        self._look_at_the_clock()
        return self.problem.kronecker_factors(theta)

    def _look_at_the_clock(self) -> None:
        if time.monotonic() > self.deadline:
            raise StopMinimization(TIME_IS_UP)
        if self.calls > self.most:
            raise StopMinimization(f"the {self.most:.0f} gradients that it may take are spent")


@dataclass(frozen=True)
class MinimizerResult:
    """Where a walk ended: theta, the value there, EDM, whether the goal was reached, whether the walk was given up.

    And whether the exact Hessian was seen to be positive definite there; that may not have been asked.
    """

    theta: HostArray
    value: float
    edm: float
    converged: bool
    hopeless: bool = False
    no_saddle: bool = False


def rounding_error(epsilon: float, value: float) -> float:
    """What S may seem to fall by rounding alone, where it has this value."""
    return NOISE * epsilon * abs(value)


def marquardt_diagonal(B: HostArray) -> HostArray:
    """Absolute diagonal of B, and where that is zero something small: what damping is measured in."""
    d: HostArray = np.abs(np.diag(B))
    return np.maximum(d, 1e-10 * (float(d.max()) or 1.0))
