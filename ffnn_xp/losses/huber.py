"""Huber's statistic: a parabola near zero, straight lines beyond."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.losses.base import RobustLoss, check_positive


@dataclass(frozen=True)
class HuberLoss(RobustLoss):
    r"""The statistic :math:`\rho = z^2` up to :math:`|z| = \delta`, and :math:`2\delta|z| - \delta^2` beyond.

    P. J. Huber, Ann. Math. Stat. 35 (1964) 73. With 1.345 it is 95 % as efficient as least squares for normal errors.

    Parameters
    ----------
    delta : float
        Pull at which the straight lines begin.
    """

    delta: float = 1.345
    name = "huber"

    def __post_init__(self) -> None:
        check_positive("delta", self.delta)

    def rho(self, xp: Namespace, z: Array) -> tuple[Array, Array]:
        """Compute the parabola and the straight lines."""
        far = xp.abs(z)
        inner = xp.minimum(far, self.delta)
        weight = xp.where(far > self.delta, 2 * self.delta / xp.maximum(far, self.delta), 2 * xp.ones_like(far))
        return inner * (2 * far - inner), weight

    def rho_second(self, xp: Namespace, z: Array) -> Array:
        """Return 2 inside, 0 outside."""
        return 2 * xp.astype(xp.abs(z) <= self.delta, z.dtype)

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw from the density exp(-rho / 2): normal inside delta, exponential outside."""
        d, shape = self.delta, prediction.shape
        inside = math.sqrt(2 * math.pi) * math.erf(d / math.sqrt(2))
        outside = 2 / d * math.exp(-(d**2) / 2)
        core = scipy.stats.truncnorm.rvs(-d, d, size=shape, random_state=rng)
        tail = rng.choice([-1.0, 1.0], size=shape) * (d + rng.exponential(1 / d, size=shape))
        z = np.where(rng.uniform(size=shape) * (inside + outside) < inside, core, tail)
        return np.asarray(prediction + z / auxiliary)
