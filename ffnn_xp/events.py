"""The data of a statistic on the device, as columns, and their blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from ._typing import Array, Namespace
from .backends import Backend
from .backends.streaming import page_locked


@dataclass(frozen=True)
class Events:
    """The data on the device, as columns.

    Parameters
    ----------
    x : array with shape (d + 1, n), or (d, n)
        Inputs, with a 1 below each event; it is appended at each evaluation if it is not there.
    data : tuple of arrays with shape (k, n)
        What the loss wants to see (`Loss.columns`): for least squares the targets and their inverse errors.
    weights : array with shape (1, n), optional
        Factor on each event's statistic.
    nodes : int
        How many columns of x belong to each event, one after another: those of an integral.

    Where replicas have data of their own, these have a leading axis: ``(r, k, n)``, ``(r, 1, n)``, and maybe x too.
    """

    x: Array
    data: tuple[Array, ...]
    weights: Array | None = None
    nodes: int = 1

    @cached_property
    def n(self) -> int:
        """Number of events."""
        return int(self.x.shape[-1]) // self.nodes

    @property
    def bytes_per_event(self) -> int:
        """Of the data, in double precision."""
        arrays = [self.x, *self.data] if self.weights is None else [self.x, self.weights, *self.data]
        return 8 * int(sum(math.prod(a.shape) for a in arrays)) // self.n

    def within_reach(self, backend: Backend) -> Events:
        """The same, as far as it must be made ready for being streamed."""
        computes = backend.computes
        return self if computes is None else self.each(lambda a: page_locked(computes, a))

    def each(self, f: Callable[[Array], Array]) -> Events:
        """The events that f makes of each array."""
        weights = None if self.weights is None else f(self.weights)
        return Events(f(self.x), tuple(map(f, self.data)), weights, self.nodes)

    def blocks(self, size: int) -> Iterator[Events]:
        """Views of `size` events each, the last one shorter."""
        if size >= self.n:
            yield self
            return
        for start in range(0, self.n, size):
            end = min(start + size, self.n)
            weights = None if self.weights is None else self.weights[..., start:end]
            x = self.x[..., start * self.nodes : end * self.nodes]
            yield Events(x, tuple(a[..., start:end] for a in self.data), weights, self.nodes)

    def equal_blocks(self, xp: Namespace, size: int) -> Iterator[Events]:
        """Blocks of `size` events all: the last one is filled with its last event, which has no weight there."""
        weights = xp.ones_like(self.data[0][..., :1, :]) if self.weights is None else self.weights
        for block in replace(self, weights=weights).blocks(size):
            missing, n = size - block.n, block.n

            def filled(a: Array, missing: int = missing, n: int = n) -> Array:
                last = a[..., a.shape[-1] - a.shape[-1] // n :]
                again = xp.broadcast_to(last[..., None, :], (*last.shape[:-1], missing, last.shape[-1]))
                return xp.concat([a, xp.reshape(again, (*last.shape[:-1], -1))], axis=-1)

            if missing:
                none = xp.zeros((*weights.shape[:-1], missing), dtype=weights.dtype)
                block = replace(block.each(filled), weights=xp.concat([block.weights, none], axis=-1))
            yield block
