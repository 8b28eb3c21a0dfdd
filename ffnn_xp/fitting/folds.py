"""The costs of networks that follow a path together: of folds, which hold events out, or all of the same events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ffnn_xp._lib.typing import HostArray, Rows
from ffnn_xp.objective import GaussianPrior, NetworkCost, Objective, stack_objectives


@dataclass(frozen=True)
class CostBatch:
    """Costs of one network without a prior, each of its own events, or all of the same events.

    Parameters
    ----------
    objectives : sequence of Objective
        Objectives of the same network, statistic and backend.
    """

    objectives: Sequence[Objective]

    @cached_property
    def n(self) -> Rows:
        """The number of events of each, ``(r,)``."""
        return np.array([o.n for o in self.objectives])

    @cached_property
    def stacked(self) -> Objective:
        """The objectives stacked into one."""
        return stack_objectives(self.objectives)

    @cached_property
    def single(self) -> CostBatch | None:
        """These costs in single precision, where that is faster; else None."""
        if NetworkCost(self.objectives[0], n_values=1).in_single_precision() is None:
            return None
        each: dict[int, Objective] = {}
        with np.errstate(all="ignore"):  # an overflow becomes infinite, and minimizers reject that
            for o in self.objectives:
                if id(o) not in each:
                    each[id(o)] = o.in_single_precision()
        return CostBatch([each[id(o)] for o in self.objectives])

    @cached_property
    def each(self) -> list[CostBatch]:
        """Batches of one of the costs."""
        return [CostBatch([objective]) for objective in self.objectives]

    def cost(self, number: int, precision: HostArray) -> NetworkCost:
        """Return one of the costs, with a prior."""
        return NetworkCost(self.objectives[number], n_values=1, prior=GaussianPrior(precision))


class Fold:
    """Events to fit, and events that are held out."""

    def __init__(self, whole: NetworkCost, fitted: Rows, out: Rows) -> None:
        self.fitted, self.out = fitted, out
        self.inside = whole.objective.select(fitted)
        self.outside = whole.objective.select(out)

    @classmethod
    def of(cls, whole: NetworkCost, fold: Rows, number: int) -> Fold:
        """Return the fold that holds out the events of this number, by the number of each, ``(n,)``."""
        return cls(whole, np.flatnonzero(fold != number), np.flatnonzero(fold == number))

    def cost(self, precision: HostArray) -> NetworkCost:
        """Return the cost of the events to fit."""
        return NetworkCost(self.inside, n_values=len(self.fitted), prior=GaussianPrior(precision))

    def score(self, theta: HostArray) -> float:
        """Compute S of the events that are held out."""
        return NetworkCost(self.outside, n_values=len(self.out)).chi2(theta)
