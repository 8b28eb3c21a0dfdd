"""Other minima of a fit's problem, from random starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ffnn_xp._lib.limits import StopMinimization, deadline_in_force, stoppable
from ffnn_xp._lib.progress import bar
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting import HERE, FitProblem, LocalMinimum, MultiStart, Workers
from ffnn_xp.network import glorot
from ffnn_xp.uncertainty import LinearBand

BISECTIONS = 60  # 2^-60 of the first interval is below the rounding of its ends


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


def mixture_quantile(mean: HostArray, width: HostArray, weights: HostArray, law: Any, q: float) -> HostArray:
    """Find the quantiles q of mixture distributions by bisection.

    All parts have the same `law`, with locations and widths ``(m, ...)`` and weights ``(m,)``. A quantile of a mixture
    lies between those of its parts.

    Examples
    --------
    >>> import scipy
    >>> mean, one = np.array([[-1.0], [1.0]]), np.ones((2, 1))
    >>> round(float(mixture_quantile(mean, one, np.array([0.5, 0.5]), scipy.stats.norm, 0.5)[0]), 12)
    0.0
    """
    ends = mean + width * law.ppf(q)
    low, high = ends.min(axis=0), ends.max(axis=0)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = np.tensordot(weights, law.cdf((middle - mean) / width), axes=1) < q
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(0.5 * (low + high))
