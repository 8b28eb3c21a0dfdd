"""The backend of CuPy, on NVIDIA's GPUs."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np

from ffnn_xp._lib.errors import BackendUnavailableError
from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.backends.base import Backend
from ffnn_xp.backends.event_loop import CompiledLoop, EventLoop
from ffnn_xp.backends.formulas import into
from ffnn_xp.backends.streaming import CopyStream


class CupyBackend(Backend):
    """CuPy on a CUDA GPU."""

    name: ClassVar[str] = "cupy"
    install: ClassVar[str] = "pip install 'ffnn_xp[cuda12]' (or cuda13)"
    distributions: ClassVar[tuple[str, ...]] = ("cupy", "cupy-cuda12x", "cupy-cuda13x")
    for_gpus: ClassVar[bool] = True
    writable: ClassVar[bool] = True
    has_compiler: ClassVar[bool] = True

    @classmethod
    def find(cls, device: Any, dtype: str) -> tuple[Namespace, Any]:
        """Return array-api-compat's namespace of CuPy and a CUDA device."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuPy warns at import if it finds no CUDA; our own message says it
            cupy = importlib.import_module("cupy")
        if not cupy.cuda.is_available():
            raise BackendUnavailableError("CuPy is installed but finds no usable CUDA GPU")
        if not isinstance(device, cupy.cuda.Device):
            index = "0" if device in (None, "cuda") else str(device).removeprefix("cuda:")
            if not index.isdigit():
                raise BackendUnavailableError(f"CuPy has no device {device!r}, only GPUs: 'cuda:0' or an index")
            device = cupy.cuda.Device(int(index))
        return importlib.import_module("array_api_compat.cupy"), device

    def devices(self) -> list[str]:
        """List the GPUs with their names."""
        runtime = importlib.import_module("cupy").cuda.runtime
        return [
            f"cuda:{i} ({runtime.getDeviceProperties(i)['name'].decode()})" for i in range(runtime.getDeviceCount())
        ]

    @property
    def device_name(self) -> str:
        """The number of the GPU."""
        return str(self.device).removeprefix("<CUDA Device ").rstrip(">")

    @staticmethod
    def is_gpu(device: Any) -> bool:
        """Return True: CuPy has GPUs only."""
        return True

    @staticmethod
    def has_double(xp: Namespace, device: Any) -> bool:
        """Return True: each CUDA GPU has float64."""
        return True

    def context(self) -> AbstractContextManager[Any]:
        """Make this device the current one."""
        return self.device  # type: ignore[no-any-return]

    def contiguous(self, a: Array) -> Array:
        """Return the array in row-major order."""
        with self.context():
            return self.xp.ascontiguousarray(a)

    @staticmethod
    def as_numpy(a: Array) -> np.ndarray[Any, np.dtype[Any]]:
        """Copy an array to the host."""
        return a.get()  # type: ignore[no-any-return]

    def _without_overhead(self, f: Callable[..., HostArray]) -> Callable[..., HostArray]:
        return f

    @staticmethod
    def in_main_memory(a: Array) -> bool:
        """Return False: NumPy cannot read an array on a GPU."""
        return False

    def _free_on_gpu(self) -> int | None:
        cupy = importlib.import_module("cupy")
        with self.device:
            return int(self.device.mem_info[0] + cupy.get_default_memory_pool().free_bytes())

    def page_locked(self, a: HostArray) -> HostArray:
        """Copy a host array to page-locked memory."""
        locked: HostArray = importlib.import_module("cupyx").empty_pinned(a.shape, dtype=self.dtype)
        locked[...] = a
        return locked

    def copy_stream(self) -> CopyStream | None:
        """Return this device's stream of copies."""
        return _copy_stream(self)

    @classmethod
    def check_compiler(cls) -> None:
        """Find nothing to say: CuPy brings its compiler."""

    def has_loop(self, loop: EventLoop) -> bool:
        """Return True if loops are asked for, and the numbers of a few events have a place in a block's memory."""
        return self.compiled and GpuLoop.threads_of(loop, self.dtype) > 0

    def in_one_loop(self, loop: EventLoop, plain: Callable[..., Array]) -> Callable[..., Array]:
        """Return a sum over events, compiled for the GPU."""
        return GpuLoop(loop, plain, self.dtype)

    @staticmethod
    def erf(xp: Namespace, z: Array) -> Array:
        """Compute the error function of `cupyx.scipy`."""
        return importlib.import_module("cupyx.scipy.special").erf(z)

    @classmethod
    def in_one_pass(cls, xp: Namespace, f: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """Fuse a formula into one kernel, if CuPy can."""
        return _fused(xp, f, *static)

    @classmethod
    def writer(cls, xp: Namespace, f: Callable[..., Array], *, writes: bool) -> Callable[[Array, Array], Any]:
        """Return one kernel that computes and writes."""
        return _fused(xp, into, f)


@lru_cache(maxsize=256)
def _fused(xp: Namespace, f: Callable[..., Any], *static: Any) -> _Fused:
    return _Fused(partial(f, *static, xp))


class _Fused:
    """A function of CuPy arrays in one kernel; once CuPy cannot fuse it, in many."""

    def __init__(self, plain: Callable[..., Any]) -> None:
        self.plain = plain

        def one_pass(*arrays: Array) -> Any:  # CuPy takes the kernel's name from it
            return plain(*arrays)

        self.fused: Callable[..., Any] | None = importlib.import_module("cupy").fuse()(one_pass)

    def __call__(self, *arrays: Array) -> Any:
        if self.fused is not None:
            try:
                return self.fused(*arrays)
            except Exception as error:
                if isinstance(error, MemoryError):
                    raise
            self.fused = None
        return self.plain(*arrays)


class GpuLoop(CompiledLoop):
    """A loop that CuPy compiles for the GPU at its first sum, which is compared with that of arrays.

    If it cannot be compiled, or if the sums differ, arrays compute, then and from then on.
    """

    MEMORY: ClassVar[int] = 48 * 1024  # bytes that a block may have on any GPU
    PARTS: ClassVar[int] = 1024  # blocks of a sum at most, a few for each processor of the largest GPUs
    REPLICAS: ClassVar[int] = 65535  # in a grid
    NUMBERS: ClassVar[dict[str, str]] = {"float64": "double", "float32": "float"}  # names in CUDA
    DIFFERENCE: ClassVar[dict[str, float]] = {"float64": 1e-10, "float32": 1e-4}  # of sums that agree, relative

    def __init__(self, loop: EventLoop, plain: Callable[..., Array], dtype: str) -> None:
        super().__init__(loop, plain, dtype)
        self.cupy = importlib.import_module("cupy")
        self.threads = self.threads_of(loop, dtype)
        self.kernels: tuple[Any, Any] | None = None
        self.agrees: bool | None = None  # not known before the first sum

    @classmethod
    def threads_of(cls, loop: EventLoop, dtype: str) -> int:
        """Return the number of threads of a block, 0 if there is no place for the numbers of 32 events."""
        return next((t for t in (128, 64, 32) if cls.bytes_of(loop, dtype, t) <= cls.MEMORY), 0)

    @staticmethod
    def bytes_of(loop: EventLoop, dtype: str, threads: int) -> int:
        """Return the bytes of a block: sums in float64, and a row of numbers with one to spare for each of the rows."""
        return 8 * (loop.parameters + 1) + np.dtype(dtype).itemsize * loop.rows * (threads + 1)

    @staticmethod
    def address(a: Any) -> int:
        """Return the address of an array's first number."""
        return int(a.data.ptr)

    def placed(self, numbers: list[int]) -> Any:
        """Return the numbers in an array on the GPU."""
        return self.cupy.asarray(np.array(numbers, dtype=np.int64))

    def __call__(self, theta: Array, *arrays: Array | None) -> Array:
        """Return the sum, ``(1 + p,)`` or ``(r, 1 + p)``."""
        if self.agrees is None:
            return self._compared(theta, *arrays)
        fits = theta.ndim == 1 or theta.shape[0] <= self.REPLICAS
        return super().__call__(theta, *arrays) if self.agrees and fits else self.plain(theta, *arrays)

    def run(self, theta: Array, events: Any, n: int) -> Array:
        """Return the sum, in two launches."""
        copies, p = (theta.shape[0] if theta.ndim == 2 else 1), self.loop.parameters
        sums = self.cupy.empty((*theta.shape[:-1], p + 1))
        if self.kernels is None:
            source = self.loop.inside("event_loop_gpu.cu", NUMBER=self.NUMBERS[self.dtype.name])
            module = self.cupy.RawModule(code=source)
            self.kernels = module.get_function("sum_parts"), module.get_function("add_parts")
        parts = min(-(-n // self.threads), max(1, self.PARTS // max(copies, 1)))
        memory = self.bytes_of(self.loop, self.dtype.name, self.threads)
        partial = self.cupy.empty((copies, parts, p + 1))
        sum_parts, add_parts = self.kernels
        arguments = events, self.cupy.ascontiguousarray(theta), partial
        sum_parts((parts, copies), (self.threads,), arguments, shared_mem=memory)
        add_parts((p // 128 + 1, copies), (128,), (partial, np.int64(parts), np.int64(p), sums))
        return sums

    def _compared(self, theta: Array, *arrays: Array | None) -> Array:
        """Return the loop's sum if it is that of arrays, else that of arrays; where that is infinite, decide later."""
        expected = self.plain(theta, *arrays)
        if not bool(self.cupy.isfinite(expected).all()):
            return expected
        try:
            found = super().__call__(theta, *arrays)
            norm = self.cupy.linalg.norm
            error = norm(found - expected, axis=-1) / norm(expected, axis=-1)
            self.agrees = bool((error < self.DIFFERENCE[self.dtype.name]).all())
        except Exception as error:  # compilers and drivers fail in many ways
            if isinstance(error, MemoryError):
                raise
            self.agrees = False
        return found if self.agrees else expected


class _CopyStream(CopyStream):
    """A stream of copies with CuPy."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.module = backend, importlib.import_module("cupy")
        self.cuda = self.module.cuda
        with backend.context():
            self.stream = self.cuda.Stream(non_blocking=True)

    def activate(self) -> AbstractContextManager[Any]:
        return self.stream  # type: ignore[no-any-return]

    def copy(self, a: HostArray) -> Array:
        there = self.module.empty(a.shape, dtype=self.backend.real)
        for row in np.ndindex(a.shape[:-1]):
            there[row].set(a[row], stream=self.stream)
        return there

    def current(self) -> Any:
        return self.cuda.get_current_stream()

    def mark(self) -> Any:
        event = self.cuda.Event()
        event.record()
        return event


@lru_cache(maxsize=16)
def _copy_stream(backend: Backend) -> _CopyStream:
    """Return the stream of a device, the same at each call, so that the memory of its copies is used again."""
    return _CopyStream(backend)
