"""`Backend`: a library, a device and a dtype, with copies in and out.

`Backend` has the behaviour of the array API standard; a subclass in a file of its own has the differences of a library.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import array_api_compat
import numpy as np

from ffnn_xp._lib.errors import BackendUnavailableError
from ffnn_xp._lib.typing import Array, HostArray, Namespace, Rows
from ffnn_xp.backends.event_loop import EventLoop
from ffnn_xp.backends.formulas import Formulas

if TYPE_CHECKING:
    from ffnn_xp.backends.streaming import CopyStream


OUT_OF_MEMORY = ("out of memory", "RESOURCE_EXHAUSTED", "can't allocate memory")
"""Parts of the libraries' messages when an array does not fit."""


@dataclass(frozen=True)
class Backend(Formulas):
    """An array library on one device, with one floating-point type; `get_backend` makes it.

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
        Why NumPy replaces the requested library; empty if it does not.
    threads : int or None
        Threads that share NumPy's event chunks; None takes the number from the environment (`threads.thread_count`).
    computes : Backend or None
        For arrays that stay in main memory, since they do not fit on a device: the backend that sums over their events.
    compiled : bool
        Whether value and gradient of a narrow network are one compiled loop over events, where there can be one.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> backend = fx.get_backend("numpy")
    >>> backend.name, backend.device, backend.reason
    ('numpy', 'cpu', '')
    """

    xp: Namespace = field(repr=False)
    device: Any
    dtype: str
    reason: str = ""
    threads: int | None = field(default=None, repr=False)
    computes: Backend | None = field(default=None, repr=False)
    compiled: bool = field(default=False, repr=False)

    name: ClassVar[str]
    """Name of the library for users, and of its package."""

    install: ClassVar[str] = ""
    """The command that installs it."""

    distributions: ClassVar[tuple[str, ...]] = ()
    """Names of its distributions, if these are not its own."""

    array_packages: ClassVar[tuple[str, ...]] = ()
    """Packages that define its array types, if these are not its own."""

    for_gpus: ClassVar[bool] = False
    """True if ``"auto"`` may find a GPU through this library."""

    host_arrays: ClassVar[bool] = False
    """True if its arrays are NumPy's."""

    host_arguments: ClassVar[bool] = False
    """True if bound kernels are faster with host arrays as arguments."""

    # How the library is found

    @classmethod
    def is_installed(cls) -> bool:
        """Return True if the library can be imported; this does not import it."""
        return importlib.util.find_spec(cls.name) is not None

    @classmethod
    def version(cls) -> str:
        """Return the version that is installed, empty if there is none."""
        for distribution in cls.distributions or (cls.name,):
            try:
                return importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                continue
        return ""

    @classmethod
    def find(cls, device: Any, dtype: str) -> tuple[Namespace, Any]:
        """Import the library; return its namespace and its object of a device, by default of the best one."""
        raise NotImplementedError

    def devices(self) -> list[str]:
        """List the devices that the library has here, with their names."""
        return ["cpu"]

    @property
    def device_name(self) -> str:
        """The name of the device, as `get_backend` takes it."""
        return str(self.device)

    has_compiler: ClassVar[bool] = False
    """True if the library can have loops over events compiled: then `check_compiler` says whether it can here."""

    @classmethod
    def check_compiler(cls) -> None:
        """Raise a `BackendUnavailableError` if loops over events cannot be compiled here."""
        raise BackendUnavailableError(f"{cls.name} has no compiled loops over events")

    # What this backend is

    @property
    def real(self) -> Any:
        """The dtype object of the namespace."""
        return getattr(self.xp, self.dtype)

    @property
    def epsilon(self) -> float:
        """The distance from 1 to the next number of this dtype."""
        return float(np.finfo(self.dtype).eps)

    @property
    def on_gpu(self) -> bool:
        """True if arrays live on an accelerator."""
        return self.is_gpu(self.device)

    @property
    def threads_help(self) -> bool:
        """True if event chunks should be shared by threads; most libraries have threads of their own."""
        return False

    def in_single_precision(self) -> Backend:
        """Return this backend in float32."""
        computes = None if self.computes is None else replace(self.computes, dtype="float32")
        return replace(self, dtype="float32", computes=computes)

    def in_double_precision(self) -> Backend | None:
        """Return this backend in float64, if it is in float32 and its device has float64 as it is set up."""
        wanted = self.dtype == "float32" and self.has_double(self.xp, self.device)
        return replace(self, dtype="float64") if wanted else None

    def single_threaded_blas(self) -> AbstractContextManager[Any]:
        """Limit the host's BLAS to one thread, where this backend computes with it; see `threads`."""
        return nullcontext()

    def context(self) -> AbstractContextManager[Any]:
        """Make this device the current one, with products in full precision."""
        return nullcontext()

    # Copies to the device

    def to_device(self, a: HostArray) -> Array:
        """Copy a host array to this backend's device, contiguous, in its dtype."""
        a = np.array(a, dtype=self.dtype, order="C")
        with self.context():
            return self._moved(a)

    def indices(self, rows: Rows) -> Array:
        """Copy row numbers to the device, for `take`."""
        with self.context():
            return self._moved(np.array(rows, dtype=np.int64))

    def argument(self, a: HostArray) -> Array:
        """Return a host array as an argument of a bound kernel, which only reads it; it is not copied if possible."""
        return np.asarray(a, dtype=self.dtype, order="C") if self.host_arguments else self.to_device(a)

    def asarray(self, a: Array) -> Array:
        """Return an array of this device in this dtype, still a part of the library's automatic differentiation."""
        with self.context():
            return self.xp.astype(a, self.real)

    def contiguous(self, a: Array) -> Array:
        """Return the array in row-major order, in which chunks of columns are read fastest."""
        return a

    def _moved(self, a: np.ndarray[Any, Any]) -> Array:
        """Move a new host array to the device; in main memory it may be kept as it is."""
        return self.xp.asarray(a, device=self.device)

    # Copies to the host

    @staticmethod
    def as_numpy(a: Array) -> np.ndarray[Any, np.dtype[Any]]:
        """Return an array of this library as a NumPy array in main memory."""
        return np.asarray(a)

    def to_host(self, a: Array) -> HostArray:
        """Copy an array to main memory as float64; no other method does."""
        return np.asarray(a if self.host_arguments else self.as_numpy(a), dtype=np.float64)

    def host_function(self, f: Callable[..., Array]) -> Callable[..., HostArray]:
        """Return f as a function of host vectors in float64, whose result is copied to the host."""
        argument, to_host = self.argument, self.to_host
        as_they_are = self.host_arguments and self.dtype == "float64"  # with a hundred events a conversion costs time

        def on_host(*vectors: HostArray) -> HostArray:
            return to_host(f(*vectors) if as_they_are else f(*map(argument, vectors)))

        return self._without_overhead(on_host)

    def _without_overhead(self, f: Callable[..., HostArray]) -> Callable[..., HostArray]:
        """Return f without the library's services for other callers, such as NumPy's warnings."""
        return np.errstate(all="ignore")(f)

    # Arrays of this library

    @classmethod
    def is_array(cls, a: object) -> bool:
        """Return True if this is an array of this library."""
        return type(a).__module__.partition(".")[0] in (cls.array_packages or (cls.name,)) and hasattr(a, "shape")

    @staticmethod
    def needs_gradient(a: Array) -> bool:
        """Return True if the library differentiates what is computed from this array, or traces it."""
        return False

    @staticmethod
    def in_main_memory(a: Array) -> bool:
        """Return True if NumPy can read an array of this library."""
        return True

    def owns(self, a: object) -> bool:
        """Return True if this is an array of this library on this device."""
        return self.is_array(a) and bool(array_api_compat.device(a) == self.device)

    # Memory

    def free_memory(self) -> int | None:
        """Return the free bytes of the accelerator, with those that the library reserves; None on a CPU."""
        return self._free_on_gpu() if self.on_gpu else None

    def _free_on_gpu(self) -> int | None:
        return None

    @staticmethod
    def out_of_memory(error: BaseException) -> bool:
        """Return True if this error says that an array does not fit into memory."""
        return isinstance(error, MemoryError) or any(word in str(error) for word in OUT_OF_MEMORY)

    def page_locked(self, a: HostArray) -> HostArray:
        """Copy a host array to page-locked memory, from which it can be copied to the device during a computation."""
        return np.array(a, dtype=self.dtype, order="C")

    def copy_stream(self) -> CopyStream | None:
        """Return the stream of copies to this device, where copies can overlap with computations."""
        return None

    # Kernels

    def bind(self, kernel: Callable[..., Any], *static: Any, moving: int = 0) -> Callable[..., Any]:
        """Return ``kernel(*static, xp, ...)`` as a function of arrays, compiled by JAX, a CUDA graph with PyTorch.

        A CUDA graph keeps all temporaries; it is made only if `moving` says how many of the first arguments change
        from call to call.
        """
        return partial(kernel, *static, self.xp)

    def has_loop(self, loop: EventLoop) -> bool:
        """Return True if `in_one_loop` compiles this loop: if `compiled` asks for it, and the network is narrow."""
        return False

    def in_one_loop(self, loop: EventLoop, plain: Callable[..., Array]) -> Callable[..., Array]:
        """Return a sum over events as one compiled loop.

        Parameters
        ----------
        loop : EventLoop
            The source of the loop.
        plain : callable
            The function ``(theta, x, weights, *data)`` of arrays that computes the same; it is called where the loop
            cannot be compiled, and for arrays that the loop cannot read.
        """
        return plain

    def __hash__(self) -> int:
        return hash((self.name, str(self.device), self.dtype))  # CuPy's devices have no hash

    def __copy__(self) -> Backend:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self

    def __str__(self) -> str:
        fallback = f" (instead: {self.reason})" if self.reason else ""
        beside = "" if self.computes is None else f", streamed through {self.computes.name} on {self.computes.device}"
        loops = ", compiled loops" if self.compiled else ""
        return f"{self.name} on {self.device}, {self.dtype}{loops}{beside}{fallback}"
