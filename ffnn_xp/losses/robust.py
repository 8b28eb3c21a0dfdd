r"""Chi-squares that grow slowly far out, for measurements among which some are wrong by many sigma.

With the pull z each is :math:`s = \rho(z)`, with :math:`\rho \approx z^2` (or a multiple) near zero. The exact second
derivative is zero or negative far out; the weight of iteratively reweighted least squares, :math:`\rho'(z)/z`, never
is, and serves the Gauss-Newton matrix (P. W. Holland and R. E. Welsch, Commun. Stat. A6 (1977) 813).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.losses.base import Data
from ffnn_xp.losses.normal import Measured


class Robust(Measured):
    """What the robust statistics share; each says rho, rho', rho'' and the weight rho'/z."""

    display_name = "rho"

    @abstractmethod
    def rho(self, xp: Namespace, z: Array) -> tuple[Array, Array]:
        """rho(z), and its weight rho'(z) / z."""

    @abstractmethod
    def bend(self, xp: Namespace, z: Array) -> Array:
        """rho''(z)."""

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """rho, and its derivative in y."""
        z = (y - data[0]) * data[1]
        value, weight = self.rho(xp, z)
        return value, weight * z * data[1]

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """rho'' / sigma^2: negative far out."""
        return self.bend(xp, (y - data[0]) * data[1]) * data[1] * data[1]

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """The weight over sigma^2."""
        return self.rho(xp, (y - data[0]) * data[1])[1] * data[1] * data[1]


@dataclass(frozen=True)
class SoftL1Loss(Robust):
    r""":math:`\rho = 2(\sqrt{1 + z^2} - 1)`, z^2 near zero and 2 abs(z) far out: iminuit's and SciPy's soft_l1.

    Examples
    --------
    >>> import numpy as np
    >>> float(SoftL1Loss().value(np, np.array(1e6), (np.array(0.0), np.array(1.0)))) < 2e6
    True
    """

    name = "soft_l1"

    def rho(self, xp: Namespace, z: Array) -> tuple[Array, Array]:
        """2 (sqrt(1 + z^2) - 1), written without a difference."""
        root = xp.sqrt(1 + z * z)
        return 2 * z * (z / (1 + root)), 2 / root

    def bend(self, xp: Namespace, z: Array) -> Array:
        """2 (1 + z^2)^(-3/2)."""
        return 2 / (1 + z * z) ** 1.5


@dataclass(frozen=True)
class HuberLoss(Robust):
    r""":math:`\rho = z^2` up to :math:`|z| = \delta`, and :math:`2\delta|z| - \delta^2` beyond.

    P. J. Huber, Ann. Math. Stat. 35 (1964) 73. With 1.345 it is 95 % as efficient as least squares for normal errors.

    Parameters
    ----------
    delta : float
        Where it turns, in sigma.
    """

    delta: float = 1.345
    name = "huber"

    def __post_init__(self) -> None:
        _positive("delta", self.delta)

    def rho(self, xp: Namespace, z: Array) -> tuple[Array, Array]:
        """Parabola and straight lines."""
        far = xp.abs(z)
        inner = xp.minimum(far, self.delta)
        weight = xp.where(far > self.delta, 2 * self.delta / xp.maximum(far, self.delta), 2 * xp.ones_like(far))
        return inner * (2 * far - inner), weight

    def bend(self, xp: Namespace, z: Array) -> Array:
        """2 inside, 0 outside."""
        return 2 * xp.astype(xp.abs(z) <= self.delta, z.dtype)


@dataclass(frozen=True)
class StudentTLoss(Robust):
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
        _positive("nu", self.nu)

    def rho(self, xp: Namespace, z: Array) -> tuple[Array, Array]:
        """(nu + 1) log(1 + z^2 / nu)."""
        return (self.nu + 1) * xp.log1p(z * z / self.nu), 2 * (self.nu + 1) / (self.nu + z * z)

    def bend(self, xp: Namespace, z: Array) -> Array:
        """2 (nu + 1) (nu - z^2) / (nu + z^2)^2."""
        square = z * z
        return 2 * (self.nu + 1) * (self.nu - square) / (self.nu + square) ** 2


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"`{name}` must be positive and finite, got {value!r}")
