"""The statistic of normal values of which the network predicts mean and width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.losses.base import Data, Loss


@dataclass(frozen=True)
class NormalLoss(Loss):
    r"""-2 log L of normal values with a predicted width: outputs are m means, then the logarithms of m widths.

    .. math:: s = z^2 + 2\ell, \qquad z = (t - \mu) e^{-\ell}, \quad y = (\mu, \ell)

    up to a constant (D. A. Nix and A. S. Weigend, Proc. ICNN 1994, eq. 4). The second derivative couples mean and
    width; its expectation, diag(2 / width^2, 4), does not. S has no lower bound where the width of a value can go to
    zero: use a prior.

    Examples
    --------
    >>> import numpy as np
    >>> y, t = np.array([[1.0], [0.0]]), np.array([[3.0]])
    >>> float(np.sum(NormalLoss().value(np, y, (t,))))
    4.0
    """

    name = "normal"
    bounded_below = False
    pull_nu = float("inf")
    predicts_width = True
    coupled_outputs = True

    def columns(self, xp: Namespace, y: Array, auxiliary: Array, shift: Array, scale: Array) -> Data:
        """Return standardised values."""
        m = y.shape[-2]
        return ((y - shift[:m, :]) / scale[:m, :],)

    def outputs(self, values: int) -> int:
        """Return two outputs for each value, a mean and a width."""
        return 2 * values

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute z^2 and 2 l, one below the other; and -2 z / width and 2 - 2 z^2."""
        inverse, z, log_width = self._pull(xp, y, data)
        value = xp.concat([z * z, 2 * log_width], axis=-2)
        return value, xp.concat([-2 * z * inverse, 2 - 2 * z * z], axis=-2)

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute (2 / width^2, 4 z / width; 4 z / width, 4 z^2) for each mean and its width."""
        inverse, z, _ = self._pull(xp, y, data)
        return _two_by_two(xp, 2 * inverse * inverse, 4 * z * inverse, 4 * z * z)

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute the expectation of `second`."""
        inverse, z, _ = self._pull(xp, y, data)
        zero = xp.zeros_like(z)
        return _two_by_two(xp, 2 * inverse * inverse, zero, 4 + zero)

    def root(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute the root of the expectation, which is diagonal."""
        inverse, z, _ = self._pull(xp, y, data)
        zero = xp.zeros_like(z)
        return _two_by_two(xp, 2**0.5 * inverse, zero, 2 + zero)

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array) -> Array:
        """Compute (t - mean) / width."""
        m = y.shape[-2] // 2
        return (measured - y[..., :m, :]) * xp.exp(-y[..., m:, :])

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw normal values with the predicted widths."""
        m = prediction.shape[-2] // 2
        mean, log_width = prediction[..., :m, :], prediction[..., m:, :]
        return np.asarray(mean + np.exp(log_width) * rng.normal(size=mean.shape))

    def output_scaling(self, mean: HostArray, width: HostArray) -> tuple[HostArray, HostArray]:
        """Return shift and scale of the means, and the logarithm of the measured width as shift of the log widths."""
        return np.append(mean, np.log(width)), np.append(width, np.ones_like(width))

    def _pull(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array, Array]:
        """Compute 1 / width, z, log width."""
        m = y.shape[-2] // 2
        log_width = y[..., m:, :]
        inverse = xp.exp(-log_width)
        return inverse, (data[0] - y[..., :m, :]) * inverse, log_width


def _two_by_two(xp: Namespace, upper: Array, off: Array, lower: Array) -> Array:
    """Return matrices ``(..., 2 m, 2 m, n)`` of four diagonal blocks from their diagonals ``(..., m, n)``."""
    m = upper.shape[-2]

    def block(d: Array) -> Array:
        rows = []
        for i in range(m):
            zero = xp.zeros_like(d)
            rows.append(xp.concat([zero[..., :i, :], d[..., i : i + 1, :], zero[..., i + 1 :, :]], axis=-2))
        return xp.stack(rows, axis=-3)

    across = block(off)
    return xp.concat([xp.concat([block(upper), across], axis=-2), xp.concat([across, block(lower)], axis=-2)], axis=-3)
