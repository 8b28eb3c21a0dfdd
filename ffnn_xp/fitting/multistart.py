"""From many starts to one minimum: a table of starts, each walked down as far as it is worth (`descent`).

Starts are tried one after another until chi-square says that a fit is as good as it can be (known errors), or all of
them (unknown errors: then only the best can be told). Only promising ones are walked to the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.local_search import Descent, LocalMinimum
from ffnn_xp.fitting.minima import number_minima
from ffnn_xp.fitting.successive_halving import FINALISTS, Candidate
from ffnn_xp.minimizers import Distance, StopMinimization, Tracker
from ffnn_xp.objective import NetworkCost
from ffnn_xp.uncertainty import Spectrum

HOPELESS = 30.0  # EDMs, or gains of the last round: what a start may still gain, by experience
FAR = 1.5  # a start this many times worse than the best is not walked to the end
SIGMAS = 3.0  # by how much chi-square may exceed its expectation in a fit that needs no further start


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
    """One row of the table of starts: value and EDM at its end, what became of it, gradient calls, seconds.

    And the number of the minimum that it came to, 1 for the best, the same for starts that came to the same; 0 if it
    did not arrive.
    """

    start: int
    fval: float
    edm: float
    status: str
    calls: int
    seconds: float
    minimum: int = 0


@dataclass
class Search:
    """The table of starts, and the best point of all; survives an interruption.

    Parameters
    ----------
    problem : Problem
        In standardised units.
    good_enough : float
        Chi-square at which no further start is tried; -inf if unknown.
    starts : int
        How many at most.
    smooth : bool
        Whether the exact Hessian misses part of the curvature.
    matrices : bool
        Whether p x p matrices may be formed; without them products and Kronecker factors have to do.
    deadline : float
        In `time.monotonic` seconds.
    callback : callable, optional
        Called with a `FitState`.
    most : float
        Gradients that a walk from one start may take.
    """

    problem: NetworkCost
    good_enough: float = -np.inf
    starts: int = 1
    smooth: bool = True
    matrices: bool = True
    deadline: float = np.inf
    callback: Callable[[FitState], bool | None] | None = None
    most: float = np.inf
    rows: list[Restart] = field(default_factory=list)
    ends: dict[int, tuple[HostArray, float]] = field(default_factory=dict)
    theta: HostArray | None = None
    value: float = np.inf
    arrived: Spectrum | None = None
    distance: Distance | None = None
    best_start: int = 0
    stopped: str = ""
    began: float = field(default_factory=time.monotonic)
    descent: Descent = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.descent = Descent(self.problem, self.smooth, self.matrices)

    def run(self, starts: Iterable[HostArray], *, finish: bool = True) -> None:
        """Walk from each start until one is good enough; then the best is at a minimum, if there was time.

        Not `finish` leaves the best, if none is good enough, where it is: others are to follow.
        """
        with self._stoppable():
            for index, theta in enumerate(starts, start=len(self.rows) + 1):
                self.theta = theta if index == 1 else self.theta
                self._approach(index, theta)
                if self.satisfied:
                    break
            if not np.isfinite(self.value):
                self.theta = None
            elif finish and not self.finished:
                self._finish()

    def contest(self, contest: Callable[[Callable[[float, int], None]], tuple[list[Candidate], str]]) -> None:
        """The same for starts that compete: only those that win are walked to the end.

        `contest` is called with a function that watches it (best value and step; raises `StopMinimization`), and returns the
        contestants, the best first, and why it was cut short.
        """
        began, before = time.monotonic(), len(self.rows)
        watch = self._walk(before + 1)

        with self._stoppable():
            ranking, stopped = contest(watch.look)
            each = (time.monotonic() - began) / max(len(ranking), 1)
            rows = [Restart(before + c.start + 1, c.value, c.edm, c.status, c.steps, each) for c in ranking]
            self.rows += sorted(rows, key=lambda row: row.start)
            for c in ranking:
                if c.status == "converged":  # its own value has seven digits
                    self.ends[before + c.start + 1] = c.theta, self.problem.value_and_gradient(c.theta)[0]
            for place, c in enumerate(ranking[:FINALISTS]):
                if not np.isfinite(c.value):
                    break
                walk = self._walk(before + c.start + 1)
                walk.value_and_gradient(c.theta)
                if place == 0 or walk.best_value < FAR * self.value:
                    self._keep(before + c.start + 1, walk, None)
                    if stopped:
                        raise StopMinimization(stopped)
                    self._finish_start(before + c.start + 1, c.theta)
                if self.satisfied:
                    break
            if not self.finished:
                self._finish()

    @property
    def satisfied(self) -> bool:
        """Whether the best point is a minimum as good as it should be."""
        return self.theta is not None and self.finished and self._good(self.theta)

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """A deadline, a callback and Ctrl-C end the walk; what was found stays."""
        try:
            yield
        except StopMinimization as stop:
            self.stopped = str(stop)
        except KeyboardInterrupt:
            self.stopped = "interrupted by the user"

    def number_minima(self, unit: float) -> None:
        """Tell in the table which starts came to the same minimum; `unit` is one standard deviation's rise of S."""
        numbers = number_minima(self.problem, self.ends, unit)
        self.rows = [replace(row, minimum=numbers.get(row.start, 0)) for row in self.rows]

    def refine(self, problem: NetworkCost) -> None:
        """Only the end of the way, for a problem whose minimum is near the best point."""
        self.problem, self.arrived, self.distance, self.value = problem, None, None, np.inf
        self.descent = replace(self.descent, problem=problem, may_be_rough=False)  # near as it is
        with self._stoppable():
            self._finish()

    def go_on(self, theta: HostArray) -> bool:
        """The end of the way again, from a lower point than the best; whether it arrived."""
        kept = self.theta, self.value, self.arrived
        self.theta, self.value, self.arrived = theta, self.problem.value_and_gradient(theta)[0], None
        with self._stoppable():
            self._finish()
        if not self.finished:
            self.theta, self.value, self.arrived = kept
            return False
        return True

    @property
    def finished(self) -> bool:
        """Whether the best point is the end of a walk, with its curvature or distance known."""
        return self.arrived is not None or self.distance is not None

    def _approach(self, index: int, theta: HostArray) -> None:
        """The long way; and the short rest, if the start is promising by what is known so far."""
        began = time.monotonic()
        walk, end, status = self._walk(index), None, "left: worse than the best"
        straight = self.descent.rounded(theta) and (self.starts == 1 or bool(np.isfinite(self.good_enough)))
        try:
            self.descent.approach(walk, theta, straight=straight)
            if walk.best is None:
                status = "no finite value"
            elif straight or self._good(walk.best, FAR):
                end = self.descent.descend(walk, walk.best, self._hopeless if self.starts > 1 else None)
                status = "left: it leads to a poor minimum"
        except (StopMinimization, KeyboardInterrupt):
            status = "stopped"
            raise
        finally:
            self._keep(index, walk, end)
            edm, status = (np.inf, status) if end is None else (end.edm, end.status)
            self.rows.append(Restart(index, walk.best_value, edm, status, walk.calls, time.monotonic() - began))

    def _finish(self) -> None:
        """The short rest of the way for the best of the starts; its row in the table grows by what that took."""
        if self.theta is not None:
            self._finish_start(self.best_start, self.theta)

    def _finish_start(self, index: int, theta: HostArray) -> None:
        """The short rest from this point of a start that is in the table already."""
        began = time.monotonic()
        walk, end = self._walk(index), None
        try:
            end = self.descent.descend(walk, theta)
        finally:
            self._keep(index, walk, end)
            i = index - 1
            if end is not None and i < len(self.rows):
                row, seconds = self.rows[i], time.monotonic() - began
                self.rows[i] = replace(
                    row,
                    fval=min(row.fval, end.value),  # the table stays in the units of the first errors of y
                    edm=end.edm,
                    status=end.status,
                    calls=row.calls + walk.calls,
                    seconds=row.seconds + seconds,
                )

    def improved(self, value: float) -> None:
        """MINUIT went farther down from the best of the starts: its row in the table says so."""
        i = self.best_start - 1
        if 0 <= i < len(self.rows):
            self.rows[i] = replace(self.rows[i], fval=min(self.rows[i].fval, value))

    def _hopeless(self, theta: HostArray, gain: float) -> bool:
        """Whether this way leads to a minimum that is not good enough, by its EDM or what it gained lately."""
        return np.isfinite(self.good_enough) and self.problem.chi2(theta) - HOPELESS * gain > self.good_enough

    def _good(self, theta: HostArray, factor: float = 1.0) -> bool:
        """Whether the data's part of S is as low as it should be, or within a factor of that."""
        return np.isfinite(self.good_enough) and self.problem.chi2(theta) <= factor * self.good_enough

    def _walk(self, index: int) -> Tracker:
        def report(value: float, calls: int) -> bool | None:
            assert self.callback is not None
            seconds = time.monotonic() - self.began
            return self.callback(FitState(index, self.starts, value, min(value, self.value), calls, seconds))

        return Tracker(self.problem, self.deadline, None if self.callback is None else report, most=self.most)

    def _keep(self, index: int, walk: Tracker, end: LocalMinimum | None) -> None:
        """Remember the best point of all, with its curvature if the walk arrived there."""
        if end is not None and end.status != "saddle":
            self.ends[index] = end.theta, end.value
        if end is not None and end.value <= self.value:
            self.theta, self.value, self.best_start = end.theta, end.value, index
            self.arrived, self.distance = end.shape, end.distance
        elif walk.best is not None and walk.best_value < self.value:
            self.theta, self.value, self.best_start = walk.best, walk.best_value, index
            self.arrived, self.distance = None, None
