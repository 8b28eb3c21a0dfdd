"""The chi-square of values that are correlated within each event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.losses.base import Data, Loss


@dataclass(frozen=True)
class BlockCorrelatedLoss(Loss):
    r"""Chi-square of the k values of each event with a covariance :math:`V_n` of their own.

    `auxiliary` are the :math:`C_n^{-1}`, the inverses of the lower Cholesky factors, ``(k k, n)``; the data are the
    values and these inverses.
    """

    name = "least_squares"
    display_name = "chi2"
    auxiliary = "y_cov"
    is_chi_square = True
    coupled_outputs = True

    def columns(self, xp: Namespace, y: Array, auxiliary: Array, shift: Array, scale: Array) -> Data:
        """Return standardised values, and the matrices for them."""
        k = y.shape[-2]
        matrices = xp.reshape(auxiliary, (k, k, -1)) * scale[None, :, :]
        return (y - shift) / scale, xp.reshape(matrices, auxiliary.shape)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute squared whitened pulls and their derivatives."""
        A = self._matrices(xp, y, data[1])
        pull = _times(xp, A, y - data[0])
        return pull * pull, 2 * xp.sum(A * pull[..., :, None, :], axis=-3)

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute 2 V^-1."""
        A = self._matrices(xp, y, data[1])
        return 2 * xp.sum(A[..., :, :, None, :] * A[..., :, None, :, :], axis=-4)

    def root(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute sqrt(2) C^-T."""
        A = self._matrices(xp, y, data[1])
        return 2**0.5 * xp.stack([A[..., j, :, :] for j in range(A.shape[-3])], axis=-2)

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array) -> Array:
        """Compute whitened pulls."""
        return _times(xp, self._matrices(xp, y, auxiliary), measured - y)

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw normal values with these covariances."""
        k, n = prediction.shape[-2:]
        factors = np.linalg.inv(np.moveaxis(auxiliary.reshape(k, k, n), -1, 0))
        return np.asarray(prediction + np.einsum("nij,...jn->...in", factors, rng.normal(size=prediction.shape)))

    def _matrices(self, xp: Namespace, y: Array, columns: Array) -> Array:
        k = y.shape[-2]
        return xp.reshape(columns, (*columns.shape[:-2], k, k, columns.shape[-1]))


def _times(xp: Namespace, A: Array, v: Array) -> Array:
    """Multiply matrices ``(..., k, k, n)`` by vectors ``(..., k, n)``."""
    return xp.sum(A * v[..., None, :, :], axis=-2)
