r"""Statistics of linear combinations of outputs: what was measured is :math:`u = \sum_n L_n\,y(x_n)`, not y itself.

Correlated measurements are whitened: with :math:`V = C C^T`, the pulls of :math:`u = C^{-1} y` are independent and of
width 1. The content of a bin is the integral of a density, a sum over Gauss-Legendre nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.losses.base import Data, Loss
from ffnn_xp.losses.normal import Measured


@dataclass(frozen=True)
class CorrelatedLoss(Measured):
    r"""Chi-square of n k values with a covariance V, :math:`S = (y - t)^T V^{-1} (y - t)`.

    Values are counted event by event. `auxiliary` is :math:`C^{-1}`, the inverse of V's lower Cholesky factor, ``(n k, n
    k)``; the data are the whitened values and this.

    Parameters
    ----------
    k : int
        Number of outputs.

    Examples
    --------
    >>> import numpy as np
    >>> data = (np.array([[1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 2.0]]))
    >>> CorrelatedLoss().combine(np, np.array([[3.0, 4.0]]), data)
    array([[3., 8.]])
    """

    k: int = 1
    name = "least_squares"
    display_name = "chi2"
    auxiliary = "y_cov"
    as_measured = False
    is_chi_square = True
    has_linear_operator = True
    separable = False

    def columns(self, xp: Namespace, y: Array, auxiliary: Array | None, shift: Array, scale: Array) -> Data:
        """Whitened standardised values, and the matrix for standardised outputs."""
        assert auxiliary is not None
        each = xp.broadcast_to(scale[:, 0], (auxiliary.shape[-1] // self.k, self.k))
        matrix = auxiliary * xp.reshape(each, (1, -1))
        return _event_by_event(xp, (y - shift) / scale) @ xp.matrix_transpose(matrix), matrix

    def linear_operator(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Whitened outputs, ``(..., 1, n k)``."""
        return _event_by_event(xp, y) @ xp.matrix_transpose(data[1])

    def adjoint(self, xp: Namespace, u: Array, data: Data) -> Array:
        """The transpose of `linear_operator`."""
        rows = u @ data[1]
        return xp.matrix_transpose(xp.reshape(rows, (*rows.shape[:-2], -1, self.k)))

    def diagonal_fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """The diagonal of 2 V^-1."""
        return self.adjoint(xp, xp.ones_like(data[0]), (data[0], 2 * data[1] * data[1]))

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Squared pulls."""
        pull = y - data[0]
        return pull * pull, 2 * pull

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Two."""
        return 2 * xp.ones_like(y)

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array | None) -> Array:
        """The whitened ones, in the shape of y."""
        assert auxiliary is not None
        u = _event_by_event(xp, measured - y) @ xp.matrix_transpose(auxiliary)
        return xp.matrix_transpose(xp.reshape(u, (-1, y.shape[-2])))


@dataclass(frozen=True)
class BlockCorrelatedLoss(Measured):
    r"""The same where only the k values of one event are correlated; `auxiliary` are their :math:`C^{-1}`, ``(k k, n)``."""

    name = "least_squares"
    display_name = "chi2"
    auxiliary = "y_cov"
    as_measured = False
    is_chi_square = True
    coupled_outputs = True

    def columns(self, xp: Namespace, y: Array, auxiliary: Array | None, shift: Array, scale: Array) -> Data:
        """Standardised values, and the matrices for them."""
        assert auxiliary is not None
        k = y.shape[-2]
        matrices = xp.reshape(auxiliary, (k, k, -1)) * scale[None, :, :]
        return (y - shift) / scale, xp.reshape(matrices, auxiliary.shape)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Squared whitened pulls."""
        A = self._matrices(xp, y, data[1])
        pull = _times(xp, A, y - data[0])
        return pull * pull, 2 * xp.sum(A * pull[..., :, None, :], axis=-3)

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """2 V^-1."""
        A = self._matrices(xp, y, data[1])
        return 2 * xp.sum(A[..., :, :, None, :] * A[..., :, None, :, :], axis=-4)

    def root(self, xp: Namespace, y: Array, data: Data) -> Array:
        """sqrt(2) C^-T."""
        A = self._matrices(xp, y, data[1])
        return 2**0.5 * xp.stack([A[..., j, :, :] for j in range(A.shape[-3])], axis=-2)

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array | None) -> Array:
        """The whitened ones."""
        assert auxiliary is not None
        return _times(xp, self._matrices(xp, y, auxiliary), measured - y)

    def _matrices(self, xp: Namespace, y: Array, flat: Array) -> Array:
        k = y.shape[-2]
        return xp.reshape(flat, (*flat.shape[:-2], k, k, flat.shape[-1]))


@dataclass(frozen=True)
class IntegratedLoss(Loss):
    r"""A statistic of bins' contents, :math:`u_b = \sum_q w_{bq}\,y(x_{bq})`; the bins' nodes stand one after another.

    Parameters
    ----------
    of : Loss
        Of the contents.
    """

    of: Loss
    has_linear_operator = True

    @property
    def name(self) -> str:
        """As of the contents."""
        return self.of.name

    @property
    def display_name(self) -> str:
        """As of the contents."""
        return self.of.display_name

    @property
    def errordef(self) -> float:
        """As of the contents."""
        return self.of.errordef

    @property
    def target_kind(self) -> str:
        """As of the contents."""
        return self.of.target_kind

    @property
    def auxiliary(self) -> str | None:
        """As of the contents."""
        return self.of.auxiliary

    @property
    def is_chi_square(self) -> bool:
        """As of the contents."""
        return self.of.is_chi_square

    def columns(self, xp: Namespace, y: Array, auxiliary: Array | None, shift: Array, scale: Array) -> Data:
        """Those of the statistic inside."""
        return self.of.columns(xp, y, auxiliary, shift, scale)

    def linear_operator(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Integrals over bins."""
        weights = data[-1]
        each = xp.reshape(y, (*y.shape[:-1], -1, weights.shape[0]))
        return xp.sum(each * xp.matrix_transpose(weights), axis=-1)

    def adjoint(self, xp: Namespace, u: Array, data: Data) -> Array:
        """The transpose of `linear_operator`."""
        each = u[..., None] * xp.matrix_transpose(data[-1])
        return xp.reshape(each, (*u.shape[:-1], -1))

    def diagonal_fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """As if the nodes were independent."""
        return self.adjoint(xp, self.fisher(xp, self.linear_operator(xp, y, data), data), (data[-1] * data[-1],))

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Of the contents."""
        return self.of.value_and_first(xp, y, data[:-1])

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Of the contents."""
        return self.of.second(xp, y, data[:-1])

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Of the contents."""
        return self.of.fisher(xp, y, data[:-1])

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array | None) -> Array:
        """Of the contents."""
        return self.of.pulls(xp, y, measured, auxiliary)


def _event_by_event(xp: Namespace, y: Array) -> Array:
    """``(..., k, n)`` as ``(..., 1, n k)``."""
    return xp.reshape(xp.matrix_transpose(y), (*y.shape[:-2], 1, -1))


def _times(xp: Namespace, A: Array, v: Array) -> Array:
    """Matrices ``(..., k, k, n)`` times vectors ``(..., k, n)``."""
    return xp.sum(A * v[..., None, :, :], axis=-2)
