r"""Widths, augmented matrices, and the one parameter vector.

A network of widths :math:`(h_0, h_1, \ldots, h_L)` has one augmented matrix :math:`A_l` of shape
:math:`(h_l, h_{l-1} + 1)` for each layer, weights first and the bias as its last column, so that
:math:`z_l = A_l \cdot (a_{l-1}, 1)`. All matrices in order, row by row, are the vector theta of p parameters.
Where the bias sits is decided in this file and nowhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from ._typing import Array, Elementwise, Namespace
from .backends.passes import above_ones, compiles, reshape


@dataclass(frozen=True)
class Layout:
    """How theta is laid out for a network of these widths.

    Parameters
    ----------
    widths : tuple of int
        Inputs, units of each hidden layer, outputs.

    Examples
    --------
    >>> layout = Layout((8, 7, 9, 6))
    >>> layout.n_parameters, layout.shapes
    (195, ((7, 9), (9, 8), (6, 10)))
    >>> layout.names[0], layout.names[8]
    ('a_L1_L2[0,0]', 'b_L1_L2[0]')
    """

    widths: tuple[int, ...]

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Shape of each augmented matrix."""
        return tuple((h, below + 1) for below, h in pairwise(self.widths))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of parameters of each layer."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each layer starts in theta, and p at the end."""
        return tuple(accumulate(self.sizes, initial=0))

    @property
    def n_parameters(self) -> int:
        """Length p of theta."""
        return self.offsets[-1]

    @property
    def n_layers(self) -> int:
        """Number L of matrices."""
        return len(self.shapes)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The lesson's names in the order of theta: a_L1_L2[i,j] and b_L1_L2[i], indices from 0."""
        return tuple(
            f"a_L{l}_L{l + 1}[{i},{j}]" if j < columns - 1 else f"b_L{l}_L{l + 1}[{i}]"
            for l, (rows, columns) in enumerate(self.shapes, start=1)
            for i in range(rows)
            for j in range(columns)
        )

    def matrices(self, xp: Namespace, theta: Array) -> list[Array]:
        """The augmented matrices ``(..., h_l, h_{l-1} + 1)`` in theta ``(..., p)``."""
        return [
            reshape(xp, theta[..., start : start + size], (*theta.shape[:-1], *shape))
            for start, size, shape in zip(self.offsets, self.sizes, self.shapes, strict=False)
        ]

    def flatten(self, xp: Namespace, matrices: list[Array]) -> Array:
        """Theta ``(..., p)`` from the augmented matrices."""
        rows = [reshape(xp, A, (*A.shape[:-2], n)) for A, n in zip(matrices, self.sizes, strict=True)]
        return xp.concat(rows, axis=-1)


def weights(A: Array) -> Array:
    """The matrix without its bias column, ``(..., h_l, h_{l-1})``."""
    return A[..., :-1]


def bias(A: Array) -> Array:
    """The bias column, ``(..., h_l, 1)``."""
    return A[..., -1:]


def augment(xp: Namespace, a: Array) -> Array:
    """``(a, 1)``: a row of ones below the events, ``(..., h + 1, n)`` of ``(..., h, n)``."""
    return above_ones(xp, _itself, a)


def augmented(xp: Namespace, f: Elementwise, z: Array, *, writes: bool = False) -> Array:
    """``(f(z), 1)``; `writes` says that f takes the place of its values as another argument."""
    return above_ones(xp, f, z, writes=writes)


def units(a: Array) -> Array:
    """The a of ``(a, 1)``, ``(..., h, n)``."""
    return a[..., :-1, :]


def affine(xp: Namespace, A: Array, a: Array) -> Array:
    """``A . (a, 1)`` of a hidden layer, where a has its row of ones; a compiler adds the bias in passing."""
    return weights(A) @ units(a) + bias(A) if compiles(xp) else A @ a


def outer(xp: Namespace, u: Array, a: Array) -> Array:
    """``sum_n u_n (a_n, 1)^T``, likewise: the transpose of `affine` in A."""
    return join(xp, u @ units(a).mT, xp.sum(u, axis=-1, keepdims=True)) if compiles(xp) else u @ a.mT


def through(A: Array, delta: Array) -> Array:
    """``W^T delta``, ``(..., h_{l-1}, n)``, the way back through a layer; of a single unit without a matrix product."""
    W = weights(A).mT
    return W * delta if W.shape[-1] == 1 else W @ delta


def _itself(xp: Namespace, a: Array) -> Array:
    return a


def join(xp: Namespace, weights: Array, bias: Array) -> Array:
    """The augmented matrix of weights ``(..., h_l, h_{l-1})`` and a bias column ``(..., h_l, 1)``."""
    return xp.concat([weights, bias], axis=-1)
