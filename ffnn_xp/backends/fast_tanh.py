r"""The hyperbolic tangent of many float64 values on processors where NumPy's own is slow.

NumPy's own is slow without AVX-512, and takes much of a small network's time. With :math:`z_k = k / 256` next to z and
the rest :math:`\beta = z - z_k`, which is exact, the addition theorem needs a table and three terms of a series:

.. math:: \tanh z = \frac{T_k + u}{1 + T_k u}, \qquad T_k = \tanh z_k,
          \quad u = \tanh\beta = \beta - \frac{\beta^3}{3} + \frac{2 \beta^5}{15}

:math:`|\beta| \le 2^{-9}`, so that the first term left out is 3e-18 of u. The result is exact to some units in its last
place, near zero too, and never beyond 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import numpy as np

from ffnn_xp._lib.typing import HostArray

BITS = 8  # of the fraction of z_k: with fewer the series would need another term
INDEX = 2**14 - 1  # bits of k: from -32 to 32
FAR = 20.0  # from here on tanh is 1 in double precision
NEAREST = np.array(1.5 * 2.0 ** (52 - BITS))  # a sum with z rounds z to z_k, with k in the last bits
ONE, THIRD, TWO_FIFTEENTHS = np.array(1.0), np.array(1 / 3), np.array(2 / 15)  # arrays, which calls do not convert
SLOW = ("X86_V3", "FMA3__AVX2")  # NumPy's names for its kernels of tanh that are slower


@cache
def is_faster() -> bool:
    """Return True if this tanh is faster on this processor, by the name of the kernel that NumPy chose there."""
    return names_slow_kernel(np.lib.introspect.opt_func_info(func_name="^tanh$", signature="float64"))


def names_slow_kernel(found: Mapping[str, Mapping[str, Mapping[str, str]]]) -> bool:
    """Return True if this answer of NumPy about its kernels names one of tanh that is slower."""
    return any(kernel["current"] in SLOW for kernels in found.values() for kernel in kernels.values())


@cache
def _table() -> HostArray:
    """Return T_k for k = 0, 1, ..., and in its second half for k = ..., -2, -1."""
    k = np.arange(INDEX + 1)
    return np.asarray(np.tanh(np.where(k <= INDEX // 2, k, k - INDEX - 1) / 2.0**BITS))


def tanh(z: HostArray, out: HostArray, chunk: int) -> HostArray:
    """Compute tanh of float64 values ``(..., n)`` into `out`, which may not share memory with z, by chunks.

    Examples
    --------
    >>> z = np.array([[-1.0, 0.0, 1e-9, 30.0]])
    >>> bool(np.allclose(tanh(z, np.empty_like(z), 2**17), np.tanh(z), rtol=1e-15))
    True
    """
    n = z.shape[-1]
    step = max(1, chunk // max(1, math.prod(z.shape[:-1])))
    for start in range(0, n, step):
        _piece(z[..., start : start + step], out[..., start : start + step])
    return out


def _piece(z: HostArray, out: HostArray) -> None:
    u = z.clip(-FAR, FAR)
    b = u + NEAREST
    c = np.empty_like(u)
    k = np.bitwise_and(b.view(np.int64), INDEX, out=c.view(np.int64))
    T = _table().take(k, mode="clip")  # this mode does not check indices
    b -= NEAREST
    u -= b
    np.multiply(u, u, out=b)
    np.multiply(b, TWO_FIFTEENTHS, out=c)
    c -= THIRD
    c *= b
    c *= u
    u += c
    np.multiply(T, u, out=c)
    c += ONE
    T += u
    np.divide(T, c, out=out)
