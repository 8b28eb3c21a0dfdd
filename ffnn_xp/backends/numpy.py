"""The backend of NumPy, which is always installed."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import numpy as np

from ffnn_xp._lib.errors import BackendFallbackWarning, BackendUnavailableError, outside_the_package
from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends import c_compiler, fast_tanh
from ffnn_xp.backends.base import Backend
from ffnn_xp.backends.event_loop import EventLoop, HostLoop
from ffnn_xp.backends.threads import one_blas_thread


class NumpyBackend(Backend):
    """NumPy on the CPU; its arrays are the host's."""

    name: ClassVar[str] = "numpy"
    host_arrays: ClassVar[bool] = True
    host_arguments: ClassVar[bool] = True
    writable: ClassVar[bool] = True
    has_compiler: ClassVar[bool] = True
    empty = staticmethod(np.empty)

    @classmethod
    def find(cls, device: Any, dtype: str) -> tuple[Namespace, Any]:
        """Return array-api-compat's namespace of NumPy."""
        if device not in (None, "cpu"):
            raise BackendUnavailableError(f"NumPy has no device {device!r}, only 'cpu'")
        return importlib.import_module("array_api_compat.numpy"), "cpu"  # it loads all of NumPy, f2py included

    @property
    def threads_help(self) -> bool:
        """True if event chunks should be shared by threads: unless another device computes."""
        return self.computes is None

    def single_threaded_blas(self) -> AbstractContextManager[Any]:
        """Limit the host's BLAS to one thread."""
        return one_blas_thread()

    @classmethod
    def check_compiler(cls) -> None:
        """Raise a `BackendUnavailableError` unless there is a C compiler that works."""
        c_compiler.check()

    def has_loop(self, loop: EventLoop) -> bool:
        """Return True if the C compiler is asked for; in float64."""
        return self.compiled and self.dtype == "float64" and max(loop.widths) <= self.tuning.loop_width

    def in_one_loop(self, loop: EventLoop, plain: Callable[..., Array]) -> Callable[..., Array]:
        """Return a sum over events, compiled by the C compiler; where that fails, say so and return `plain`."""
        try:
            source = loop.inside("event_loop_cpu.c")
            function = c_compiler.compiled(source, "value_and_gradient")
        except BackendUnavailableError as error:
            warnings.warn(
                f"{error}. Going on without a compiled loop", BackendFallbackWarning, stacklevel=outside_the_package()
            )
            return plain
        return HostLoop(loop, plain, function, self.tuning.loop_part)

    def _moved(self, a: np.ndarray[Any, Any]) -> Array:
        return a

    def contiguous(self, a: Array) -> Array:
        """Return the array in row-major order."""
        return self.xp.ascontiguousarray(a)

    @classmethod
    def is_array(cls, a: object) -> bool:
        """Return True if this is a NumPy array, or one of a derived class."""
        return isinstance(a, np.ndarray)

    def owns(self, a: object) -> bool:
        """Return True if this is a NumPy array."""
        return isinstance(a, np.ndarray)

    @staticmethod
    def has_double(xp: Namespace, device: Any) -> bool:
        """Return True: NumPy has float64."""
        return True

    @classmethod
    def total(cls, xp: Namespace, s: Array) -> Array:
        """Sum over the last two axes, by the method, which costs less to call than the function."""
        return s.sum(axis=(-2, -1), dtype=np.float64)

    @staticmethod
    def erf(xp: Namespace, z: Array) -> Array:
        """Compute the error function by SciPy."""
        return importlib.import_module("scipy.special").erf(z)  # imported late, since that takes a while

    @classmethod
    def tanh(cls, xp: Namespace, z: Array, out: Array | None = None) -> Array:
        """Compute tanh, from a table where that is faster than NumPy's own."""
        if z.size >= cls.tuning.fast_tanh_from and z.dtype == np.float64 and fast_tanh.is_faster():
            return fast_tanh.tanh(z, np.empty_like(z) if out is None else out, cls.tuning.fast_tanh_chunk)
        return xp.tanh(z) if out is None else xp.tanh(z, out=out)

    @staticmethod
    def tanh_back(xp: Namespace, delta: Array, z: Array, a: Array) -> Array:
        """Multiply delta by 1 - a^2, in few calls."""
        lost = a * a  # a sum with a number would take NumPy longer than a product of small arrays
        lost *= delta
        return delta - lost
