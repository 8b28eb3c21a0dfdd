"""The statistic of Student's t, for values whose errors have long tails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.losses.base import RobustLoss, check_positive


@dataclass(frozen=True)
class StudentTLoss(RobustLoss):
    r"""-2 log L of Student's t, :math:`\rho = (\nu + 1)\log(1 + z^2/\nu)`, up to a constant; sigma is its scale.

    K. L. Lange, R. J. A. Little and J. M. G. Taylor, J. Am. Stat. Assoc. 84 (1989) 881.

    Parameters
    ----------
    nu : float
        Degrees of freedom: 1 is Cauchy's distribution, infinity the normal one.
    """

    nu: float = 4.0
    name = "student_t"

    def __post_init__(self) -> None:
        check_positive("nu", self.nu)
        object.__setattr__(self, "pull_nu", self.nu)

    def rho(self, xp: Namespace, z: Array) -> tuple[Array, Array]:
        """Compute (nu + 1) log(1 + z^2 / nu)."""
        return (self.nu + 1) * xp.log1p(z * z / self.nu), 2 * (self.nu + 1) / (self.nu + z * z)

    def rho_second(self, xp: Namespace, z: Array) -> Array:
        """Compute 2 (nu + 1) (nu - z^2) / (nu + z^2)^2."""
        square = z * z
        return 2 * (self.nu + 1) * (self.nu - square) / (self.nu + square) ** 2

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw from Student's t with these scales."""
        return np.asarray(prediction + rng.standard_t(self.nu, size=prediction.shape) / auxiliary)

    def median_pull(self) -> float:
        """Return the median of absolute values of Student's t."""
        return float(scipy.stats.t(self.nu).ppf(0.75))
