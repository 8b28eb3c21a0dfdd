r"""The prediction of an ensemble, and the density of a new measurement: a Student's t around the networks' mean.

.. math:: p(y | x) = \frac{1}{s} t_\nu\!\left(\frac{y - \bar y(x)}{s}\right),
          \qquad s^2 = a\,\sigma^2(x) + b\,\mathrm{band}^2(x) + \max\!\left(0, \mathrm{var}_m\, y_m(x) - v\right)

with mean squares over the networks. The width is calibrated on events that networks did not know: what these networks
are wrong by there it has already. Far from data the networks' scatter grows beyond v, the largest at these events, and
becomes the width. The t is normal for nu = infinity. Of yes or no, and of classes, the mean of the probabilities is all
that there is to know. Everything is computed on the host, in units of y.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.limits import stop_if_due
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.backends import Backend
from ffnn_xp.network import Network, evaluate
from ffnn_xp.uncertainty.linear_band import LinearBand
from ffnn_xp.uncertainty.matrix_free_band import MatrixFreeBand
from ffnn_xp.uncertainty.varying_width import VaryingWidth

WIDEST = 1e3  # of a band in units of the errors of y, as a calibration counts it


@dataclass(frozen=True)
class Calibration:
    """The calibration of a density: factors a of the errors' and b of the band's variance, and degrees of freedom nu.

    They are 1, 1, infinity if not fitted. They are fitted as (log a, log b, log(nu - 2.1)), each with a wide normal
    prior, so that few held-out values change little; the 2.1 keeps the variance finite.
    """

    a: float = 1.0
    b: float = 1.0
    nu: float = float("inf")
    CENTER: ClassVar[tuple[float, float, float]] = (0.0, 0.0, 2.0)
    WIDTH: ClassVar[tuple[float, float, float]] = (3.0, 2.0, 2.0)

    @property
    def law(self) -> Any:
        """The distribution of pulls: normal, or Student's t."""
        return scipy.stats.norm if np.isinf(self.nu) else scipy.stats.t(self.nu)

    def width(self, noise: HostArray | float, band: HostArray) -> HostArray:
        """Return the width of new measurements from those of the noise and of the band."""
        return np.asarray(np.sqrt(self.a * noise**2 + self.b * band**2))

    @classmethod
    def of(cls, q: HostArray) -> Calibration:
        """Return the calibration that has these three logarithms."""
        a, b, nu = np.exp(np.clip(q, -30, 30))
        return cls(float(a), float(b), 2.1 + float(nu))


def bounded(bands: HostArray) -> HostArray:
    """Return bands in units of the errors of y, none beyond `WIDEST`; one that is not known counts as one error."""
    return np.minimum(np.where(np.isfinite(bands), bands, 1.0), WIDEST)


def log_student_t(pulls: HostArray, nu: float) -> HostArray:
    """Return the logarithm of Student's density, without the checks of `scipy.stats`, which take longer than it."""
    constant = -scipy.special.betaln(0.5 * nu, 0.5) - 0.5 * np.log(nu)
    return np.asarray(constant - 0.5 * (nu + 1) * np.log1p(pulls * pulls / nu))


def calibrate(pulls: HostArray, bands: HostArray) -> Calibration:
    """Return the most likely calibration for held-out residuals ``(n,)`` and bands, in units of the errors of y."""
    bands = bounded(bands)

    def minus_log(q: HostArray) -> float:
        stop_if_due()
        c = Calibration.of(q)
        width = c.width(1.0, bands)
        log = log_student_t(pulls / width, c.nu) - np.log(width)
        return float(-np.sum(log) + 0.5 * np.sum(((q - Calibration.CENTER) / np.array(Calibration.WIDTH)) ** 2))

    found = scipy.optimize.minimize(minus_log, np.array(Calibration.CENTER), method="Nelder-Mead")
    return Calibration.of(found.x)


@dataclass(frozen=True)
class Member:
    """A network of an ensemble: its band, its errors of y ``(k,)`` in raw units, its effective number of parameters.

    The errors are not used where the network predicts them.
    """

    band: LinearBand | MatrixFreeBand
    y_error: HostArray
    effective: float = float("nan")

    def mean(self, network: Network, backend: Backend, x: Array) -> HostArray:
        """Return the outputs ``(k, n)`` of the network at raw inputs ``(d, n)``."""
        return backend.to_host(evaluate(network, backend, backend.to_device(self.band.parameters), x))


@dataclass(frozen=True)
class Predictive:
    """The prediction of an ensemble of networks, or of one network, with the density of new measurements.

    Parameters
    ----------
    members : tuple of Member
        The networks.
    calibration : Calibration or None
        The calibration of their widths; None where there is no density: outputs are probabilities.
    predicts_width : bool
        Whether outputs are means, and below them the logarithms of the errors of y at each x.
    width : VaryingWidth or None
        The errors of y at each x, where they are another network's; else they are those of the members.
    middle : LinearBand or None
        Where noise depends on x, the band of the network in the middle of `members` for equal errors, by which the
        width and its calibration are known. The bands of all networks are larger or smaller than these as its own is.
    scatter : array with shape (k,)
        The largest standard deviation between networks at the events of the calibration, the square root of v.
    """

    members: tuple[Member, ...]
    calibration: Calibration | None = field(default_factory=Calibration)
    predicts_width: bool = False
    width: VaryingWidth | None = None
    scatter: HostArray = field(default_factory=lambda: np.zeros(1))
    middle: LinearBand | MatrixFreeBand | None = None

    def mean(self, network: Network, backend: Backend, x: Array) -> HostArray:
        """Return the mean of the density, ``(k, n)``."""
        return np.asarray(np.mean([m.mean(network, backend, x) for m in self.members], axis=0))

    def std(self, network: Network, backend: Backend, x: Array, *, with_y_error: bool) -> HostArray:
        """Return the standard deviation of the mean or, with `with_y_error`, of a new measurement; ``(k, n)``.

        That of the mean has two parts: the band, which all M networks share since their data are the same, and 1/M of
        the variance between the networks, which are minima found from different starts. The calibration is that of
        new measurements, whose errors are much larger: it says too little about the band. But no mean is less certain
        than a new measurement: held-out ones contain its error. The band of a network with nearly as many parameters
        as values, which has next to no residuals to tell the noise from, may say so.
        """
        y, bands, noise, band = self._parts(network, backend, x)
        measured = np.inf
        if with_y_error or self.has_density:
            nu = self._calibrated.nu
            heavy = 1.0 if np.isinf(nu) else nu / (nu - 2) if nu > 2 else np.inf
            measured = np.sqrt(heavy) * self._width(y, noise, band)
            if with_y_error:
                return np.asarray(measured)
        between = _scatter(y) ** 2 / len(y) if len(y) > 1 else 0.0
        return np.asarray(np.minimum(np.sqrt(np.mean(bands**2, axis=0) + between), measured))

    def log_density(self, network: Network, backend: Backend, x: Array, y: HostArray) -> HostArray:
        """Return the log density ``(n,)`` of measurements y ``(k, n)``; given a network, outputs are independent."""
        mean, width = self._mean_and_width(network, backend, x)
        return np.asarray(np.sum(self._calibrated.law.logpdf((y - mean) / width) - np.log(width), axis=0))

    def quantile(self, network: Network, backend: Backend, x: Array, q: float) -> HostArray:
        """Return the quantile q of each output, ``(k, n)``; infinite where the width is, even if the mean overflows."""
        mean, width = self._mean_and_width(network, backend, x)
        shift = width * self._calibrated.law.ppf(q)
        return np.asarray(np.where(np.isinf(shift), 0.0, mean) + shift)

    @property
    def has_density(self) -> bool:
        """True if new measurements have a density."""
        return self.calibration is not None

    @property
    def _calibrated(self) -> Calibration:
        """The calibration, where there is one."""
        if self.calibration is None:
            raise ValueError("probabilities have no density of new measurements")  # `has_density` says so before
        return self.calibration

    def _outputs(self, network: Network, backend: Backend, x: Array) -> tuple[HostArray, HostArray]:
        """Return outputs and their bands of all networks, each ``(m, k, n)``."""
        y = np.stack([m.mean(network, backend, x) for m in self.members])
        return y, np.stack([backend.to_host(m.band.std(network, backend, x)) for m in self.members])

    def noise(self, network: Network, backend: Backend, x: Array) -> HostArray:
        """Return the errors of y at raw inputs ``(d, n)``, ``(k, n)``, before their calibration."""
        return self._parts(network, backend, x)[2]

    def _mean_and_width(self, network: Network, backend: Backend, x: Array) -> tuple[HostArray, HostArray]:
        """Return the mean and the width of measurements, each ``(k, n)``."""
        y, _, noise, band = self._parts(network, backend, x)
        return np.mean(y, axis=0), self._width(y, noise, band)

    def _width(self, y: HostArray, noise: HostArray, band: HostArray) -> HostArray:
        """Return the width of measurements ``(k, n)`` from what `_parts` returns."""
        width = self._calibrated.width(noise, band)
        if len(y) > 1:
            scatter, known = _scatter(y), self.scatter[:, None]
            width = np.hypot(width, np.sqrt(np.maximum(scatter - known, 0)) * np.sqrt(scatter + known))
        return width

    def _parts(self, network: Network, backend: Backend, x: Array) -> tuple[HostArray, HostArray, HostArray, HostArray]:
        """Return the means and bands of all networks ``(m, k, n)``, the errors of y and the band that is calibrated."""
        y, bands = self._outputs(network, backend, x)
        if self.predicts_width:
            k = y.shape[1] // 2
            y, y_error, bands = y[:, :k], np.exp(y[:, k:]), bands[:, :k]
        else:
            y_error = np.stack([m.y_error for m in self.members])[:, :, None]
        mean, band = np.mean(y, axis=0), np.sqrt(np.mean(bands**2, axis=0))
        if self.middle is not None:
            equal, varying = backend.to_host(self.middle.std(network, backend, x)), bands[len(y) // 2]
            known = (varying > 0) & np.isfinite(varying)
            band = band * np.where(known, equal / np.where(known, varying, 1.0), 1.0)
        noise = np.sqrt(np.mean(y_error**2, axis=0))
        if self.width is not None:
            noise = self.width(backend.to_host(x), mean, band)
        return y, bands, noise, band


def _scatter(y: HostArray) -> HostArray:
    """Return the standard deviation of networks' outputs ``(m, k, n)``, infinite where one of them overflows."""
    with np.errstate(invalid="ignore"):
        return np.where(np.all(np.isfinite(y), axis=0), np.std(y, axis=0, ddof=1), np.inf)
