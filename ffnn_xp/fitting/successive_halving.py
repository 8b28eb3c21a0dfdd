"""Many starts compete for a few walks to the end: cheap steps for all, more for those that get ahead.

All starts take Levenberg-Marquardt steps in one batch (`minimizers.batched_levenberg_marquardt`), at first on a sample
of the events; after some steps the worse ones leave, and later again (successive halving: K. Jamieson and A. Talwalkar,
AISTATS 2016). That is worth it for small networks, whose matrices cost little more than their gradients, and whose
minima differ so much that only one start in ten to a hundred finds a good one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import HostArray, Mask
from ffnn_xp.minimizers import batched_levenberg_marquardt
from ffnn_xp.minimizers.batched_levenberg_marquardt import FAIR, HOPELESS
from ffnn_xp.objective import NetworkCost, Replicas

LIMIT = 64  # parameters: above, gradients are so much cheaper than matrices that starts are better tried singly
FIRST_EVENTS, PER_PARAMETER = 256, 16  # of the sample for the first steps: so many, or so many for each parameter
SECOND = 8  # times as many events for the second round
FIRST, STEPS = 25, 80  # steps of the first round, and of the second
CULLS = (20, 40)  # steps of the second round at which the worse ones leave
SHARE = 0.2  # of the starts that stay each time
FINALISTS = 3
ALIKE = 0.5  # difference of S, in that unit, below which arrivals count as one
EDM_GOAL = 0.1  # in units of one standard deviation's rise of S: the rest of the way is the finalists'


@dataclass(frozen=True)
class Candidate:
    """A start and where it got to: number from 0, theta, value (of a sample, scaled up, if it left early), EDM."""

    start: int
    theta: HostArray
    value: float
    edm: float
    status: str
    steps: int


def halve_candidates(
    cost: NetworkCost,
    starts: HostArray,
    *,
    far: float,
    unit: float,
    rng: np.random.Generator,
    watch: Callable[[float, int], None] | None = None,
) -> tuple[list[Candidate], str]:
    """All starts, the best first, and why the contest was cut short, if it was.

    Parameters
    ----------
    cost : NetworkCost
        In standardised units.
    starts : array with shape (r, p)
        Theta of each.
    far : float
        A start that by its EDM will stay this many times worse than the best leaves at any time.
    unit : float
        What one standard deviation raises S by, as far as is known: EDM is measured in it.
    rng : numpy.random.Generator
        Draws the sample of events.
    watch : callable, optional
        Called with (best value, step); may raise `minimizers.StopMinimization`.
    """
    objective, precision = cost.objective, None if cost.prior is None else cost.prior.precision
    if cost.precision is None:  # who gets ahead is seen in seven digits; what overflows leaves
        with np.errstate(all="ignore"):
            objective = objective.in_single_precision()
    everything = Replicas(objective, precision)
    backend, n, p = objective.backend, objective.events.n, starts.shape[1]
    goal = EDM_GOAL * unit
    first = max(FIRST_EVENTS, PER_PARAMETER * p)
    found: dict[int, Candidate] = {}
    numbers, host = np.arange(len(starts)), starts
    for size, steps, culls in ((first, FIRST, ()), (SECOND * first, STEPS, CULLS)):
        m = min(size, n)
        replicas, scale = everything, 1.0
        if m < n:
            at = np.sort(rng.choice(n, m, replace=False))
            replicas, scale = (
                Replicas(objective.select(at), _scaled(precision, m / n)),
                n / m,
            )

        def hopeless(step: int, value: HostArray, edm: HostArray, culls: tuple[int, ...] = culls) -> Mask:
            lost = np.zeros(len(value), dtype=bool)
            if step in culls:
                lost[np.argsort(value)[_staying(len(value)) :]] = True
            elif step >= FAIR:
                lost = value - HOPELESS * edm > far * value.min()
            return lost

        end = batched_levenberg_marquardt(
            replicas,
            backend.to_device(host),
            edm_goal=goal / scale,
            max_iterations=steps,
            hopeless=hopeless,
            watch=watch,
        )
        host = backend.to_host(end.theta)
        for i, number in enumerate(numbers.tolist()):
            before = found[number].steps if number in found else 0
            status = {"converged": "converged", "no finite value": "no finite value"}.get(end.status[i], "left early")
            found[number] = Candidate(
                number, host[i], scale * end.value[i], scale * end.edm[i], status, before + int(end.steps[i])
            )
        if end.stopped:
            return _ranked(found), end.stopped
        order = np.argsort(end.value, kind="stable")
        order = order[np.isfinite(end.value[order])][: _staying(len(order))]
        if not len(order):
            break
        numbers, host = numbers[order], host[order]
    best = _finalists([found[i] for i in numbers.tolist()], ALIKE * unit)
    return [found[i] for i in best] + [c for c in _ranked(found) if c.start not in best], ""


def _finalists(ranked: list[Candidate], alike: float) -> list[int]:
    """Numbers of the best that did not arrive at the same value: one walk to the end tells of them all."""
    best: list[Candidate] = []
    for c in ranked:
        if all(c.status != "converged" or abs(c.value - b.value) >= alike for b in best):
            best.append(c)
    return [c.start for c in best[:FINALISTS]]


def _staying(r: int) -> int:
    return max(FINALISTS, int(np.ceil(SHARE * r)))


def _scaled(precision: HostArray | None, share: float) -> HostArray | None:
    """A sample has a share of the information, and the prior has to weigh as much beside it as it will in the end."""
    return None if precision is None else precision * share


def _ranked(found: dict[int, Candidate]) -> list[Candidate]:
    return sorted(found.values(), key=lambda c: (not np.isfinite(c.value), c.value))
