r"""`Loss`, the base class of all statistics: a number for each measured value, with its derivatives.

S is the sum over events of :math:`s(y, t)`, y the network's output and t the measured value, all as columns
``(..., k, n)``. ``errordef`` is MINUIT's: the rise of S that makes one standard deviation.

Some statistics contain the network's output nonlinearity, their `link`, and are computed from its argument: a count's
:math:`\log\mu` rather than :math:`\mu`, a probability's logit. S is the same, but exact where the output is zero or
one to all digits, and its second derivative is never negative.

To add a statistic, write one file with a subclass of `Loss`; if users name it, add it to `LOSSES` in the package's
``__init__``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, TypeAlias

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp._lib.typing import Array, HostArray, Mask, Namespace

Data = tuple[Array, ...]
"""The columns of each event that a statistic computes with, made by `Loss.columns`."""

TargetKind: TypeAlias = Literal["real", "count", "successes", "class"]
"""The kind of y: real numbers, counts, successes in a number of trials, or classes, as counts or shares."""

Auxiliary: TypeAlias = Literal["y_err", "y_cov", "exposure", "trials"]
"""Names of the arrays that users may give beside y, one value for each."""


class Loss(ABC):
    """A statistic with its derivatives in the output, its pulls, its toys, and its estimate of errors of y.

    Functions that take ``xp`` compute on the device, with that namespace alone; all others compute on the host.
    """

    name: str
    """Name in files and in text."""
    display_name: str = "-2 log L"
    """Name of S in text."""
    errordef: float = 1.0
    """Rise of S at one standard deviation: 1 for a chi-square and for -2 log L."""
    link: str | None = None
    """Output nonlinearity that the statistic contains; the methods' y is then its argument."""
    target_kind: TargetKind = "real"
    """Kind of values that y may have."""
    auxiliary: Auxiliary | None = None
    """Name of the array that users may give beside y."""
    pull_nu: float | None = None
    """Degrees of freedom of the Student's t that independent pulls of new values have, infinite for normal ones."""
    predicts_width: bool = False
    """True if the second half of the outputs are logarithms of the widths with which values scatter."""
    uncertain_inputs: tuple[int, ...] = ()
    """Inputs whose errors the statistic takes into account."""
    is_chi_square: bool = False
    """True if S is a chi-square, so that its size says how good a fit is."""
    bounded_below: bool = True
    """True if S is zero for a perfect fit and never below, so that its size can be compared."""
    coupled_outputs: bool = False
    """True if the statistic couples the outputs of an event: then second derivatives are ``(..., k, k, n)``."""
    has_linear_operator: bool = False
    """True if the statistic's arguments are linear combinations of outputs, made by `linear_operator`."""
    whole_counts: bool = True
    """True if counts must be whole numbers; False if they may be scaled sums of weights."""
    needs_float64: bool = False
    """True if the statistic takes differences that single precision would lose."""
    separable: bool = True
    """True if S is a sum over events, so that it can be computed chunk by chunk."""

    @abstractmethod
    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute s and ds/dy of each value; minimizers call this most often."""

    @abstractmethod
    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute d2s/dy2, ``(..., k, n)``, or ``(..., k, k, n)`` with coupled outputs."""

    @abstractmethod
    def columns(self, xp: Namespace, y: Array, auxiliary: Array, shift: Array, scale: Array) -> Data:
        """Return the `data` of the other methods, for a standardised output u with y = scale u + shift.

        Parameters
        ----------
        y : array with shape (..., k, n)
            Measured values.
        auxiliary : array with shape (k, n)
            Their inverse errors, exposures or numbers of trials, 1 where none were given.
        shift, scale : array with shape (k, 1)
            Shift and scale of the output, or of the argument of the `link`.
        """

    @abstractmethod
    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array) -> Array:
        """Compute (measured - predicted) over the statistic's standard deviation, ``(..., k, n)``."""

    def value(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute s of each value."""
        return self.value_and_first(xp, y, data)[0]

    def first(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute ds/dy of each value, ``(..., k, n)``."""
        return self.value_and_first(xp, y, data)[1]

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute a nonnegative approximation of `second`, such as its expectation, for Gauss-Newton."""
        return self.second(xp, y, data)

    def root(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute R with `fisher` = R R^T, ``(..., k, k, n)``; needed for coupled outputs."""
        raise NotImplementedError(f"the outputs of loss {self.name!r} are not coupled")

    def raw_columns(self, xp: Namespace, y: Array, auxiliary: Array) -> Data:
        """Return the `data` of the other methods for an output in raw units."""
        one = xp.ones_like(y[..., :1, :1])
        return self.columns(xp, y, auxiliary, 0 * one, one)

    def linear_operator(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute linear combinations of the outputs; the first of them predict the measured values."""
        return y

    def adjoint(self, xp: Namespace, u: Array, data: Data) -> Array:
        """Apply the transpose of `linear_operator`."""
        return u

    def diagonal_fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute a diagonal approximation of `fisher` in the outputs, for a statistic that `has_linear_operator`."""
        return self.fisher(xp, y, data)

    def with_shifted(self, xp: Namespace, rows: Array, error: Array) -> Array:
        """Return x ``(n, d)`` together with the shifted points that a statistic with `uncertain_inputs` needs."""
        return rows

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw new measurements around a prediction, from the statistic's distribution.

        Parameters
        ----------
        rng : numpy.random.Generator
            The source of random numbers.
        prediction : array with shape (..., k, n)
            Predictions in raw units; their linear combinations, if the statistic `has_linear_operator`.
        auxiliary : array that broadcasts to it
            As in `columns`.

        Returns
        -------
        array with shape (..., k, n)
            Toy measurements.

        Raises
        ------
        TypeError
            If the statistic cannot draw any.
        """
        raise TypeError(f"no toys can be drawn of loss {self.name!r}: it has no method `sample`")

    def median_pull(self) -> float | None:
        """Return the median of absolute pulls, if unknown errors of y are estimated by the median of the residuals.

        None, the default, means that they are estimated by the mean square of the residuals.
        """
        return None

    def without_end(self, measured: HostArray, possible: HostArray, some: Mask) -> str:
        """Say why S may fall for ever as the predictions of some events approach the edge of the output's range.

        Parameters
        ----------
        measured : array with shape (k, n)
            Measured values.
        possible : array that broadcasts to it
            Exposures or numbers of trials.
        some : boolean array with shape (k, n)
            Those predictions.
        """
        return f"{share(some, 'values')} lie at or beyond the edge of the range of the output nonlinearity"

    def constant_output(self, observed: HostArray, possible: HostArray) -> HostArray:
        """Return the argument of the `link` that predicts the mean of the data, ``(k,)``, for standardisation.

        By default it is the logarithm of a rate. Half a count keeps it finite.

        Parameters
        ----------
        observed, possible : array with shape (k,)
            Sums of the measured values, and of the exposures or trials.
        """
        return np.asarray(np.log(np.maximum(observed, 0.5) / possible))

    def output_scaling(self, mean: HostArray, width: HostArray) -> tuple[HostArray, HostArray]:
        """Return shift and scale of the outputs; by default mean and width of the measured values."""
        return mean, width

    def outputs(self, values: int) -> int:
        """Return the number of outputs that a network needs for so many measured values of an event."""
        return values

    def ndof_per_event(self, values: int) -> int:
        """Return the number of independent values among the measured values of an event."""
        return values

    def for_output(self, output: str) -> Loss:
        """Return the statistic for a network with this output nonlinearity.

        Raises
        ------
        ValueError
            If the output's range does not fit the statistic.
        """
        if self.link not in (None, output):
            raise ValueError(
                f"loss {self.name!r} needs a network with output={self.link!r}, whose values are probabilities, "
                f"got output={output!r}: {did_you_mean(output, [str(self.link)])}"
            )
        return self

    def with_covariance(self, outputs: int | None) -> Loss:
        """Return the statistic of correlated values: all values of so many outputs, or with None those of each event.

        Raises
        ------
        ValueError
            If there is none.
        """
        raise ValueError(f"`y_cov` has no place in loss {self.name!r}")

    def with_x_error(self, inputs: tuple[int, ...]) -> Loss:
        """Return the statistic of values that were measured at inputs with errors.

        Raises
        ------
        ValueError
            If there is none.
        """
        raise ValueError(f"`x_err` is for least squares with independent errors, not for {self.name!r}")


class PullLoss(Loss):
    r"""Base class of statistics of the pull :math:`z = (y - t)/\sigma`; their data are t and :math:`1/\sigma`."""

    auxiliary = "y_err"

    def columns(self, xp: Namespace, y: Array, auxiliary: Array, shift: Array, scale: Array) -> Data:
        """Return standardised values and their inverse errors."""
        return (y - shift) / scale, auxiliary * scale

    def raw_columns(self, xp: Namespace, y: Array, auxiliary: Array) -> Data:
        """Return the values and their inverse errors, not copied."""
        return y, auxiliary

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array) -> Array:
        """Compute (t - y) / sigma."""
        return (measured - y) * auxiliary


class RobustLoss(PullLoss):
    r"""Base class of robust statistics :math:`s = \rho(z)`, for data some of which are wrong by many sigma.

    :math:`\rho \approx z^2` (or a multiple) near zero. The exact second derivative is zero or negative far out; the
    weight of iteratively reweighted least squares, :math:`\rho'(z)/z`, never is, and serves the Gauss-Newton matrix
    (P. W. Holland and R. E. Welsch, Commun. Stat. A6 (1977) 813).
    """

    display_name = "rho"

    @abstractmethod
    def rho(self, xp: Namespace, z: Array) -> tuple[Array, Array]:
        """Compute rho(z), and its weight rho'(z) / z."""

    @abstractmethod
    def rho_second(self, xp: Namespace, z: Array) -> Array:
        """Compute rho''(z)."""

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute rho, and its derivative in y."""
        z = (y - data[0]) * data[1]
        value, weight = self.rho(xp, z)
        return value, weight * z * data[1]

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute rho'' / sigma^2: negative far out."""
        return self.rho_second(xp, (y - data[0]) * data[1]) * data[1] * data[1]

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute the weight over sigma^2."""
        return self.rho(xp, (y - data[0]) * data[1])[1] * data[1] * data[1]

    def median_pull(self) -> float | None:
        """Return the median of absolute normal pulls, which good measurements have."""
        return float(scipy.stats.norm.ppf(0.75))


def share(some: Mask, kind: str = "") -> str:
    """Say how many of these ``(k, n)`` are true; with one output they are events, if of no other kind.

    Examples
    --------
    >>> share(np.array([[True, False]])), share(np.array([[True, True], [True, True]]))
    ('1 of 2 events', 'all 4 values')
    """
    number, kind = int(np.sum(some)), kind or ("events" if len(some) == 1 else "values")
    return f"all {number} {kind}" if number == some.size else f"{number} of {some.size} {kind}"


def check_positive(name: str, value: float) -> None:
    """Raise a ValueError if a parameter of a statistic is not positive and finite."""
    if not 0 < value < float("inf"):
        raise ValueError(f"`{name}` must be positive and finite, got {value!r}")


def x_log(xp: Namespace, x: Array, share: Array) -> Array:
    """Compute x log(share), which is 0 for x = 0."""
    return x * xp.log(xp.where(x > 0, share, xp.ones_like(share)))
