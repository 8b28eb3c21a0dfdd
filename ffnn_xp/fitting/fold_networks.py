"""The networks of the folds: those that have followed the path there, and others that join it later.

All of them are made networks of all events later, and predict together. Before that each is minimized in its fold as
far as the path does with all events: what it is wrong by at events that it does not know is then due to these alone.
The networks of all events go on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np

from ffnn_xp._lib.typing import HostArray, Rows
from ffnn_xp.fitting.folds import CostBatch, Fold
from ffnn_xp.fitting.held_out import residuals
from ffnn_xp.fitting.hidden_layers import Followed
from ffnn_xp.fitting.regularization_path import PathMinimizer, join_path

MANY = 10**6  # networks: more than there will be


@dataclass
class FoldNetworks:
    """The networks at the chosen strength, one fold after another, and then from the first one again.

    Parameters
    ----------
    followed : Followed
        The folds that have followed the path, and their networks.
    parts : list of Fold
        These folds, and others that networks may join.
    networks : list of array with shape (p,)
        Standardised parameters; network i is one of fold i modulo the number of folds.
    path : PathMinimizer
        Minimises them.
    minimized : int
        The number of networks that were minimized on from the end of the path.
    """

    followed: Followed
    parts: list[Fold]
    networks: list[HostArray]
    path: PathMinimizer
    minimized: int = 0

    @classmethod
    def of(cls, followed: Followed, fold: Rows, path: PathMinimizer, *, everywhere: bool) -> FoldNetworks:
        """Return those of the path.

        Parameters
        ----------
        followed : Followed
            The folds that have followed the path.
        fold : array with shape (n,)
            The fold of each event.
        path : PathMinimizer
            Minimises networks.
        everywhere : bool
            Whether networks join all folds, also those of which none has followed the path.
        """
        known = len(followed.parts)
        others = range(known, int(np.max(fold)) + 1) if everywhere else ()
        parts = [*followed.parts, *(Fold.of(followed.whole, fold, f) for f in others)]
        return cls(followed, parts, list(followed.thetas), path)

    def ensemble(self, few: int, most: int, scatter: float, *, minimized: bool) -> list[HostArray]:
        """Let networks join until there are `few`, or more up to `most` where they scatter; return so many.

        See `wanted`; it is asked where networks are to be `minimized`, each in its fold.
        """
        self.join(few)
        if minimized:
            self.minimize()
            few = max(few, min(self.wanted(scatter), most))
            self.join(few)
            self.minimize()
        return self.networks[:few]

    @property
    def precision(self) -> HostArray:
        """The precisions of the prior at the chosen strength, ``(p,)``."""
        return float(self.followed.strengths[self.followed.at]) * self.followed.P

    def join(self, number: int) -> None:
        """Let networks follow the path until there are so many; none join if time is up."""
        at, (now, starts) = self.followed.at, (len(self.networks), self.followed.starts)
        costs = CostBatch([self._fold(i).inside for i in range(now, number)])
        new = list(islice(starts, len(costs.objectives)))
        self.networks += join_path(costs, new, self.followed.strengths[: at + 1], self.followed.P, self.path)

    def minimize(self) -> None:
        """Minimise the networks that have joined since the last call, each with the events of its fold."""
        at, evaluations = self.minimized, self.path.tuning.last_evaluations
        if at < len(self.networks) and not self.path.stopped:
            costs = CostBatch([self._fold(i).inside for i in range(at, len(self.networks))])
            self.networks[at:] = self.path.minimize(costs, self.networks[at:], self.precision, evaluations)
            self.minimized = len(self.networks)

    def of_folds(self) -> list[tuple[Fold, list[HostArray]]]:
        """Return the folds that have networks, with these."""
        step = len(self.parts)
        return [(part, self.networks[f::step]) for f, part in enumerate(self.parts) if f < len(self.networks)]

    def wanted(self, share: float) -> int:
        """Return the number of networks whose scatter adds this share to the mean square of held-out residuals.

        The mean of M networks is wrong by :math:`E + V / M`, V being the variance between networks at an event.
        """
        scatter = rest = 0.0
        for part, networks in self.of_folds():
            if len(networks) > 1:
                of_each = residuals(self.followed.problem, part.outside.events, networks)
                variance = np.var(of_each, axis=0, ddof=1)
                scatter += float(np.sum(variance))
                rest += float(np.sum(np.mean(of_each, axis=0) ** 2 - variance / len(networks)))
        if not (scatter > 0 and np.isfinite(rest)):
            return 0
        return MANY if scatter >= MANY * share * rest else int(np.ceil(scatter / (share * rest)))

    def _fold(self, network: int) -> Fold:
        """Return the fold of a network."""
        return self.parts[network % len(self.parts)]
