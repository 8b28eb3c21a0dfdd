"""The least-squares statistic: the chi-square of measured values with errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.losses.base import Data, Loss, PullLoss
from ffnn_xp.losses.block_correlated import BlockCorrelatedLoss
from ffnn_xp.losses.correlated import CorrelatedLoss
from ffnn_xp.losses.effective_variance import EffectiveVarianceLoss


@dataclass(frozen=True)
class LeastSquaresLoss(PullLoss):
    r"""Chi-square with known errors, :math:`s = ((y - t)/\sigma)^2`; its data are t and :math:`1/\sigma`.

    Examples
    --------
    >>> import numpy as np
    >>> float(LeastSquaresLoss().value(np, np.array(3.0), (np.array(2.0), np.array(2.0))))
    4.0
    """

    name = "least_squares"
    display_name = "chi2"
    is_chi_square = True
    pull_nu = float("inf")

    def value(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute the squared pull."""
        pull = (y - data[0]) * data[1]
        return pull * pull

    def first(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute twice the pull over the error."""
        target, inverse_error = data
        return 2 * (y - target) * (inverse_error * inverse_error)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute the squared pull, and twice the pull over the error."""
        pull = (y - data[0]) * data[1]
        first = pull * data[1]
        first += first
        return pull * pull, first

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute twice the inverse variance."""
        return 2 * data[1] * data[1]

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw normal values with these errors."""
        return np.asarray(prediction + rng.normal(size=prediction.shape) / auxiliary)

    def with_covariance(self, outputs: int | None) -> Loss:
        """Return the chi-square of correlated values."""
        return BlockCorrelatedLoss() if outputs is None else CorrelatedLoss(outputs)

    def with_x_error(self, inputs: tuple[int, ...]) -> Loss:
        """Return the chi-square with the effective variance."""
        return EffectiveVarianceLoss(inputs)
