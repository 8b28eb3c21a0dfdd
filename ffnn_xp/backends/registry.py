"""The table of backends, and `get_backend`, which finds a library, a device and a dtype that work here.

No library is imported before it is needed, and a GPU counts as usable only after it has multiplied two matrices:
``import cupy`` succeeds on any laptop.
"""

from __future__ import annotations

import copyreg
import ctypes
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ffnn_xp._lib.errors import BackendFallbackWarning, BackendUnavailableError, did_you_mean, outside_the_package
from ffnn_xp._lib.typing import Namespace
from ffnn_xp._lib.validation import whole_number
from ffnn_xp.backends.allocator import keep_freed_memory
from ffnn_xp.backends.array_api_strict import StrictBackend
from ffnn_xp.backends.base import Backend
from ffnn_xp.backends.cupy import CupyBackend
from ffnn_xp.backends.jax import JaxBackend
from ffnn_xp.backends.numpy import NumpyBackend
from ffnn_xp.backends.torch import TorchBackend

DTYPES = ("float64", "float32")

BACKENDS: dict[str, type[Backend]] = {}
"""The class of each library by its name for users; `register` adds one."""

_warned: set[str] = set()


def register(backend: type[Backend]) -> type[Backend]:
    """Add the class of a library to `BACKENDS`; it may be used as a decorator."""
    BACKENDS[backend.name] = backend
    copyreg.pickle(backend, _reduced)
    backend_class.cache_clear()
    return backend


@lru_cache(maxsize=64)
def backend_class(xp: Namespace) -> type[Backend]:
    """Return the class of the library of a namespace; `Backend` itself, the standard's, for an unknown library."""
    return BACKENDS.get(xp.__name__.removeprefix("array_api_compat.").partition(".")[0], Backend)


def _reduced(backend: Backend) -> tuple[Any, ...]:
    """Pickle a backend by its names, so that on a machine without its device NumPy replaces it."""
    device, state = backend.device_name, (backend.reason, backend.threads, backend.computes, backend.compiled)
    return _restored, (type(backend), device, backend.dtype, *state)


def _restored(
    library: type[Backend],
    device: str,
    dtype: str,
    reason: str,
    threads: int | None,
    computes: Backend | None,
    compiled: bool = False,
) -> Backend:
    backend = _open_or_numpy(library, device, dtype)
    backend = replace(backend, reason=reason or backend.reason, threads=threads, computes=computes)
    return _compiled(backend, True, None) if compiled else backend


for _library in (NumpyBackend, CupyBackend, TorchBackend, JaxBackend, StrictBackend):
    register(_library)


def get_backend(
    name: str | Backend = "auto",
    *,
    device: Any = None,
    dtype: str = "float64",
    fallback: bool | None = None,
    threads: int | None = None,
    compiled: bool | None = None,
) -> Backend:
    """Find a library, a device and a dtype that work here, by the name of a backend.

    Parameters
    ----------
    name : str or Backend
        ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"``, ``"array_api_strict"``, or ``"auto"``: the one in the
        environment variable ``FFNN_XP_BACKEND``, else a usable GPU (through CuPy, PyTorch or JAX, in this order), else
        NumPy.
    device : object, optional
        Where the arrays live: ``"cuda:0"``, an index, or the library's own device object. By default the
        library's first GPU if it has one, else the CPU.
    dtype : {"float64", "float32"}
        Type of all numbers. float64 on JAX switches on JAX's 64-bit mode for the whole process, with a warning if it
        was off: arrays that JAX makes without a dtype are float64 from then on.
    fallback : bool, optional
        Whether NumPy may replace it, with one `BackendFallbackWarning`. By default yes, unless ``FFNN_XP_STRICT=1``.
    threads : int, optional
        Threads that share NumPy's event chunks, where layers are wide enough to gain. By default the number in the
        environment variable ``FFNN_XP_THREADS``, else ``OMP_NUM_THREADS``, else all processors of this process. Other
        libraries have their own settings.
    compiled : bool, optional
        Whether value and gradient of narrow networks are computed by one loop over events, compiled by the system's C
        compiler for NumPy (``$CC``, else ``cc``), by CuPy for a GPU. By default only if the environment variable
        ``FFNN_XP_COMPILED`` is 1, since last digits are other ones than without. If there is no compiler, the rule of
        `fallback` holds.

    Raises
    ------
    ValueError
        If the name or the dtype is unknown, or `threads` is not a positive integer.
    BackendUnavailableError
        If the library or device cannot be used, and `fallback` is False.

    Examples
    --------
    >>> get_backend("numpy", dtype="float32").dtype
    'float32'
    """
    threads = None if threads is None else whole_number(threads, "threads", 1)
    backend = _find(name, device, dtype, fallback)
    backend = backend if threads is None else replace(backend, threads=threads)
    if isinstance(name, Backend) and compiled is None:
        return backend
    in_general = os.environ.get("FFNN_XP_COMPILED", "") not in ("", "0") and backend.has_compiler
    asked = in_general if compiled is None else bool(compiled)
    return _compiled(backend, asked, fallback) if asked != backend.compiled else backend


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
    return _open_or_numpy(None if name == "auto" else BACKENDS[name], device, dtype, fallback)


def _open_or_numpy(library: type[Backend] | None, device: Any, dtype: str, fallback: bool | None = None) -> Backend:
    """Open a library, None being the best one here, or NumPy with a warning if `fallback` allows it."""
    keep_freed_memory()
    try:
        return _automatic(device, dtype) if library is None else _open(library, device, dtype)
    except BackendUnavailableError as error:
        reason = f"{library.name if library else 'auto'}: {error}"
        _raise_or_warn(error, reason, "with NumPy on the CPU, which gives the same numbers", fallback)
    return NumpyBackend(*NumpyBackend.find(None, dtype), dtype, reason)


def _compiled(backend: Backend, wanted: bool, fallback: bool | None) -> Backend:
    """Return a backend with or without compiled loops; without, and with a warning, if `fallback` allows it."""
    try:
        if wanted:
            backend.check_compiler()
    except BackendUnavailableError as error:
        _raise_or_warn(error, f"compiled: {error}", "without compiled loops, which takes longer", fallback)
        return backend
    return replace(backend, compiled=wanted)


def _raise_or_warn(error: BackendUnavailableError, reason: str, how: str, fallback: bool | None) -> None:
    """Raise an error again, unless something else may replace what failed; then warn, once in a process."""
    if not (os.environ.get("FFNN_XP_STRICT", "") in ("", "0") if fallback is None else fallback):
        raise error
    if reason not in _warned:
        _warned.add(reason)
        warnings.warn(
            f"{reason}. Going on {how}; pass fallback=False or set FFNN_XP_STRICT=1 to stop instead.",
            BackendFallbackWarning,
            stacklevel=outside_the_package(),
        )


def streamed_through(backend: Backend) -> Backend:
    """Return a backend of NumPy arrays whose sums over events are streamed through this backend's device."""
    found = NumpyBackend.find(None, backend.dtype)
    return NumpyBackend(*found, backend.dtype, backend.reason, backend.threads, backend)


def _automatic(device: Any, dtype: str) -> Backend:
    if device != "cpu" and has_nvidia_driver():
        for library in BACKENDS.values():
            try:
                backend = _open(library, device, dtype) if library.for_gpus else None
            except BackendUnavailableError:
                continue
            if backend is not None and backend.on_gpu:
                return backend
    return _open(NumpyBackend, device, dtype)


def has_nvidia_driver() -> bool:
    """Return True if a CUDA driver finds a GPU; no array library is imported."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        count = ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def _open(library: type[Backend], device: Any, dtype: str) -> Backend:
    """Import the library, find the device, and test it on a small product."""
    if not library.is_installed():
        raise BackendUnavailableError(f"the package is not installed; {library.install}")
    try:
        backend = library(*library.find(device, dtype), dtype)
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


@dataclass(frozen=True)
class BackendStatus:
    """A line of the table that ``ffnn-xp backends`` prints."""

    name: str
    version: str
    devices: tuple[str, ...]
    usable: bool
    reason: str


def backend_status() -> Iterator[BackendStatus]:
    """Test every library; yield its version, its devices, and whether it works here or why not.

    Examples
    --------
    >>> next(backend_status()).usable
    True
    """
    for name, library in BACKENDS.items():
        version = library.version()
        try:
            backend = _open(library, None, "float64")
        except BackendUnavailableError as error:
            yield BackendStatus(name, version, (), False, str(error))
        else:
            yield BackendStatus(name, version, tuple(backend.devices()), True, "")
