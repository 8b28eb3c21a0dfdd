"""`Events`: the data of an objective on the device, as columns, and their chunks."""

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
    """The data of an objective on the device, as columns.

    Where replicas have data of their own, these have a leading axis: ``(r, k, n)``, ``(r, 1, n)``, and x may have one.

    Parameters
    ----------
    x : array with shape (d + 1, n), or (d, n)
        Inputs, with a 1 below each event; without it, it is appended at each evaluation.
    data : tuple of arrays with shape (k, n)
        The columns of the loss (`Loss.columns`): for least squares the targets and their inverse errors.
    weights : array with shape (1, n), optional
        Factor on the statistic of each event.
    nodes : int
        Number of columns of x for each event, one after another, such as the nodes of an integral.
    """

    x: Array
    data: tuple[Array, ...]
    weights: Array | None = None
    nodes: int = 1

    @cached_property
    def n(self) -> int:
        """The number of events."""
        return int(self.x.shape[-1]) // self.nodes

    @property
    def bytes_per_event(self) -> int:
        """The bytes of the data of one event in double precision."""
        arrays = [self.x, *self.data] if self.weights is None else [self.x, self.weights, *self.data]
        return 8 * int(sum(math.prod(a.shape) for a in arrays)) // self.n

    def ready_to_stream(self, backend: Backend) -> Events:
        """Return the events in page-locked memory if the backend streams them, else the events themselves."""
        computes = backend.computes
        return self if computes is None else self.each(computes.page_locked)

    @cached_property
    def leaves(self) -> tuple[Array | None, ...]:
        """The arrays in the order of kernels: x, weights, data."""
        return self.x, self.weights, *self.data

    def through(self, kernel: Callable[..., tuple[Any, ...]], *args: Any) -> Events:
        """Return the events with the arrays that a kernel computes from these arguments and the arrays here."""
        x, weights, *data = kernel(*args, *self.leaves)
        return Events(x, tuple(data), weights, self.nodes)

    def each(self, f: Callable[[Array], Array]) -> Events:
        """Return the events with f applied to each array."""
        weights = None if self.weights is None else f(self.weights)
        return Events(f(self.x), tuple(map(f, self.data)), weights, self.nodes)

    def chunks(self, size: int) -> Iterator[Events]:
        """Yield chunks of `size` events, views of the arrays; the last one is shorter."""
        if size >= self.n:
            yield self
            return
        for start in range(0, self.n, size):
            end = min(start + size, self.n)
            weights = None if self.weights is None else self.weights[..., start:end]
            x = self.x[..., start * self.nodes : end * self.nodes]
            yield Events(x, tuple(a[..., start:end] for a in self.data), weights, self.nodes)

    def equal_chunks(self, backend: Backend, size: int) -> Iterator[Events]:
        """Yield chunks of exactly `size` events; the last one is filled up with its last event at weight zero."""
        chunk = backend.bind(_chunk, size, self.nodes)
        for start in range(0, self.n, size):
            yield self.through(chunk, start)


def _chunk(
    size: int, nodes: int, xp: Namespace, start: int, x: Array, weights: Array | None, *data: Array
) -> tuple[Array, ...]:
    """Return `size` events from `start` on, after the last event copies of it with weight zero."""
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
