r"""S(theta) = sum over events of a statistic of the network's output, with its derivatives, on the device.

Events are taken in blocks, so that intermediate arrays stay in the cache (CPU) or in memory (GPU), and neither the
values of all layers for all events nor any Jacobian is ever whole. Every result is an array of the backend; who wants
a host number crosses in `cost`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any, TypeVar

from . import kernels
from ._typing import Array, Namespace, Rows
from .backends import Backend
from .backends.streaming import returned, streamed
from .blocks import Blocks, assemble
from .events import Events
from .losses import Loss
from .network import Network
from .threads import processors, sum_in_parts

CPU_BYTES = 3 * 2**17  # of the widest layer's values in a block: what fits the cache, and is worth Python's time
CPU_BLOCK = (512, 8192)  # events, at least and at most
COMPILED = 4, 8  # times as many where kernels are compiled: on one processor, and for each of several
MATRIX_BYTES = 2**25, 2**26  # of all temporaries of a block for matrices, at least and at most
OF_MATRIX = 4  # as much as so many matrices, between: the products of large ones are the longer the better
BATCH_BYTES = 2**22  # of the derivatives of an output, for a batch of networks
MATRIX_BLOCK = (16, 2048)  # events, at least and at most
BATCH_BLOCK = 48, 2**28  # the same at least for a batch, if that is no more bytes: short sums of many products are slow
GPU_BYTES = 2**31  # of all temporaries of a block, where a GPU does not say how much is free
GPU_SHARE = 0.5  # of what is free
STREAMED = 2**19  # events to a block that is copied while another one is computed with
RECORDED_BYTES = 2**27  # of temporaries: a GPU moves them in less time than their kernels take to launch
WORTH_THREADS = 20  # units of a layer: two threads are 1.1 to 1.3 times as fast there

Part = TypeVar("Part")


@dataclass(frozen=True)
class Objective:
    """Value and derivatives of S as pure functions of theta ``(..., p)`` on the backend.

    Parameters
    ----------
    network : Network
        The sandwich.
    loss : Loss
        The statistic; one that has a `link` contains the network's output nonlinearity.
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
    >>> from ffnn_xp.events import Events
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
    _bound: dict[Any, Callable[..., Any]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _ways: dict[Any, tuple[Callable[..., Any], bool]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _sizes: dict[tuple[bool, int], int] = field(default_factory=dict, init=False, repr=False, compare=False)
    _pieces: dict[int, list[Events]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Without compiled kernels, and without what is known of this device's memory."""
        return {
            **{k: v for k, v in self.__dict__.items() if k != "_gpu_bytes"},
            "_bound": {},
            "_ways": {},
            "_sizes": {},
            "_pieces": {},
        }

    def value(self, theta: Array) -> Array:
        """S, ``(...,)``."""
        return self._total(kernels.value, theta)

    def value_and_gradient(self, theta: Array) -> Array:
        """S and its gradient packed in one array ``(..., 1 + p)``, so that they cross to the host in one copy."""
        return self._total(kernels.value_and_gradient, theta)

    def value_and_both_gradients(self, theta: Array) -> Array:
        """The same, and the gradient in parameters of what is added to the output, ``(1 + p + q,)``.

        Its derivatives in them, ``(q k, n)``, are the first of the events' data (`kernels.value_and_both_gradients`).
        """
        return self._total(kernels.value_and_both_gradients, theta)

    def gauss_newton(self, theta: Array) -> Array:
        """J^T C J, ``(..., p, p)``: the second derivative of S for a network that is linear in theta."""
        return self._matrix(kernels.gauss_newton, theta)

    def hessian(self, theta: Array) -> Array:
        """The exact second derivative of S, ``(..., p, p)``."""
        return self._matrix(kernels.hessian, theta)

    def scores(self, theta: Array) -> Array:
        """Sum over events of the outer products of their gradients, ``(..., p, p)``."""
        return self._matrix(kernels.scores, theta)

    def residual_rows(self, theta: Array) -> Array:
        """Residuals and their derivatives, ``(..., k n, 1 + p)``: short where values are fewer than parameters."""
        f, (at,) = self._kernel(kernels.residual_rows, 0), self._there(theta)
        return self._back(self._sum_of_blocks(lambda e: f(at, *e.leaves), self.events.n, _add))

    def gauss_newton_product(self, theta: Array, v: Array) -> Array:
        """J^T C J v, ``(..., p)``, without the matrix."""
        return self._total(kernels.gauss_newton_product, theta, v)

    def hessian_product(self, theta: Array, v: Array) -> Array:
        """The Hessian times v, ``(..., p)``, without the matrix."""
        return self._total(kernels.hessian_product, theta, v)

    def kronecker_factors(self, theta: Array) -> Array:
        """Of each layer's Gauss-Newton matrix, in one vector (`curvature.kronecker_factors`); theta is ``(p,)``."""
        return self._total(kernels.kronecker_factors, theta)

    def of(self, rows: Rows) -> Objective:
        """The same, of the events with these numbers alone."""
        backend = self.backend
        with backend.context():
            some = self.events.through(backend.bind(_taken), backend.indices(rows)).each(backend.contiguous)
        return replace(self, events=some)

    def seeing(self, events: Events) -> Objective:
        """The same of other numbers in arrays of these shapes; what is known of kernels and blocks is shared.

        Not on a GPU, where it may be a recording of these very events.
        """
        other = replace(self, events=events)
        if not self._device.on_gpu:
            for known in ("_bound", "_ways", "_sizes"):
                object.__setattr__(other, known, getattr(self, known))
        return other

    def in_single_precision(self) -> Objective:
        """The same in float32: in half the time or less, with seven digits."""
        backend = self.backend.in_single_precision()
        with backend.context():
            events = self.events.through(backend.bind(_cast, backend.real)).within_reach(backend)
        return replace(self, events=events, backend=backend)

    def active_events(self, theta: Array) -> Array:
        """At how many events each hidden unit reacts (`kernels.active_events`), one layer after another."""
        return self._total(kernels.active_events, theta)

    @property
    def _before_link(self) -> Network:
        """The network whose outputs the statistic sees."""
        return self.network if self.loss.link is None else self.network.before_output()

    @property
    def _device(self) -> Backend:
        """Where sums are computed: where the events are, or where they are streamed through."""
        return self.backend.computes or self.backend

    def _there(self, *args: Array) -> tuple[Array, ...]:
        """Theta on that device."""
        return args if self.backend.computes is None else tuple(map(self.backend.computes.argument, args))

    def _back(self, a: Array) -> Array:
        """A result where the events are."""
        return a if self.backend.computes is None else returned(a)

    def _way(self, kernel: Callable[..., Any], what: tuple[bool, int], moving: int) -> tuple[Callable[..., Any], bool]:
        """The kernel for this network and loss, compiled or recorded where the library can; and whether that is all.

        So it is where all events are one block on a CPU, which costs nothing to ask for. Both are looked up once.
        """
        key = kernel, what
        if key not in self._ways:
            here = not self.backend.on_gpu and self.backend.computes is None
            f = self._kernel(kernel, moving * self._worth_recording(*what))
            self._ways[key] = f, here and self._size(what) >= self.events.n
        return self._ways[key]

    def _kernel(self, kernel: Callable[..., Any], moving: int) -> Callable[..., Any]:
        if (kernel, moving) not in self._bound:
            self._bound[kernel, moving] = self._device.bind(kernel, self._before_link, self.loss, moving=moving)
        return self._bound[kernel, moving]

    def _total(self, kernel: Callable[..., Array], *args: Array) -> Array:
        what = False, math.prod(args[0].shape[:-1])
        f, at_once = self._way(kernel, what, len(args))
        if at_once:
            try:
                return f(*args, *self.events.leaves)
            except Exception as error:
                if not self._smaller(what, error):
                    raise
            self._ways.pop((kernel, what), None)  # another thread may have been here
        args = self._there(*args)
        return self._back(self._sum(lambda e: f(*args, *e.leaves), what, _add))

    def _matrix(self, kernel: Callable[..., Blocks], theta: Array) -> Array:
        what = True, math.prod(theta.shape[:-1])
        (f, _), (at,) = self._way(kernel, what, 1), self._there(theta)
        total = self._sum(lambda e: f(at, *e.leaves), what, self._device.bind(_add_each))
        with self._device.context():
            return self._back(self._device.bind(assemble, self.network.layout, theta.ndim - 1)(total))

    def _sum(self, f: Callable[[Events], Part], what: tuple[bool, int], add: Callable[[Part, Part], Part]) -> Part:
        """f of all blocks, added up; `what` says whether they are matrices, and of how many replicas.

        Where a block does not fit into memory, the same with blocks of half the size, from then on.
        """
        while True:
            try:
                return self._sum_of_blocks(f, self._size(what), add)
            except Exception as error:
                if not self._smaller(what, error):
                    raise  # else the next try is outside of the handler, which holds on to arrays

    def _smaller(self, what: tuple[bool, int], error: Exception) -> bool:
        """Whether a block did not fit into memory; then they are half as large from now on."""
        size = min(self._size(what), self.events.n)
        if size <= 1 or self.loss.whole or not self._device.out_of_memory(error):
            return False
        self._sizes[what] = size // 2
        return True

    def _size(self, what: tuple[bool, int]) -> int:
        """Events to a block."""
        if what not in self._sizes:
            matrices, replicas = what
            self._sizes[what] = self._matrix_block(replicas) if matrices else self._sweep_block(replicas)
            if self.loss.whole:
                self._sizes[what] = self.events.n
        return self._sizes[what]

    def _sum_of_blocks(self, f: Callable[[Events], Part], size: int, add: Callable[[Part, Part], Part]) -> Part:
        """On threads, where the library knows how to; one behind another, where they are copied on the way."""
        with self._device.context():
            if self.backend.computes is not None:
                return reduce(add, map(f, streamed(self._device, self.events.blocks(size))))
            if size >= self.events.n:
                return f(self.events)
            if self.backend.threads_help and max(self.network.layout.widths) >= WORTH_THREADS:
                return sum_in_parts(f, list(self.events.blocks(size)), add, self.backend.threads)
            return reduce(add, map(f, self._cut(size)))

    def _cut(self, size: int) -> Iterable[Events]:
        """Blocks of so many events; for a compiler all of one shape, cut once."""
        if not self.backend.compiles or size >= self.events.n or self.events.n == 0:
            return self.events.blocks(size)
        if size not in self._pieces:
            self._pieces[size] = list(self.events.equal_blocks(self.backend, size))
        return self._pieces[size]

    def _sweep_block(self, replicas: int = 1) -> int:
        limits = max(64, CPU_BLOCK[0] // replicas), CPU_BLOCK[1]
        size = CPU_BYTES // (max(self.network.layout.widths) * self._itemsize * replicas)
        if self._device.compiles:
            count = processors()
            size *= COMPILED[0] if count == 1 else COMPILED[1] * count
            limits = limits[0], 2 * count * limits[1]
        return self._fitting(size, limits, self._bytes_per_event(False, replicas))

    def _matrix_block(self, replicas: int = 1) -> int:
        layout, bytes_per_event = self.network.layout, self._bytes_per_event(True, replicas)
        matrices = OF_MATRIX * self._itemsize * layout.n_parameters**2
        size = min(max(matrices, MATRIX_BYTES[0]), MATRIX_BYTES[1]) // bytes_per_event
        if replicas > 1:  # many small products instead of one large one: then the cache counts
            size = min(size, BATCH_BYTES // (layout.n_parameters * self._itemsize * replicas))
            size = max(size, min(BATCH_BLOCK[0], BATCH_BLOCK[1] // bytes_per_event))
        return self._fitting(size, MATRIX_BLOCK, bytes_per_event)

    def _bytes_per_event(self, matrices: bool, replicas: int) -> int:
        """Of all temporaries, about; of an integral's node as much."""
        layout = self.network.layout
        if matrices:
            values = 8 * (max(a * b for a, b in layout.shapes) + max(layout.widths) ** 2)
        else:
            values = 4 * max(layout.widths) * len(layout.widths)
        return values * self._itemsize * replicas

    def _worth_recording(self, matrices: bool, replicas: int) -> bool:
        """Whether launching takes longer than computing, and a recording's temporaries may stay."""
        return self.backend.on_gpu and self._bytes_per_event(matrices, replicas) * self.events.n <= RECORDED_BYTES

    def _fitting(self, size: int, limits: tuple[int, int], bytes_per_event: int) -> int:
        """Events to a block: on a CPU so many, within limits; on a GPU as many as fit."""
        if self.block is not None:
            return self.block
        if self.backend.computes is not None:  # two blocks are there at a time, of several
            bytes_per_event += 2 * self.events.bytes_per_event
        if self._device.on_gpu:
            most = self._gpu_bytes // (bytes_per_event * self.events.nodes)
            return max(1, most if self.backend.computes is None else min(most, STREAMED))
        return max(1, min(max(size, limits[0]), limits[1]) // self.events.nodes)

    @cached_property
    def _gpu_bytes(self) -> int:
        """For all temporaries of a block; asked for once."""
        free = self._device.free_memory()
        return GPU_BYTES if free is None else int(GPU_SHARE * free)

    @property
    def _itemsize(self) -> int:
        return 8 if self.backend.dtype == "float64" else 4


def _add(a: Array, b: Array) -> Array:
    """The sum, in a's own memory where arrays can be written to."""
    a += b
    return a


def _add_each(xp: Namespace, a: Blocks, b: Blocks) -> Blocks:
    """The same of a matrix's blocks, for a compiler at once."""
    return {key: _add(a[key], b[key]) for key in a}


def _taken(xp: Namespace, index: Array, *leaves: Array | None) -> tuple[Array | None, ...]:
    """Some events of each array."""
    return tuple(None if a is None else xp.take(a, index, axis=-1) for a in leaves)


def _cast(dtype: Any, xp: Namespace, *leaves: Array | None) -> tuple[Array | None, ...]:
    """Each array in this precision."""
    return tuple(None if a is None else xp.astype(a, dtype) for a in leaves)
