"""From many starts to one minimum: L-BFGS for the way, second derivatives for the end, saddles escaped.

Starts are tried one after another until chi-square says that a fit is as good as it can be (known errors), or all of
them (unknown errors: then only the best can be told). Only promising ones are walked to the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from ._typing import HostArray
from .competition import FINALISTS, Contestant
from .cost import NetworkCost
from .minima import number_minima
from .minimizers import (
    Arrival,
    Distance,
    Problem,
    StopWalk,
    Walk,
    kronecker_lbfgs,
    lbfgs,
    levenberg_marquardt,
    preconditioned_lbfgs,
    walk_by_products,
)
from .uncertainty import Curvature, curvature

EDM_GOAL = 1e-6  # in units of errordef: far below what MIGRAD asks for, and cheap since the end is quadratic
HOPELESS = 30.0  # EDMs, or gains of the last round: what a start may still gain, by experience
CERTIFIED = 1e-4  # EDM in units of errordef that the walk without matrices goes to: half of MIGRAD's goal
FINE = 1e-15  # the same where the exact Hessian's coordinates lead
GOOD = 1e-7  # the same where another matrix would cost more than the rest of the way is worth
FAR = 1.5  # a start this many times worse than the best is not walked to the end
SADDLES = 8  # how many are escaped before giving up
FLAT = 1e-3  # fall of S, in units of errordef, that is not worth following
KINKED: dict[str, Any] = {"ftol": 1e-5}  # farther, since the short rest gains little at kinks
FIRST: dict[str, Any] = {"ftol": 1e-3}  # where Kronecker factors then make better steps: at once, they lead astray
MANY = 500  # parameters from which on Kronecker factors are so much cheaper than a matrix that they go first
NEAR = 1.0  # gain in units of errordef at which single precision is left
LITTLE = 1e-2  # the same in double precision
NEARER = 1e-10  # EDM in Kronecker coordinates, in units of errordef, after which one matrix is enough
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


@dataclass(frozen=True)
class End:
    """Where a start was walked to: the point, the value and EDM there, the shape of S around it, and a word on it.

    Beyond the memory for matrices there is no shape, but a distance with its bounds.
    """

    theta: HostArray
    value: float
    edm: float
    shape: Curvature | None
    status: str
    distance: Distance | None = None


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
    kinked : bool
        Whether the exact Hessian misses part of the curvature.
    matrices : bool
        Whether p x p matrices may be formed; without them products and Kronecker factors have to do.
    deadline : float
        In `time.monotonic` seconds.
    callback : callable, optional
        Called with a `FitState`.
    """

    problem: NetworkCost
    good_enough: float = -np.inf
    starts: int = 1
    kinked: bool = False
    matrices: bool = True
    deadline: float = np.inf
    callback: Callable[[FitState], bool | None] | None = None
    rows: list[Restart] = field(default_factory=list)
    ends: dict[int, tuple[HostArray, float]] = field(default_factory=dict)
    theta: HostArray | None = None
    value: float = np.inf
    arrived: Curvature | None = None
    distance: Distance | None = None
    best_start: int = 0
    stopped: str = ""
    began: float = field(default_factory=time.monotonic)
    copy: tuple[NetworkCost, NetworkCost | None] | None = field(default=None, repr=False)

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

    def contest(self, contest: Callable[[Callable[[float, int], None]], tuple[list[Contestant], str]]) -> None:
        """The same for starts that compete: only those that win are walked to the end.

        `contest` is called with a function that watches it (best value and step; raises `StopWalk`), and returns the
        contestants, the best first, and why it was cut short.
        """
        began, before = time.monotonic(), len(self.rows)
        watch = self._walk(before + 1)

        with self._stoppable():
            ranking, stopped = contest(watch.look)
            each = (time.monotonic() - began) / max(len(ranking), 1)
            rows = [Restart(before + c.start + 1, c.value, c.edm, c.status, c.steps, each) for c in ranking]
            self.rows += sorted(rows, key=lambda row: row.start)
            self.ends |= {before + c.start + 1: (c.theta, c.value) for c in ranking if c.status == "converged"}
            for place, c in enumerate(ranking[:FINALISTS]):
                if not np.isfinite(c.value):
                    break
                walk = self._walk(before + c.start + 1)
                walk.value_and_gradient(c.theta)
                if place == 0 or walk.best_value < FAR * self.value:
                    self._keep(before + c.start + 1, walk, None)
                    if stopped:
                        raise StopWalk(stopped)
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
        except StopWalk as stop:
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
        self.copy = problem, None  # near as it is
        with self._stoppable():
            self._finish()

    @property
    def finished(self) -> bool:
        """Whether the best point is the end of a walk, with its curvature or distance known."""
        return self.arrived is not None or self.distance is not None

    def shape_at(self, theta: HostArray) -> tuple[Curvature, HostArray | None]:
        """The curvature of S at a point, and a lower point if S falls from there.

        Of the exact Hessian or, where kinks would be missed, of the Gauss-Newton matrix. A direction of negative
        curvature along which S is nowhere lower than `FLAT` is the bottom of a valley and counts as undetermined.
        """
        problem = self.problem
        H = problem.gauss_newton(theta) if self.kinked else problem.hessian(theta)
        shape = curvature(H, problem.errordef, problem.epsilon)
        if not shape.n_negative:
            return shape, None
        value = problem.value_and_gradient(theta)[0]
        fall = max(FLAT * problem.errordef, 50 * problem.epsilon * abs(value))
        beyond = _lower(problem, theta, value - fall, shape)
        return (shape.flattened(), None) if beyond is None else (shape, beyond)

    def _approach(self, index: int, theta: HostArray) -> None:
        """The long way; and the short rest, if the start is promising by what is known so far."""
        began = time.monotonic()
        walk, end, status = self._walk(index), None, "left: worse than the best"
        straight = self._rounded(theta) and (self.starts == 1 or np.isfinite(self.good_enough))
        options = KINKED if self.kinked else FIRST if straight else {}
        try:
            with self._rough(walk) as rough:
                lbfgs(rough, theta, **options)
            if walk.best is None and rough is not walk:  # too large for single precision
                lbfgs(walk, theta, **options)
            if walk.best is None:
                status = "no finite value"
            elif straight or self._good(walk.best, FAR):
                end = self._descend(walk, walk.best, self._hopeless if self.starts > 1 else None)
                status = "left: it leads to a poor minimum"
        except (StopWalk, KeyboardInterrupt):
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
            end = self._descend(walk, theta)
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

    def _hopeless(self, theta: HostArray, gain: float) -> bool:
        """Whether this way leads to a minimum that is not good enough, by its EDM or what it gained lately."""
        return np.isfinite(self.good_enough) and self.problem.chi2(theta) - HOPELESS * gain > self.good_enough

    def _descend(
        self, walk: Walk, theta: HostArray, hopeless: Callable[[HostArray, float], bool] | None = None
    ) -> End | None:
        """To EDM < goal, round saddles, and on; None if that is given up."""
        with self._rough(walk) as rough:
            way = self._come_near(rough, theta, hopeless)
        if not way.hopeless and abs(walk.best_value - way.value) > NEAR * walk.errordef:  # too rough: again, in double
            way = self._come_near(walk, theta if walk.best is None else walk.best, hopeless)
        if way.hopeless:
            return None
        theta = theta if walk.best is None else walk.best
        if not self.matrices:
            return self._descend_by_products(walk, theta, hopeless)
        if self._rounded(theta):
            near, enough = NEARER * walk.errordef, LITTLE * walk.errordef
            nearer = kronecker_lbfgs(walk, theta, near=near, enough=enough, patient=False, hopeless=hopeless)
            if nearer.hopeless:
                return None
            theta = nearer.theta
        fine = (GOOD if self._rounded(theta) else FINE) * walk.errordef
        smooth = partial(preconditioned_lbfgs, near=bool(np.isfinite(way.value)), fine=fine)
        arrive = levenberg_marquardt if self.kinked else smooth
        for saddles in range(SADDLES):  # noqa: B007, the count goes into the status
            end = arrive(walk, theta, edm_goal=EDM_GOAL * walk.errordef, hopeless=hopeless)
            if end.hopeless:
                return None
            shape, beyond = self.shape_at(end.theta)
            if beyond is None:
                break
            theta = lbfgs(walk, beyond, ftol=1e-6, max_iterations=200)
        status = "minimum" if end.converged else "at kinks" if self.kinked else "in a valley"
        if shape.n_negative:
            status = "saddle"
        elif saddles:
            status += f" behind {saddles} saddle{'s' * (saddles > 1)}"
        return End(end.theta, end.value, end.edm, shape, status)

    def _come_near(self, walk: Walk, theta: HostArray, hopeless: Callable[[HostArray, float], bool] | None) -> Arrival:
        """The part of the descent for which single precision is good enough."""
        if self._rounded(theta):
            return kronecker_lbfgs(walk, theta, enough=NEAR * walk.errordef, hopeless=hopeless)
        if self.kinked or walk.epsilon == self.problem.epsilon:
            return Arrival(theta, np.inf, np.inf, converged=False)
        return preconditioned_lbfgs(walk, theta, edm_goal=NEAR * walk.errordef, hopeless=hopeless)

    @contextmanager
    def _rough(self, walk: Walk) -> Iterator[Walk]:
        """A walk on the same function in single precision, if that is faster; its best point is kept, come what may."""
        single = self._single()
        if single is None:
            yield walk
            return
        rough = Walk(single, walk.deadline, walk.report, calls=walk.calls)
        try:
            yield rough
        finally:
            walk.calls = rough.calls
            if rough.best is not None:
                walk.arrive(rough.best)

    def _single(self) -> NetworkCost | None:
        if self.copy is None or self.copy[0] is not self.problem:
            self.copy = self.problem, self.problem.in_single_precision()
        return self.copy[1]

    def _rounded(self, theta: HostArray) -> bool:
        """Whether the long way is taken in the coordinates of Kronecker factors."""
        return not self.kinked and (len(theta) > MANY or not self.matrices)

    def _descend_by_products(
        self, walk: Walk, theta: HostArray, hopeless: Callable[[HostArray, float], bool] | None
    ) -> End | None:
        """The same without matrices; EDM and its bounds come from products."""
        goal = CERTIFIED * walk.errordef
        end, distance, saddles = walk_by_products(walk, theta, edm_goal=goal, exact=not self.kinked, hopeless=hopeless)
        if end.hopeless:
            return None
        status = "saddle" if distance.falling is not None else "minimum" if end.converged else "at kinks or in a valley"
        status += f" behind {saddles} saddle{'s' * (saddles > 1)}" if saddles and status == "minimum" else ""
        return End(end.theta, end.value, distance.upper, None, status, distance)

    def _good(self, theta: HostArray, factor: float = 1.0) -> bool:
        """Whether the data's part of S is as low as it should be, or within a factor of that."""
        return np.isfinite(self.good_enough) and self.problem.chi2(theta) <= factor * self.good_enough

    def _walk(self, index: int) -> Walk:
        def report(value: float, calls: int) -> bool | None:
            assert self.callback is not None
            seconds = time.monotonic() - self.began
            return self.callback(FitState(index, self.starts, value, min(value, self.value), calls, seconds))

        return Walk(self.problem, self.deadline, None if self.callback is None else report)

    def _keep(self, index: int, walk: Walk, end: End | None) -> None:
        """Remember the best point of all, with its curvature if the walk arrived there."""
        if end is not None and end.status != "saddle":
            self.ends[index] = end.theta, end.value
        if end is not None and end.value <= self.value:
            self.theta, self.value, self.best_start = end.theta, end.value, index
            self.arrived, self.distance = end.shape, end.distance
        elif walk.best is not None and walk.best_value < self.value:
            self.theta, self.value, self.best_start = walk.best, walk.best_value, index
            self.arrived, self.distance = None, None


def _lower(problem: Problem, theta: HostArray, value: float, shape: Curvature) -> HostArray | None:
    """The lowest point below `value` along the falling directions, either way; None if there is none."""
    size = max(1.0, float(np.linalg.norm(theta)))
    lowest = None
    for falling in shape.falling.T:
        direction = shape.scale * falling
        direction *= size / np.linalg.norm(direction)
        for step in (-0.3, -0.1, -0.03, -0.01, -1e-3, 1e-3, 0.01, 0.03, 0.1, 0.3):
            trial = problem.value_and_gradient(theta + step * direction)[0]
            if trial < value:
                value, lowest = trial, theta + step * direction
    return lowest
