"""Minimization along a regularization path, from a strong to a weak prior, of the networks of all folds together.

They share network and statistic and differ in their events, so that values and gradients of all are computed together
(`minimizers.run_batched`, `objective.batch.stack_objectives`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ffnn_xp._lib.journal import recorded, resumed
from ffnn_xp._lib.limits import StopMinimization, deadline_in_force, stoppable
from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray, Rows
from ffnn_xp.fitting.folds import CostBatch, Fold
from ffnn_xp.fitting.workers import HERE, Workers
from ffnn_xp.minimizers import Budget, KroneckerLBFGS, ScipyLBFGS, Tracker, is_lower, run_batched
from ffnn_xp.network import Network
from ffnn_xp.objective import NetworkCost, Replicas

SINGLE_PRECISION_ERROR = 1e-3  # of S, relative, above which a network is minimized again in double precision


@dataclass(frozen=True)
class PathTuning:
    """The numbers of a regularization path.

    Parameters
    ----------
    kronecker : KroneckerLBFGS
        Minimises smooth S; its goals and number of gradients are set at each strength.
    non_smooth : ScipyLBFGS
        Minimises non-smooth S, in as many steps.
    together : int
        Events times parameters up to which networks are minimized in one batch; above, one by one takes no longer.
    """

    kronecker: KroneckerLBFGS = field(default=KroneckerLBFGS())
    non_smooth: ScipyLBFGS = field(default=ScipyLBFGS(ftol=1e-9))
    evaluations: int = tuned(60, "gradients at each strength; more: nearer to the path's minima, slower")
    last_evaluations: int = tuned(
        300, "gradients at the chosen strength; more: an ensemble nearer to its minima, slower"
    )
    edm_goal: float = tuned(1e-3, "EDM in units of S per event; smaller: nearer to the path's minima, slower")
    stride: int = tuned(3, "strengths between those at which networks that join later are minimised; more: faster")
    level_rounds: int = tuned(6, "strengths that gain little together and end the path; more: longer paths")
    events_per_parameter: float = tuned(
        2.0, "from which on folds go on from each other's networks; fewer: these still know held-out events"
    )
    learnt: float = tuned(0.9, "share of S under the strongest prior that networks come below before a path ends")
    level_factor: float = tuned(1.1, "larger: the path ends earlier where scores hardly fall")
    together: int = 300_000


@dataclass
class PathMinimizer:
    """Minimises networks and counts their events, until time is up; then `stopped` says why.

    Small ones are minimized together, in one batch; large ones one by one, which takes no more time, and which workers
    share. It computes in single precision where that is faster, as long as its seven digits are enough for S.

    Parameters
    ----------
    workers : Workers
        Those who minimize, until their deadline.
    tuning : PathTuning
        The numbers.
    report : callable, optional
        Called with (value, evaluations) where a network gets better; returns True to stop.

    Attributes
    ----------
    stopped : str
        Why it was stopped, if it was.
    events : int
        Events that gradients were taken of.
    """

    workers: Workers = HERE
    tuning: PathTuning = field(default=PathTuning())
    report: Callable[[float, int], bool | None] | None = None
    stopped: str = ""
    events: int = 0

    def minimize(
        self, costs: CostBatch, thetas: Sequence[HostArray], precision: HostArray, evaluations: int
    ) -> list[HostArray]:
        """Minimise all networks with so many gradients each, and return the best point of each."""
        before = self.events

        def run() -> tuple[list[HostArray], int]:
            return self._any_way(costs, thetas, precision, evaluations), self.events - before

        best, events = recorded("networks of a path", run)
        self.events = before + events
        return best

    def _any_way(
        self, costs: CostBatch, thetas: Sequence[HostArray], precision: HostArray, evaluations: int
    ) -> list[HostArray]:
        """Minimise small networks together, and large ones one by one."""
        if self.is_small(costs, precision):
            return self.minimize_together(costs, thetas, precision, evaluations)
        here, best = self.workers.executor is None, list(thetas)
        items = [(i, theta, precision, evaluations) for i, theta in enumerate(thetas)]
        with stoppable(self.workers.deadline) as stop:
            task = _NetworksOfPath(costs, self.tuning, self.report if here else None)
            for i, end in enumerate(self.workers.map(task, items)):
                best[i] = end.theta
                self.events += end.events
                Budget(report=None if here else self.report).tell(end.value, end.events)
                if end.stopped:
                    raise StopMinimization(end.stopped)
        self.stopped = stop.reason or self.stopped
        return best

    def is_small(self, costs: CostBatch, precision: HostArray) -> bool:
        """Return True if networks of these costs are minimized together."""
        return len(precision) * int(np.max(costs.n)) <= self.tuning.together

    def minimize_together(
        self, costs: CostBatch, thetas: Sequence[HostArray], precision: HostArray, evaluations: int
    ) -> list[HostArray]:
        """Minimise all networks in one batch."""
        start, everyone = np.stack(list(thetas)), np.arange(len(thetas))
        single = costs.single
        if single is None:
            return list(self._minimize(costs, everyone, start, precision, evaluations)[0])
        best, rough = self._minimize(single, everyone, start, precision, evaluations)
        values, _ = Replicas(costs.stacked, precision).on_host(best, everyone)
        agrees = np.abs(values - rough) < SINGLE_PRECISION_ERROR * np.abs(values)
        again = np.flatnonzero(~agrees)
        if len(again) and not self.stopped:
            best[again], _ = self._minimize(costs, again, start[again], precision, evaluations)
        return list(best)

    def _minimize(
        self, batch: CostBatch, which: Rows, start: HostArray, precision: HostArray, evaluations: int
    ) -> tuple[HostArray, HostArray]:
        """Minimise the networks with these numbers, from these points; return the best ones ``(r, p)``, and S there."""

        def run() -> tuple[HostArray, HostArray, int]:
            end = self._evaluated(batch, which, start, precision, evaluations)
            return end.best, end.value, end.events

        best, values, events = recorded("batch on a path", run)
        self.events += events
        return best, values

    def _evaluated(
        self, batch: CostBatch, which: Rows, start: HostArray, precision: HostArray, evaluations: int
    ) -> _Evaluator:
        """Minimise the networks with these numbers, from these points ``(r, p)`` or from those in a checkpoint.

        In Kronecker coordinates so many gradients lead to the minimum, which plain steps would not reach: the chosen
        strength would then make up for that.
        """
        costs = [batch.cost(int(i), precision) for i in which]
        budget = Budget(self.workers.deadline, report=self.report)
        start = resumed(start, lambda: evaluate.best)
        evaluate = _Evaluator(Replicas(batch.stacked, precision), which, batch.n, start, budget)
        with stoppable(self.workers.deadline) as stop:
            if not batch.objectives[0].network.smooth:
                minimizer = replace(self.tuning.non_smooth, max_iterations=evaluations)
                for i, cost in enumerate(costs):
                    evaluate.minimize_alone(i, cost, minimizer)
            else:
                values, gradients = evaluate(start, np.arange(len(start)))
                finite = np.flatnonzero(np.isfinite(values))
                units = np.abs(values) / batch.n[which]  # with a predicted width -2 log L may be negative
                minimizations = [
                    self._kronecker(units[i] / costs[i].errordef, evaluations).steps(
                        costs[i], start[i], start=(float(values[i]), gradients[i])
                    )
                    for i in finite
                ]
                run_batched(
                    minimizations,
                    lambda theta, rows: evaluate(theta, finite[rows]),
                    fixed_shape=evaluate.replicas.of_one_shape,
                )
        self.stopped = stop.reason or self.stopped
        return evaluate

    def _kronecker(self, unit: float, evaluations: int) -> KroneckerLBFGS:
        """Return the minimizer of a network; `unit` is S per event in units of errordef."""
        t = self.tuning
        return replace(t.kronecker, edm_goal=t.edm_goal * unit, max_evaluations=evaluations)


class _EndOfPath(NamedTuple):
    """The best point of a network, S there, the events that its gradients were taken of, and why it was stopped."""

    theta: HostArray
    value: float
    events: int
    stopped: str


@dataclass(frozen=True)
class _NetworksOfPath:
    """The minimization of one network: a task for `Workers`, of its number, start, precision and gradients."""

    costs: CostBatch
    tuning: PathTuning
    report: Callable[[float, int], bool | None] | None = None

    def __call__(self, item: tuple[int, HostArray, HostArray, int]) -> _EndOfPath:
        number, theta, precision, evaluations = item
        minimizer = PathMinimizer(Workers(deadline=deadline_in_force()), self.tuning, self.report)
        (best,) = minimizer.minimize_together(self.costs.each[number], [theta], precision, evaluations)
        value = self.costs.cost(number, precision).value_and_gradient(best)[0]
        return _EndOfPath(best, value, minimizer.events, minimizer.stopped)


class _Evaluator:
    """Values and gradients of some replicas, and the best point that each was evaluated at."""

    def __init__(self, replicas: Replicas, which: Rows, n: Rows, start: HostArray, budget: Budget) -> None:
        self.replicas, self.which, self.n, self.budget = replicas, which, n, budget
        self.best, self.value, self.events, self.calls = start.copy(), np.full(len(start), np.inf), 0, 0

    def __call__(self, theta: HostArray, rows: Rows) -> tuple[HostArray, HostArray]:
        """Return values and gradients; a value that is not finite becomes infinite, with a gradient of zeros."""
        self.budget.check(0)
        values, gradients = self.replicas.on_host(theta, self.which[rows])
        self.events, self.calls = self.events + int(np.sum(self.n[self.which[rows]])), self.calls + 1
        bad = ~(np.isfinite(values) & np.all(np.isfinite(gradients), axis=-1))
        if np.any(bad):
            values, gradients = np.where(bad, np.inf, values), np.where(bad[:, None], 0.0, gradients)
        better = values < self.value[rows]
        self.value[rows[better]], self.best[rows[better]] = values[better], theta[better]
        if np.any(better):
            self.budget.tell(float(np.min(values[better])), self.calls)
        return values, gradients

    def minimize_alone(self, row: int, cost: NetworkCost, minimizer: ScipyLBFGS) -> None:
        """Minimise one network that is not smooth, with SciPy's L-BFGS, which copes with such points."""
        tracker = Tracker(cost, self.budget)
        try:
            minimizer.run(tracker, self.best[row].copy())
        finally:
            self.events += tracker.calls * cost.objective.n
            if tracker.best is not None:
                self.value[row], self.best[row] = tracker.best_value, tracker.best


def shape_of_prior(network: Network, output_bias: float = 0.0) -> HostArray:
    """Return P, the precisions of the prior at strength 1, with that of output biases.

    Examples
    --------
    >>> from ffnn_xp.network.activations import identity, tanh
    >>> from ffnn_xp.network.layout import Layout
    >>> shape_of_prior(Network(Layout((2, 1, 1)), (tanh, identity)))
    array([ 2.,  2.,  1., 20.,  0.])
    """
    rows = []
    for l, (h, columns) in enumerate(network.layout.shapes):
        P = np.full((h, columns), 20.0 if l else columns - 1.0)
        P[:, -1] = 20.0 if l else 1.0
        if l == network.layout.n_layers - 1:
            P[:, -1] = output_bias
        rows.append(P.ravel())
    return np.concatenate(rows)


class Path(NamedTuple):
    """A path that was followed: the place of its best score, all scores, the networks there, those that joined."""

    at: int
    scores: list[float]
    thetas: list[HostArray]
    joined: list[HostArray]


def follow_path(
    folds: Sequence[Fold],
    thetas: Sequence[HostArray],
    joining: Sequence[HostArray],
    strengths: HostArray,
    P: HostArray,
    minimizer: PathMinimizer,
) -> Path:
    """Follow the path from a network of each fold; more networks of each fold join in larger steps.

    A score is S per held-out value. Where another fold's network, which was fitted to other events, describes a fold's
    events better than its own does, its own is in a poor minimum, and the fold goes on from the other one: else the
    score would tell of that minimum, and not of the prior. The other network knows the events that are held out here,
    and so this is for networks that forget them in the new minimization, with few parameters. The path does not end
    while the networks are what the strongest prior makes them, a constant.

    Networks that join have no say in the score. Small ones are in the folds' batch, where they take hardly more time,
    and some strengths beyond the best are for nothing; large ones join when it is known. There are none if time is up.
    """
    batch, ends, t, m = CostBatch([fold.inside for fold in folds]), list(thetas), minimizer.tuning, len(folds)
    number, forgets = sum(len(fold.out) for fold in folds), t.events_per_parameter * len(P) <= float(np.min(batch.n))
    best, kept, totals, units = np.inf, [], [], batch.cost(0, P)
    others = CostBatch([fold.inside for fold in folds] * (len(joining) // m))
    everyone, joined = CostBatch([*batch.objectives, *others.objectives]), [list(joining)]
    scores: list[float] = []
    for place, strength in enumerate(strengths):
        if minimizer.is_small(batch, P) and place % t.stride == 0 and joining:
            both = minimizer.minimize(everyone, [*ends, *joined[-1]], strength * P, t.evaluations)
            ends = both[:m]
            joined.append(both[m:])
        else:
            ends = minimizer.minimize(batch, ends, strength * P, t.evaluations)
        if minimizer.stopped and scores:  # networks that are no minima say nothing of this strength
            break
        if not minimizer.stopped:
            values = _values(batch, ends, strength * P)
            own, lowest = np.diag(values), np.argmin(values, axis=1)
            totals.append(float(np.sum(own)))
            poor = [forgets and is_lower(units, values[i, j], own[i]) for i, j in enumerate(lowest)]
            if any(poor):
                ends = [ends[j if worse else i] for i, (j, worse) in enumerate(zip(lowest, poor, strict=True))]
                ends = minimizer.minimize(batch, ends, strength * P, t.evaluations)
        scores.append(sum(fold.score(theta) for fold, theta in zip(folds, ends, strict=True)) / number)
        kept.append(ends)
        best = min(best, scores[-1])
        level = len(scores) > t.level_rounds and t.level_factor * best > min(scores[: -t.level_rounds])
        if minimizer.stopped or (level and totals[-1] < t.learnt * totals[0]):
            break
    at = int(np.argmin(scores))
    places = [*range(0, at, t.stride), at]
    done = joined[: 1 + len(range(0, at + 1, t.stride))]
    here = done[-1]
    for strength in strengths[places[len(done) - 1 :]]:
        if here and not minimizer.stopped:
            here = minimizer.minimize(others, here, strength * P, t.evaluations)
    return Path(at, scores, kept[at], [] if minimizer.stopped else here)


def _values(batch: CostBatch, thetas: Sequence[HostArray], precision: HostArray) -> HostArray:
    """Compute S of each cost, in rows, at each of the points, in columns; infinite where it is not finite."""
    m = len(thetas)
    costs, points = np.repeat(np.arange(m), m), np.tile(np.stack(list(thetas)), (m, 1))
    with np.errstate(all="ignore"):
        values, _ = Replicas(batch.stacked, precision).on_host(points, costs)
    return np.where(np.isfinite(values), values, np.inf).reshape(m, m)
