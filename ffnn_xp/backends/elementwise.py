"""Elementwise kernels and other functions of arrays that the standard does not have.

Model code calls these like any other function of arrays. The formulas are in `formulas`; a library that has one kernel
for a formula, which passes over memory once, calls that in its own file. An unknown library gets the formula.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends.registry import backend_class

_PAIRS: dict[tuple[str, str, int], tuple[Array, Array, Array]] = {}


def writable(xp: Namespace) -> bool:
    """Return True if parts of a library's arrays can be written to."""
    return backend_class(xp).writable


def compiles(xp: Namespace) -> bool:
    """Return True if a library compiles: it fuses sums into products by itself, and each new shape costs time."""
    return backend_class(xp).compiles


def reshape(xp: Namespace, a: Array, shape: tuple[int, ...]) -> Array:
    """Return an array in another shape, by the array's own method if it has one, which costs less to call."""
    return a.reshape(shape) if hasattr(a, "reshape") else xp.reshape(a, shape)


def pairs(xp: Namespace, h: int, like: Array) -> tuple[Array, Array, Array]:
    """Return the pairs i >= j of h numbers, each once: all i, all j, and the pair's number for each (i, j), ``(h h,)``.

    They are indices for `take` on the device of the array `like`; they are made once.
    """
    device = backend_class(xp).device_of(like)
    key = xp.__name__, str(device), h
    if key not in _PAIRS:
        i, j = np.tril_indices(h)
        which = np.zeros((h, h), dtype=np.int64)
        which[i, j] = which[j, i] = np.arange(len(i))
        found = i, j, which.reshape(-1)
        _PAIRS[key] = found if device is None else tuple(xp.asarray(a.tolist(), device=device) for a in found)
    return _PAIRS[key]


def erf(xp: Namespace, z: Array) -> Array:
    """Compute the error function, by the library's special functions."""
    return backend_class(xp).erf(xp, z)


def total(xp: Namespace, s: Array) -> Array:
    """Sum over the last two axes, in double precision where the device has it.

    A sum of millions of float32 terms, each exact to 1e-7, would lose digits in float32.
    """
    return backend_class(xp).total(xp, s)


def multiplication(xp: Namespace, like: Array) -> float:
    """Return the time of a multiplication in a large product, in units of reading and writing a number in memory."""
    library = backend_class(xp)
    on_gpu = library.is_gpu(library.device_of(like))
    return library.tuning.multiplication_on_gpu if on_gpu else library.tuning.multiplication_on_cpu


def tanh(xp: Namespace, z: Array, out: Array | None = None) -> Array:
    """Compute the hyperbolic tangent, written to `out` where a library can write to arrays."""
    return backend_class(xp).tanh(xp, z, out)


def tanh_back(xp: Namespace, delta: Array, z: Array, a: Array) -> Array:
    """Multiply delta by the slope of tanh, 1 - a^2, where its value is a."""
    return backend_class(xp).tanh_back(xp, delta, z, a)


def above_ones(
    xp: Namespace, f: Callable[..., Array], *, writes: bool = False
) -> Callable[[Array], tuple[Array, Array]]:
    """Return a function that computes ``f(z)`` and ``(f(z), 1)``, f elementwise.

    These have shapes ``(..., h, n)`` and ``(..., h + 1, n)``, the ones in the last row; where arrays can be written to,
    the first is a part of the second. `writes` says that f takes the array for its values as third argument.
    """
    return backend_class(xp).above_ones(xp, _own(xp, f), writes=writes)


def in_one_pass(xp: Namespace, f: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    """Return the elementwise ``f(*static, xp, ...)`` as a function of arrays, in one kernel if the library can."""
    return backend_class(xp).in_one_pass(xp, f if static else _own(xp, f), *static)


def _own(xp: Namespace, f: Callable[..., Any]) -> Callable[..., Any]:
    """Return the library's function for tanh or its slope, which saves a call at each gradient; else f itself."""
    if f is tanh:
        return backend_class(xp).tanh
    return backend_class(xp).tanh_back if f is tanh_back else f
