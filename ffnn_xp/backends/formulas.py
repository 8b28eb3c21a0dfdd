"""Formulas in functions of the array API standard; a backend replaces those for which its library has one kernel.

Model code calls them through `elementwise`, which finds the library of a namespace.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import array_api_compat

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends.tuning import BackendTuning


class Formulas:
    """Formulas of a namespace and its arrays, without a device or a dtype of their own."""

    tuning: ClassVar[BackendTuning] = BackendTuning()

    writable: ClassVar[bool] = False
    """True if parts of arrays can be written to."""

    compiles: ClassVar[bool] = False
    """True if the library compiles: each new shape costs time, and sums are fused into products."""

    empty: ClassVar[Callable[..., Array] | None] = None
    """A function of shape and dtype that costs less to call than the namespace's `empty`, if there is one."""

    @staticmethod
    def is_gpu(device: Any) -> bool:
        """Return True if a device of this library is an accelerator."""
        return False

    @staticmethod
    def device_of(a: Array) -> Any:
        """Return the device of an array; None where a compiler may be tracing it."""
        return array_api_compat.device(a)

    @staticmethod
    def has_double(xp: Namespace, device: Any) -> bool:
        """Return True if a device has float64."""
        return "float64" in xp.__array_namespace_info__().dtypes(device=device)

    @classmethod
    def total(cls, xp: Namespace, s: Array) -> Array:
        """Sum over the last two axes, in double precision where the device has it."""
        return xp.sum(s, axis=(-2, -1), dtype=xp.float64 if cls.has_double(xp, cls.device_of(s)) else s.dtype)

    @staticmethod
    def erf(xp: Namespace, z: Array) -> Array:
        """Compute the error function by the namespace's own, which is beyond the standard."""
        if not hasattr(xp, "erf"):
            raise NotImplementedError(f"{xp.__name__} has no error function: write `erf` in the class of its backend")
        return xp.erf(z)

    @classmethod
    def tanh(cls, xp: Namespace, z: Array, out: Array | None = None) -> Array:
        """Compute the hyperbolic tangent, written to `out` if that is given."""
        return xp.tanh(z) if out is None else xp.tanh(z, out=out)

    @staticmethod
    def tanh_back(xp: Namespace, delta: Array, z: Array, a: Array) -> Array:
        """Multiply delta by the slope of tanh, 1 - a^2, where its value is a."""
        return delta * (1 - a * a)

    @classmethod
    def in_one_pass(cls, xp: Namespace, f: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """Return the elementwise ``f(*static, xp, ...)`` as a function of arrays."""
        return partial(f, *static, xp)

    @classmethod
    def above_ones(
        cls, xp: Namespace, f: Callable[..., Array], *, writes: bool = False
    ) -> Callable[[Array], tuple[Array, Array]]:
        """Return a function that computes ``f(z)`` and ``(f(z), 1)``; see `elementwise.above_ones`."""
        if not cls.writable:
            return partial(_joined, xp, f)
        empty, write = cls.empty, cls.writer(xp, f, writes=writes)

        def written(z: Array) -> tuple[Array, Array]:
            *replicas, h, n = z.shape
            shape = (*replicas, h + 1, n)
            whole = empty(shape, z.dtype) if empty else xp.empty(shape, dtype=z.dtype, device=z.device)
            whole[..., -1, :] = 1.0
            a = whole[..., :-1, :]
            write(z, a)
            return a, whole

        return written

    @classmethod
    def writer(cls, xp: Namespace, f: Callable[..., Array], *, writes: bool) -> Callable[[Array, Array], Any]:
        """Return a function ``(z, out)`` that writes ``f(z)`` to `out`; `writes` says that f can do so itself."""
        return partial(f, xp) if writes else partial(into, f, xp)


def _joined(xp: Namespace, f: Callable[..., Array], z: Array) -> tuple[Array, Array]:
    a = f(xp, z)
    return a, xp.concat([a, xp.ones_like(a[..., :1, :])], axis=-2)


def into(f: Callable[..., Array], xp: Namespace, z: Array, out: Array) -> None:
    """Write ``f(xp, z)`` to `out`."""
    out[...] = f(xp, z)
