"""From a name to a library, a device and a dtype that work here.

No library is imported before it is asked for, and a GPU is believed only after it has multiplied two matrices:
``import cupy`` succeeds on any laptop.
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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import numpy as numpy_namespace

from ffnn_xp._lib.errors import BackendFallbackWarning, BackendUnavailableError, did_you_mean, outside_the_package
from ffnn_xp._lib.typing import Namespace
from ffnn_xp.backends.allocator import keep_freed_memory
from ffnn_xp.backends.arrays import BACKENDS
from ffnn_xp.backends.backend import Backend

GPU_LIBRARIES = ("cupy", "torch", "jax")
DTYPES = ("float64", "float32")
INSTALL = {
    "cupy": "pip install 'ffnn_xp[cuda12]' (or cuda13)",
    "torch": "pip install 'ffnn_xp[torch]'",
    "jax": "pip install 'ffnn_xp[jax]'",
    "array_api_strict": "pip install array-api-strict",
}
_warned: set[str] = set()


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
