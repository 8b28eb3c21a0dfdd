"""Arrays of any library: their library, their device, and copies to NumPy."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from ffnn_xp._lib.typing import Array
from ffnn_xp.backends.base import Backend
from ffnn_xp.backends.registry import BACKENDS


def library_of(a: object) -> type[Backend] | None:
    """Return the backend class of an array; None if it is no array of a known library."""
    return next((library for library in BACKENDS.values() if library.is_array(a)), None)


def is_foreign_device_array(a: object) -> bool:
    """Return True if an array is on a device that NumPy cannot read."""
    library = library_of(a)
    return library is not None and not library.in_main_memory(a)


def is_lazy(a: object) -> bool:
    """Return True for values of Dask that are still to be computed: an array, a table, or what holds such arrays."""
    graph = getattr(a, "__dask_graph__", None)
    return graph is not None and not isinstance(a, type) and graph() is not None


def refuse_gradient(a: object, name: str) -> None:
    """Raise a TypeError for an array whose gradient would be lost."""
    library = library_of(a)
    if library is not None and library.needs_gradient(a):
        hint = f"{name}.detach()" if hasattr(a, "detach") else "its value from outside of grad, vmap and jit"
        raise TypeError(
            f"`{name}` needs a gradient, which is not passed on here: only model(x) and the standard deviation of "
            f"model.predict(x, return_std=True) have one, with a model on backend={library.name!r}; else give {hint}"
        )


def describe_array(a: object) -> str:
    """Describe an array by its library and device, for an error message."""
    library = library_of(a)
    return f"a {library.name} array on {array_api_compat.device(a)}" if library else f"a {type(a).__name__}"


def to_numpy(a: Array) -> np.ndarray[Any, np.dtype[Any]]:
    """Copy an array of any supported library and device to a NumPy array in main memory.

    Parameters
    ----------
    a : array
        An array of NumPy, CuPy, PyTorch, JAX or array-api-strict; anything else goes through `numpy.asarray`.

    Returns
    -------
    numpy.ndarray
        An array with the same shape and dtype.

    Examples
    --------
    >>> to_numpy([1.0, 2.0])
    array([1., 2.])
    """
    library = library_of(a)
    return np.asarray(a) if library is None else library.as_numpy(a)
