"""Successive halving: many candidates take a few cheap steps, and only the better ones take more.

All candidates take Levenberg-Marquardt steps in one batch (`BatchedLevenbergMarquardt`), at first on a sample of the
events; after some steps only a fraction of them is kept, and later again (K. Jamieson and A. Talwalkar, AISTATS 2016).
That pays for small networks, whose matrices cost little more than their gradients, and whose minima differ so much that
only one start in ten to a hundred finds a good one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ffnn_xp._lib.journal import recorded
from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray, Mask
from ffnn_xp.backends import get_backend, to_numpy
from ffnn_xp.minimizers import UNLIMITED, BatchedLevenbergMarquardt, BatchResult, Budget, PruneReplicas, Status
from ffnn_xp.objective import NetworkCost, Replicas


@dataclass(frozen=True)
class HalvingTuning:
    """The numbers of successive halving.

    Parameters
    ----------
    minimizer : BatchedLevenbergMarquardt
        The steps, also those of basin hopping; each round has its goal, and a number of steps of its own.
    """

    minimizer: BatchedLevenbergMarquardt = field(default=BatchedLevenbergMarquardt())
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
    same_minimum: float = tuned(0.1, "difference of S in its unit; larger: more survivors count as the same minimum")
    edm_goal: float = tuned(0.03, "in units of one standard deviation's rise of S; smaller: survivors get farther")
    prune_edms: float = tuned(30.0, "EDMs, or gains of the last round, that a start may still gain: more prunes fewer")


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

    def dropped(self) -> Candidate:
        """Return the candidate as pruned, if it had a finite value."""
        return self if self.status is Status.NOT_FINITE else replace(self, status=Status.PRUNED)


class HalvingResult(NamedTuple):
    """The candidates, the best first, the stage of the last round, and why the rounds were cut short, if they were."""

    candidates: list[Candidate]
    stage: Stage
    stopped: str


@dataclass(frozen=True)
class Stage:
    """The cost of many candidates at once, on all events or a sample of them, in single precision.

    It is computed by NumPy, so that the same seed finds the same minimum on every array library: libraries sum in other
    orders, and the paths of a search part after a few hundred steps.

    Attributes
    ----------
    replicas : Replicas
        The cost.
    scale : float
        Number of all events over that of the sample: the factor that leads to S of all events.
    unit : float
        One standard deviation's rise of S of all events.
    tuning : HalvingTuning
        The minimizer, its goal, and the difference of S that tells minima apart.
    """

    replicas: Replicas
    scale: float
    unit: float
    tuning: HalvingTuning = DEFAULT_HALVING

    @classmethod
    def of(
        cls,
        cost: NetworkCost,
        size: int,
        unit: float,
        rng: np.random.Generator,
        tuning: HalvingTuning = DEFAULT_HALVING,
    ) -> Stage:
        """Return the stage of a cost with at most so many events, drawn at random."""
        scale = max(1.0, cost.objective.n / size)
        if scale > 1:
            cost = cost.sample(size, rng)
        objective, precision = cost.objective.in_memory(), None if cost.prior is None else cost.prior.precision
        host = get_backend("numpy")
        objective = replace(objective, events=objective.events.each(to_numpy), backend=host)
        if cost.precision is None:  # seven digits are enough for a ranking; a candidate that overflows is dropped
            with np.errstate(all="ignore"):
                objective = objective.in_single_precision()
        return cls(Replicas(objective, precision), scale, unit, tuning)

    def minimize(self, theta: HostArray, steps: int, budget: Budget, prune: PruneReplicas | None = None) -> BatchResult:
        """Minimise from theta ``(r, p)`` in so many steps at most; values and EDMs are those of all events."""
        goal = self.tuning.edm_goal * self.unit / self.scale / self.replicas.errordef
        minimizer = self.tuning.minimizer
        minimizer = replace(minimizer, edm_goal=goal, max_iterations=min(steps, minimizer.max_iterations))
        backend = self.replicas.objective.backend

        def run() -> BatchResult:
            end = minimizer.run(self.replicas, backend.to_device(theta), budget, prune=prune)
            theta_there, scale = backend.to_host(end.theta), self.scale
            return replace(end, theta=theta_there, value=scale * end.value, edm=scale * end.edm)

        return recorded("batch of networks", run)


def halve_candidates(
    cost: NetworkCost,
    starts: HostArray,
    *,
    far: float,
    unit: Callable[[float], float],
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
    unit : callable
        Returns one standard deviation's rise of S, the unit of EDM, where S has a value.
    rng : numpy.random.Generator
        Draws the sample of events.
    budget : Budget
        The limits; evaluations are counted in each round.
    tuning : HalvingTuning
        The numbers.
    """
    sample = max(tuning.min_sample, tuning.sample_per_parameter * starts.shape[1])
    rounds = ((sample, tuning.first_steps, ()), (tuning.sample_growth * sample, tuning.second_steps, tuning.halve_at))
    found: dict[int, Candidate] = {}
    numbers, theta = np.arange(len(starts)), starts
    for size, steps, halve_at in rounds:
        lowest = min((c.value for c in found.values()), default=np.inf)
        stage = Stage.of(cost, size, unit(lowest), rng, tuning)

        def prune(step: int, value: HostArray, edm: HostArray, halve_at: tuple[int, ...] = halve_at) -> Mask:
            pruned = np.asarray(value - tuning.prune_edms * edm > far * value.min())
            if step in halve_at:
                pruned[np.argsort(value)[_kept(len(value), tuning) :]] = True
            return pruned

        end = stage.minimize(theta, steps, budget, prune)
        for i, number in enumerate(numbers.tolist()):
            before = found[number].steps if number in found else 0
            status = end.status[i] if end.status[i] in (Status.MINIMUM, Status.NOT_FINITE) else Status.PRUNED
            value, edm = float(end.value[i]), float(end.edm[i])
            found[number] = Candidate(number, end.theta[i], value, edm, status, before + int(end.steps[i]))
        if end.stopped:
            return HalvingResult(_ranked(found), stage, end.stopped)
        order = np.argsort(end.value, kind="stable")
        order = order[np.isfinite(end.value[order])][: _kept(len(order), tuning)]
        if not len(order):
            break
        if stage.scale > 1:  # a minimum of a sample is none of all events
            for number in set(numbers.tolist()) - set(numbers[order].tolist()):
                found[number] = found[number].dropped()
        numbers, theta = numbers[order], end.theta[order]
    ranked = [found[i] for i in numbers.tolist()]
    stage = replace(stage, unit=unit(ranked[0].value))
    best = distinct(ranked, tuning.same_minimum * stage.unit, tuning.survivors)
    rest = [c for c in _ranked(found) if all(c is not b for b in best)]
    return HalvingResult(best + rest, stage, "")


def distinct(ranked: Iterable[Candidate], same: float, number: int) -> list[Candidate]:
    """Return the best candidates, the best first, one of those whose S is the same."""
    best: list[Candidate] = []
    for c in ranked:
        if len(best) < number and all(abs(c.value - b.value) >= same for b in best):
            best.append(c)
    return best


def _kept(r: int, tuning: HalvingTuning) -> int:
    """Return how many of r candidates are kept."""
    return max(tuning.survivors, int(np.ceil(tuning.keep_fraction * r)))


def _ranked(found: dict[int, Candidate]) -> list[Candidate]:
    return sorted(found.values(), key=lambda c: (not np.isfinite(c.value), c.value))
