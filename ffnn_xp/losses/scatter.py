"""The statistic of residuals whose width the network predicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.losses.base import Data, Loss


@dataclass(frozen=True)
class ScatterLoss(Loss):
    r"""-2 log L of residuals t of a Student's t about zero; the output is the logarithm of its width.

    .. math:: s = (\nu + 1)\log(1 + z^2/\nu) + 2y, \qquad z = t e^{-y}

    up to a constant. It is convex in y. It serves to learn from residuals of held-out events how the noise depends on
    x, and so users do not name it.

    Parameters
    ----------
    nu : float
        Degrees of freedom.

    Examples
    --------
    >>> import numpy as np
    >>> y, t = np.array([[0.0]]), np.array([[1.0]])
    >>> float(ScatterLoss(nu=1.0).value(np, y, (t,))[0, 0] - 2 * np.log(2))
    0.0
    """

    nu: float = 4.0
    name = "scatter"
    bounded_below = False

    def columns(self, xp: Namespace, y: Array, auxiliary: Array, shift: Array, scale: Array) -> Data:
        """Return the residuals in units of exp(shift); `scale` must be one."""
        return (y * xp.exp(-shift),)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute (nu + 1) log(1 + z^2 / nu) + 2 y, and 2 - 2 (nu + 1) z^2 / (nu + z^2)."""
        square = self._square(xp, y, data)
        value = (self.nu + 1) * xp.log1p(square / self.nu) + 2 * y
        return value, 2 - 2 * (self.nu + 1) * (1 - self.nu / (self.nu + square))

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute 4 (nu + 1) nu z^2 / (nu + z^2)^2."""
        share = self.nu / (self.nu + self._square(xp, y, data))
        return 4 * (self.nu + 1) * share * (1 - share)

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array) -> Array:
        """Compute t over its width."""
        return measured * xp.exp(-y)

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw residuals with these widths."""
        return np.asarray(np.exp(prediction) * rng.standard_t(self.nu, size=prediction.shape))

    def _square(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute z^2."""
        z = data[0] * xp.exp(-y)
        return z * z
