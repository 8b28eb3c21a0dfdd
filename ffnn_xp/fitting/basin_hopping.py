"""Basin hopping: the best networks so far lose a hidden unit, get a new one, and are minimized again.

Random starts seldom come to the deepest minimum of a small network: one in ten of them does, or one in five hundred.
But good minima share most of their hidden units. So each step of basin hopping (D. J. Wales and J. P. K. Doye, J. Phys.
Chem. A 101 (1997) 5111) takes one of the best networks, draws the weights of one hidden unit anew, and minimizes from
there, many networks in one batch; the best of all are kept.

The steps end when they have found nothing deeper many times in a row. They end sooner if several starts came to the
best minimum independently: a deeper one to which as many starts lead would have been missed by all k of them with a
probability of 2^-k at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.successive_halving import Candidate, Stage, distinct
from ffnn_xp.minimizers import UNLIMITED, Budget, Status
from ffnn_xp.network import Layout, glorot


@dataclass(frozen=True)
class HoppingTuning:
    """The numbers of basin hopping."""

    steps: int = tuned(40, "steps from a network with a new unit at most; more: networks get farther")
    population: int = tuned(4, "minima from which steps are taken: more leave poor regions, and are slower")
    batch: int = tuned(16, "networks of one round: more in one batch are cheaper each, but know less of each other")
    patience: int = tuned(320, "over the number of parameters: rounds without a gain that end the steps")
    least_patience: int = tuned(8, "lower limit of these: more find deeper minima in more time")
    most_patience: int = tuned(24, "upper limit of these")
    rounds: int = tuned(3, "times the patience: rounds at most")
    enough: int = tuned(5, "starts at the best minimum with which a few rounds are enough: more find deeper minima")
    few_rounds: int = tuned(4, "rounds in that case")


DEFAULT_HOPPING = HoppingTuning()


class HoppingResult(NamedTuple):
    """The best networks, the best first; S of each arrival at a minimum; how many networks were minimized; the stop.

    Each start that came to a minimum is an arrival, and each network that came to another minimum than that of the
    network it was made of.
    """

    best: list[Candidate]
    arrivals: list[float]
    tried: int
    stopped: str


def hop(
    stage: Stage,
    layout: Layout,
    candidates: Sequence[Candidate],
    *,
    rng: np.random.Generator,
    budget: Budget = UNLIMITED,
    tuning: HoppingTuning = DEFAULT_HOPPING,
) -> HoppingResult:
    """Look for deeper minima near the best candidates.

    Parameters
    ----------
    stage : Stage
        The cost.
    layout : Layout
        The layout of theta.
    candidates : sequence of Candidate
        The networks to begin with, the best first; some may be at the same minimum.
    rng : numpy.random.Generator
        Draws units, and the networks that get them.
    budget : Budget
        The limits; evaluations are counted in each round.
    tuning : HoppingTuning
        The numbers.
    """
    same = stage.tuning.same_minimum * stage.unit
    patience = int(np.clip(tuning.patience // layout.n_parameters, tuning.least_patience, tuning.most_patience))
    best = distinct(candidates, same, tuning.population)
    arrivals = [c.value for c in candidates if c.status is Status.MINIMUM]
    tried, stale, stopped = 0, 0, ""
    for _ in range(tuning.rounds * patience):
        found = sum(value < best[0].value + same for value in arrivals)
        if stopped or stale >= patience or (found >= tuning.enough and stale >= tuning.few_rounds):
            break
        parents = [best[min(i, len(best) - 1)] for i in (rng.geometric(0.5, size=tuning.batch) - 1).tolist()]
        theta = np.stack([_with_new_unit(layout, parent.theta, rng) for parent in parents])
        end = stage.minimize(theta, tuning.steps, budget)
        children = [
            Candidate(
                parent.start, end.theta[i], float(end.value[i]), float(end.edm[i]), end.status[i], int(end.steps[i])
            )
            for i, parent in enumerate(parents)
        ]
        arrivals += [
            child.value
            for child, parent in zip(children, parents, strict=True)
            if child.status is Status.MINIMUM and abs(child.value - parent.value) > same
        ]
        before = best[0].value
        best = distinct(sorted([*best, *children], key=lambda c: c.value), same, tuning.population)
        tried, stale, stopped = tried + len(parents), 0 if best[0].value < before - same else stale + 1, end.stopped
    return HoppingResult(best, arrivals, tried, stopped)


def _with_new_unit(layout: Layout, theta: HostArray, rng: np.random.Generator) -> HostArray:
    """Return theta with the weights of one hidden unit drawn anew, or with outgoing weights of zero."""
    matrices = [A.copy() for A in layout.matrices(np, np.asarray(theta, dtype=np.float64))]
    drawn = layout.matrices(np, glorot(layout, rng))
    layer = int(rng.integers(layout.n_layers - 1))
    unit = int(rng.integers(len(matrices[layer])))
    matrices[layer][unit] = drawn[layer][unit]
    matrices[layer + 1][:, unit] = drawn[layer + 1][:, unit] * rng.integers(2)
    return np.asarray(layout.flatten(np, matrices))
