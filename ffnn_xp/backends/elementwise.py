"""What array libraries can do in one pass over memory and the standard cannot say: the formulas, and who does better.

Each function here is a formula in ``xp``, written out, and the libraries that have it as one kernel. Model code calls
it like any other function of arrays; a library that we do not know gets the formula.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import array_api_compat
import numpy as np

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends import fast_tanh as host_tanh


@lru_cache(maxsize=64)
def library(xp: Namespace) -> str:
    """The library behind a namespace."""
    return str(xp.__name__.removeprefix("array_api_compat.").partition(".")[0])


def writable(xp: Namespace) -> bool:
    """Whether arrays of a library can be written to in part."""
    return library(xp) in ("numpy", "cupy", "torch")


def compiles(xp: Namespace) -> bool:
    """Whether a library makes one kernel of sums beside a product by itself, and pays for odd shapes (JAX)."""
    return library(xp) == "jax"


def reshape(xp: Namespace, a: Array, shape: tuple[int, ...]) -> Array:
    """The same numbers in another shape; the method that most libraries have costs less to call."""
    return a.reshape(shape) if hasattr(a, "reshape") else xp.reshape(a, shape)


ON_CPU, ON_GPU = 0.05, 0.006  # time of a multiplication in a product, by that of a pass over a number
_PAIRS: dict[tuple[str, str, int], tuple[Array, Array, Array]] = {}


def pairs(xp: Namespace, h: int, like: Array) -> tuple[Array, Array, Array]:
    """The pairs i >= j of h numbers, each once: all i, all j, and for (i, j) in ``(h h,)`` which pair it is.

    As indices for `take` where an array lives; made once.
    """
    device = place(xp, like)
    key = library(xp), str(device), h
    if key not in _PAIRS:
        i, j = np.tril_indices(h)
        which = np.zeros((h, h), dtype=np.int64)
        which[i, j] = which[j, i] = np.arange(len(i))
        found = i, j, which.reshape(-1)
        _PAIRS[key] = found if device is None else tuple(xp.asarray(a.tolist(), device=device) for a in found)
    return _PAIRS[key]


def erf(xp: Namespace, z: Array) -> Array:
    r"""The error function, from each library's special functions.

    The standard has none, so a library that we do not know (array-api-strict) gets Kummer's series (Abramowitz and
    Stegun 7.1.6), :math:`\frac{2}{\sqrt\pi} e^{-z^2} \sum_m \frac{2^m z^{2m+1}}{(2m+1)!!}`: all terms have one sign, so
    no digit is lost. From \|z\| = 6 on, where erf differs from 1 by 2e-17, it is 1.
    """
    name = library(xp)
    if name == "torch":
        return xp.erf(z)
    special = {"numpy": "scipy.special", "cupy": "cupyx.scipy.special", "jax": "jax.scipy.special"}.get(name)
    if special:
        return importlib.import_module(special).erf(z)
    far, sign = xp.abs(z) >= 6, xp.sign(z)
    z = xp.minimum(xp.maximum(z, -6.0), 6.0)
    total = xp.ones_like(z)
    for m in range(140, 0, -1):
        total = 1 + total * (2 * z * z) / (2 * m + 1)
    return xp.where(far, sign, 2 / math.sqrt(math.pi) * z * xp.exp(-z * z) * total)


def total(xp: Namespace, s: Array) -> Array:
    """The sum over the last two axes, in double precision where the device has it.

    Of millions of terms in float32, each known to 1e-7, a sum in float32 would be what limits a fit.
    """
    if library(xp) == "numpy":  # whose method costs less to call
        return s.sum(axis=(-2, -1), dtype=xp.float64)
    return xp.sum(s, axis=(-2, -1), dtype=xp.float64 if has_double(xp, place(xp, s)) else s.dtype)


def place(xp: Namespace, a: Array) -> Any:
    """The device of an array; None where a compiler may be tracing it."""
    return None if compiles(xp) else array_api_compat.device(a)


def on_gpu(name: str, device: Any) -> bool:
    """Whether a library's device is an accelerator; None is the one that JAX takes by itself."""
    if name == "jax":
        platform = importlib.import_module("jax").default_backend() if device is None else device.platform
        return bool(platform != "cpu")
    return bool(device.type != "cpu") if name == "torch" else name == "cupy"


def has_double(xp: Namespace, device: Any) -> bool:
    """Whether a device has float64; of JAX, whether it is switched on."""
    name = library(xp)
    if name in ("numpy", "cupy"):
        return True
    if name == "torch":  # asking it for all dtypes would take longer than a sum
        return bool(device.type != "mps")
    info = xp.__array_namespace_info__()
    return "float64" in (info.dtypes() if name == "jax" else info.dtypes(device=device))


def multiplication(xp: Namespace, like: Array) -> float:
    """How long a multiplication in a large product takes, in units of a pass over a number in memory.

    On a CPU as measured; on a GPU, wherever an array is on one, from the ceilings of an H100.
    """
    return ON_GPU if on_gpu(library(xp), place(xp, like)) else ON_CPU


def tanh_back(xp: Namespace, delta: Array, z: Array, a: Array) -> Array:
    """Delta times the slope of tanh where its value is a, 1 - a^2; PyTorch has it as one kernel."""
    if library(xp) == "torch" and delta.shape == a.shape:
        return importlib.import_module("torch").ops.aten.tanh_backward(delta, a)
    if library(xp) != "numpy":
        return delta * (1 - a * a)
    lost = a * a  # no sum with a number, which NumPy takes longer to prepare than a small array to multiply
    lost *= delta
    return delta - lost


def tanh(xp: Namespace, z: Array, out: Array | None = None) -> Array:
    """The hyperbolic tangent, written to `out` where a library can write to arrays."""
    if library(xp) == "numpy" and z.size >= host_tanh.FEWEST and z.dtype == np.float64 and host_tanh.is_faster():
        return host_tanh.tanh(z, np.empty_like(z) if out is None else out)
    return xp.tanh(z) if out is None else xp.tanh(z, out=out)


def above_ones(
    xp: Namespace, f: Callable[..., Array], *, writes: bool = False
) -> Callable[[Array], tuple[Array, Array]]:
    """A function that gives ``f(z)`` and ``(f(z), 1)``, f elementwise.

    These have shapes ``(..., h, n)`` and ``(..., h + 1, n)``, the ones in the last row; where arrays can be written to,
    the first is a part of the second. f `writes` its values to where they belong if it takes them as third argument.
    """
    if not writable(xp):
        return partial(_joined, xp, f)
    empty = np.empty if library(xp) == "numpy" else None
    write = partial(f, xp) if writes and library(xp) != "cupy" else in_one_pass(xp, _into, f)

    def written(z: Array) -> tuple[Array, Array]:
        *replicas, h, n = z.shape
        shape = (*replicas, h + 1, n)
        whole = empty(shape, z.dtype) if empty else xp.empty(shape, dtype=z.dtype, device=z.device)
        whole[..., -1, :] = 1.0
        a = whole[..., :-1, :]
        write(z, a)
        return a, whole

    return written


def _joined(xp: Namespace, f: Callable[..., Array], z: Array) -> tuple[Array, Array]:
    a = f(xp, z)
    return a, xp.concat([a, xp.ones_like(a[..., :1, :])], axis=-2)


def _into(f: Callable[..., Array], xp: Namespace, z: Array, out: Array) -> None:
    out[...] = f(xp, z)


def in_one_pass(xp: Namespace, f: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    """``f(*static, xp, ...)`` as a function of arrays, elementwise: one kernel of CuPy, if it can make one of it."""
    return _fused(xp, f, *static) if library(xp) == "cupy" else partial(f, *static, xp)


@lru_cache(maxsize=256)
def _fused(xp: Namespace, f: Callable[..., Any], *static: Any) -> _Fused:
    return _Fused(partial(f, *static, xp))


class _Fused:
    """A function of CuPy arrays in one kernel; in many, from the first time on that CuPy has no kernel for it."""

    def __init__(self, plain: Callable[..., Any]) -> None:
        self.plain = plain

        def one_pass(*arrays: Array) -> Any:  # the kernel has its name
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
