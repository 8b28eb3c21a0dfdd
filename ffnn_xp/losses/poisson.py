r"""The statistic of Poisson counts: -2 log of the likelihood over that of a perfect fit.

.. math:: s = 2(\lambda - t + t \log(t/\lambda))

for a count t with expectation :math:`\lambda = e \mu` (S. Baker and R. D. Cousins, Nucl. Instrum. Meth. 221 (1984) 437,
eq. 6); it is a chi-square where counts are large. The exposure e of each count is its time, volume or bin width; 1 if
not given. A network with ``output="exp"`` is fitted in :math:`\log\mu`; any other output has to stay positive by
itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Mask, Namespace
from ffnn_xp.losses.base import Data, Loss, share


@dataclass(frozen=True)
class PoissonLoss(Loss):
    r"""Deviance of Poisson counts in :math:`\mu`, infinite unless :math:`\mu > 0`; its data are t and the exposure.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.array([[1.0]])
    >>> float(PoissonLoss().value(np, 2 * one, (0 * one, one))[0, 0])  # no count where 2 are expected
    4.0
    """

    name = "poisson"
    display_name = "deviance"
    target_kind = "count"
    auxiliary = "exposure"

    def for_output(self, output: str) -> Loss:
        """Return the statistic in log mu if the output is an exponential."""
        return PoissonLogLoss() if output == PoissonLogLoss.link else PoissonLoss()

    def columns(self, xp: Namespace, y: Array, auxiliary: Array, shift: Array, scale: Array) -> Data:
        """Return counts, and exposure times the output's scale."""
        return y, auxiliary * scale

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute 2 (lambda - t + t log(t / lambda)), and 2 e (1 - t / lambda)."""
        t, e = data
        expected = e * y
        fine = (expected > 0) | ((expected == 0) & (t == 0))
        safe = xp.where(expected > 0, expected, xp.ones_like(expected))
        least = xp.where(t > 0, t, xp.ones_like(t))
        value = 2 * (expected - t + t * xp.log(least / safe))
        return xp.where(fine, value, float("inf")), 2 * e * (1 - t / safe)

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute 2 t / y^2."""
        safe = _not_too_small(xp, y)
        return 2 * data[0] / (safe * safe)

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute 2 e / y, the expectation."""
        return 2 * data[1] / _not_too_small(xp, y)

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array) -> Array:
        """Compute (t - lambda) / sqrt(lambda), Pearson's residuals."""
        expected = y * auxiliary
        return (measured - expected) / xp.sqrt(expected)

    def without_end(self, measured: HostArray, possible: HostArray, some: Mask) -> str:
        """Say that there are no counts."""
        return f"there are no counts at {share(some)}"

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw counts.

        Examples
        --------
        >>> PoissonLoss().sample(np.random.default_rng(1), np.full((1, 3), 4.0), np.ones((1, 1)))
        array([[5., 3., 5.]])
        """
        return rng.poisson(np.maximum(prediction * auxiliary, 0.0)).astype(np.float64)


@dataclass(frozen=True)
class PoissonLogLoss(PoissonLoss):
    r"""Deviance of Poisson counts in :math:`\eta = \log\mu`; its data are t, and :math:`\log(e/\max(t, 1))`.

    With :math:`d = \eta + \log(e/\max(t, 1))` it is :math:`2(\max(t, 1)\,e^d - t - t d)`, which keeps its digits where
    expectation and count are large and nearly equal.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.array([[1.0]])
    >>> data = PoissonLogLoss().columns(np, 0 * one, one, 0 * one, one)
    >>> round(float(PoissonLogLoss().value(np, np.log(2 * one), data)[0, 0]), 12)
    4.0
    """

    link = "exp"

    def columns(self, xp: Namespace, y: Array, auxiliary: Array, shift: Array, scale: Array) -> Data:
        """Return counts, and log(e / max(t, 1)) with the output's shift."""
        return y, shift - xp.log(xp.maximum(y, xp.ones_like(y))) + xp.log(auxiliary)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute 2 (lambda - t - t d), and 2 (lambda - t)."""
        t, d = data[0], y + data[1]
        least = xp.maximum(t, xp.ones_like(t))
        excess = least * xp.expm1(d) + (least - t)
        return 2 * (excess - t * d), 2 * excess

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute 2 lambda."""
        t = data[0]
        return 2 * xp.maximum(t, xp.ones_like(t)) * xp.exp(y + data[1])

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute 2 lambda: it does not depend on the counts."""
        return self.second(xp, y, data)


@dataclass(frozen=True)
class WeightedPoissonLoss(PoissonLoss):
    """Deviance of sums of weights that are scaled to counts of the same relative variance; its exposure has the scale.

    (G. Bohm and G. Zech, Nucl. Instrum. Meth. A 748 (2014) 1.)

    Examples
    --------
    >>> import numpy as np
    >>> n, variance, expected = np.array([[3.0]]), np.array([[6.0]]), np.array([[4.0]])
    >>> data = n * n / variance, n / variance
    >>> round(float(WeightedPoissonLoss().value(np, expected, data)[0, 0]), 4)  # of 1.5 counts where 2 are expected
    0.137
    """

    name = "weighted_poisson"
    whole_counts = False

    def for_output(self, output: str) -> Loss:
        """Return the statistic itself."""
        return self


def _not_too_small(xp: Namespace, y: Array) -> Array:
    """Return rates whose squares do not underflow: below that they have no influence; 1 where they are not positive."""
    least = float(xp.finfo(y.dtype).smallest_normal) ** 0.5
    return xp.where(y > 0, xp.where(y > least, y, least * xp.ones_like(y)), xp.ones_like(y))
