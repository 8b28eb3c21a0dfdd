"""Which library an array is of, where it lives, and the way to NumPy."""

from __future__ import annotations

import importlib
from typing import Any

import array_api_compat
import numpy as np

from ffnn_xp._lib.typing import Array

BACKENDS = ("numpy", "cupy", "torch", "jax", "array_api_strict")


def library_of(a: object) -> str:
    """Name of the array library that an object belongs to; empty if it is no array we know."""
    if isinstance(a, np.ndarray):
        return "numpy"
    root = type(a).__module__.partition(".")[0]
    root = {"jaxlib": "jax"}.get(root, root)
    return root if root in BACKENDS and hasattr(a, "shape") else ""


def is_foreign_device_array(a: object) -> bool:
    """Whether an array lives where NumPy cannot see it."""
    library = library_of(a)
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
    library = library_of(a)
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
    library = library_of(a)
    if library == "cupy":
        return a.get()  # type: ignore[no-any-return]
    if library == "torch":
        return a.detach().cpu().numpy()  # type: ignore[no-any-return]
    if library == "array_api_strict":
        strict = importlib.import_module("array_api_strict")
        return np.asarray(a.to_device(strict.Device("CPU_DEVICE")))
    return np.asarray(a)
