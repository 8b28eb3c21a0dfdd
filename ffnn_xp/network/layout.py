r"""The layout of parameters: widths, augmented matrices, and the one vector theta.

A network of widths :math:`(h_0, h_1, \ldots, h_L)` has one augmented matrix :math:`A_l` of shape
:math:`(h_l, h_{l-1} + 1)` for each layer, weights first and the bias as its last column, so that
:math:`z_l = A_l \cdot (a_{l-1}, 1)`. All matrices in order, row by row, are the vector theta of p parameters.
Where the bias sits is decided in this file and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate, pairwise
from operator import matmul
from typing import NamedTuple

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends import above_ones, compiles, reshape


@dataclass(frozen=True)
class Layout:
    """The places of all matrices in theta, for a network of these widths.

    Parameters
    ----------
    widths : tuple of int
        Inputs, units of each hidden layer, outputs.
    name : str
        Name of the network, which its parameters' names begin with; empty for none.

    Examples
    --------
    >>> layout = Layout((8, 7, 9, 6))
    >>> layout.n_parameters, layout.shapes
    (195, ((7, 9), (9, 8), (6, 10)))
    >>> layout.names[0], layout.names[8]
    ('a_L1_L2[0,0]', 'b_L1_L2[0]')
    >>> Layout((1, 1), "signal").names
    ('signal.a_L1_L2[0,0]', 'signal.b_L1_L2[0]')
    """

    widths: tuple[int, ...]
    name: str = field(default="", compare=False)  # networks of any name share what was compiled for one

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """The shape of each augmented matrix."""
        return tuple((h, below + 1) for below, h in pairwise(self.widths))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The number of parameters of each layer."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The index in theta at which each layer starts, and p at the end."""
        return tuple(accumulate(self.sizes, initial=0))

    @property
    def n_parameters(self) -> int:
        """The length p of theta."""
        return self.offsets[-1]

    @property
    def n_layers(self) -> int:
        """The number L of matrices."""
        return len(self.shapes)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names in the order of theta: a_L1_L2[i,j] of weights and b_L1_L2[i] of biases, counted from 0."""
        of = f"{self.name}." if self.name else ""
        return tuple(
            f"{of}a_L{l}_L{l + 1}[{i},{j}]" if j < columns - 1 else f"{of}b_L{l}_L{l + 1}[{i}]"
            for l, (rows, columns) in enumerate(self.shapes, start=1)
            for i in range(rows)
            for j in range(columns)
        )

    @cached_property
    def places(self) -> tuple[tuple[slice, tuple[int, int]], ...]:
        """The slice of theta that holds each matrix, and the matrix's shape."""
        ends = pairwise(self.offsets)
        return tuple((slice(*pair), shape) for pair, shape in zip(ends, self.shapes, strict=True))

    def matrices(self, xp: Namespace, theta: Array) -> list[Array]:
        """Return the augmented matrices ``(..., h_l, h_{l-1} + 1)`` in theta ``(..., p)``."""
        replicas = theta.shape[:-1]
        return [reshape(xp, theta[..., place], (*replicas, *shape)) for place, shape in self.places]

    def flatten(self, xp: Namespace, matrices: list[Array]) -> Array:
        """Return theta ``(..., p)`` from the augmented matrices."""
        return xp.concat([flat(xp, A) for A in matrices], axis=-1)

    def packed(self, xp: Namespace, value: Array, matrices: list[Array]) -> Array:
        """Pack a value ``(...,)`` and a gradient, given by matrices, into ``(..., 1 + p)`` of the wider type."""
        return xp.concat([value[..., None], *[flat(xp, A) for A in matrices]], axis=-1)


def weights(A: Array) -> Array:
    """Return the matrix without its bias column, ``(..., h_l, h_{l-1})``."""
    return A[..., :-1]


def bias(A: Array) -> Array:
    """Return the bias column, ``(..., h_l, 1)``."""
    return A[..., -1:]


def augment(xp: Namespace, a: Array) -> Array:
    """Append a row of ones to a ``(..., h, n)``; the result is ``(a, 1)``, ``(..., h + 1, n)``."""
    return above_ones(xp, _itself)(a)[1]


def units(a: Array) -> Array:
    """Return the a of ``(a, 1)``, ``(..., h, n)``."""
    return a[..., :-1, :]


class Products(NamedTuple):
    """The two products with ``(a, 1)`` that a layer is made of."""

    affine: Callable[[Array, Array], Array]
    """A function of A and ``(a, 1)`` that computes ``A . (a, 1)``."""

    outer: Callable[[Array, Array], Array]
    """A function of u and ``(a, 1)`` that computes ``sum_n u_n (a_n, 1)^T``, the transpose of `affine` in A."""


def products(xp: Namespace) -> Products:
    """Return the fastest products of a library; one that compiles adds the bias without a row of ones."""
    return Products(_bias_added, partial(_bias_joined, xp)) if compiles(xp) else Products(matmul, _outer)


def _outer(u: Array, a: Array) -> Array:
    """Sum u (a, 1)^T over events."""
    return u @ a.mT


def _bias_added(A: Array, a: Array) -> Array:
    """Compute A . (a, 1) as a product and a sum."""
    return weights(A) @ units(a) + bias(A)


def _bias_joined(xp: Namespace, u: Array, a: Array) -> Array:
    """Sum u (a, 1)^T over events, with a separate sum for the bias column."""
    return join(xp, u @ units(a).mT, xp.sum(u, axis=-1, keepdims=True))


def back_through(A: Array, delta: Array) -> Array:
    """Multiply delta by W^T, ``(..., h_{l-1}, n)``; a layer of one unit needs no matrix product."""
    W = weights(A).mT
    return W * delta if W.shape[-1] == 1 else W @ delta


def flat(xp: Namespace, A: Array) -> Array:
    """Flatten a matrix ``(..., h, c)`` row by row, ``(..., h c)``."""
    *replicas, h, c = A.shape
    return reshape(xp, A, (*replicas, h * c))


def _itself(xp: Namespace, a: Array) -> Array:
    """Return the array itself, as a function for `above_ones`."""
    return a


def join(xp: Namespace, weights: Array, bias: Array) -> Array:
    """Join weights ``(..., h_l, h_{l-1})`` and a bias column ``(..., h_l, 1)`` to an augmented matrix."""
    return xp.concat([weights, bias], axis=-1)
