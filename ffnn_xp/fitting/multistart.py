"""Multi-start minimization: random starts, each minimized as far as it is worth, and the best minimum of all.

With known errors, starts are tried one after another until chi-square says that a fit is as good as it can be; with
unknown errors all of them are tried. Only promising ones are refined to the end. Where there are many events, starts
are minimized on a sample of them, and the best is refined with all. Of small networks many starts compete, and basin
hopping goes on from the best. Each method of `MultiStart` takes the `SearchResult` so far and returns the next one,
whatever ended it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice

import numpy as np

from ffnn_xp._lib.limits import TIME_IS_UP, stoppable
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.basin_hopping import DEFAULT_HOPPING, HoppingTuning, hop
from ffnn_xp.fitting.local_search import LocalMinimum, LocalSearch
from ffnn_xp.fitting.minima import number_minima
from ffnn_xp.fitting.search_log import SearchLog
from ffnn_xp.fitting.search_result import FitState, Restart, SearchResult
from ffnn_xp.fitting.successive_halving import DEFAULT_HALVING, HalvingTuning, halve_candidates
from ffnn_xp.fitting.tuning import MultiStartTuning
from ffnn_xp.fitting.workers import HERE, Workers
from ffnn_xp.minimizers import Status, StopMinimization, is_lower
from ffnn_xp.objective import NetworkCost

LOWER_POINTS = 4  # from which the search goes on at most, each next to a minimum


@dataclass(frozen=True)
class MultiStart:
    """Minimizes a cost from many starts.

    Parameters
    ----------
    cost : NetworkCost
        The cost in standardised units.
    local : LocalSearch
        Minimizes from one start.
    good_enough : float
        Chi-square at which no further start is tried; -inf if unknown.
    n_starts : int
        Starts at most.
    deadline, last_start : float
        `time.monotonic` values after which the search ends, and after which no start but the first is minimized: then
        there is time to refine the best.
    callback : callable, optional
        Called with a `FitState`.
    max_evaluations : float
        Gradients that a minimization from one start may take.
    tuning : MultiStartTuning
        The numbers that decide which starts are refined.
    halving : HalvingTuning
        The numbers of successive halving.
    hopping : HoppingTuning
        The numbers of basin hopping.
    workers : Workers
        Those who minimize from the starts, or from lots of those that compete.
    """

    cost: NetworkCost
    local: LocalSearch
    good_enough: float = -np.inf
    n_starts: int = 1
    deadline: float = np.inf
    last_start: float = np.inf
    callback: Callable[[FitState], bool | None] | None = None
    max_evaluations: float = np.inf
    tuning: MultiStartTuning = field(default=MultiStartTuning())
    halving: HalvingTuning = field(default=DEFAULT_HALVING)
    hopping: HoppingTuning = field(default=DEFAULT_HOPPING)
    workers: Workers = HERE
    began: float = field(default_factory=time.monotonic)

    def run(self, starts: Iterable[HostArray]) -> SearchResult:
        """Minimize from each start until one is good enough; then refine the best, if there is time."""
        log = SearchLog(self, SearchResult())
        with log.stoppable():
            if self.workers.executor is None or self.n_starts == 1:
                for index, theta in enumerate(starts, start=1):
                    log.minimize(index, theta)
                    if log.satisfied:
                        break
            else:
                for found in self.workers.map(_FromOneStart(self.alone), enumerate(starts, start=1)):
                    log.add(found)
                    if log.satisfied:
                        break
            if not np.isfinite(log.value):
                log.best = None
        if log.stopped in ("", TIME_IS_UP):
            log.finish()
        return log.result()

    def compete(
        self, starts: Iterator[HostArray], unit: Callable[[float], float], rng: np.random.Generator
    ) -> SearchResult:
        """Have starts compete, in lots; return the best minimum of all lots.

        Parameters
        ----------
        starts : iterator of array with shape (p,)
            Theta of each.
        unit : callable
            Returns one standard deviation's rise of S where S has a value.
        rng : numpy.random.Generator
            Draws the samples of events, and the units of basin hopping.
        """
        lots = self._lots(starts, rng)
        first, second = next(lots), next(lots, None)
        if second is None:
            return self.compete_in_lot(*first, unit)
        log = SearchLog(self, SearchResult())
        task = _Competition(self if self.workers.executor is None else self.alone, unit)
        with log.stoppable():
            for found in self.workers.map(task, chain((first, second), lots)):
                log.add(found)
        if log.stopped in ("", TIME_IS_UP):
            log.finish()
        return log.result()

    def _lots(
        self, starts: Iterator[HostArray], rng: np.random.Generator
    ) -> Iterator[tuple[int, HostArray, np.random.Generator]]:
        """Yield lots of starts, with the number of starts before each and a generator of its own."""
        before = 0
        while lot := list(islice(starts, self.tuning.most_candidates)):
            yield before, np.stack(lot), rng.spawn(1)[0] if before else copy.deepcopy(rng)
            before += len(lot)

    def compete_in_lot(
        self, before: int, starts: HostArray, rng: np.random.Generator, unit: Callable[[float], float]
    ) -> SearchResult:
        """Run successive halving on starts ``(r, p)``, basin hopping from the best, and refine the best of all.

        So many starts are numbered `before` these.
        """
        log, began = SearchLog(self, SearchResult()), time.monotonic()
        budget = log.tracker(before + 1, min(self.deadline, self.last_start)).budget
        log.keep_point(before + 1, starts[0], self.cost.value_and_gradient(starts[0])[0])
        with log.stoppable():
            ranking, stage, stopped = halve_candidates(
                self.cost, starts, far=self.tuning.far, unit=unit, rng=rng, budget=budget, tuning=self.halving
            )
            each, rows = (time.monotonic() - began) / max(len(ranking), 1), []
            for c in ranking:
                start, value = before + c.start + 1, c.value
                if c.status is Status.MINIMUM and not stopped:  # its own value may be that of a sample of the events
                    value = self.cost.value_and_gradient(c.theta)[0]
                    log.ends[start] = c.theta, value
                rows.append(Restart(start, value, c.edm, c.status.value, c.steps, each))
            log.starts += sorted(rows, key=lambda row: row.start)
            best = [c for c in ranking[: self.halving.survivors] if np.isfinite(c.value)]
            if best and not stopped:
                layout = self.cost.objective.network.layout
                end = hop(stage, layout, ranking, rng=rng, budget=budget, tuning=self.hopping)
                best, stopped = end.best[: self.halving.survivors], end.stopped
                log.hops, log.arrivals = log.hops + end.tried, [*log.arrivals, *end.arrivals]
            for place, c in enumerate(best):
                value = c.value if stopped else self.cost.value_and_gradient(c.theta)[0]
                if place == 0 or is_lower(self.cost, value, log.value + stage.unit):
                    log.keep_point(before + c.start + 1, c.theta, value)
                    if stopped:
                        break
                    log.refine(before + c.start + 1, c.theta)
            if stopped:
                raise StopMinimization(stopped)
        if log.stopped in ("", TIME_IS_UP):
            log.finish()
        return log.result()

    @property
    def alone(self) -> MultiStart:
        """The search as a worker runs it: without the user's callback, and without workers of its own."""
        return replace(self, callback=None, workers=HERE)

    def for_cost(self, cost: NetworkCost) -> MultiStart:
        """Return the search for a cost whose minimum is near the best point, all of it in double precision."""
        local = replace(self.local, problem=cost, sample=None, may_use_single_precision=False)
        return replace(self, cost=cost, local=local)

    def refine(self, found: SearchResult) -> SearchResult:
        """Refine the best point for this cost."""
        if found.best is None:
            return found
        log = SearchLog(self, replace(found, best=LocalMinimum.unfinished(found.best.theta, np.inf)))
        log.finish()
        return log.result()

    def continue_from(self, found: SearchResult, theta: HostArray) -> tuple[SearchResult, bool]:
        """Refine a point that is lower than the best; return the result, and True if that is a minimum.

        Otherwise the best point stays.
        """
        below = LocalMinimum.unfinished(theta, self.cost.value_and_gradient(theta)[0])
        log = SearchLog(self, replace(found, best=below))
        log.finish()
        there = log.result()
        return (there, True) if there.located else (replace(there, best=found.best), False)

    def past_lower_points(self, found: SearchResult) -> SearchResult:
        """Go on from points next to the best minimum where S is lower, a few times."""
        with stoppable(self.deadline):
            for _ in range(LOWER_POINTS):
                best = found.best
                if best is None or not best.located or found.stopped not in ("", TIME_IS_UP):
                    break
                beside = self.local.lower_beside(best.theta, best.spectrum)
                if beside is None:
                    break
                found, _ = self.continue_from(found, beside)
        return found

    def satisfied(self, found: SearchResult) -> bool:
        """Return True if the best point is a minimum, and its chi-square is as low as it should be."""
        return found.best is not None and found.best.located and self.is_good(found.best.theta)

    def is_good(self, theta: HostArray, factor: float = 1.0) -> bool:
        """Return True if chi-square at theta is as low as it should be, or within a factor of that."""
        return bool(self.has_goal and self.cost.chi2(theta) <= factor * self.good_enough)

    def number_minima(self, found: SearchResult, unit: float) -> SearchResult:
        """Return the result with numbered minima, and the number of arrivals at the best one.

        `unit` is one standard deviation's rise of S.
        """
        numbers = number_minima(self.cost, found.ends, unit)
        rows = tuple(replace(row, minimum=numbers.get(row.start, 0)) for row in found.starts)
        most = found.value + self.halving.same_minimum * unit
        at_best = max(1, sum(value < most for value in found.arrivals))
        return replace(found, starts=rows, found=at_best if found.arrivals else 0)

    @property
    def has_goal(self) -> bool:
        """True if there is a chi-square that is good enough."""
        return bool(np.isfinite(self.good_enough))

    def prune(self, theta: HostArray, gain: float) -> bool:
        """Return True if a start leads to a minimum that is not good enough, by its EDM or its last gain."""
        return self.has_goal and self.cost.chi2(theta) - self.halving.prune_edms * gain > self.good_enough


@dataclass(frozen=True)
class _FromOneStart:
    """The minimization from one start: a task for `Workers`, of the number of the start and its theta."""

    search: MultiStart

    def __call__(self, start: tuple[int, HostArray]) -> SearchResult:
        log = SearchLog(self.search, SearchResult())
        with log.stoppable():
            log.minimize(*start)
        return log.result()


@dataclass(frozen=True)
class _Competition:
    """The competition of a lot of starts: a task for `Workers`, of their place, theta and generator."""

    search: MultiStart
    unit: Callable[[float], float]

    def __call__(self, lot: tuple[int, HostArray, np.random.Generator]) -> SearchResult:
        return self.search.compete_in_lot(*lot, self.unit)
