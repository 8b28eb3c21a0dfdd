r"""Coordinates in which S is well conditioned, made from small factors of each layer instead of a p x p matrix.

For one layer the Gauss-Newton matrix is :math:`\sum_n \delta\delta^T \otimes \tilde a \tilde a^T`, nearly
:math:`G \otimes A / n` with :math:`G = \sum_n \delta\delta^T` and :math:`A = \sum_n \tilde a\tilde a^T` (J. Martens and
R. Grosse, ICML 2015). With a prior's precision it is diagonalised exactly by two small eigen-decompositions, so that
in z, with :math:`\theta = \theta_0 + W z`, the Hessian of S is near the unit matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.limits import before_eigenvectors
from ffnn_xp._lib.typing import HostArray, Rows
from ffnn_xp.minimizers.base import Factors

FLOOR = 1e-6  # share of the largest element of A that replaces the prior's precision where there is none


class KroneckerCoordinates:
    """A map W with W W^T = M^-1, M being the Kronecker approximation of the Gauss-Newton matrix, prior included.

    Examples
    --------
    >>> G, A = np.diag([1.0, 2.0]), np.diag([3.0, 5.0])
    >>> W = KroneckerCoordinates([(G, A, np.ones((2, 2)))])
    >>> W.precondition(np.ones(4))  # 1 / (1 + 1 * 3), 1 / (1 + 1 * 5), 1 / (1 + 2 * 3), 1 / (1 + 2 * 5)
    array([0.25      , 0.16666667, 0.14285714, 0.09090909])
    """

    def __init__(self, factors: Factors) -> None:
        self._factors, self._layers = factors, []
        for G, A, prior in factors:
            if not (np.all(np.isfinite(G)) and np.all(np.isfinite(A))):  # squares that overflow are no scale
                G, A = np.eye(len(G)), np.eye(len(A))
            before_eigenvectors(max(len(G), len(A)))
            gamma, U = np.linalg.eigh(G)
            least = FLOOR * max(float(A.max()) * float(gamma[-1]), 1e-30)
            scale = 1 / np.sqrt(np.maximum(prior.mean(axis=0), least))
            lam, V = np.linalg.eigh(scale[:, None] * A * scale)
            root = 1 / np.sqrt(1 + np.maximum(gamma, 0)[:, None] * np.maximum(lam, 0))
            self._layers.append((U, scale[:, None] * V, root))

    @cached_property
    def least(self) -> float:
        """A lower bound of the eigenvalues of the preconditioned Gauss-Newton matrix, if all parameters have a prior.

        (An output's bias needs none, since the data determine it.) It is infinite if none is known.
        """
        return min(_least_with_prior(*factors) for factors in self._factors)

    @staticmethod
    def together(r: int) -> KroneckerCoordinatesOfMany:
        """Return an object that computes r of them at once."""
        return KroneckerCoordinatesOfMany(r)

    def back(self, z: HostArray) -> HostArray:
        """Compute W z."""
        return np.concatenate([(U @ (root * Z) @ V.T).ravel() for (U, V, root), Z in self._split(z)])

    def forth(self, g: HostArray) -> HostArray:
        """Compute W^T g."""
        return np.concatenate([(root * (U.T @ X @ V)).ravel() for (U, V, root), X in self._split(g)])

    def precondition(self, g: HostArray) -> HostArray:
        """Compute M^-1 g."""
        return self.back(self.forth(g))

    @property
    def effective(self) -> float:
        """The effective number of parameters in this approximation, tr(G (G + P)^-1)."""
        return sum(self.effective_by_layer)

    @property
    def effective_by_layer(self) -> tuple[float, ...]:
        """The effective number of parameters of each layer."""
        return tuple(float(np.sum(1 - root * root)) for _, _, root in self._layers)

    def _split(self, v: HostArray) -> list[tuple[tuple[HostArray, HostArray, HostArray], HostArray]]:
        out, at = [], 0
        for layer in self._layers:
            shape = layer[2].shape
            out.append((layer, v[at : at + layer[2].size].reshape(shape)))
            at += layer[2].size
        return out


class KroneckerCoordinatesOfMany:
    """Kronecker coordinates of r replicas."""

    def __init__(self, r: int) -> None:
        self._r = r
        self._layers: list[list[HostArray]] = []
        self._taken: tuple[Rows, list[list[HostArray]]] | None = None
        """The last rows that were asked for, which are often the next ones too, and their coordinates."""

    def put(self, i: int, W: KroneckerCoordinates) -> None:
        """Take the coordinates of a replica."""
        if not self._layers:
            self._layers = [[np.zeros((self._r, *a.shape)) for a in layer] for layer in W._layers]
        for layer, own in zip(self._layers, W._layers, strict=True):
            for a, b in zip(layer, own, strict=True):
                a[i] = b
        self._taken = None

    def back(self, rows: Rows, z: HostArray) -> HostArray:
        """Compute W z of these replicas, ``(r, p)``."""
        return self._joined(z, [U @ (root * Z) @ np.swapaxes(V, 1, 2) for (U, V, root), Z in self._split(rows, z)])

    def forth(self, rows: Rows, g: HostArray) -> HostArray:
        """Compute W^T g of these replicas, ``(r, p)``."""
        return self._joined(g, [root * (np.swapaxes(U, 1, 2) @ X @ V) for (U, V, root), X in self._split(rows, g)])

    def _joined(self, v: HostArray, parts: list[HostArray]) -> HostArray:
        return np.concatenate([part.reshape(len(v), -1) for part in parts], axis=1)

    def _split(self, rows: Rows, v: HostArray) -> Iterator[tuple[list[HostArray], HostArray]]:
        if self._taken is None or self._taken[0] is not rows:
            self._taken = rows, [[a[rows] for a in layer] for layer in self._layers]
        at = 0
        for layer in self._taken[1]:
            shape = layer[2].shape[1:]
            size = shape[0] * shape[1]
            yield layer, v[:, at : at + size].reshape(-1, *shape)
            at += size


def _least_with_prior(G: HostArray, A: HostArray, prior: HostArray) -> float:
    """Return the smallest eigenvalue that a prior guarantees, P / (gamma A + P); infinite where there is no prior."""
    P = prior.min(axis=0)
    positive = P > 0
    if not np.any(positive[:-1]):
        return np.inf
    if not (np.all(np.isfinite(G)) and np.all(np.isfinite(A))):
        G, A = np.eye(len(G)), np.eye(len(A))
    before_eigenvectors(max(len(G), len(A)))
    gamma = float(np.linalg.eigvalsh(G)[-1])
    largest = scipy.linalg.eigvalsh(A[np.ix_(positive, positive)], np.diag(P[positive]), check_finite=False)[-1]
    return 1 / (1 + gamma * float(largest))
