"""From many starts to one minimum: L-BFGS for the way, Levenberg-Marquardt for the end, saddles escaped.

Starts are tried one after another until chi-square says that a fit is as good as it can be (known errors), or all of
them (unknown errors: then only the best can be told). Only promising ones are walked to the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from ._typing import HostArray
from .minimizers import Problem, StopWalk, Walk, lbfgs, levenberg_marquardt
from .uncertainty import Curvature, curvature

EDM_GOAL = 1e-6  # in units of errordef: a hundredth of what MIGRAD asks for, and cheap since the end is quadratic
FAR = 1.5  # a start this many times worse than the best is not walked to the end
SADDLES = 8  # how many are escaped before giving up
SIGMAS = 4.0  # by how much chi-square may exceed its expectation in a fit that needs no further start


@dataclass(frozen=True)
class FitState:
    """What a callback sees at each improvement.

    Attributes
    ----------
    start, starts : int
        Which start, of how many at most.
    fval : float
        Value now.
    best : float
        Best value of all starts.
    calls : int
        Gradient calls of this start.
    seconds : float
        Since the fit began.
    """

    start: int
    starts: int
    fval: float
    best: float
    calls: int
    seconds: float


@dataclass(frozen=True)
class Restart:
    """One row of the table of starts: value and EDM at its end, what became of it, gradient calls, seconds."""

    start: int
    fval: float
    edm: float
    status: str
    calls: int
    seconds: float


@dataclass
class Search:
    """The table of starts, and the best point of all; survives an interruption.

    Parameters
    ----------
    problem : Problem
        In standardised units.
    good_enough : float
        Value at which no further start is tried; -inf if unknown.
    starts : int
        How many at most.
    kinked : bool
        Whether the exact Hessian misses part of the curvature.
    deadline : float
        In `time.monotonic` seconds.
    callback : callable, optional
        Called with a `FitState`.
    """

    problem: Problem
    good_enough: float
    starts: int
    kinked: bool = False
    deadline: float = np.inf
    callback: Callable[[FitState], bool | None] | None = None
    rows: list[Restart] = field(default_factory=list)
    theta: HostArray | None = None
    value: float = np.inf
    arrived: Curvature | None = None
    stopped: str = ""
    began: float = field(default_factory=time.monotonic)

    def run(self, starts: Iterable[HostArray]) -> None:
        """Walk from each start until one is good enough; then the best is at a minimum, if there was time."""
        try:
            ends = [self._approach(i, theta) for i, theta in enumerate(starts, start=1) if not self._done()]
            for end in sorted(ends, key=lambda e: e[1])[:1]:
                if self.arrived is None:
                    self._finish(*end)
        except StopWalk as stop:
            self.stopped = str(stop)
        except KeyboardInterrupt:
            self.stopped = "interrupted by the user"

    def refine(self, theta: HostArray) -> None:
        """Only the end of the way, from a point near a minimum."""
        self.arrived, self.value = None, np.inf
        try:
            self._finish(len(self.rows), np.inf, theta)
        except StopWalk as stop:
            self.stopped = str(stop)
        except KeyboardInterrupt:
            self.stopped = "interrupted by the user"

    def curvature(self, theta: HostArray) -> Curvature:
        """Of the exact Hessian or, where kinks would be missed, of the Gauss-Newton matrix."""
        H = self.problem.gauss_newton(theta) if self.kinked else self.problem.hessian(theta)
        return curvature(H, self.problem.errordef)

    def _done(self) -> bool:
        return self.arrived is not None and self.value <= self.good_enough

    def _approach(self, index: int, theta: HostArray) -> tuple[int, float, HostArray]:
        """The long way; and the short rest, if the start is promising by what is known so far."""
        began = time.monotonic()
        walk = self._walk(index)
        try:
            theta = lbfgs(walk, theta)
            theta = theta if walk.best is None else walk.best
        finally:
            self._keep(walk)
        if walk.best is None:
            self.rows.append(Restart(index, np.inf, np.inf, "no finite value", walk.calls, time.monotonic() - began))
            return index, np.inf, theta
        status = "left: worse than the best"
        edm = np.inf
        if walk.best_value < FAR * self.good_enough:
            theta, edm, status = self._descend(walk, theta)
        row = Restart(index, walk.best_value, edm, status, walk.calls, time.monotonic() - began)
        self.rows.append(row)
        return index, walk.best_value, theta

    def _finish(self, index: int, value: float, theta: HostArray) -> None:
        """The short rest of the way for the best of the starts."""
        began = time.monotonic()
        walk = self._walk(index)
        theta, edm, status = self._descend(walk, theta)
        for i, row in enumerate(self.rows):
            if row.start == index:
                seconds = row.seconds + time.monotonic() - began
                self.rows[i] = Restart(index, walk.best_value, edm, status, row.calls + walk.calls, seconds)

    def _descend(self, walk: Walk, theta: HostArray) -> tuple[HostArray, float, str]:
        """To EDM < goal, round saddles, and on."""
        goal = EDM_GOAL * walk.errordef
        try:
            for saddles in range(SADDLES):  # noqa: B007, the count goes into the status
                end = levenberg_marquardt(walk, theta, edm_goal=goal, exact_end=not self.kinked)
                theta = end.theta
                shape = self.curvature(theta)
                if not shape.n_negative:
                    break
                beyond = _escape(walk, theta, end.value, shape)
                if beyond is None:
                    break
                theta = lbfgs(walk, beyond, ftol=1e-6, max_iterations=200)
        finally:
            self._keep(walk)
        if end.value <= self.value or self.arrived is None:
            self.theta, self.value, self.arrived = theta, end.value, shape
        status = "minimum" if end.converged else "at kinks" if self.kinked else "stalled"
        if shape.n_negative:
            status = "saddle"
        elif saddles:
            status += f" behind {saddles} saddle{'s' if saddles > 1 else ''}"
        return theta, end.edm, status

    def _walk(self, index: int) -> Walk:
        def report(value: float, calls: int) -> bool | None:
            assert self.callback is not None
            seconds = time.monotonic() - self.began
            return self.callback(FitState(index, self.starts, value, min(value, self.value), calls, seconds))

        return Walk(self.problem, self.deadline, None if self.callback is None else report)

    def _keep(self, walk: Walk) -> None:
        if walk.best is not None and walk.best_value < self.value:
            self.theta, self.value, self.arrived = walk.best, walk.best_value, None


def _escape(walk: Walk, theta: HostArray, value: float, shape: Curvature) -> HostArray | None:
    """A lower point along the most negative direction, either way; None if rounding is all there is."""
    assert shape.steepest is not None
    direction = shape.steepest / np.linalg.norm(shape.steepest) * max(1.0, float(np.linalg.norm(theta)))
    best, at = value - 1e-9 * abs(value), None
    for step in (1e-3, 1e-2, 3e-2, 0.1, 0.3):
        for sign in (1.0, -1.0):
            trial = theta + sign * step * direction
            lower = walk.value_and_gradient(trial)[0]
            if lower < best:
                best, at = lower, trial
    return at
