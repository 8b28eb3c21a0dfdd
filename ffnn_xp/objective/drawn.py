r"""The numbers of a picture of data and predictions, whatever the statistic.

They are in units of the network's output: counts over their exposures, contents over the volumes of their bins,
successes over trials. Yes or no, and classes, are drawn as shares of groups of events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data import Bins

GROUPS = 20  # groups of events whose shares are drawn, at most
LEAST_IN_GROUP = 10  # events of a group: with fewer its error bar would mean little


@dataclass(frozen=True)
class Drawn:
    """The numbers that are drawn of the data, in units of the network's output; all arrays are on the host.

    Attributes
    ----------
    x : array with shape (n, d)
        Inputs, or the centres of bins.
    half_width : array with shape (n,) or None
        Half the width of each bin, or the error of x, in one dimension.
    y, error, predicted, pulls : array with shape (n, k)
        Measured values, their standard deviations (NaN where values are correlated), predictions, and pulls.
    weight : array with shape (n,)
        How many times each event counts in a group; ones where weights have both signs.
    grouped : bool
        Whether single values are yes or no, so that shares of groups are drawn.
    bins : Bins or None
        The bins that x were, in one dimension, also those that a mask left out.
    """

    x: HostArray
    half_width: HostArray | None
    y: HostArray
    error: HostArray
    predicted: HostArray
    pulls: HostArray
    weight: HostArray
    grouped: bool = False
    bins: Bins | None = None

    def in_groups(self, along: HostArray, output: int | None = None) -> Drawn:
        """Return the means of one output, or of all, over groups of events that are neighbours along some ``(n,)``."""
        n, some = len(along), slice(None) if output is None else slice(output, output + 1)
        order = np.argsort(along, kind="stable")
        parts = np.array_split(order, max(1, min(GROUPS, n // LEAST_IN_GROUP)))

        def mean(a: HostArray) -> HostArray:
            return np.stack([np.average(a[part], axis=0, weights=self.weight[part]) for part in parts])

        y, predicted = mean(self.y[:, some]), mean(self.predicted[:, some])
        total = np.array([self.weight[part].sum() for part in parts])
        error = np.sqrt(mean(self.error[:, some] ** 2) / total[:, None])
        return Drawn(mean(self.x), None, y, error, predicted, (y - predicted) / error, total)

    def points_are(self, number: int) -> str:
        """Say for a legend what so many points are."""
        return f"groups of {len(self.y) // number}" if self.grouped else "data"


def means_over(bins: Bins, values: HostArray) -> HostArray:
    """Return the means over bins, ``(n, k)``, of values at their nodes, ``(n q, k)``."""
    return np.asarray(bins.contents(values) / bins.weights.sum(axis=1)[:, None])


def half_width(x: HostArray, weights: HostArray) -> HostArray:
    """Return half the width of each bin in one dimension, ``(n,)``, from its Gauss-Legendre nodes and weights."""
    if x.shape[1] == 1:
        return np.asarray(0.5 * weights[:, 0])
    outermost = float(np.max(np.polynomial.legendre.leggauss(x.shape[1])[0]))
    return np.asarray(0.5 * (x[:, -1] - x[:, 0]) / outermost)
