"""Which array library, which device, which dtype: the only door to CuPy, PyTorch, JAX and array-api-strict.

A `Backend` is a namespace ``xp`` with a device and a dtype, and the ways in (`Backend.to_device`) and out
(`Backend.to_host`). No library is imported before it is asked for, and a GPU is believed only after it has
multiplied two matrices: ``import cupy`` succeeds on any laptop.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import array_api_compat
import numpy as np
from array_api_compat import numpy as numpy_namespace

from .._typing import Array, HostArray, Namespace, Rows
from ..errors import BackendFallbackWarning, BackendUnavailableError, did_you_mean, outside_the_package
from ..memory import keep_freed_memory
from ..threads import one_blas_thread
from .recording import Recorder

BACKENDS = ("numpy", "cupy", "torch", "jax", "array_api_strict")
GPU_LIBRARIES = ("cupy", "torch", "jax")
DTYPES = ("float64", "float32")
INSTALL = {
    "cupy": "pip install 'ffnn_xp[cuda12]' (or cuda13)",
    "torch": "pip install 'ffnn_xp[torch]'",
    "jax": "pip install 'ffnn_xp[jax]'",
    "array_api_strict": "pip install array-api-strict",
}
OUT_OF_MEMORY = ("out of memory", "RESOURCE_EXHAUSTED", "can't allocate memory")
_warned: set[str] = set()


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

    Examples
    --------
    >>> backend = get_backend("numpy")
    >>> backend.name, backend.device, backend.reason
    ('numpy', 'cpu', '')
    """

    name: str
    xp: Namespace = field(repr=False)
    device: Any
    dtype: str
    reason: str = ""
    threads: int | None = field(default=None, repr=False)

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
        if self.name == "jax":
            return bool(self.device.platform != "cpu")
        if self.name == "torch":
            return bool(self.device.type != "cpu")
        return self.name == "cupy"

    @property
    def compiles(self) -> bool:
        """Whether each new shape of arrays costs a compilation (JAX)."""
        return self.name == "jax"

    @property
    def threads_help(self) -> bool:
        """Whether blocks of events should be spread over threads: other libraries have their own."""
        return self.name == "numpy"

    def calm(self) -> AbstractContextManager[Any]:
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
        """The same as an argument of a bound kernel: a compiled one (JAX) takes a host array, and is faster so."""
        return np.array(a, dtype=self.dtype, order="C") if self.compiles else self.to_device(a)

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
        return np.asarray(to_numpy(a), dtype=np.float64)

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
        return _library_of(a) == self.name and _same_device(self, a)

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
        return _restore, (self.name, device, self.dtype, self.reason, self.threads)

    def __str__(self) -> str:
        fallback = f" (instead: {self.reason})" if self.reason else ""
        return f"{self.name} on {self.device}, {self.dtype}{fallback}"


@lru_cache(maxsize=256)
def _compiled(kernel: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    """JAX's compilation of a kernel for a network and a loss, kept for all costs that share them."""
    jax = importlib.import_module("jax")
    return jax.jit(partial(kernel, *static, importlib.import_module("jax.numpy")))  # type: ignore[no-any-return]


def _restore(name: str, device: str, dtype: str, reason: str, threads: int | None) -> Backend:
    """Unpickle: on a machine without the device, fall back as usual."""
    if name == "cupy":
        device = device.removeprefix("<CUDA Device ").rstrip(">")
    if name == "array_api_strict":
        device = device.split("'")[1]
    backend = get_backend(name, device=device, dtype=dtype, threads=threads)
    return replace(backend, reason=reason or backend.reason)


def get_backend(
    name: str | Backend = "auto",
    *,
    device: Any = None,
    dtype: str = "float64",
    fallback: bool | None = None,
    threads: int | None = None,
) -> Backend:
    """Resolve a backend's name to a library, a device and a dtype that work here.

    Parameters
    ----------
    name : str or Backend
        ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"``, ``"array_api_strict"``, or ``"auto"``: what the environment
        variable ``FFNN_XP_BACKEND`` says, else a usable GPU (through CuPy, PyTorch or JAX, in this order), else NumPy.
    device : object, optional
        Where the arrays live: ``"cuda:0"``, an index, or the library's own device object. By default the
        library's first GPU if it has one, else the CPU.
    dtype : {"float64", "float32"}
        Type of all numbers. float64 on JAX switches on JAX's 64-bit mode, which holds for the whole process.
    fallback : bool, optional
        Whether NumPy may stand in, with one `BackendFallbackWarning`. By default yes, unless ``FFNN_XP_STRICT=1``.
    threads : int, optional
        Over how many NumPy spreads blocks of events, where layers are wide enough to gain. By default what the
        environment variable ``FFNN_XP_THREADS``, else ``OMP_NUM_THREADS``, says, else all processors of this process.
        Other libraries have their own settings.

    Raises
    ------
    ValueError
        If the name or the dtype is unknown, or `threads` is not a positive integer.
    BackendUnavailableError
        If the library or device cannot be used and falling back is ruled out.

    Examples
    --------
    >>> get_backend("numpy", dtype="float32").dtype
    'float32'
    """
    if threads is not None and (isinstance(threads, bool) or int(threads) != threads or threads < 1):
        raise ValueError(f"`threads` must be a positive integer, got {threads!r}")
    backend = _find(name, device, dtype, fallback)
    return backend if threads is None else replace(backend, threads=int(threads))


def _find(name: str | Backend, device: Any, dtype: str, fallback: bool | None) -> Backend:
    dtype = getattr(dtype, "__name__", str(dtype)).rpartition(".")[2]
    if isinstance(name, Backend):
        if device is not None or dtype not in ("float64", name.dtype):
            raise ValueError(
                f"`backend` is a Backend already ({name}): leave `device` and `dtype` to it, or give its name instead"
            )
        return name
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be 'float64' or 'float32', got {dtype!r}")
    if name == "auto":
        name = os.environ.get("FFNN_XP_BACKEND") or "auto"
    name = str(name).replace("-", "_")
    if name not in ("auto", *BACKENDS):
        raise ValueError(f"unknown backend {name!r}: {did_you_mean(name, ('auto', *BACKENDS))}")
    if fallback is None:
        fallback = os.environ.get("FFNN_XP_STRICT", "") in ("", "0")
    keep_freed_memory()
    try:
        return _automatic(device, dtype) if name == "auto" else _open(name, device, dtype)
    except BackendUnavailableError as error:
        if not fallback:
            raise
        reason = f"{name}: {error}"
    if reason not in _warned:
        _warned.add(reason)
        warnings.warn(
            f"{reason}. Going on with NumPy on the CPU, which gives the same numbers; "
            "pass fallback=False or set FFNN_XP_STRICT=1 to stop instead.",
            BackendFallbackWarning,
            stacklevel=outside_the_package(),
        )
    return Backend("numpy", numpy_namespace, "cpu", dtype, reason)


def _automatic(device: Any, dtype: str) -> Backend:
    if device != "cpu" and has_nvidia_driver():
        for name in GPU_LIBRARIES:
            try:
                backend = _open(name, device, dtype)
            except BackendUnavailableError:
                continue
            if backend.on_gpu:
                return backend
    return _open("numpy", device, dtype)


def has_nvidia_driver() -> bool:
    """Whether a CUDA driver sees a GPU, asked without importing any array library."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        count = ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def _open(name: str, device: Any, dtype: str) -> Backend:
    """Import the library, find the device, and let it prove itself on a small product."""
    if name != "numpy" and importlib.util.find_spec(name) is None:
        raise BackendUnavailableError(f"the package is not installed; {INSTALL[name]}")
    try:
        backend = Backend(name, *_OPENERS[name](device, dtype), dtype)
        with backend.context():
            probe = backend.to_device(np.eye(2))
            value = float(backend.to_host(backend.xp.tanh(probe @ probe))[0, 0])
    except BackendUnavailableError:
        raise
    except Exception as error:  # libraries and drivers fail in many ways
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BackendUnavailableError(f"device {device!r} is not usable: {first}") from error
    if not math.isclose(value, math.tanh(1), rel_tol=1e-5):
        raise BackendUnavailableError(f"device {device!r} computes tanh(1) = {value}")
    return backend


def _open_numpy(device: Any, dtype: str) -> tuple[Namespace, Any]:
    if device not in (None, "cpu"):
        raise BackendUnavailableError(f"NumPy has no device {device!r}, only 'cpu'")
    return numpy_namespace, "cpu"


def _open_cupy(device: Any, dtype: str) -> tuple[Namespace, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy warns at import when it finds no CUDA; we say it in our words
        cupy = importlib.import_module("cupy")
    if not cupy.cuda.is_available():
        raise BackendUnavailableError("CuPy is installed but finds no usable CUDA GPU")
    if not isinstance(device, cupy.cuda.Device):
        index = "0" if device in (None, "cuda") else str(device).removeprefix("cuda:")
        if not index.isdigit():
            raise BackendUnavailableError(f"CuPy has no device {device!r}, only GPUs: 'cuda:0' or an index")
        device = cupy.cuda.Device(int(index))
    return importlib.import_module("array_api_compat.cupy"), device


def _open_torch(device: Any, dtype: str) -> tuple[Namespace, Any]:
    torch = importlib.import_module("torch")
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(f"cuda:{device}" if isinstance(device, int) else device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BackendUnavailableError("PyTorch is installed but finds no usable CUDA GPU")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    return importlib.import_module("array_api_compat.torch"), device


def _open_jax(device: Any, dtype: str) -> tuple[Namespace, Any]:
    jax = importlib.import_module("jax")
    if dtype == "float64" and not jax.config.jax_enable_x64:
        jax.config.update("jax_enable_x64", True)  # otherwise float64 silently becomes float32
    if device is None:
        device = jax.devices()[0]
    elif isinstance(device, int):
        device = jax.devices()[device]
    elif isinstance(device, str):
        platform, _, index = device.partition(":")
        found = {str(d): d for d in jax.devices(platform)}
        device = found.get(device) or jax.devices(platform)[int(index or 0)]
    return importlib.import_module("jax.numpy"), device


def _open_array_api_strict(device: Any, dtype: str) -> tuple[Namespace, Any]:
    strict = importlib.import_module("array_api_strict")
    if device in (None, "cpu"):
        device = "CPU_DEVICE"
    return strict, strict.Device(device) if isinstance(device, str) else device


_OPENERS: dict[str, Callable[[Any, str], tuple[Namespace, Any]]] = {
    "numpy": _open_numpy,
    "cupy": _open_cupy,
    "torch": _open_torch,
    "jax": _open_jax,
    "array_api_strict": _open_array_api_strict,
}


def _library_of(a: object) -> str:
    """Name of the array library that an object belongs to; empty if it is no array we know."""
    if isinstance(a, np.ndarray):
        return "numpy"
    root = type(a).__module__.partition(".")[0]
    root = {"jaxlib": "jax"}.get(root, root)
    return root if root in BACKENDS and hasattr(a, "shape") else ""


def _same_device(backend: Backend, a: Array) -> bool:
    if backend.name == "numpy":
        return True
    return bool(array_api_compat.device(a) == backend.device)


def is_foreign_device_array(a: object) -> bool:
    """Whether an array lives where NumPy cannot see it."""
    library = _library_of(a)
    if library == "cupy":
        return True
    if library == "array_api_strict":
        return str(array_api_compat.device(a)) != "array_api_strict.Device('CPU_DEVICE')"
    if library == "torch":
        return bool(array_api_compat.device(a).type != "cpu")
    if library == "jax":
        return bool(array_api_compat.device(a).platform != "cpu")
    return False


def describe_array(a: object) -> str:
    """Words for an error message: library and device."""
    library = _library_of(a)
    return f"a {library} array on {array_api_compat.device(a)}" if library else f"a {type(a).__name__}"


def to_numpy(a: Array) -> np.ndarray[Any, np.dtype[Any]]:
    """Copy an array of any supported library and device to a NumPy array in main memory.

    Parameters
    ----------
    a : array
        Of NumPy, CuPy, PyTorch, JAX or array-api-strict; anything else goes through `numpy.asarray`.

    Returns
    -------
    numpy.ndarray
        Same shape and dtype.

    Examples
    --------
    >>> to_numpy([1.0, 2.0])
    array([1., 2.])
    """
    library = _library_of(a)
    if library == "cupy":
        return a.get()  # type: ignore[no-any-return]
    if library == "torch":
        return a.detach().cpu().numpy()  # type: ignore[no-any-return]
    if library == "array_api_strict":
        strict = importlib.import_module("array_api_strict")
        return np.asarray(a.to_device(strict.Device("CPU_DEVICE")))
    return np.asarray(a)


@dataclass(frozen=True)
class BackendStatus:
    """One line of the table that ``ffnn-xp backends`` prints."""

    name: str
    version: str
    devices: tuple[str, ...]
    usable: bool
    reason: str


def backend_status() -> Iterator[BackendStatus]:
    """Try every library: its version, its devices, and whether it works here or why not.

    Examples
    --------
    >>> next(backend_status()).usable
    True
    """
    for name in BACKENDS:
        version = _version(name)
        try:
            backend = _open(name, None, "float64")
        except BackendUnavailableError as error:
            yield BackendStatus(name, version, (), False, str(error))
        else:
            yield BackendStatus(name, version, tuple(_devices(backend)), True, "")


def _version(name: str) -> str:
    for distribution in (name, "cupy-cuda12x", "cupy-cuda13x") if name == "cupy" else (name,):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _devices(backend: Backend) -> list[str]:
    if backend.name == "cupy":
        runtime = importlib.import_module("cupy").cuda.runtime
        return [
            f"cuda:{i} ({runtime.getDeviceProperties(i)['name'].decode()})" for i in range(runtime.getDeviceCount())
        ]
    if backend.name == "torch":
        cuda = importlib.import_module("torch").cuda
        return ["cpu", *(f"cuda:{i} ({cuda.get_device_name(i)})" for i in range(cuda.device_count()))]
    if backend.name == "jax":
        return [str(d) for d in importlib.import_module("jax").devices()]
    return ["cpu"]
