r"""`Objective`: S(theta), the sum over events of a statistic of the network's output, with derivatives, on the device.

Sums are computed by chunks of events, so that intermediate arrays stay in the cache (CPU) or in memory (GPU); the
values of all layers for all events, or a whole Jacobian, are never stored. Every result is an array of the backend;
`host` copies it to the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any, TypeVar

from ffnn_xp._lib.limits import stop_if_due
from ffnn_xp._lib.typing import Array, Namespace, Rows
from ffnn_xp.backends import Backend, EventLoop, returned, streamed, sum_in_parts
from ffnn_xp.data import Events
from ffnn_xp.losses import Loss
from ffnn_xp.network import BlockMatrix, Network, assemble
from ffnn_xp.objective import kernels
from ffnn_xp.objective.chunking import TUNING, ChunkSizes, ChunkTuning, SumKind
from ffnn_xp.objective.compiled import event_loop

Part = TypeVar("Part")


@dataclass(frozen=True)
class Objective:
    """Value and derivatives of S as pure functions of theta ``(..., p)`` on the backend.

    Parameters
    ----------
    network : Network
        The network.
    loss : Loss
        The statistic; one that has a `link` contains the network's output nonlinearity.
    events : Events
        The data.
    backend : Backend
        The backend of the events.
    chunk_size : int, optional
        Events of a chunk; by default it is chosen for the device.
    tuning : ChunkTuning
        Tuned numbers of the chunks.

    Examples
    --------
    >>> import numpy as np
    >>> from ffnn_xp.network.activations import identity
    >>> from ffnn_xp.backends import get_backend
    >>> from ffnn_xp.network.layout import Layout
    >>> from ffnn_xp.losses import get_loss
    >>> from ffnn_xp.data.events import Events
    >>> events = Events(np.array([[1.0, 2.0]]), (np.array([[1.0, 2.0]]), np.ones((1, 2))))
    >>> S = Objective(Network(Layout((1, 1)), (identity,)), get_loss("least_squares"), events, get_backend("numpy"))
    >>> S.value_and_gradient(np.array([2.0, 0.0]))  # y = 2 x: residuals 1 and 2
    array([ 5., 10.,  6.])
    """

    network: Network
    loss: Loss
    events: Events
    backend: Backend
    chunk_size: int | None = field(default=None, kw_only=True)
    tuning: ChunkTuning = field(default=TUNING, kw_only=True)
    _bound: dict[Any, Callable[..., Any]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _kernels: dict[Any, tuple[Callable[..., Any], bool]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _equal_chunks: dict[int, list[Events]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the objective without compiled kernels and sizes that belong to this device's memory."""
        return {
            **{k: v for k, v in self.__dict__.items() if k != "_sizes"},
            "_bound": {},
            "_kernels": {},
            "_equal_chunks": {},
        }

    @property
    def n(self) -> int:
        """The number of events."""
        return self.events.n

    @property
    def nodes(self) -> int:
        """The number of columns of x for each event."""
        return self.events.nodes

    def value(self, theta: Array) -> Array:
        """Compute S, ``(...,)``."""
        return self.total(kernels.value, theta)

    def value_and_gradient(self, theta: Array) -> Array:
        """Compute S and its gradient in one array ``(..., 1 + p)``, so that one copy brings both to the host."""
        return self.total(kernels.value_and_gradient, theta)

    def value_and_both_gradients(self, theta: Array) -> Array:
        """Compute S, its gradient, and its gradient in the parameters of an added function, ``(1 + p + q,)``.

        The function's derivatives ``(q k, n)`` are the first of the events' data (`kernels.value_and_both_gradients`).
        """
        return self.total(kernels.value_and_both_gradients, theta)

    def gauss_newton(self, theta: Array) -> Array:
        """Compute J^T C J, ``(..., p, p)``: the second derivative of S for a network that is linear in theta."""
        return self.matrix(kernels.gauss_newton, theta)

    def hessian(self, theta: Array) -> Array:
        """Compute the exact second derivative of S, ``(..., p, p)``."""
        return self.matrix(kernels.hessian, theta)

    def scores(self, theta: Array) -> Array:
        """Sum the outer products of the events' gradients, ``(..., p, p)``."""
        return self.matrix(kernels.scores, theta)

    def residual_rows(self, theta: Array) -> Array:
        """Compute residuals and their derivatives, ``(..., k n, 1 + p)``."""
        f, (at,) = self._bind(kernels.residual_rows, 0), self._on_device(theta)
        return self._on_events_backend(self._sum_of_chunks(lambda e: f(at, *e.leaves), self.events.n, _add))

    def gauss_newton_product(self, theta: Array, v: Array) -> Array:
        """Compute J^T C J v, ``(..., p)``, without the matrix."""
        return self.total(kernels.gauss_newton_product, theta, v)

    def hessian_product(self, theta: Array, v: Array) -> Array:
        """Compute the Hessian times v, ``(..., p)``, without the matrix."""
        return self.total(kernels.hessian_product, theta, v)

    def kronecker_factors(self, theta: Array) -> Array:
        """Compute the factors of each layer's Gauss-Newton matrix in one vector, at theta ``(p,)``.

        See `network.hessian.kronecker_factors`.
        """
        return self.total(kernels.kronecker_factors, theta)

    def select(self, rows: Rows) -> Objective:
        """Return the objective of the events with these numbers."""
        backend = self.backend
        with backend.context():
            some = self.events.through(backend.bind(_taken), backend.indices(rows)).each(backend.contiguous)
        return replace(self, events=some)

    def in_memory(self) -> Objective:
        """Return the objective with its events at hand: this one."""
        return self

    @property
    def has_single_precision(self) -> bool:
        """True if `in_single_precision` may be used."""
        return True

    def with_events(self, events: Events) -> Objective:
        """Return the objective of other events, in arrays of the same shapes; kernels and sizes of chunks are shared.

        On a GPU they are not shared, since a kernel may be a CUDA graph of the old events.
        """
        other = replace(self, events=events)
        if not self._device.on_gpu:
            for known in ("_bound", "_kernels", "_sizes"):
                object.__setattr__(other, known, getattr(self, known))
        return other

    def in_single_precision(self) -> Objective:
        """Copy the objective to float32, which takes half the time or less and has seven digits."""
        backend = self.backend.in_single_precision()
        with backend.context():
            events = self.events.through(backend.bind(_cast, backend.real)).ready_to_stream(backend)
        return replace(self, events=events, backend=backend)

    def active_events(self, theta: Array) -> Array:
        """Count the events at which each hidden unit reacts (`kernels.active_events`), one layer after another."""
        return self.total(kernels.active_events, theta)

    @property
    def _before_link(self) -> Network:
        """The network whose outputs are the statistic's arguments."""
        return self.network if self.loss.link is None else self.network.before_output()

    @property
    def _device(self) -> Backend:
        """The backend that computes sums: that of the events, or the one that they are streamed to."""
        return self.backend.computes or self.backend

    def _on_device(self, *args: Array) -> tuple[Array, ...]:
        """Copy arguments to the device where sums are computed."""
        return args if self.backend.computes is None else tuple(map(self.backend.computes.argument, args))

    def _on_events_backend(self, a: Array) -> Array:
        """Copy a result to the backend of the events."""
        return a if self.backend.computes is None else returned(self.backend.computes, a)

    @cached_property
    def _sizes(self) -> ChunkSizes:
        """The sizes of chunks, and the number of threads."""
        events, streams = self.events, self.backend.computes is not None
        held = events.bytes_per_event if streams else 0
        return ChunkSizes(
            self.network.layout,
            self.backend,
            events.n,
            events.nodes,
            held,
            whole=not self.loss.separable,
            size=self.chunk_size,
            tuning=self.tuning,
        )

    def _kernel(self, kernel: Callable[..., Any], kind: SumKind, moving: int) -> tuple[Callable[..., Any], bool]:
        """Return the kernel for this network and loss, and True if one call with all events is the whole sum.

        The kernel is compiled or captured if the library can. One call is enough where all events are one chunk on a
        CPU. Both are cached.
        """
        key = kernel, kind.replicas
        if key not in self._kernels:
            here = not self.backend.on_gpu and self.backend.computes is None
            f = self._bind(kernel, moving * self._sizes.worth_a_graph(kind))
            self._kernels[key] = f, here and self._sizes.of(kind) >= self.events.n
        return self._kernels[key]

    def _bind(self, kernel: Callable[..., Any], moving: int) -> Callable[..., Any]:
        """Bind a kernel to network and loss; `moving` arguments change between replays of a CUDA graph."""
        if (kernel, moving) not in self._bound:
            f = self._device.bind(kernel, self._before_link, self.loss, moving=moving)
            if kernel is kernels.value_and_gradient and self._loop is not None:
                f = self._device.in_one_loop(self._loop, f)
            self._bound[kernel, moving] = f
        return self._bound[kernel, moving]

    @property
    def is_one_loop(self) -> bool:
        """True if value and gradient are computed by one compiled loop over events."""
        return self._loop is not None

    @cached_property
    def _loop(self) -> EventLoop | None:
        """The loop over events that computes value and gradient; None where arrays do."""
        if not self._device.compiled:
            return None
        loop = event_loop(self._before_link, self.loss, len(self.events.data))
        return loop if loop is not None and self._device.has_loop(loop) else None

    def total(self, kernel: Callable[..., Array], *args: Array) -> Array:
        """Sum a kernel that returns one array."""
        replicas = 1 if args[0].ndim == 1 else math.prod(args[0].shape[:-1])
        known = self._kernels.get((kernel, replicas))
        kind = SumKind(matrices=False, replicas=replicas)
        f, at_once = known or self._kernel(kernel, kind, len(args))
        if at_once:
            stop_if_due()
            try:
                return f(*args, *self.events.leaves)
            except Exception as error:
                if not self._smaller(kind, error):
                    raise
            self._kernels.pop((kernel, replicas), None)  # another thread may have been here
        args = self._on_device(*args)
        return self._on_events_backend(self._sum(lambda e: f(*args, *e.leaves), kind, _add))

    def matrix(self, kernel: Callable[..., BlockMatrix], theta: Array) -> Array:
        """Sum a kernel that returns a block matrix, and assemble the matrix."""
        kind = SumKind(matrices=True, replicas=math.prod(theta.shape[:-1]))
        (f, _), (at,) = self._kernel(kernel, kind, 1), self._on_device(theta)
        total = self._sum(lambda e: f(at, *e.leaves), kind, self._device.bind(_add_each))
        with self._device.context():
            whole = self._device.bind(assemble, self.network.layout, theta.ndim - 1, self.tuning.panel_bytes)
            return self._on_events_backend(whole(total))

    def _sum(self, f: Callable[[Events], Part], kind: SumKind, add: Callable[[Part, Part], Part]) -> Part:
        """Sum f over all chunks; if one does not fit into memory, chunks are half as large from then on."""
        while True:
            try:
                return self._sum_of_chunks(f, self._sizes.of(kind), add, self._sizes.threads(kind))
            except Exception as error:
                if not self._smaller(kind, error):
                    raise  # the next try is outside of the handler, which keeps arrays alive

    def _smaller(self, kind: SumKind, error: Exception) -> bool:
        """Make chunks half as large if the error says that one did not fit into memory; return False for others."""
        return self._device.out_of_memory(error) and self._sizes.halve(kind)

    def _sum_of_chunks(
        self, f: Callable[[Events], Part], size: int, add: Callable[[Part, Part], Part], threads: int = 1
    ) -> Part:
        """Sum f over chunks of this size, on threads where the library has none of its own.

        Chunks that are streamed to another device follow one after another.
        """

        def part(events: Events) -> Part:
            stop_if_due()
            return f(events)

        with self._device.context():
            if self.backend.computes is not None:
                return reduce(add, map(part, streamed(self._device, self.events.chunks(size))))
            if size >= self.events.n:
                return part(self.events)
            if threads > 1:
                return sum_in_parts(part, list(self.events.chunks(size)), add, threads)
            return reduce(add, map(part, self._cut(size)))

    def _cut(self, size: int) -> Iterable[Events]:
        """Cut the events into chunks of this size; where they are compiled, all have one shape and are cached."""
        if not self.backend.compiles or size >= self.events.n or self.events.n == 0:
            return self.events.chunks(size)
        if size not in self._equal_chunks:
            self._equal_chunks[size] = list(self.events.equal_chunks(self.backend, size))
        return self._equal_chunks[size]


def _add(a: Array, b: Array) -> Array:
    """Add b to a, in a's own memory if it can be written to."""
    a += b
    return a


def _add_each(xp: Namespace, a: BlockMatrix, b: BlockMatrix) -> BlockMatrix:
    """Add the blocks of two block matrices."""
    return {key: _add(a[key], b[key]) for key in a}


def _taken(xp: Namespace, index: Array, *leaves: Array | None) -> tuple[Array | None, ...]:
    """Take some events of each array."""
    return tuple(None if a is None else xp.take(a, index, axis=-1) for a in leaves)


def _cast(dtype: Any, xp: Namespace, *leaves: Array | None) -> tuple[Array | None, ...]:
    """Cast each array to this precision."""
    return tuple(None if a is None else xp.astype(a, dtype) for a in leaves)
