"""Other minima of a fit's problem, from random starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.limits import StopMinimization, deadline_in_force, stoppable
from ffnn_xp._lib.progress import bar
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting import HERE, FitProblem, LocalMinimum, MultiStart, Workers
from ffnn_xp.network import glorot
from ffnn_xp.uncertainty import LinearBand


def other_minima(
    problem: FitProblem, known: LinearBand, number: int, rng: np.random.Generator, workers: Workers = HERE
) -> tuple[list[LinearBand], str]:
    """Return the known minimum and the minima of `number` - 1 random starts, and why there were fewer, if there were.

    Minima with more unidentified directions than this fit has are left out.
    """
    minima, starts, done = [known], [glorot(problem.layout, rng) for _ in range(1, number)], 1
    with stoppable(workers.deadline) as stop, bar("minima of other starts", number - 1, "starts") as line:
        for end in workers.map(_Minimum(problem), starts):
            done += 1
            line.advance()
            if end is None or end.spectrum is None or end.spectrum.n_negative:
                continue
            if end.spectrum.n_unidentified <= known.spectrum.n_unidentified:
                minima.append(LinearBand(end.theta, problem.scaling, end.spectrum))
    return minima, stop.after(done, number, "starts")


@dataclass(frozen=True)
class _Minimum:
    """The minimum that a start leads to: a task for `Workers`."""

    problem: FitProblem

    def __call__(self, start: HostArray) -> LocalMinimum | None:
        cost = self.problem.cost()
        search = MultiStart(cost, self.problem.local_search(cost), deadline=deadline_in_force())
        found = search.run([start])
        if found.stopped:
            raise StopMinimization(found.stopped)
        return found.best
