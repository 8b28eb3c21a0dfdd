"""The points of x where a network is evaluated, for each kind of x that a user may give.

To add a kind of input, register a function with `points_of`: it returns the points of each event, and the weights with
which the outputs there add up to the measured value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data.bins import Bins


@dataclass(frozen=True, eq=False)
class Points:
    """Points of x, before any check.

    Attributes
    ----------
    x : array-like with shape (n, d), (n,) or (n q, d)
        The points; those of one event stand one after another.
    node_weights : array with shape (n, q) or None
        Weights of an integral over each event's q points; None where the network's output at x itself was measured.
    """

    x: Any
    node_weights: HostArray | None = None

    def __len__(self) -> int:
        """Return the number of events."""
        shape = array_shape(self.x if self.node_weights is None else self.node_weights)
        return shape[0] if shape else 1

    @property
    def n_inputs(self) -> int:
        """The number of columns of x."""
        shape = array_shape(self.x)
        return shape[1] if len(shape) == 2 else 1


@singledispatch
def points_of(x: Any) -> Points:
    """Return the points of x; of an array-like they are its rows."""
    return Points(x)


@points_of.register
def _(x: Points) -> Points:
    return x


@points_of.register
def _(x: Bins) -> Points:
    return Points(x.x, x.weights)


def array_shape(a: Any) -> tuple[int, ...]:
    """Return the shape of anything array-like, on any device."""
    return tuple(a.shape) if hasattr(a, "shape") else np.shape(a)
