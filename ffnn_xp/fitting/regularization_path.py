"""Networks walked along a path of prior strengths, side by side: those of the folds, and those that join them.

They share network and statistic and differ in their events, so that values and gradients of all are asked for together
(`minimizers.run_batched`, `objective.stack_objectives`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ffnn_xp._lib.typing import HostArray, Rows
from ffnn_xp.minimizers import StopMinimization, Tracker, kronecker_steps, lbfgs, run_batched
from ffnn_xp.minimizers.base import TIME_IS_UP
from ffnn_xp.objective import GaussianPrior, NetworkCost, Objective, Replicas, stack_objectives

STRIDE = 3  # strengths of the path that networks go along which join later
ITERATIONS = 60  # gradients at each strength
LAST = 300  # at the one that is chosen
NEAR, ENOUGH = 1e-3, 0.1  # EDM, and gain of 30 gradients, in units of S per event, that end them before
FTOL = 1e-9  # for networks with kinks
SEEN = 1e-3  # relative error of S in single precision up to which that is good enough
TURNED = 3  # strengths in a row whose score is worse, by 2 %, after which the path ends
WORSE = 1.02
LEVEL, GAIN = 6, 1.1  # strengths in a row that gain less than a tenth together, after which it ends too


@dataclass(frozen=True)
class Together:
    """Costs of one network without a prior, each of its own events, or all of the same.

    Parameters
    ----------
    objectives : sequence of Objective
        Of the same network, statistic and backend.
    """

    objectives: Sequence[Objective]

    @cached_property
    def n(self) -> Rows:
        """How many events each has, ``(r,)``."""
        return np.array([o.events.n for o in self.objectives])

    @cached_property
    def side_by_side(self) -> Objective:
        """All in one."""
        return stack_objectives(self.objectives)

    @cached_property
    def single(self) -> Together | None:
        """The same in single precision, where that is faster."""
        if NetworkCost(self.objectives[0], n_values=1).in_single_precision() is None:
            return None
        each: dict[int, Objective] = {}
        with np.errstate(all="ignore"):  # what overflows becomes infinite, and that is seen
            for o in self.objectives:
                if id(o) not in each:
                    each[id(o)] = o.in_single_precision()
        return Together([each[id(o)] for o in self.objectives])

    def cost(self, number: int, precision: HostArray) -> NetworkCost:
        """One of them, with a prior."""
        return NetworkCost(self.objectives[number], n_values=1, prior=GaussianPrior(precision))


class Part:
    """Events to fit, and events that are held out."""

    def __init__(self, whole: NetworkCost, fitted: Rows, out: Rows) -> None:
        self.fitted, self.out = fitted, out
        self.inside = whole.objective.select(fitted)
        self.outside = whole.objective.select(out)

    def cost(self, precision: HostArray) -> NetworkCost:
        """Of what is fitted."""
        return NetworkCost(self.inside, n_values=len(self.fitted), prior=GaussianPrior(precision))

    def score(self, theta: HostArray) -> float:
        """S of what was held out."""
        return NetworkCost(self.outside, n_values=len(self.out)).chi2(theta)


@dataclass
class Walker:
    """Walks networks side by side, until time is up: then it says so, and walks no more.

    In single precision where that is faster, as long as its seven digits are enough to see S by.
    """

    deadline: float
    stopped: str = ""
    events: int = 0  # that gradients were taken of

    def __call__(
        self, together: Together, thetas: Sequence[HostArray], precision: HostArray, iterations: int
    ) -> list[HostArray]:
        """The best point of each, within so many gradients."""
        start, everyone = np.stack(list(thetas)), np.arange(len(thetas))
        single = together.single
        if single is None:
            return list(self._walk(together, everyone, start, precision, iterations).best)
        walked = self._walk(single, everyone, start, precision, iterations)
        values, _ = Replicas(together.side_by_side, precision).on_host(walked.best, everyone)
        seen = np.abs(values - walked.value) < SEEN * np.abs(values)
        again = np.flatnonzero(~seen)
        if len(again) and not self.stopped:
            walked.best[again] = self._walk(together, again, start[again], precision, iterations).best
        return list(walked.best)

    def _walk(
        self, together: Together, which: Rows, start: HostArray, precision: HostArray, iterations: int
    ) -> _Answers:
        """Those with these numbers, from these points ``(r, p)``.

        In the coordinates of Kronecker factors, where the same number of gradients leads to the minimum that plain
        steps are still on the way to: else the strength that held-out data prefer makes up for what is missing.
        """
        costs = [together.cost(int(i), precision) for i in which]
        answers = _Answers(Replicas(together.side_by_side, precision), which, together.n, start, self.deadline)
        try:
            if not together.objectives[0].network.smooth:
                for i, cost in enumerate(costs):
                    answers.walk_alone(i, cost, iterations)
            else:
                values, gradients = answers(start, np.arange(len(start)))
                fine = np.flatnonzero(np.isfinite(values))
                units = np.abs(values) / together.n[which]  # of -2 log L with a predicted width it may be negative
                walks = [
                    kronecker_steps(
                        costs[i],
                        start[i],
                        known=(float(values[i]), gradients[i]),
                        near=NEAR * units[i],
                        enough=ENOUGH * units[i],
                        most=iterations,
                    )
                    for i in fine
                ]
                run_batched(
                    walks, lambda theta, rows: answers(theta, fine[rows]), together=answers.replicas.of_one_shape
                )
        except (StopMinimization, KeyboardInterrupt) as stop:
            self.stopped = str(stop) or "interrupted by the user"
        self.events += answers.events
        return answers


class _Answers:
    """Values and gradients of some replicas, and the best point that each has asked for."""

    def __init__(self, replicas: Replicas, which: Rows, n: Rows, start: HostArray, deadline: float) -> None:
        self.replicas, self.which, self.n, self.deadline = replicas, which, n, deadline
        self.best, self.value, self.events = start.copy(), np.full(len(start), np.inf), 0

    def __call__(self, theta: HostArray, rows: Rows) -> tuple[HostArray, HostArray]:
        """What is not finite becomes infinitely bad."""
        if time.monotonic() > self.deadline:
            raise StopMinimization(TIME_IS_UP)
        values, gradients = self.replicas.on_host(theta, self.which[rows])
        self.events += int(np.sum(self.n[self.which[rows]]))
        bad = ~(np.isfinite(values) & np.all(np.isfinite(gradients), axis=-1))
        if np.any(bad):
            values, gradients = np.where(bad, np.inf, values), np.where(bad[:, None], 0.0, gradients)
        better = values < self.value[rows]
        self.value[rows[better]], self.best[rows[better]] = values[better], theta[better]
        return values, gradients

    def walk_alone(self, row: int, cost: NetworkCost, iterations: int) -> None:
        """By SciPy's L-BFGS, which takes kinks as they come."""
        walk = Tracker(cost, self.deadline)
        try:
            lbfgs(walk, self.best[row].copy(), ftol=FTOL, max_iterations=iterations)
        finally:
            self.events += walk.calls * cost.objective.events.n
            if walk.best is not None:
                self.value[row], self.best[row] = walk.best_value, walk.best


def follow(
    parts: Sequence[Part], thetas: Sequence[HostArray], strengths: HostArray, P: HostArray, walk: Walker
) -> tuple[int, list[float], list[HostArray]]:
    """Where on the path S of held-out values is smallest, S along it, and the parts' networks there."""
    together, ends = Together([part.inside for part in parts]), list(thetas)
    number = sum(len(part.out) for part in parts)
    best, kept, scores, worse = np.inf, [], [], 0
    for strength in strengths:
        ends = walk(together, ends, strength * P, ITERATIONS)
        scores.append(sum(part.score(theta) for part, theta in zip(parts, ends, strict=True)) / number)
        kept.append(ends)
        worse = 0 if scores[-1] < best else worse + 1
        best = min(best, scores[-1])
        level = len(scores) > LEVEL and GAIN * best > min(scores[:-LEVEL])
        if walk.stopped or level or (worse >= TURNED and scores[-1] > WORSE * best):
            break
    at = int(np.argmin(scores))
    return at, scores, kept[at]


def members(
    whole: NetworkCost,
    found: Sequence[HostArray],
    others: Iterator[HostArray],
    strengths: HostArray,
    P: HostArray,
    walk: Walker,
    number: int,
) -> list[HostArray]:
    """Networks of all data at the last strength: those of the parts go on, others walk the path; as time is left for.

    Parameters
    ----------
    whole : NetworkCost
        Of all data.
    found : sequence of array with shape (p,)
        The parts' networks at the last strength.
    others : iterator
        Random starts.
    strengths, P
        The path up to the last strength, and the shape of the prior.
    walk : Walker
        Walks them.
    number : int
        How many are wanted.
    """
    joining = [next(others) for _ in range(number - len(found))]
    if joining:
        together = Together([whole.objective] * len(joining))
        for strength in strengths[::STRIDE]:
            joining = walk(together, joining, strength * P, ITERATIONS)
    ends = [*found[:number], *([] if walk.stopped else joining)]
    return ends if walk.stopped else walk(Together([whole.objective] * len(ends)), ends, strengths[-1] * P, LAST)
