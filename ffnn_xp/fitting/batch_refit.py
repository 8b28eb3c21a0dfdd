"""Refits of many replicas from where a fit ended, in lots that are minimized together.

A replica has its own copy of the data: a toy, new measurements around a prediction; a bootstrap copy, events drawn with
replacement; measurements of the user's own; or the same data with another prior. Each has a seed of its own, and lots
have a size that follows from the problem alone, so that replicas are the same whoever computes them (`workers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from ffnn_xp._lib.limits import StopMinimization, deadline_in_force, stoppable
from ffnn_xp._lib.progress import bar
from ffnn_xp._lib.typing import HostArray, Mask
from ffnn_xp._lib.validation import Seed
from ffnn_xp.fitting.local_search import negative_directions
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.fitting.tuning import Tuning
from ffnn_xp.fitting.workers import HERE, Workers
from ffnn_xp.minimizers import BatchResult, Budget, MatrixFree, Status, Tracker
from ffnn_xp.objective import GaussianPrior, NetworkCost, Replicas

Seeds = Sequence[np.random.SeedSequence]


def seeds_of(seed: Seed, number: int) -> Seeds:
    """Return a seed for each replica, the same whatever their number."""
    return np.random.SeedSequence(seed).spawn(number)


@dataclass(frozen=True)
class Refits:
    """Refits of a lot of replicas of a problem, from the same point: a task for `Workers`.

    Parameters
    ----------
    problem : FitProblem
        The problem, whose prior each replica has.
    standard : array with shape (p,)
        The standardised point that toys are drawn around, and that all start from.
    kind : {"toys", "bootstrap", "data", "priors"}
        What replicas are. A lot of toys or of bootstrap copies is a sequence of their seeds; one of data is an array
        of measured values, ``(r, n, k)``; one of priors is an array of their precisions, ``(r, p)``.
    """

    problem: FitProblem
    standard: HostArray
    kind: str = "toys"

    @cached_property
    def cost(self) -> NetworkCost:
        """The cost of the problem's own data."""
        return self.problem.cost()

    @property
    def size(self) -> int:
        """The number of replicas of a lot at most."""
        replicas, tuning = Replicas(self.cost.objective), self.problem.tuning.refit
        if replicas.compiles:
            return tuning.most
        if self.problem.model.backend.on_gpu:
            return replicas.together
        return int(np.clip(tuning.work // (self.cost.objective.events.n * len(self.standard)), 1, tuning.most))

    def lots(self, replicas: Seeds | HostArray) -> list[Any]:
        """Split what replicas are made of into lots: of growing size, so that some are done soon.

        Where each size costs a compilation, and on a GPU, all lots but the last have one size.
        """
        number, most, lots, done = len(replicas), self.size, [], 0
        one_size = Replicas(self.cost.objective).of_one_shape
        size = -(-number // -(-number // most)) if one_size else min(self.problem.tuning.refit.first_lot, most)
        while done < number:
            lots.append(replicas[done : done + size])
            done += size
            size = size if one_size else min(self.problem.tuning.refit.lot_growth * size, most)
        return lots

    def __call__(self, lot: Any) -> BatchResult:
        """Refit a lot."""
        return self.minimized(self.replicas(lot), len(lot))

    def minimized(self, replicas: Replicas, number: int) -> BatchResult:
        """Minimise so many replicas from the same point; the ends are on the host."""
        tuning, matrices = self.problem.tuning, self.problem.with_matrices
        end = _refit_lot(replicas, self.standard, number, Budget(deadline_in_force()), tuning, matrices=matrices)
        return replace(end, theta=replicas.numbers(end.theta))

    def replicas(self, lot: Any) -> Replicas:
        """Return the replicas of a lot; arrays of their events have a replica axis where they differ in them."""
        objective, backend = self.cost.objective, self.problem.model.backend
        if self.kind == "priors":
            return Replicas(objective, lot)
        if self.kind == "bootstrap":
            events = objective.events
            rngs, shares = map(np.random.default_rng, lot), np.full(events.n, 1 / events.n)
            counts = np.stack([rng.multinomial(events.n, shares) for rng in rngs])[:, None, :]
            weights = backend.to_device(counts.astype(np.float64))
            events = replace(events, weights=weights if events.weights is None else weights * events.weights)
            precision = None if self.cost.prior is None else self.cost.prior.precision
            return Replicas(replace(objective, events=events), precision)
        return self.of_measurements(np.swapaxes(lot, 1, 2) if self.kind == "data" else self.toys(lot))

    def of_measurements(self, measured: HostArray) -> Replicas:
        """Return the replicas that have these measured values ``(r, k, n)``, in raw units."""
        events = self.problem.events(self.problem.model.backend.to_device(measured))
        precision = None if self.cost.prior is None else self.cost.prior.precision
        return Replicas(replace(self.cost.objective, events=events), precision)

    def toys(self, seeds: Seeds) -> HostArray:
        """Draw new measurements ``(r, k, n)`` around the prediction, in raw units, one for each seed.

        A weight is the number of times that an event was measured: measured values have errors smaller by its square
        root, counts are the mean of so many. (With a sandwich covariance weights say nothing about the scatter.)
        """
        problem, backend, data = self.problem, self.problem.model.backend, self.problem.data_with_errors()
        predicted = problem.expected(problem.scaling.to_raw(self.standard))
        with backend.context():
            number_of = backend.to_host(data.auxiliary_of(backend.xp, problem.loss))

        def sample(possible: HostArray) -> HostArray:
            rngs = map(np.random.default_rng, seeds)
            return np.stack([problem.loss.sample(rng, predicted, possible) for rng in rngs])

        if data.weights is None or problem.sandwich:
            return sample(number_of)
        times = backend.to_host(data.weights)
        if problem.loss.target_kind == "real":
            measured = sample(number_of)
            mean = predicted[: measured.shape[-2]]
            return np.asarray(mean + (measured - mean) / np.sqrt(times))
        if problem.loss.target_kind != "count" and np.any(times != np.round(times)):
            raise ValueError("toys need `weights` that are whole numbers: use fit_replicas with kind='bootstrap'")
        return sample(number_of * times) / times


def refit(task: Refits, replicas: Seeds | HostArray, workers: Workers = HERE) -> BatchResult:
    """Refit all replicas, lot by lot; those that there is no time for stay where they were, as interrupted ones."""
    ends: list[BatchResult] = []
    with stoppable(workers.deadline) as stop, bar("fits of replicas", len(replicas), "replicas") as line:
        for end in workers.map(task, task.lots(replicas)):
            ends.append(end)
            line.advance(len(end.value))
            if end.stopped:
                raise StopMinimization(end.stopped)
    left = len(replicas) - sum(len(end.value) for end in ends)
    if left:
        never, none = np.full(left, np.inf), np.zeros(left, dtype=np.int64)
        start = np.broadcast_to(task.standard, (left, len(task.standard)))
        ends.append(BatchResult(start, never, never, none > 0, none, (Status.INTERRUPTED,) * left))
    theta, value, edm, converged, steps = (
        np.concatenate([getattr(end, name) for end in ends]) for name in ("theta", "value", "edm", "converged", "steps")
    )
    return BatchResult(theta, value, edm, converged, steps, tuple(s for end in ends for s in end.status), stop.reason)


@dataclass(frozen=True)
class ToyFits:
    """The fits of toys.

    Attributes
    ----------
    theta : array with shape (r, p)
        The points where they ended, standardised.
    chi2 : array with shape (r,)
        The data's part of S there.
    valid : boolean array with shape (r,)
        Whether EDM is below the goal.
    stopped : str
        Why there are fewer toys than were asked for, if there are.
    """

    theta: HostArray
    chi2: HostArray
    valid: Mask
    stopped: str = ""


@dataclass(frozen=True)
class FitsOfToys:
    """Refits of toys around the prediction of a fit: a task for `Workers`, of the seeds of a lot."""

    refits: Refits

    def __call__(self, seeds: Seeds) -> ToyFits:
        """Draw toys and fit each of them.

        Raises
        ------
        StopMinimization
            If there is no time for all of them: those that are done by then were the quick ones.
        """
        replicas = self.refits.replicas(seeds)
        end = self.refits.minimized(replicas, len(seeds))
        if end.stopped:
            raise StopMinimization(end.stopped)
        chi2 = replicas.chi2(replicas.on_device(end.theta), np.arange(len(seeds)))
        return ToyFits(end.theta, chi2, end.converged)


def fit_toys(problem: FitProblem, theta: HostArray, seeds: Seeds, workers: Workers = HERE) -> ToyFits:
    """Draw a toy around the prediction of raw theta ``(p,)`` with each seed, and fit it with the prior."""
    refits, nothing = Refits(problem, problem.scaling.to_standard(theta)), np.empty(0)
    lots = [ToyFits(np.empty((0, len(theta))), nothing, nothing > 0)]
    with stoppable(workers.deadline) as stop, bar("fits of toys", len(seeds), "toys") as line:
        for lot in workers.map(FitsOfToys(refits), refits.lots(seeds)):
            lots.append(lot)
            line.advance(len(lot.theta))
    ends, chi2, valid = (np.concatenate([getattr(lot, name) for lot in lots]) for name in ("theta", "chi2", "valid"))
    return ToyFits(ends, chi2, valid, stop.after(len(ends), len(seeds), "toys"))


def _refit_lot(
    replicas: Replicas, theta: HostArray, number: int, budget: Budget, tuning: Tuning, *, matrices: bool
) -> BatchResult:
    """Minimise replicas together from the same standardised theta ``(p,)``.

    The first steps use matrices, where these cost little; the last ones are those of single fits. Where no matrices are
    formed, replicas are minimized one after another.
    """
    objective, by = replicas.objective, tuning.refit
    starts, smooth = np.broadcast_to(theta, (number, len(theta))), objective.network.smooth
    down = partial(negative_directions, replicas)
    with objective.backend.context():
        if not matrices:
            return _one_by_one(replicas, starts, budget, tuning.local_search.matrix_free)
        if not smooth:
            return by.non_smooth.run(replicas, replicas.on_device(starts), budget)
        if len(theta) > tuning.small and not objective.backend.on_gpu:
            return by.last.run(replicas, starts, budget, negative_directions=down)
        first = by.first.run(replicas, replicas.on_device(starts), budget)
        if first.stopped:
            return first
        starts = replicas.numbers(first.theta)
        end = by.last.run(replicas, starts, budget, negative_directions=down)
        return replace(end, steps=first.steps + end.steps)


def _one_by_one(replicas: Replicas, starts: HostArray, budget: Budget, minimizer: MatrixFree) -> BatchResult:
    """Minimise replicas from points ``(r, p)`` without matrices, one after another."""
    minimizer = replace(minimizer, exact=replicas.objective.network.smooth)
    theta, value, edm = starts.copy(), np.full(len(starts), np.inf), np.full(len(starts), np.inf)
    steps, status = np.zeros(len(starts), dtype=np.int64), [Status.INTERRUPTED] * len(starts)
    with stoppable(budget.deadline) as stop:
        for i, start in enumerate(starts):
            objective, precision = replicas.alone(i)
            prior = None if precision is None else GaussianPrior(precision)
            tracker = Tracker(NetworkCost(objective, n_values=1, prior=prior), budget)
            try:
                end = minimizer.run(tracker, start)
                edm[i], status[i] = end.edm if end.bounds is None else end.bounds.upper, end.status
            finally:
                steps[i] = tracker.calls
                if tracker.best is not None:
                    theta[i], value[i] = tracker.best, tracker.best_value
    converged = np.array([how is Status.MINIMUM for how in status])
    return BatchResult(replicas.on_device(theta), value, edm, converged, steps, tuple(status), stop.reason)
