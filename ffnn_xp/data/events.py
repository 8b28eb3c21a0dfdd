"""The data of a statistic on the device, as columns, and their chunks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from array_api_compat import device

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends import Backend


@dataclass(frozen=True)
class Events:
    """The data on the device, as columns.

    Parameters
    ----------
    x : array with shape (d + 1, n), or (d, n)
        Inputs, with a 1 below each event; it is appended at each evaluation if it is not there.
    data : tuple of arrays with shape (k, n)
        The columns of the loss (`Loss.columns`): for least squares the targets and their inverse errors.
    weights : array with shape (1, n), optional
        Factor on the statistic of each event.
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
        """Bytes that the data of one event take in double precision."""
        arrays = [self.x, *self.data] if self.weights is None else [self.x, self.weights, *self.data]
        return 8 * int(sum(math.prod(a.shape) for a in arrays)) // self.n

    def ready_to_stream(self, backend: Backend) -> Events:
        """Return the events in page-locked memory where the backend streams them, else as they are."""
        computes = backend.computes
        return self if computes is None else self.each(computes.page_locked)

    @property
    def leaves(self) -> tuple[Array | None, ...]:
        """All arrays, as kernels take them: x, weights, data."""
        return self.x, self.weights, *self.data

    def through(self, kernel: Callable[..., tuple[Any, ...]], *args: Any) -> Events:
        """Return the events that a kernel makes of these arguments and the arrays."""
        x, weights, *data = kernel(*args, *self.leaves)
        return Events(x, tuple(data), weights, self.nodes)

    def each(self, f: Callable[[Array], Array]) -> Events:
        """Return the events with f applied to each array."""
        weights = None if self.weights is None else f(self.weights)
        return Events(f(self.x), tuple(map(f, self.data)), weights, self.nodes)

    def chunks(self, size: int) -> Iterator[Events]:
        """Yield views of `size` events each, the last one shorter."""
        if size >= self.n:
            yield self
            return
        for start in range(0, self.n, size):
            end = min(start + size, self.n)
            weights = None if self.weights is None else self.weights[..., start:end]
            x = self.x[..., start * self.nodes : end * self.nodes]
            yield Events(x, tuple(a[..., start:end] for a in self.data), weights, self.nodes)

    def equal_chunks(self, backend: Backend, size: int) -> Iterator[Events]:
        """Yield chunks of exactly `size` events: the last one is filled with its last event at weight zero."""
        block = backend.bind(_block, size, self.nodes)
        for start in range(0, self.n, size):
            yield self.through(block, start)


def _block(
    size: int, nodes: int, xp: Namespace, start: int, x: Array, weights: Array | None, *data: Array
) -> tuple[Array, ...]:
    """Return `size` events from `start` on; behind the last event that one again, with no weight."""
    last = x.shape[-1] // nodes - 1
    at = start + xp.arange(size, device=device(x))
    there = xp.astype(at <= last, data[0].dtype)
    at = xp.minimum(at, xp.asarray(last, dtype=at.dtype, device=device(x)))
    columns = xp.reshape(at[:, None] * nodes + xp.arange(nodes, device=device(x)), (-1,))
    given = xp.ones_like(data[0][..., :1, :]) if weights is None else weights
    return (
        xp.take(x, columns, axis=-1),
        there * xp.take(given, at, axis=-1),
        *(xp.take(a, at, axis=-1) for a in data),
    )
