"""Refits of many replicas in one batch from where a fit ended, and toys: new measurements around its prediction.

Replicas are minimized in lots, more and more together, so that some are done when the user presses Ctrl-C. Those of the
first lot share a product; where there is a deadline they are a few, so that some are done when time is up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ffnn_xp._lib.limits import StopMinimization, stoppable
from ffnn_xp._lib.progress import bar
from ffnn_xp._lib.typing import HostArray, Mask
from ffnn_xp.fitting.local_search import negative_directions
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.fitting.tuning import DEFAULT_TUNING, RefitTuning
from ffnn_xp.minimizers import UNLIMITED, BatchResult, Budget, Status, Tracker
from ffnn_xp.objective import GaussianPrior, NetworkCost, Replicas


@dataclass(frozen=True)
class ToyFits:
    """Toys and their fits.

    Attributes
    ----------
    measured : array with shape (r, k, n)
        Their values.
    theta : array with shape (r, p)
        The points where the fits ended, standardised.
    chi2 : array with shape (r,)
        The data's part of S there.
    valid : boolean array with shape (r,)
        Whether EDM is below the goal.
    stopped : str
        Why there are fewer toys than were asked for, if there are.
    """

    measured: HostArray
    theta: HostArray
    chi2: HostArray
    valid: Mask
    stopped: str = ""


def fit_toys(
    problem: FitProblem, theta: HostArray, number: int, rng: np.random.Generator, budget: Budget = UNLIMITED
) -> ToyFits:
    """Draw toys around the prediction of raw theta ``(p,)``, and fit each with the prior; see `toy_lots`."""
    k, n = problem.data.y.shape
    lots = [ToyFits(np.empty((0, k, n)), np.empty((0, len(theta))), np.empty(0), np.empty(0, dtype=bool))]
    with stoppable(budget.deadline) as stop, bar("fits of toys", number, "toys") as line:
        for lot in toy_lots(problem, theta, number, rng, budget):
            lots.append(lot)
            line.advance(len(lot.theta))
    measured, ends, chi2, valid = (
        np.concatenate([getattr(lot, name) for lot in lots]) for name in ("measured", "theta", "chi2", "valid")
    )
    return ToyFits(measured, ends, chi2, valid, stop.after(len(ends), number, "toys"))


def toy_lots(
    problem: FitProblem, theta: HostArray, number: int, rng: np.random.Generator, budget: Budget = UNLIMITED
) -> Iterator[ToyFits]:
    """Draw toys around the prediction of raw theta ``(p,)``, fit each with the prior, and yield them lot by lot.

    Raises
    ------
    StopMinimization
        If the budget is used up in a lot, whose toys do not count: those that are done by then were the quick ones.
    """
    cost, start, tuning = problem.cost(), problem.scaling.to_standard(theta), problem.tuning.refit
    backend, precision = problem.model.backend, None if cost.prior is None else cost.prior.precision
    for lot in _lots(Replicas(cost.objective), number, budget, tuning):
        measured = measure_again(problem, theta, lot.stop - lot.start, rng)
        events = problem.events(backend.to_device(measured))
        replicas, everyone = Replicas(replace(cost.objective, events=events), precision), np.arange(len(measured))
        end = _refit_lot(replicas, start, len(measured), budget, tuning, matrices=problem.with_matrices)
        if end.stopped:
            raise StopMinimization(end.stopped)
        yield ToyFits(measured, backend.to_host(end.theta), replicas.chi2(end.theta, everyone), end.converged)


def refit(
    replicas: Replicas,
    theta: HostArray,
    number: int,
    budget: Budget = UNLIMITED,
    tuning: RefitTuning = DEFAULT_TUNING.refit,
    matrices: bool = True,
) -> BatchResult:
    """Minimise all replicas from the same standardised theta ``(p,)``, lot by lot.

    Those that the budget is used up for stay at theta.
    """
    ends: list[BatchResult] = []
    with bar("fits of replicas", number, "replicas") as line:
        for lot in _lots(replicas, number, budget, tuning):
            rows = np.arange(lot.start, lot.stop)
            ends.append(_refit_lot(replicas.select(rows), theta, len(rows), budget, tuning, matrices=matrices))
            if ends[-1].stopped:
                left = number - lot.stop
                if left:
                    never, start = np.full(left, np.inf), replicas.on_device(np.broadcast_to(theta, (left, len(theta))))
                    none = np.zeros(left, dtype=np.int64)
                    ends.append(BatchResult(start, never, never, none > 0, none, (Status.INTERRUPTED,) * left))
                break
            line.advance(len(rows))
    if len(ends) == 1:
        return ends[0]
    with replicas.objective.backend.context():
        at = replicas.xp.concat([end.theta for end in ends], axis=0)
    value, edm, converged, steps = (
        np.concatenate([getattr(end, name) for end in ends]) for name in ("value", "edm", "converged", "steps")
    )
    status, stopped = tuple(s for end in ends for s in end.status), "".join(end.stopped for end in ends)
    return BatchResult(at, value, edm, converged, steps, status, stopped)


def _lots(replicas: Replicas, number: int, budget: Budget, tuning: RefitTuning) -> Iterator[slice]:
    """Yield slices of replicas to minimize together, each larger than the one before as far as there is time.

    Where each number of replicas costs a compilation all lots but the last have one size.
    """
    size, done = tuning.first_lot if budget.deadline < np.inf else replicas.together, 0
    if replicas.compiles:
        size = -(-number // -(-number // tuning.compiled_lot))
    while done < number:
        began, lot = time.monotonic(), slice(done, min(done + size, number))
        yield lot
        done, now = lot.stop, time.monotonic()
        if not replicas.compiles:
            each = max(now - began, 1e-9) / (lot.stop - lot.start)
            size = int(min(tuning.lot_growth * size, max(1.0, tuning.lot_share * (budget.deadline - now) / each)))


def _refit_lot(
    replicas: Replicas, theta: HostArray, number: int, budget: Budget, tuning: RefitTuning, *, matrices: bool
) -> BatchResult:
    """Minimise replicas together from the same standardised theta ``(p,)``.

    The first steps use matrices, where these cost little; the last ones are those of single fits. Where no matrices are
    formed, replicas are minimized one after another.
    """
    objective = replicas.objective
    starts, smooth = np.broadcast_to(theta, (number, len(theta))), objective.network.smooth
    down = partial(negative_directions, replicas)
    with objective.backend.context():
        if not matrices:
            return _one_by_one(replicas, starts, budget, tuning)
        if not smooth:
            return tuning.non_smooth.run(replicas, replicas.on_device(starts), budget)
        if len(theta) > tuning.first_up_to and not objective.backend.on_gpu:
            return tuning.last.run(replicas, starts, budget, negative_directions=down)
        first = tuning.first.run(replicas, replicas.on_device(starts), budget)
        if first.stopped:
            return first
        starts = replicas.numbers(first.theta)
        end = tuning.last.run(replicas, starts, budget, negative_directions=down)
        return replace(end, steps=first.steps + end.steps)


def _one_by_one(replicas: Replicas, starts: HostArray, budget: Budget, tuning: RefitTuning) -> BatchResult:
    """Minimise replicas from points ``(r, p)`` without matrices, one after another."""
    minimizer = replace(tuning.matrix_free, exact=replicas.objective.network.smooth)
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


def measure_again(problem: FitProblem, theta: HostArray, number: int, rng: np.random.Generator) -> HostArray:
    """Draw new measurements ``(r, k, n)`` around the prediction of raw theta ``(p,)``, in raw units.

    A weight is the number of times that an event was measured: measured values have errors smaller by its square root,
    counts are the mean of so many. (With a sandwich covariance weights say nothing about the scatter.)

    Toys are drawn one after another, so that they are the same in lots of any size.
    """
    backend, data = problem.model.backend, problem.data_with_errors()
    predicted = problem.expected(theta)
    with backend.context():
        number_of = backend.to_host(data.auxiliary_of(backend.xp, problem.loss))

    def sample(possible: HostArray) -> HostArray:
        return np.stack([problem.loss.sample(rng, predicted, possible) for _ in range(number)])

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
