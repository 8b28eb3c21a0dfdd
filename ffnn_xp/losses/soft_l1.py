"""The soft L1 statistic: z^2 near zero, 2 abs(z) far out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.losses.base import RobustLoss


@dataclass(frozen=True)
class SoftL1Loss(RobustLoss):
    r"""The statistic :math:`\rho = 2(\sqrt{1 + z^2} - 1)`, iminuit's and SciPy's soft_l1.

    Examples
    --------
    >>> import numpy as np
    >>> float(SoftL1Loss().value(np, np.array(1e6), (np.array(0.0), np.array(1.0)))) < 2e6
    True
    """

    name = "soft_l1"

    def rho(self, xp: Namespace, z: Array) -> tuple[Array, Array]:
        """Compute 2 (sqrt(1 + z^2) - 1), written without a difference; the root is |z| where the square overflows."""
        root = xp.minimum(xp.sqrt(1 + z * z), 1 + xp.abs(z))
        return 2 * z * (z / (1 + root)), 2 / root

    def rho_second(self, xp: Namespace, z: Array) -> Array:
        """Compute 2 (1 + z^2)^(-3/2)."""
        return 2 / (1 + z * z) ** 1.5

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw from the density exp(-rho / 2), a hyperbolic one: normal with a generalised inverse Gaussian variance.

        (O. Barndorff-Nielsen, Proc. R. Soc. A 353 (1977) 401.)
        """
        variance = scipy.stats.geninvgauss.rvs(1.0, 1.0, size=prediction.shape, random_state=rng)
        return np.asarray(prediction + np.sqrt(variance) * rng.normal(size=prediction.shape) / auxiliary)
