r"""The density of a new measurement at x: an equal mixture of the networks' Student's t (normal for nu = infinity).

.. math:: p(y | x) = \frac{1}{M} \sum_m \frac{1}{s_m} t_\nu\!\left(\frac{y - y_m(x)}{s_m}\right),
          \qquad s_m^2 = a\,\sigma_m^2 + b\,\mathrm{band}_m^2(x)

On the host, in units of y.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.backends import Backend
from ffnn_xp.network.evaluation import evaluate
from ffnn_xp.network.sweeps import Network
from ffnn_xp.uncertainty.linear_band import Band
from ffnn_xp.uncertainty.matrix_free_band import ProductBand

BISECTIONS = 60


@dataclass(frozen=True)
class Calibration:
    """Factors a of the noise's and b of the band's variance, and degrees of freedom nu; 1, 1, infinity if not fitted.

    Fitted in (log a, log b, log(nu - 2.1)), each with a wide normal prior, so that few held-out values decide little;
    the 2.1 keeps the variance finite.
    """

    a: float = 1.0
    b: float = 1.0
    nu: float = float("inf")
    CENTER: ClassVar[tuple[float, float, float]] = (0.0, 0.0, 2.0)
    WIDTH: ClassVar[tuple[float, float, float]] = (3.0, 2.0, 2.0)

    @classmethod
    def of(cls, q: HostArray) -> Calibration:
        """From the three logarithms."""
        a, b, nu = np.exp(np.clip(q, -30, 30))
        return cls(float(a), float(b), 2.1 + float(nu))


def calibrate(pulls: HostArray, bands: HostArray) -> Calibration:
    """From residuals that were held out ``(n,)`` and the bands there, both in units of the noise: most likely."""
    square = np.minimum(np.where(np.isfinite(bands), bands, 1.0), 1e3) ** 2

    def minus_log(q: HostArray) -> float:
        c = Calibration.of(q)
        width = np.sqrt(c.a + c.b * square)
        log = scipy.stats.t.logpdf(pulls / width, c.nu) - np.log(width)
        return float(-np.sum(log) + 0.5 * np.sum(((q - Calibration.CENTER) / np.array(Calibration.WIDTH)) ** 2))

    found = scipy.optimize.minimize(minus_log, np.array(Calibration.CENTER), method="Nelder-Mead")
    return Calibration.of(found.x)


def mixture_quantile(mean: HostArray, width: HostArray, weights: HostArray, law: Any, q: float) -> HostArray:
    """Of mixtures of one law, whose locations and widths are ``(m, ...)``, their weights ``(m,)``; by bisection.

    It lies between those of the parts.

    Examples
    --------
    >>> mean, one = np.array([[-1.0], [1.0]]), np.ones((2, 1))
    >>> round(float(mixture_quantile(mean, one, np.array([0.5, 0.5]), scipy.stats.norm, 0.5)[0]), 12)
    0.0
    """
    ends = mean + width * law.ppf(q)
    low, high = ends.min(axis=0), ends.max(axis=0)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = np.tensordot(weights, law.cdf((middle - mean) / width), axes=1) < q
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(0.5 * (low + high))


@dataclass(frozen=True)
class Member:
    """A network of the mixture: its band, its noise ``(k,)`` in raw units, its effective number of parameters."""

    band: Band | ProductBand
    y_error: HostArray
    effective: float = float("nan")

    def mean(self, network: Network, backend: Backend, x: Array) -> HostArray:
        """Outputs ``(k, n)`` at raw inputs ``(d, n)``."""
        raw = self.band.scaling.to_raw(self.band.theta)
        return backend.to_host(evaluate(network, backend, backend.to_device(raw), x))


@dataclass(frozen=True)
class Predictive:
    """The mixture.

    Parameters
    ----------
    members : tuple of Member
        The networks.
    calibration : Calibration
        What their widths are multiplied by.
    """

    members: tuple[Member, ...]
    calibration: Calibration = field(default_factory=Calibration)

    def mean(self, network: Network, backend: Backend, x: Array) -> HostArray:
        """Of the mixture, ``(k, n)``."""
        return np.asarray(np.mean([m.mean(network, backend, x) for m in self.members], axis=0))

    def std(self, network: Network, backend: Backend, x: Array, *, with_y_error: bool) -> HostArray:
        """Standard deviation of the function or, with `with_y_error`, of a new measurement; ``(k, n)``."""
        y, width, band = self._at(network, backend, x)
        c = self.calibration
        heavy = 1.0 if np.isinf(c.nu) else c.nu / (c.nu - 2)
        variance = heavy * width**2 if with_y_error else c.b * band**2
        return np.asarray(np.sqrt(np.mean(variance, axis=0) + np.var(y, axis=0)))

    def log_density(self, network: Network, backend: Backend, x: Array, y: HostArray) -> HostArray:
        """Of measurements y ``(k, n)``, ``(n,)``: outputs are independent given the network."""
        mean, width, _ = self._at(network, backend, x)
        each = np.sum(self._law.logpdf((y - mean) / width) - np.log(width), axis=1)
        return np.asarray(scipy.special.logsumexp(each, axis=0) - np.log(len(self.members)))

    def quantile(self, network: Network, backend: Backend, x: Array, q: float) -> HostArray:
        """Of each output, ``(k, n)``."""
        mean, width, _ = self._at(network, backend, x)
        return mixture_quantile(mean, width, np.full(len(mean), 1 / len(mean)), self._law, q)

    def _at(self, network: Network, backend: Backend, x: Array) -> tuple[HostArray, HostArray, HostArray]:
        """Means, widths of measurements, and bands of all networks, each ``(m, k, n)``."""
        c = self.calibration
        y = np.stack([m.mean(network, backend, x) for m in self.members])
        band = np.stack([backend.to_host(m.band.std(network, backend, x)) for m in self.members])
        y_error = np.stack([m.y_error for m in self.members])[:, :, None]
        return y, np.sqrt(c.a * y_error**2 + c.b * band**2), band

    @property
    def _law(self) -> Any:
        nu = self.calibration.nu
        return scipy.stats.norm if np.isinf(nu) else scipy.stats.t(nu)
