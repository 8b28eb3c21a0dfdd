"""A library, a device and a dtype, with the ways in and out.

`Backend` says what the array API standard says; a subclass in a file of its own has what one library does differently.
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

from ffnn_xp._lib.typing import Array, HostArray, Namespace, Rows
from ffnn_xp.backends.formulas import Formulas

if TYPE_CHECKING:
    from ffnn_xp.backends.streaming import CopyStream


OUT_OF_MEMORY = ("out of memory", "RESOURCE_EXHAUSTED", "can't allocate memory")
"""What libraries say when an array does not fit."""


@dataclass(frozen=True)
class Backend(Formulas):
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
        Over which NumPy's blocks of events are spread; None as the environment says (`threads.thread_count`).
    computes : Backend or None
        Of arrays that stay in main memory since they do not fit elsewhere: where sums over their events are computed.

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

    name: ClassVar[str]
    """What users call the library, and Python the package."""

    install: ClassVar[str] = ""
    """How to install it."""

    distributions: ClassVar[tuple[str, ...]] = ()
    """Names under which it is installed, if these are not its own."""

    array_packages: ClassVar[tuple[str, ...]] = ()
    """Packages that the types of its arrays are from, if these are not its own."""

    for_gpus: ClassVar[bool] = False
    """Whether ``"auto"`` looks here for a GPU."""

    host_arrays: ClassVar[bool] = False
    """Whether its arrays are NumPy's."""

    host_arguments: ClassVar[bool] = False
    """Whether bound kernels take host arrays as arguments, and are the faster for it."""

    # How the library is found

    @classmethod
    def is_installed(cls) -> bool:
        """Tell whether the library can be imported, without importing it."""
        return importlib.util.find_spec(cls.name) is not None

    @classmethod
    def version(cls) -> str:
        """Return the version that is installed, or nothing."""
        for distribution in cls.distributions or (cls.name,):
            try:
                return importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                continue
        return ""

    @classmethod
    def find(cls, device: Any, dtype: str) -> tuple[Namespace, Any]:
        """Import the library; return its namespace and its own object for a device, None being the best one."""
        raise NotImplementedError

    def devices(self) -> list[str]:
        """List the devices that the library has here, with their names."""
        return ["cpu"]

    @property
    def device_name(self) -> str:
        """The device by the name that `get_backend` takes."""
        return str(self.device)

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
        """Whether arrays live on an accelerator."""
        return self.is_gpu(self.device)

    @property
    def threads_help(self) -> bool:
        """Whether blocks of events should be spread over threads: other libraries and devices have their own."""
        return False

    def in_single_precision(self) -> Backend:
        """Return the same in float32."""
        computes = None if self.computes is None else replace(self.computes, dtype="float32")
        return replace(self, dtype="float32", computes=computes)

    def in_double_precision(self) -> Backend | None:
        """Return the same in float64, if this is float32 and the device has it without a change of settings."""
        wanted = self.dtype == "float32" and self.has_double(self.xp, self.device)
        return replace(self, dtype="float64") if wanted else None

    def single_threaded_blas(self) -> AbstractContextManager[Any]:
        """Hold the host's linear algebra to one thread, where this backend computes with it: see `threads`."""
        return nullcontext()

    def context(self) -> AbstractContextManager[Any]:
        """Make this device the current one, and keep all digits of products."""
        return nullcontext()

    # Ways in

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
        """Return a host array as an argument of a bound kernel, which only reads it: where it can, this very array."""
        return np.asarray(a, dtype=self.dtype, order="C") if self.host_arguments else self.to_device(a)

    def asarray(self, a: Array) -> Array:
        """Return an array that is here already in this dtype, outside of any graph of automatic differentiation."""
        with self.context():
            return self.xp.astype(a, self.real)

    def contiguous(self, a: Array) -> Array:
        """Return the same values in row order of memory, so that blocks of columns are read as they lie."""
        return a

    def _moved(self, a: np.ndarray[Any, Any]) -> Array:
        """Copy a new host array to the device; it may be kept where that is the same memory."""
        return self.xp.asarray(a, device=self.device)

    # The way out

    @staticmethod
    def as_numpy(a: Array) -> np.ndarray[Any, np.dtype[Any]]:
        """Return an array of this library as NumPy's, in main memory."""
        return np.asarray(a)

    def to_host(self, a: Array) -> HostArray:
        """Copy an array to main memory as float64: the one way out."""
        return np.asarray(self.as_numpy(a), dtype=np.float64)

    def host_function(self, f: Callable[..., Array]) -> Callable[..., HostArray]:
        """Make of f a function of host vectors in float64, whose result goes to the host and nowhere else."""
        argument, to_host = self.argument, self.to_host
        as_they_are = self.host_arguments and self.dtype == "float64"  # of a hundred events that is felt

        def on_host(*vectors: HostArray) -> HostArray:
            return to_host(f(*vectors) if as_they_are else f(*map(argument, vectors)))

        return self._undisturbed(on_host)

    def _undisturbed(self, f: Callable[..., HostArray]) -> Callable[..., HostArray]:
        """Spare a function whose result goes to the host what the library does for others: here NumPy's warnings."""
        return np.errstate(all="ignore")(f)

    # Arrays of this library

    @classmethod
    def is_array(cls, a: object) -> bool:
        """Tell whether this is an array of this library."""
        return type(a).__module__.partition(".")[0] in (cls.array_packages or (cls.name,)) and hasattr(a, "shape")

    @staticmethod
    def in_main_memory(a: Array) -> bool:
        """Tell whether NumPy can see an array of this library."""
        return True

    def owns(self, a: object) -> bool:
        """Tell whether this is an array of this library on this device."""
        return self.is_array(a) and bool(array_api_compat.device(a) == self.device)

    # Memory

    def free_memory(self) -> int | None:
        """Return the bytes free on the accelerator, with those that the library keeps for itself; None on a CPU."""
        return self._free_on_gpu() if self.on_gpu else None

    def _free_on_gpu(self) -> int | None:
        return None

    @staticmethod
    def out_of_memory(error: BaseException) -> bool:
        """Tell whether this is how a library says that an array does not fit."""
        return isinstance(error, MemoryError) or any(word in str(error) for word in OUT_OF_MEMORY)

    def page_locked(self, a: HostArray) -> HostArray:
        """Copy a host array to memory from which this device can be copied to while it computes."""
        return np.array(a, dtype=self.dtype, order="C")

    def copy_stream(self) -> CopyStream | None:
        """Return the stream of copies to this device, where they can run beside computations."""
        return None

    # Kernels

    def bind(self, kernel: Callable[..., Any], *static: Any, moving: int = 0) -> Callable[..., Any]:
        """Make of ``kernel(*static, xp, ...)`` a function of arrays alone: compiled by JAX, a CUDA graph of PyTorch.

        A CUDA graph keeps all temporaries; it is made only if the first `moving` arguments are said to be those that
        change from call to call.
        """
        return partial(kernel, *static, self.xp)

    def __hash__(self) -> int:
        return hash((self.name, str(self.device), self.dtype))  # CuPy's devices have no hash

    def __copy__(self) -> Backend:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self

    def __str__(self) -> str:
        fallback = f" (instead: {self.reason})" if self.reason else ""
        beside = "" if self.computes is None else f", streamed through {self.computes.name} on {self.computes.device}"
        return f"{self.name} on {self.device}, {self.dtype}{beside}{fallback}"
