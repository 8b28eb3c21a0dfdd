"""Successive halving: many candidates take a few cheap steps, and only the better ones take more.

All candidates take Levenberg-Marquardt steps in one batch (`BatchedLevenbergMarquardt`), at first on a sample of the
events; after some steps only a fraction of them is kept, and later again (K. Jamieson and A. Talwalkar, AISTATS 2016).
That pays for small networks, whose matrices cost little more than their gradients, and whose minima differ so much that
only one start in ten to a hundred finds a good one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray, Mask
from ffnn_xp.minimizers import UNLIMITED, BatchedLevenbergMarquardt, Budget, Status
from ffnn_xp.objective import NetworkCost, Replicas


@dataclass(frozen=True)
class HalvingTuning:
    """The numbers of successive halving.

    Parameters
    ----------
    minimizer : BatchedLevenbergMarquardt
        The steps; its goal and number of steps are set for each round.
    """

    minimizer: BatchedLevenbergMarquardt = field(default=BatchedLevenbergMarquardt(damping=1e-2))
    max_parameters: int = tuned(64, "more: larger networks compete, whose matrices cost more than single starts do")
    min_sample: int = tuned(256, "events of the first round; more: better rankings, slower steps")
    sample_per_parameter: int = tuned(16, "events for each parameter; more: better rankings, slower steps")
    sample_growth: int = tuned(8, "times as many events in the second round; more: better rankings, slower steps")
    first_steps: int = tuned(25, "steps of the first round; more: fewer good candidates are dropped early")
    second_steps: int = tuned(80, "steps of the second round; more: survivors are nearer to their minima")
    halve_at: tuple[int, ...] = tuned(
        (20, 40), "steps of the second round at which candidates are halved; later: slower"
    )
    keep_fraction: float = tuned(0.2, "larger: fewer good candidates are dropped, slower")
    survivors: int = tuned(3, "more: more candidates are minimised to the end")
    same_minimum: float = tuned(0.5, "difference of S in its unit; larger: more survivors count as the same minimum")
    edm_goal: float = tuned(0.1, "in units of one standard deviation's rise of S; smaller: survivors get farther")
    prune_from: int = tuned(12, "steps before candidates may be pruned; more: fewer mistakes, slower")
    prune_edms: float = tuned(30.0, "EDMs that a candidate may still gain; more: fewer mistakes, slower")


DEFAULT_HALVING = HalvingTuning()


@dataclass(frozen=True)
class Candidate:
    """A candidate of successive halving: a start, and the last point of its minimization.

    Attributes
    ----------
    start : int
        Number of the start, from 0.
    theta : array with shape (p,)
        The last point.
    value, edm : float
        S and EDM there; those of a sample of the events, scaled up, if the candidate was dropped early.
    status : Status
        A minimum, no finite value, or pruned.
    steps : int
        Gradients that it took.
    """

    start: int
    theta: HostArray
    value: float
    edm: float
    status: Status
    steps: int


class HalvingResult(NamedTuple):
    """The candidates, the best first, and why the rounds were cut short, if they were."""

    candidates: list[Candidate]
    stopped: str


def halve_candidates(
    cost: NetworkCost,
    starts: HostArray,
    *,
    far: float,
    unit: float,
    rng: np.random.Generator,
    budget: Budget = UNLIMITED,
    tuning: HalvingTuning = DEFAULT_HALVING,
) -> HalvingResult:
    """Rank candidates by rounds of successive halving.

    Parameters
    ----------
    cost : NetworkCost
        The cost in standardised units.
    starts : array with shape (r, p)
        Theta of each candidate.
    far : float
        A candidate that by its EDM will stay this many times worse than the best is pruned at any time.
    unit : float
        One standard deviation's rise of S, as far as it is known: the unit of EDM.
    rng : numpy.random.Generator
        Draws the sample of events.
    budget : Budget
        The limits; evaluations are counted in each round.
    tuning : HalvingTuning
        The numbers.
    """
    objective, precision = cost.objective, None if cost.prior is None else cost.prior.precision
    if cost.precision is None:  # seven digits are enough for a ranking; a candidate that overflows is dropped
        with np.errstate(all="ignore"):
            objective = objective.in_single_precision()
    everything = Replicas(objective, precision)
    backend, n, p = objective.backend, objective.events.n, starts.shape[1]
    sample = max(tuning.min_sample, tuning.sample_per_parameter * p)
    rounds = ((sample, tuning.first_steps, ()), (tuning.sample_growth * sample, tuning.second_steps, tuning.halve_at))
    found: dict[int, Candidate] = {}
    numbers, host = np.arange(len(starts)), starts
    for size, steps, halve_at in rounds:
        m = min(size, n)
        replicas, scale = everything, 1.0
        if m < n:
            at = np.sort(rng.choice(n, m, replace=False))
            replicas, scale = Replicas(objective.select(at), _scaled(precision, m / n)), n / m

        def prune(step: int, value: HostArray, edm: HostArray, halve_at: tuple[int, ...] = halve_at) -> Mask:
            pruned = np.zeros(len(value), dtype=bool)
            if step in halve_at:
                pruned[np.argsort(value)[_kept(len(value), tuning) :]] = True
            elif step >= tuning.prune_from:
                pruned = value - tuning.prune_edms * edm > far * value.min()
            return pruned

        goal = tuning.edm_goal * unit / scale / replicas.errordef
        minimizer = replace(tuning.minimizer, edm_goal=goal, max_iterations=steps)
        end = minimizer.run(replicas, backend.to_device(host), budget, prune=prune)
        host = backend.to_host(end.theta)
        for i, number in enumerate(numbers.tolist()):
            before = found[number].steps if number in found else 0
            status = end.status[i] if end.status[i] in (Status.MINIMUM, Status.NOT_FINITE) else Status.PRUNED
            value, edm = scale * end.value[i], scale * end.edm[i]
            found[number] = Candidate(number, host[i], value, edm, status, before + int(end.steps[i]))
        if end.stopped:
            return HalvingResult(_ranked(found), end.stopped)
        order = np.argsort(end.value, kind="stable")
        order = order[np.isfinite(end.value[order])][: _kept(len(order), tuning)]
        if not len(order):
            break
        numbers, host = numbers[order], host[order]
    best = _survivors([found[i] for i in numbers.tolist()], tuning.same_minimum * unit, tuning.survivors)
    return HalvingResult([found[i] for i in best] + [c for c in _ranked(found) if c.start not in best], "")


def _survivors(ranked: list[Candidate], same: float, number: int) -> list[int]:
    """Return the starts of the best candidates, one for each minimum that several converged to."""
    best: list[Candidate] = []
    for c in ranked:
        if all(c.status is not Status.MINIMUM or abs(c.value - b.value) >= same for b in best):
            best.append(c)
    return [c.start for c in best[:number]]


def _kept(r: int, tuning: HalvingTuning) -> int:
    """Return how many of r candidates are kept."""
    return max(tuning.survivors, int(np.ceil(tuning.keep_fraction * r)))


def _scaled(precision: HostArray | None, share: float) -> HostArray | None:
    """Scale the prior to a sample, so that it weighs as much beside a share of the events as beside all."""
    return None if precision is None else precision * share


def _ranked(found: dict[int, Candidate]) -> list[Candidate]:
    return sorted(found.values(), key=lambda c: (not np.isfinite(c.value), c.value))
