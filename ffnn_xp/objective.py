r"""S(theta) = sum over events of a statistic of the network's output, with its derivatives, on the device.

Events are taken in blocks, so that intermediate arrays stay in the cache (CPU) or in memory (GPU), and neither the
values of all layers for all events nor any Jacobian is ever whole. Every result is an array of the backend; who wants
a host number crosses in `cost`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TypeVar

from . import kernels
from ._typing import Array
from .backends import Backend
from .curvature import Blocks, assemble
from .losses import Loss
from .network import Network
from .threads import sum_in_parts

CPU_BLOCK = 2048  # events; value and gradient of small networks take half the time of one block of 10^5
CPU_BYTES = 2**24  # of all temporaries of a block: 1,024 events at a width of 128 are 15 % faster than 2,048
GPU_BYTES = 2**31
WORTH_THREADS = 64  # units of a layer: with 32 two threads are as fast as one, with 9 slower, with 128 1.9 times faster

Part = TypeVar("Part")


@dataclass(frozen=True)
class Events:
    """The data on the device, as columns.

    Parameters
    ----------
    x : array with shape (d, n)
        Inputs.
    data : tuple of arrays with shape (k, n)
        What the loss wants to see: for least squares the targets and their inverse errors.
    weights : array with shape (1, n), optional
        Factor on each event's statistic.

    Where replicas have data of their own, these have a leading axis: ``(r, k, n)``, ``(r, 1, n)``.
    """

    x: Array
    data: tuple[Array, ...]
    weights: Array | None = None

    @property
    def n(self) -> int:
        """Number of events."""
        return int(self.x.shape[-1])

    def each(self, f: Callable[[Array], Array]) -> Events:
        """The events that f makes of each array."""
        return Events(f(self.x), tuple(map(f, self.data)), None if self.weights is None else f(self.weights))

    def blocks(self, size: int) -> Iterator[Events]:
        """Views of `size` events each, the last one shorter."""
        if size >= self.n:
            yield self
            return
        for start in range(0, self.n, size):
            at = slice(start, min(start + size, self.n))
            yield self.each(lambda a, at=at: a[..., at])  # type: ignore[misc]


@dataclass(frozen=True)
class Objective:
    """Value and derivatives of S as pure functions of theta ``(..., p)`` on the backend.

    Parameters
    ----------
    network : Network
        The sandwich.
    loss : Loss
        The statistic.
    events : Events
        The data.
    backend : Backend
        Where all of it lives.
    block : int, optional
        Events to a block; by default chosen for the device.

    Examples
    --------
    >>> import numpy as np
    >>> from ffnn_xp.activations import identity
    >>> from ffnn_xp.backends import get_backend
    >>> from ffnn_xp.layout import Layout
    >>> from ffnn_xp.losses import loss
    >>> events = Events(np.array([[1.0, 2.0]]), (np.array([[1.0, 2.0]]), np.ones((1, 2))))
    >>> S = Objective(Network(Layout((1, 1)), (identity,)), loss("least_squares"), events, get_backend("numpy"))
    >>> S.value_and_gradient(np.array([2.0, 0.0]))  # y = 2 x: residuals 1 and 2
    array([ 5., 10.,  6.])
    """

    network: Network
    loss: Loss
    events: Events
    backend: Backend
    block: int | None = field(default=None, kw_only=True)

    def value(self, theta: Array) -> Array:
        """S, ``(...,)``."""
        return self._total(kernels.value, theta)

    def value_and_gradient(self, theta: Array) -> Array:
        """S and its gradient packed in one array ``(..., 1 + p)``, so that they cross to the host in one copy."""
        return self._total(kernels.value_and_gradient, theta)

    def gauss_newton(self, theta: Array) -> Array:
        """J^T C J, ``(..., p, p)``: the second derivative of S for a network that is linear in theta."""
        return self._matrix(kernels.gauss_newton, theta)

    def hessian(self, theta: Array) -> Array:
        """The exact second derivative of S, ``(..., p, p)``."""
        return self._matrix(kernels.hessian, theta)

    def residual_rows(self, theta: Array) -> Array:
        """Residuals and their derivatives, ``(..., k n, 1 + p)``: short where values are fewer than parameters."""
        f = self.backend.bind(kernels.residual_rows, self.network, self.loss)
        with self.backend.context():
            return f(theta, *_leaves(self.events))

    def gauss_newton_product(self, theta: Array, v: Array) -> Array:
        """J^T C J v, ``(..., p)``, without the matrix."""
        return self._total(kernels.gauss_newton_product, theta, v)

    def hessian_product(self, theta: Array, v: Array) -> Array:
        """The Hessian times v, ``(..., p)``, without the matrix."""
        return self._total(kernels.hessian_product, theta, v)

    def kronecker_factors(self, theta: Array) -> Array:
        """Of each layer's Gauss-Newton matrix, in one vector (`curvature.kronecker_factors`); theta is ``(p,)``."""
        return self._total(kernels.kronecker_factors, theta)

    def in_single_precision(self) -> Objective:
        """The same in float32: in half the time or less, with seven digits."""
        backend = replace(self.backend, dtype="float32")
        with backend.context():
            events = self.events.each(lambda a: backend.xp.astype(a, backend.real))
        return replace(self, events=events, backend=backend)

    def active_events(self, theta: Array) -> Array:
        """At how many events each hidden unit reacts (`kernels.active_events`), one layer after another."""
        return self._total(kernels.active_events, theta)

    def _total(self, kernel: Callable[..., Array], *args: Array) -> Array:
        f = self.backend.bind(kernel, self.network, self.loss)
        return self._sum(lambda e: f(*args, *_leaves(e)), self._sweep_block, lambda a, b: a + b)

    def _matrix(self, kernel: Callable[..., Blocks], theta: Array) -> Array:
        f = self.backend.bind(kernel, self.network, self.loss)
        total = self._sum(
            lambda e: f(theta, *_leaves(e)), self._matrix_block, lambda a, b: {key: a[key] + b[key] for key in a}
        )
        with self.backend.context():
            return assemble(self.backend.xp, self.network.layout, total)

    def _sum(self, f: Callable[[Events], Part], size: int, add: Callable[[Part, Part], Part]) -> Part:
        """f of all blocks of so many events, added up; on threads, where the library knows how to."""
        with self.backend.context():
            if self.backend.threads_help and max(self.network.layout.widths) >= WORTH_THREADS:
                return sum_in_parts(f, list(self.events.blocks(size)), add)
            return reduce(add, map(f, self.events.blocks(size)))

    @property
    def _sweep_block(self) -> int:
        layer = max(self.network.layout.widths) * self._itemsize
        return self._fitting(layer * 4 * len(self.network.layout.widths))

    @property
    def _matrix_block(self) -> int:
        widest = max(a * b for a, b in self.network.layout.shapes) + max(self.network.layout.widths) ** 2
        return self._fitting(8 * widest * self._itemsize)

    def _fitting(self, bytes_per_event: int) -> int:
        """Events to a block such that temporaries fit."""
        if self.block is not None:
            return self.block
        if self.backend.on_gpu:
            return max(1, GPU_BYTES // bytes_per_event)
        return max(16, min(CPU_BLOCK, CPU_BYTES // bytes_per_event))

    @property
    def _itemsize(self) -> int:
        return 8 if self.backend.dtype == "float64" else 4


def _leaves(events: Events) -> tuple[Array | None, ...]:
    return events.x, events.weights, *events.data
