"""`Replicas`: a batch of costs of one network on the device, each with its own theta and possibly its own data.

Starts share the data and differ in theta alone; toys have their own targets, bootstrap copies their own weights, and a
sequence of priors its own precisions. On a CPU a few replicas share one product, so that intermediate arrays stay in
the cache; on a GPU as many as fit into its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import device

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import Array, HostArray, Namespace, Rows
from ffnn_xp.data import Events
from ffnn_xp.objective.objective import Objective


@dataclass(frozen=True)
class BatchTuning:
    """Tuned numbers of batches of replicas."""

    cpu_values: int = tuned(
        2**14,
        "events times replicas of one product on a CPU; larger: less time in Python; smaller: fits smaller caches",
    )
    gpu_bytes: int = tuned(2**32, "bytes of a batch's matrices on a GPU; larger: fewer kernels, more memory")


TUNING = BatchTuning()


@dataclass(frozen=True)
class Replicas:
    """Value and derivatives of r costs, for batched minimizers.

    Parameters
    ----------
    objective : Objective
        S of events that all replicas share, or of events of their own: data ``(r, k, n)``, weights ``(r, 1, n)``, and
        inputs ``(r, d + 1, n)`` (`stack_objectives`).
    precision : array with shape (p,) or (r, p), optional
        Precisions of Gaussian priors around zero.
    tuning : BatchTuning
        Tuned numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from ffnn_xp.network.activations import identity
    >>> from ffnn_xp.backends import get_backend
    >>> from ffnn_xp.network.layout import Layout
    >>> from ffnn_xp.losses import get_loss
    >>> from ffnn_xp.network.sweeps import Network
    >>> from ffnn_xp.data.events import Events
    >>> toys = np.array([[[1.0, 2.0]], [[2.0, 4.0]]])  # two toys of one output at two events
    >>> events = Events(np.array([[1.0, 2.0]]), (toys, np.ones_like(toys)))
    >>> S = Objective(Network(Layout((1, 1)), (identity,)), get_loss("least_squares"), events, get_backend("numpy"))
    >>> Replicas(S).value_and_gradient(np.array([[2.0, 0.0], [2.0, 0.0]]), np.arange(2))
    array([[ 5., 10.,  6.],
           [ 0.,  0.,  0.]])
    """

    objective: Objective
    precision: HostArray | None = None
    tuning: BatchTuning = TUNING

    @property
    def xp(self) -> Namespace:
        """The arrays' namespace."""
        return self.objective.backend.xp

    @property
    def of_one_shape(self) -> bool:
        """True if all replicas should be evaluated together, since kernels are compiled or captured for a shape."""
        return self.compiles or self.objective.backend.on_gpu

    @property
    def compiles(self) -> bool:
        """True if each new number of replicas costs a compilation."""
        return self.objective.backend.compiles

    @property
    def together(self) -> int:
        """The number of replicas that share a product: fewer take more time each, and more do not take less."""
        events, p = self.objective.events, self.objective.network.layout.n_parameters
        if self.objective.backend.on_gpu:
            return max(1, self.tuning.gpu_bytes // (8 * p * p))
        return max(1, self.tuning.cpu_values // max(events.n, 1))

    def bound(self, f: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """Bind ``f(*static, xp, ...)`` as a function of arrays, compiled where the library can."""
        return self.objective.backend.bind(f, *static)

    @property
    def errordef(self) -> float:
        """The rise of S at one standard deviation."""
        return self.objective.loss.errordef

    @property
    def epsilon(self) -> float:
        """The relative precision of the numbers."""
        return self.objective.backend.epsilon

    def value_and_gradient(self, theta: Array, rows: Rows) -> Array:
        """Compute S and its gradient, packed as ``(r, 1 + p)``, of the replicas with these numbers."""
        packed = self._batched(Objective.value_and_gradient, theta, rows)
        if self.precision is None and packed.dtype == theta.dtype:
            return packed
        P = None if self.precision is None else self._precision(rows)
        with self.objective.backend.context(), np.errstate(all="ignore"):
            return self.bound(_with_prior, self.errordef)(packed, theta, P)

    def on_host(self, theta: HostArray, rows: Rows) -> tuple[HostArray, HostArray]:
        """Compute S ``(r,)`` and gradients ``(r, p)`` at host vectors, in one copy; priors are added in float64."""
        packed = self.numbers(self._batched(Objective.value_and_gradient, self.objective.backend.argument(theta), rows))
        value, gradient = packed[:, 0], packed[:, 1:]
        if self.precision is None:
            return value, gradient
        P = self.errordef * (self.precision if self.precision.ndim == 1 else self.precision[rows])
        return value + np.sum(P * theta * theta, axis=-1), gradient + 2 * P * theta

    def gauss_newton(self, theta: Array, rows: Rows) -> Array:
        """Compute Gauss-Newton matrices, ``(r, p, p)``."""
        return self._matrices(Objective.gauss_newton, theta, rows)

    def hessian(self, theta: Array, rows: Rows) -> Array:
        """Compute exact second derivatives, ``(r, p, p)``."""
        return self._matrices(Objective.hessian, theta, rows)

    def _matrices(self, f: Callable[[Objective, Array], Array], theta: Array, rows: Rows) -> Array:
        """Compute matrices with the priors' parts."""
        B = self._batched(f, theta, rows)
        if self.precision is None:
            return B
        with self.objective.backend.context():
            return self.bound(_with_diagonal, 2 * self.errordef)(B, self._precision(rows))

    @property
    def dual(self) -> bool:
        """True if there are fewer values than parameters, so that `residual_rows` are shorter than matrices."""
        layout = self.objective.network.layout
        few = self.objective.events.n * layout.widths[-1] < layout.n_parameters
        return few and not self.objective.loss.coupled_outputs and not self.objective.loss.has_linear_operator

    def residual_rows(self, theta: Array, rows: Rows) -> Array:
        """Compute residuals and their derivatives, ``(r, k n, 1 + p)``, without the prior."""
        return self._batched(Objective.residual_rows, theta, rows)

    def prior_curvature(self, rows: Rows) -> Array:
        """Return the diagonal second derivatives of the priors, ``(r, p)``."""
        if self.precision is None:
            return self.on_device(np.zeros((len(rows), self.objective.network.layout.n_parameters)))
        return 2 * self.errordef * self._precision(rows)

    def select(self, rows: Rows) -> Replicas:
        """Return the batch of the replicas with these numbers."""
        P = self.precision
        return replace(self, objective=self._of(rows), precision=P if P is None or P.ndim == 1 else P[rows])

    def alone(self, row: int) -> tuple[Objective, HostArray | None]:
        """Return the objective of one replica, without a replica axis, and the precision of its prior."""
        events, P = self.objective.events, self.precision

        def mine(a: Array) -> Array:
            return a[row, ...] if a.ndim == 3 else a

        own = replace(events.each(mine), nodes=events.nodes)
        return replace(self.objective, events=own), P if P is None or P.ndim == 1 else P[row]

    def chi2(self, theta: Array, rows: Rows) -> HostArray:
        """Compute the data's part of S, ``(r,)`` on the host."""
        return self.numbers(self._batched(Objective.value, theta, rows))

    def numbers(self, a: Array) -> HostArray:
        """Copy a few numbers of each replica to the host."""
        return self.objective.backend.to_host(a)

    def on_device(self, a: HostArray) -> Array:
        """Copy host numbers to the device."""
        return self.objective.backend.to_device(a)

    def take(self, a: Array, rows: Rows) -> Array:
        """Take some rows of an array."""
        if len(rows) == a.shape[0] and np.array_equal(rows, np.arange(len(rows))):
            return a
        backend = self.objective.backend
        with backend.context():
            return backend.xp.take(a, backend.indices(rows), axis=0)

    def _precision(self, rows: Rows) -> Array:
        """Return the precisions of these replicas' priors, ``(r, p)`` on the device."""
        assert self.precision is not None
        P = self.precision if self.precision.ndim == 1 else self.precision[rows]
        return self.on_device(np.broadcast_to(P, (len(rows), P.shape[-1])))

    def _batched(self, f: Callable[[Objective, Array], Array], theta: Array, rows: Rows) -> Array:
        """Call f for all replicas, a few at a time."""
        backend = self.objective.backend
        with (
            backend.context(),
            np.errstate(all="ignore"),
        ):  # a trial step may overflow; minimizers reject infinite values
            parts = [f(self._of(rows[part]), theta[part, :]) for part in self._parts(len(rows))]
            return parts[0] if len(parts) == 1 else backend.xp.concat(parts, axis=0)

    def _parts(self, r: int) -> Iterator[slice]:
        """Yield slices of the replicas that share a product; all of them where kernels are compiled for a CPU."""
        size = r if self.compiles and not self.objective.backend.on_gpu else self.together
        return (slice(i, min(i + size, r)) for i in range(0, r, size))

    def _of(self, rows: Rows) -> Objective:
        """Return the objective of these replicas; arrays without a replica axis are shared."""
        events = self.objective.events
        own = [a for a in (events.x, *events.data, events.weights) if a is not None and a.ndim == 3]
        if not own or np.array_equal(rows, np.arange(own[0].shape[0])):
            return self.objective

        def mine(a: Array) -> Array:
            return self.take(a, rows) if a.ndim == 3 else a

        weights = None if events.weights is None else mine(events.weights)
        data = tuple(mine(a) for a in events.data)
        return replace(self.objective, events=replace(events, x=mine(events.x), data=data, weights=weights))


def _with_prior(errordef: float, xp: Namespace, packed: Array, theta: Array, P: Array | None) -> Array:
    """Add a prior's value and gradient to ``(r, 1 + p)``, in theta's precision, which may be lower than that of S."""
    packed = xp.astype(packed, theta.dtype, copy=False)
    if P is None:
        return packed
    value = errordef * xp.sum(P * theta * theta, axis=-1, keepdims=True)
    return packed + xp.concat([value, 2 * errordef * P * theta], axis=-1)


def _with_diagonal(factor: float, xp: Namespace, B: Array, P: Array) -> Array:
    """Add diagonals ``(r, p)`` times a factor to matrices ``(r, p, p)``."""
    return B + factor * P[:, :, None] * xp.eye(B.shape[-1], dtype=B.dtype, device=device(B))


def stack_objectives(objectives: Sequence[Objective]) -> Objective:
    """Stack objectives into one of replicas with their own events; shorter ones are filled up with zero weights.

    If all of them are the same objective, that is returned, and its events are shared.
    """
    first, most = objectives[0], max(o.events.n for o in objectives)
    if all(o is first for o in objectives):
        return first
    backend, each = first.backend, [o.events for o in objectives]
    with backend.context():
        xp = backend.xp
        if any(e.n < most for e in each):
            each = [next(e.equal_chunks(backend, most)) for e in each]
        x, *data = (xp.stack(arrays, axis=0) for arrays in zip(*((e.x, *e.data) for e in each), strict=True))
        weights = None if each[0].weights is None else xp.stack([e.weights for e in each], axis=0)
        return replace(first, events=Events(x, tuple(data), weights, first.events.nodes))
