"""Exact second derivatives by Taylor arithmetic: each number carries its gradient and its Hessian in theta.

The library goes backward through a network by formulas of its own; here every sum, product and function carries its
derivatives forward, as in a textbook, so that a mistake in the one is none in the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy
import scipy.special

Function = Callable[[np.ndarray], tuple[Any, Any, Any]]


@dataclass(frozen=True, eq=False)
class Taylor:
    """Numbers of any shape ``(...)`` with first ``(..., p)`` and second derivatives ``(..., p, p)``."""

    value: np.ndarray
    first: np.ndarray
    second: np.ndarray

    __array_ufunc__ = None  # NumPy leaves sums and products with arrays to this class

    @classmethod
    def variables(cls, theta: np.ndarray) -> Taylor:
        p = len(theta)
        return cls(theta, np.eye(p), np.zeros((p, p, p)))

    def __getitem__(self, at: Any) -> Taylor:
        return Taylor(self.value[at], self.first[at], self.second[at])

    def reshape(self, *shape: int) -> Taylor:
        p = self.first.shape[-1]
        return Taylor(self.value.reshape(shape), self.first.reshape(*shape, p), self.second.reshape(*shape, p, p))

    def __add__(self, other: Taylor | np.ndarray | float) -> Taylor:
        if not isinstance(other, Taylor):
            other = 0 * self + np.asarray(other) if np.ndim(other) > self.value.ndim else other
        if isinstance(other, Taylor):
            return Taylor(self.value + other.value, self.first + other.first, self.second + other.second)
        return Taylor(self.value + other, self.first, self.second)

    def __mul__(self, other: Taylor | np.ndarray | float) -> Taylor:
        if isinstance(other, Taylor):
            (u, du, ddu), (v, dv, ddv) = ((t.value[..., None], t.first, t.second) for t in (self, other))
            cross = du[..., :, None] * dv[..., None, :]
            second = u[..., None] * ddv + v[..., None] * ddu + cross + np.swapaxes(cross, -1, -2)
            return Taylor(self.value * other.value, u * dv + v * du, second)
        c = np.asarray(other, dtype=float)
        return Taylor(self.value * c, self.first * c[..., None], self.second * c[..., None, None])

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Taylor:
        return self * -1.0

    def __sub__(self, other: Any) -> Taylor:
        return self + (-other)

    def __rsub__(self, other: Any) -> Taylor:
        return -self + other

    def sum(self, axis: int | None = None) -> Taylor:
        t, rank = (self.reshape(-1), 1) if axis is None else (self, self.value.ndim)
        at = (axis or 0) % rank
        return Taylor(t.value.sum(at), t.first.sum(at), t.second.sum(at))

    def of(self, function: Function) -> Taylor:
        """Apply a function, given by itself and its two derivatives."""
        f, d, dd = (np.asarray(part)[..., None] for part in function(self.value))
        square = self.first[..., :, None] * self.first[..., None, :]
        return Taylor(f[..., 0], d * self.first, d[..., None] * self.second + dd[..., None] * square)


def _tanh(z: np.ndarray) -> Any:
    slope = 1 / np.cosh(np.clip(z, -350, 350)) ** 2
    return np.tanh(z), slope, -2 * np.tanh(z) * slope


def _softplus(z: np.ndarray) -> Any:
    s, rest = scipy.special.expit(z), scipy.special.expit(-z)
    return np.logaddexp(0, z), s, s * rest


def _erf(z: np.ndarray) -> Any:
    slope = 2 / np.sqrt(np.pi) * np.exp(-z * z)
    return scipy.special.erf(z), slope, -2 * z * slope


def _elu(z: np.ndarray) -> Any:
    low = np.exp(np.minimum(z, 0))
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0))), np.where(z > 0, 1, low), np.where(z > 0, 0, low)


def log(z: np.ndarray) -> Any:
    return np.log(z), 1 / z, -1 / z**2


def student_t(z: np.ndarray, nu: float) -> Any:
    total = nu + z**2
    return (nu + 1) * np.log1p(z**2 / nu), 2 * (nu + 1) * z / total, 2 * (nu + 1) * (nu - z**2) / total**2


def root(z: np.ndarray) -> Any:
    return np.sqrt(z), 0.5 / np.sqrt(z), -0.25 / np.sqrt(z) ** 3


def exp(z: np.ndarray) -> Any:
    return (np.exp(z),) * 3


def inverse(z: np.ndarray) -> Any:
    small = 1 / z  # its powers may underflow, and those of z must not overflow
    return small, -(small**2), 2 * small**3


def huber(z: np.ndarray, delta: float = 1.345) -> Any:
    far = np.abs(z) > delta
    value = np.where(far, 2 * delta * np.abs(z) - delta**2, z**2)
    return value, np.where(far, 2 * delta * np.sign(z), 2 * z), np.where(far, 0, 2)


def softplus(z: Taylor) -> Taylor:
    return z.of(_softplus)


def _logistic(z: Taylor) -> Taylor:
    def of(v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p, q = scipy.special.expit(v), scipy.special.expit(-v)  # both with all digits, unlike 1 - p
        return p, p * q, p * q * (q - p)

    return z.of(of)


ACTIVATIONS: dict[str, Callable[[Taylor], Taylor]] = {
    "identity": lambda z: z,
    "relu": lambda z: z.of(lambda v: (np.maximum(v, 0), v > 0, 0 * v)),
    "leaky_relu": lambda z: z.of(lambda v: (np.maximum(v, 0.01 * v), np.where(v > 0, 1, 0.01), 0 * v)),
    "tanh": lambda z: z.of(_tanh),
    "logistic": _logistic,
    "softplus": softplus,
    "silu": lambda z: z * _logistic(z),
    "gelu": lambda z: z * ((z * 0.5**0.5).of(_erf) + 1.0) * 0.5,
    "elu": lambda z: z.of(_elu),
    "sine": lambda z: z.of(lambda v: (np.sin(v), np.cos(v), -np.sin(v))),
    "exp": lambda z: z.of(exp),
}


def network(theta: Taylor, widths: tuple[int, ...], names: tuple[str, ...], x: np.ndarray) -> Taylor:
    """The arguments of the last nonlinearity ``(n, k)``, at inputs ``(n, d)``."""
    a: Any = x
    at = 0
    for l, (below, h) in enumerate(pairwise(widths)):
        A = theta[at : at + h * (below + 1)].reshape(h, below + 1)
        at += h * (below + 1)
        a = (A[None, :, :-1] * a[:, None, :]).sum(-1) + A[None, :, -1]
        if l < len(names) - 1:
            a = ACTIVATIONS[names[l]](a)
    return a
