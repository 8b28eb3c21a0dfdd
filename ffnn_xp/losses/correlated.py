r"""The chi-square of correlated values.

With the covariance :math:`V = C C^T`, the pulls of :math:`u = C^{-1} y` are independent and of width 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.losses.base import Data, Loss


@dataclass(frozen=True)
class CorrelatedLoss(Loss):
    r"""Chi-square of n k values with a covariance V, :math:`S = (y - t)^T V^{-1} (y - t)`.

    Values are counted event by event. `auxiliary` is :math:`C^{-1}`, the inverse of V's lower Cholesky factor,
    ``(n k, n k)``; the data are the whitened values and this inverse.

    Parameters
    ----------
    k : int
        Number of outputs.

    Examples
    --------
    >>> import numpy as np
    >>> data = (np.array([[1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 2.0]]))
    >>> CorrelatedLoss().linear_operator(np, np.array([[3.0, 4.0]]), data)
    array([[3., 8.]])
    """

    k: int = 1
    name = "least_squares"
    display_name = "chi2"
    auxiliary = "y_cov"
    is_chi_square = True
    has_linear_operator = True
    separable = False

    def columns(self, xp: Namespace, y: Array, auxiliary: Array, shift: Array, scale: Array) -> Data:
        """Return whitened standardised values, and the matrix for standardised outputs."""
        each = xp.broadcast_to(scale[:, 0], (auxiliary.shape[-1] // self.k, self.k))
        matrix = auxiliary * xp.reshape(each, (1, -1))
        return _event_by_event(xp, (y - shift) / scale) @ xp.matrix_transpose(matrix), matrix

    def linear_operator(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute whitened outputs, ``(..., 1, n k)``."""
        return _event_by_event(xp, y) @ xp.matrix_transpose(data[1])

    def adjoint(self, xp: Namespace, u: Array, data: Data) -> Array:
        """Apply the transpose of `linear_operator`."""
        rows = u @ data[1]
        return xp.matrix_transpose(xp.reshape(rows, (*rows.shape[:-2], -1, self.k)))

    def diagonal_fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute the diagonal of 2 V^-1."""
        return self.adjoint(xp, xp.ones_like(data[0]), (data[0], 2 * data[1] * data[1]))

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute squared pulls and their derivatives."""
        pull = y - data[0]
        return pull * pull, 2 * pull

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Return 2, the second derivative of each squared pull."""
        return 2 * xp.ones_like(y)

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array) -> Array:
        """Compute whitened pulls, in the shape of y."""
        u = _event_by_event(xp, measured - y) @ xp.matrix_transpose(auxiliary)
        return xp.matrix_transpose(xp.reshape(u, (-1, y.shape[-2])))

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw normal values with this covariance."""
        *replicas, k, n = prediction.shape
        z = rng.normal(size=(*replicas, n * k)) @ np.linalg.inv(auxiliary).T
        return np.asarray(prediction + np.swapaxes(z.reshape(*replicas, n, k), -1, -2))


def _event_by_event(xp: Namespace, y: Array) -> Array:
    """Return ``(..., k, n)`` as ``(..., 1, n k)``."""
    return xp.reshape(xp.matrix_transpose(y), (*y.shape[:-2], 1, -1))
