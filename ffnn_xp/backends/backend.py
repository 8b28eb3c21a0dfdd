"""A library, a device and a dtype, with the ways in and out."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import array_api_compat
import numpy as np
from array_api_compat import numpy as numpy_namespace

from ffnn_xp._lib.typing import Array, HostArray, Namespace, Rows
from ffnn_xp.backends.arrays import library_of, to_numpy
from ffnn_xp.backends.cuda_graphs import Recorder
from ffnn_xp.backends.elementwise import has_double, on_gpu
from ffnn_xp.backends.threads import one_blas_thread

OUT_OF_MEMORY = ("out of memory", "RESOURCE_EXHAUSTED", "can't allocate memory")


@dataclass(frozen=True)
class Backend:
    """An array library on one device, with one floating-point type. Made by `get_backend`.

    Attributes
    ----------
    name : str
        One of ``numpy``, ``cupy``, ``torch``, ``jax``, ``array_api_strict``.
    xp : module
        The array API namespace.
    device : object
        The library's own device object (``"cpu"`` for NumPy).
    dtype : str
        ``"float64"`` or ``"float32"``.
    reason : str
        Why NumPy stands in for what was asked; empty if nothing fell back.
    threads : int or None
        Over which NumPy's blocks of events are spread; None as the environment says (`threads.number`).
    computes : Backend or None
        Of arrays that stay in main memory since they do not fit elsewhere: where sums over their events are computed.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> backend = fx.get_backend("numpy")
    >>> backend.name, backend.device, backend.reason
    ('numpy', 'cpu', '')
    """

    name: str
    xp: Namespace = field(repr=False)
    device: Any
    dtype: str
    reason: str = ""
    threads: int | None = field(default=None, repr=False)
    computes: Backend | None = field(default=None, repr=False)

    @property
    def real(self) -> Any:
        """The dtype object of the namespace."""
        return getattr(self.xp, self.dtype)

    @property
    def epsilon(self) -> float:
        """Distance from 1 to the next number of this dtype."""
        return float(np.finfo(self.dtype).eps)

    @property
    def on_gpu(self) -> bool:
        """Whether arrays live on an accelerator."""
        return on_gpu(self.name, self.device)

    @property
    def compiles(self) -> bool:
        """Whether each new shape of arrays costs a compilation (JAX)."""
        return self.name == "jax"

    @property
    def threads_help(self) -> bool:
        """Whether blocks of events should be spread over threads: other libraries and devices have their own."""
        return self.name == "numpy" and self.computes is None

    def host_resident(self) -> Backend:
        """NumPy, for events that are streamed through this backend's device."""
        return Backend("numpy", numpy_namespace, "cpu", self.dtype, self.reason, self.threads, self)

    def in_single_precision(self) -> Backend:
        """The same in float32."""
        computes = None if self.computes is None else replace(self.computes, dtype="float32")
        return replace(self, dtype="float32", computes=computes)

    def in_double_precision(self) -> Backend | None:
        """The same in float64, if this is float32 and the device has it; of JAX only if it is switched on already."""
        wanted = self.dtype == "float32" and has_double(self.xp, self.device)
        return replace(self, dtype="float64") if wanted else None

    def single_threaded_blas(self) -> AbstractContextManager[Any]:
        """Hold the host's linear algebra to one thread, where this backend computes with it: see `threads`."""
        return one_blas_thread() if self.name == "numpy" else nullcontext()

    def context(self) -> AbstractContextManager[Any]:
        """Make this device the current one (CuPy), and keep all digits of float32 products (JAX on a GPU)."""
        if self.name == "jax" and self.dtype == "float32" and self.on_gpu:
            return importlib.import_module("jax").default_matmul_precision("highest")  # type: ignore[no-any-return]
        return self.device if self.name == "cupy" else nullcontext()

    def to_device(self, a: HostArray) -> Array:
        """A host array as an array of this backend, contiguous, in its dtype."""
        a = np.array(a, dtype=self.dtype, order="C")
        with self.context():
            if self.name == "numpy":
                return a
            if self.name == "jax":
                return importlib.import_module("jax").device_put(a, self.device)
            if self.name == "torch":
                return self.xp.from_numpy(a).to(self.device)
            return self.xp.asarray(a, device=self.device)

    def argument(self, a: HostArray) -> Array:
        """The same as an argument of a bound kernel, which reads it: where that takes a host array, maybe this one.

        Kernels that are compiled (JAX) take one as well, and are faster so.
        """
        return np.asarray(a, dtype=self.dtype, order="C") if self.name in ("numpy", "jax") else self.to_device(a)

    def crossing(self, f: Callable[..., Array]) -> Callable[..., HostArray]:
        """f as a function of host vectors, in float64, whose result goes to the host and nowhere else.

        Without NumPy's warnings of overflow where it is NumPy that computes, and without what PyTorch keeps in mind
        for derivatives that might be asked for. (On a GPU it has recordings instead, which others use too.)
        """
        argument, to_host = self.argument, self.to_host
        as_they_are = self.name in ("numpy", "jax") and self.dtype == "float64"  # of a hundred events that is felt

        def crossed(*vectors: HostArray) -> HostArray:
            return to_host(f(*vectors) if as_they_are else f(*map(argument, vectors)))

        if self.name == "torch" and not self.on_gpu:
            return importlib.import_module("torch").inference_mode()(crossed)  # type: ignore[no-any-return]
        return crossed if self.name in ("cupy", "torch", "jax") else np.errstate(all="ignore")(crossed)

    def indices(self, rows: Rows) -> Array:
        """Row numbers, for `take`."""
        rows = np.array(rows, dtype=np.int64)
        if self.name == "numpy":
            return rows
        if self.name == "jax":
            return importlib.import_module("jax").device_put(rows, self.device)
        if self.name == "torch":
            return self.xp.from_numpy(rows).to(self.device)
        with self.context():
            return self.xp.asarray(rows, device=self.device)

    def to_host(self, a: Array) -> HostArray:
        """A float64 NumPy array in main memory: the one way out."""
        known = self.name in ("numpy", "jax")
        return np.asarray(a if known else to_numpy(a), dtype=np.float64)

    def adopt(self, a: Array) -> Array:
        """An array that is here already, in this dtype and outside any graph of automatic differentiation."""
        with self.context():
            return self.xp.astype(a.detach() if self.name == "torch" else a, self.real)

    def contiguous(self, a: Array) -> Array:
        """The same values in row order of memory, so that blocks of columns are read as they lie."""
        if self.name == "torch":
            return a.contiguous()
        with self.context():
            return self.xp.ascontiguousarray(a) if self.name in ("numpy", "cupy") else a

    def owns(self, a: object) -> bool:
        """Whether this is an array of this library on this device."""
        return library_of(a) == self.name and self._is_here(a)

    def _is_here(self, a: Array) -> bool:
        return self.name == "numpy" or bool(array_api_compat.device(a) == self.device)

    def free_memory(self) -> int | None:
        """Bytes that are free on the accelerator, those included that the library keeps for itself; None on a CPU."""
        if not self.on_gpu:
            return None
        if self.name == "cupy":
            cupy = importlib.import_module("cupy")
            with self.device:
                return int(self.device.mem_info[0] + cupy.get_default_memory_pool().free_bytes())
        if self.name == "torch" and self.device.type == "cuda":
            cuda = importlib.import_module("torch").cuda
            kept = cuda.memory_reserved(self.device) - cuda.memory_allocated(self.device)
            return int(cuda.mem_get_info(self.device)[0] + kept)
        stats = (self.device.memory_stats() if self.name == "jax" else None) or {}
        return int(stats["bytes_limit"] - stats["bytes_in_use"]) if "bytes_limit" in stats else None

    @staticmethod
    def out_of_memory(error: BaseException) -> bool:
        """Whether this is how a library says that an array does not fit."""
        return isinstance(error, MemoryError) or any(word in str(error) for word in OUT_OF_MEMORY)

    def bind(self, kernel: Callable[..., Any], *static: Any, moving: int = 0) -> Callable[..., Any]:
        """A function of arrays alone, ``kernel(*static, xp, ...)``: compiled by JAX, recorded by PyTorch on a GPU.

        A recording keeps all temporaries; it is made only if the first `moving` arguments are said to be those that
        change from call to call.
        """
        if self.compiles:
            return _compiled(kernel, *static)
        plain = partial(kernel, *static, self.xp)
        return Recorder(plain, moving) if moving and self.name == "torch" and self.on_gpu else plain

    def __hash__(self) -> int:
        return hash((self.name, str(self.device), self.dtype))  # CuPy's devices have no hash

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        device = f"{self.device.platform}:{self.device.id}" if self.name == "jax" else str(self.device)
        return _restore, (self.name, device, self.dtype, self.reason, self.threads, self.computes)

    def __str__(self) -> str:
        fallback = f" (instead: {self.reason})" if self.reason else ""
        beside = "" if self.computes is None else f", streamed through {self.computes.name} on {self.computes.device}"
        return f"{self.name} on {self.device}, {self.dtype}{beside}{fallback}"


@lru_cache(maxsize=256)
def _compiled(kernel: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    """JAX's compilation of a kernel for a network and a loss, kept for all costs that share them."""
    jax = importlib.import_module("jax")
    return jax.jit(partial(kernel, *static, importlib.import_module("jax.numpy")))  # type: ignore[no-any-return]


def _restore(
    name: str, device: str, dtype: str, reason: str, threads: int | None, computes: Backend | None = None
) -> Backend:
    """Unpickle: on a machine without the device, fall back as usual."""
    from ffnn_xp.backends.registry import get_backend

    if name == "cupy":
        device = device.removeprefix("<CUDA Device ").rstrip(">")
    if name == "array_api_strict":
        device = device.split("'")[1]
    backend = get_backend(name, device=device, dtype=dtype, threads=threads)
    return replace(backend, reason=reason or backend.reason, computes=computes)
