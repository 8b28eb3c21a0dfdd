"""`SearchLog`: what a search has found so far, kept so that nothing is lost when it is stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ffnn_xp._lib.limits import stoppable
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.local_search import LocalMinimum
from ffnn_xp.fitting.search_result import FitState, Restart, SearchResult
from ffnn_xp.minimizers import Budget, Prune, Status, StopMinimization, Tracker, is_lower

if TYPE_CHECKING:
    from ffnn_xp.fitting.multistart import MultiStart


class SearchLog:
    """Collects the results of a run, so that nothing is lost when it is stopped; becomes a `SearchResult`."""

    def __init__(self, search: MultiStart, found: SearchResult) -> None:
        self.search = search
        self.best, self.best_start, self.stopped = found.best, found.best_start, found.stopped
        self.starts, self.ends = list(found.starts), dict(found.ends)
        self.hops, self.arrivals = found.hops, found.arrivals

    @property
    def value(self) -> float:
        """S at the best point."""
        return np.inf if self.best is None else self.best.value

    @property
    def satisfied(self) -> bool:
        """True if no further start is needed."""
        return self.search.satisfied(SearchResult(self.best))

    def result(self) -> SearchResult:
        """Return the result so far."""
        return SearchResult(
            self.best, self.best_start, tuple(self.starts), self.ends, self.stopped, self.hops, self.arrivals
        )

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """End the run at a deadline, by a callback or Ctrl-C, and keep what it has found."""
        with stoppable(self.search.deadline) as stop:
            yield
        self.stopped = stop.reason or self.stopped

    def tracker(self, index: int, deadline: float, prune: Prune | None = None) -> Tracker:
        """Make the tracker of a minimization from this start."""
        search, callback = self.search, self.search.callback

        def report(value: float, calls: int) -> bool | None:
            assert callback is not None
            seconds = time.monotonic() - search.began
            return callback(FitState(index, search.n_starts, value, min(value, self.value), calls, seconds))

        reported = None if callback is None else report
        return Tracker(search.cost, Budget(deadline, search.max_evaluations, reported, prune))

    def minimize(self, index: int, theta: HostArray) -> None:
        """Run the coarse stage from a start, and refine it if its chi-square is low enough."""
        search, local, began = self.search, self.search.local, time.monotonic()
        deadline = search.deadline if index == 1 else min(search.deadline, search.last_start)
        if index == 1:
            self.best = LocalMinimum.unfinished(theta, np.inf)
        tracker = self.tracker(index, deadline, search.prune if search.n_starts > 1 else None)
        end, status = None, "pruned: worse than the best"
        sampled = local.sample is not None  # then S tells more, and refinement costs more than all before it
        always = local.minimizer is not None or (
            local.uses_kronecker(theta) and (search.n_starts == 1 or search.has_goal) and not sampled
        )
        try:
            local.coarse_stage(tracker, theta, always_refine=always)
            if tracker.best is None:
                status = Status.NOT_FINITE.value
            elif always or search.is_good(tracker.best, 1.0 if sampled else search.tuning.far):
                end = local.refine(tracker, tracker.best)
                status = "pruned: it leads to a poor minimum"
        except (StopMinimization, KeyboardInterrupt):
            status = Status.INTERRUPTED.value
            raise
        finally:
            self.keep(index, tracker, end)
            edm, status = (np.inf, status) if end is None else (end.edm, end.description)
            seconds = time.monotonic() - began
            self.starts.append(Restart(index, tracker.best_value, edm, status, tracker.calls, seconds))

    def add(self, found: SearchResult) -> None:
        """Add the result of other starts, and tell the user's callback."""
        self.starts += found.starts
        self.ends |= found.ends
        self.hops, self.arrivals = self.hops + found.hops, [*self.arrivals, *found.arrivals]
        if found.best is not None:
            self.keep_minimum(found.best_start, found.best)
        if self.search.workers.executor is not None and found.starts:
            self.tracker(found.starts[-1].start, np.inf).budget.tell(found.value, sum(row.calls for row in self.starts))
        if found.stopped:
            raise StopMinimization(found.stopped)

    def finish(self) -> None:
        """Refine the best point of all starts, unless it is the end of a local search."""
        if self.best is not None and not self.best.located:
            with self.stoppable():
                self.refine(self.best_start, self.best.theta)

    def refine(self, index: int, theta: HostArray) -> None:
        """Refine from this point of a start whose row is in the table; the row grows by the calls and the time."""
        began = time.monotonic()
        tracker, end = self.tracker(index, self.search.deadline), None
        try:
            end = self.search.local.refine(tracker, theta)
        finally:
            self.keep(index, tracker, end)
            for i, row in enumerate(self.starts):
                if end is not None and row.start == index:
                    self.starts[i] = replace(
                        row,
                        fval=min(row.fval, end.value),  # the table stays in the units of the first errors of y
                        edm=end.edm,
                        status=end.description,
                        calls=row.calls + tracker.calls,
                        seconds=row.seconds + time.monotonic() - began,
                    )

    def keep(self, index: int, tracker: Tracker, end: LocalMinimum | None) -> None:
        """Remember the best point of all; it is located if the local search came to its end.

        Of points whose S is the same but for rounding, the first that is located stays.
        """
        if end is not None and end.status is not Status.SADDLE_POINT:
            self.ends[index] = end.theta, end.value
        if not (end is not None and self.keep_minimum(index, end)) and tracker.best is not None:
            self.keep_point(index, tracker.best, tracker.best_value)

    def keep_minimum(self, index: int, end: LocalMinimum) -> bool:
        """Remember the end of a minimization as the best one, if S is lower there; return True if so."""
        units, located = self.search.cost, self.best is not None and self.best.located
        known = not end.located or located
        better = is_lower(units, end.value, self.value) or not (known or is_lower(units, self.value, end.value))
        if better:
            self.best, self.best_start = end, index
        return better

    def keep_point(self, index: int, theta: HostArray, value: float) -> None:
        """Remember a point as the best one, if S is lower there."""
        if is_lower(self.search.cost, value, self.value):
            self.best, self.best_start = LocalMinimum.unfinished(theta, value), index
