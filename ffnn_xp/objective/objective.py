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

from ffnn_xp._lib.typing import Array, Namespace, Rows
from ffnn_xp.backends import Backend
from ffnn_xp.backends.streaming import returned, streamed
from ffnn_xp.backends.threads import sum_in_parts
from ffnn_xp.data.events import Events
from ffnn_xp.losses import Loss
from ffnn_xp.network.block_matrix import BlockMatrix, assemble
from ffnn_xp.network.sweeps import Network
from ffnn_xp.objective import kernels
from ffnn_xp.objective.blocking import BlockSizes, Kind

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
    block: int | None = field(default=None, kw_only=True)
    _bound: dict[Any, Callable[..., Any]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _ways: dict[Any, tuple[Callable[..., Any], bool]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _pieces: dict[int, list[Events]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Without compiled kernels, and without what is known of this device's memory."""
        return {
            **{k: v for k, v in self.__dict__.items() if k != "_sizes"},
            "_bound": {},
            "_ways": {},
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
            events = self.events.through(backend.bind(_cast, backend.real)).ready_to_stream(backend)
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
        return a if self.backend.computes is None else returned(self.backend.computes, a)

    @cached_property
    def _sizes(self) -> BlockSizes:
        """Of the blocks, and how many threads share them."""
        events, streams = self.events, self.backend.computes is not None
        held = events.bytes_per_event if streams else 0
        layout, block = self.network.layout, self.block
        return BlockSizes(
            layout, self.backend, events.n, events.nodes, held, whole=not self.loss.separable, block=block
        )

    def _way(self, kernel: Callable[..., Any], kind: Kind, moving: int) -> tuple[Callable[..., Any], bool]:
        """The kernel for this network and loss, compiled or recorded where the library can; and whether that is all.

        So it is where all events are one block on a CPU, which costs nothing to ask for. Both are looked up once.
        """
        key = kernel, kind
        if key not in self._ways:
            here = not self.backend.on_gpu and self.backend.computes is None
            f = self._kernel(kernel, moving * self._sizes.worth_recording(kind))
            self._ways[key] = f, here and self._sizes.of(kind) >= self.events.n
        return self._ways[key]

    def _kernel(self, kernel: Callable[..., Any], moving: int) -> Callable[..., Any]:
        if (kernel, moving) not in self._bound:
            self._bound[kernel, moving] = self._device.bind(kernel, self._before_link, self.loss, moving=moving)
        return self._bound[kernel, moving]

    def _total(self, kernel: Callable[..., Array], *args: Array) -> Array:
        kind = Kind(matrices=False, replicas=math.prod(args[0].shape[:-1]))
        f, at_once = self._way(kernel, kind, len(args))
        if at_once:
            try:
                return f(*args, *self.events.leaves)
            except Exception as error:
                if not self._smaller(kind, error):
                    raise
            self._ways.pop((kernel, kind), None)  # another thread may have been here
        args = self._there(*args)
        return self._back(self._sum(lambda e: f(*args, *e.leaves), kind, _add))

    def _matrix(self, kernel: Callable[..., BlockMatrix], theta: Array) -> Array:
        kind = Kind(matrices=True, replicas=math.prod(theta.shape[:-1]))
        (f, _), (at,) = self._way(kernel, kind, 1), self._there(theta)
        total = self._sum(lambda e: f(at, *e.leaves), kind, self._device.bind(_add_each))
        with self._device.context():
            return self._back(self._device.bind(assemble, self.network.layout, theta.ndim - 1)(total))

    def _sum(self, f: Callable[[Events], Part], kind: Kind, add: Callable[[Part, Part], Part]) -> Part:
        """f of all blocks, added up.

        Where a block does not fit into memory, the same with blocks of half the size, from then on.
        """
        while True:
            try:
                return self._sum_of_blocks(f, self._sizes.of(kind), add, self._sizes.threads(kind))
            except Exception as error:
                if not self._smaller(kind, error):
                    raise  # else the next try is outside of the handler, which holds on to arrays

    def _smaller(self, kind: Kind, error: Exception) -> bool:
        """Whether a block did not fit into memory; then they are half as large from now on."""
        return self._device.out_of_memory(error) and self._sizes.halve(kind)

    def _sum_of_blocks(
        self, f: Callable[[Events], Part], size: int, add: Callable[[Part, Part], Part], threads: int = 1
    ) -> Part:
        """On threads, where the library leaves that to us; one behind another, where they are copied on the way."""
        with self._device.context():
            if self.backend.computes is not None:
                return reduce(add, map(f, streamed(self._device, self.events.blocks(size))))
            if size >= self.events.n:
                return f(self.events)
            if threads > 1:
                return sum_in_parts(f, list(self.events.blocks(size)), add, threads)
            return reduce(add, map(f, self._cut(size)))

    def _cut(self, size: int) -> Iterable[Events]:
        """Blocks of so many events; for a compiler all of one shape, cut once."""
        if not self.backend.compiles or size >= self.events.n or self.events.n == 0:
            return self.events.blocks(size)
        if size not in self._pieces:
            self._pieces[size] = list(self.events.equal_blocks(self.backend, size))
        return self._pieces[size]


def _add(a: Array, b: Array) -> Array:
    """The sum, in a's own memory where arrays can be written to."""
    a += b
    return a


def _add_each(xp: Namespace, a: BlockMatrix, b: BlockMatrix) -> BlockMatrix:
    """The same of a matrix's blocks, for a compiler at once."""
    return {key: _add(a[key], b[key]) for key in a}


def _taken(xp: Namespace, index: Array, *leaves: Array | None) -> tuple[Array | None, ...]:
    """Some events of each array."""
    return tuple(None if a is None else xp.take(a, index, axis=-1) for a in leaves)


def _cast(dtype: Any, xp: Namespace, *leaves: Array | None) -> tuple[Array | None, ...]:
    """Each array in this precision."""
    return tuple(None if a is None else xp.astype(a, dtype) for a in leaves)
