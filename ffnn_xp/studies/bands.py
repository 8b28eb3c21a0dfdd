r"""Bands of a prediction f(x): linear, by profiles, by toys, by other minima; one `BandMethod` each, in `BAND_METHODS`.

- "linear": :math:`f \mp z \sqrt{j^T \Sigma j}`, j the derivative in theta.
- "profile": the ends of all values that f(x) has where S is at most :math:`S_{min} + e z^2`, MINOS for a prediction
  (`profiles`).
- "replicas": toys, new measurements around the fit, each fitted again; from their quantiles q comes the basic interval
  :math:`2 f - q`, which corrects for a bias of the fit (A. C. Davison and D. V. Hinkley, Bootstrap Methods, 1997,
  eq. 5.6).
- "mixture": fits of the same data from other random starts, which may end in other minima. Each minimum has a linear
  band around its own curve, and a share of the evidence by Laplace's approximation,
  :math:`w \propto e^{-S/2e} \sqrt{\det\Sigma}`; ends are quantiles of the weighted normal distributions. No other kind
  of band includes the choice of the minimum.

Where the output nonlinearity is monotonic (exp, logistic, softplus) the ends are computed for its argument, and
transformed: they are in its range, and not at equal distances.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.errors import FitWarning, did_you_mean, outside_the_package
from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.limits import stoppable
from ffnn_xp._lib.text import Page, Shown, stopped
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp._lib.validation import Seed, whole_number
from ffnn_xp.backends import Backend
from ffnn_xp.fitting import HERE, Workers, fit_toys, seeds_of
from ffnn_xp.network import Network, evaluate
from ffnn_xp.studies.fitted_problem import FittedProblem
from ffnn_xp.studies.mixture_minima import mixture_quantile, other_minima
from ffnn_xp.studies.profiles import DEFAULT_PROFILE, ProfileTuning, Texts, profile_predictions
from ffnn_xp.uncertainty import LinearBand, MatrixFreeBand

DEEPER = 0.1  # fall of S, in units of errordef, from which on another minimum is told of
UNIDENTIFIED = "depends on an unidentified direction"
OVERFLOWS = "overflows"


@quiet
@dataclass(frozen=True, repr=False)
class Interval(Shown):
    """A band of predictions; its arrays have the shape of predictions, ``(n,)`` or ``(n, k)``, on the host.

    Attributes
    ----------
    mean, low, high : array
        The prediction, and the ends.
    cl : float
        Confidence level.
    method : str
        The name of the kind of band, "linear", "profile", "replicas" or "mixture".
    status : array of str
        The reason why an end is not finite or not reliable, else "".
    stopped : str
        Why the band rests on fewer toys or starts than were asked for, or has ends that are not known, if so.
    deeper : array with shape (p,) or None
        The parameters of a deeper minimum than the fit's, if a start of a mixture came to one.
    """

    mean: HostArray
    low: HostArray
    high: HostArray
    cl: float
    method: str
    status: Texts
    stopped: str = ""
    deeper: HostArray | None = None

    def _page(self) -> Page:
        finite = np.isfinite(self.high - self.low)
        width = np.median((self.high - self.low)[finite]) if finite.any() else np.nan
        bad = [word for word in np.unique(self.status) if word]
        title = f"{100 * self.cl:.3g} %, {self.method}, of {self.mean.size} predictions"
        notes = [f"{np.sum(self.status == word)} x {word}" for word in bad]
        pairs = [("half-width", f"median {0.5 * width:.4g}")]
        return Page("Band", title, pairs, notes=[*notes, stopped(self.stopped)])


class Ends(NamedTuple):
    """A prediction, the ends of its band, and their status, each ``(k, n)``; the rest is as in `Interval`."""

    mean: HostArray
    low: HostArray
    high: HostArray
    status: Texts
    stopped: str = ""
    deeper: HostArray | None = None


@dataclass(frozen=True)
class BandRequest:
    """A request for the band of some predictions.

    Parameters
    ----------
    fitted : FittedProblem
        The fit.
    known : LinearBand or MatrixFreeBand
        The linear band of the fit.
    x : array with shape (d, n)
        Raw inputs as columns on the device.
    cl : float
        Confidence level.
    number : int
        Toys or starts, for kinds of band that have some.
    seed : int, tuple of int or None
        Seed of the toys or starts.
    workers : Workers
        Those who do what can be done side by side, until a deadline.
    """

    fitted: FittedProblem
    known: LinearBand | MatrixFreeBand
    x: Array
    cl: float
    number: int
    seed: Seed
    workers: Workers = HERE

    @property
    def backend(self) -> Backend:
        """The backend that computes predictions."""
        return self.fitted.problem.model.backend

    @cached_property
    def network(self) -> Network:
        """The network, without its output nonlinearity where that is monotonic."""
        network = self.fitted.problem.network
        return network.before_output() if network.activations[-1].monotonic else network

    @property
    def z(self) -> float:
        """The number of standard deviations from the middle of a normal distribution to an end."""
        return float(scipy.special.ndtri(0.5 + self.cl / 2))

    @property
    def tails(self) -> tuple[float, float]:
        """The shares of a distribution below the lower and the upper end."""
        return 0.5 - self.cl / 2, 0.5 + self.cl / 2

    def evaluate(self, theta: HostArray) -> HostArray:
        """Evaluate `network` at x, for raw parameters; ``(k, n)`` on the host."""
        return self.backend.to_host(evaluate(self.network, self.backend, self.backend.to_device(theta), self.x))

    def std(self, band: LinearBand | MatrixFreeBand) -> HostArray:
        """Compute the standard deviation of `network` at x by a band; ``(k, n)`` on the host."""
        return self.backend.to_host(band.std(self.network, self.backend, self.x))

    def matrices(self) -> LinearBand:
        """Return the linear band, which has to be one with matrices."""
        if not isinstance(self.known, LinearBand):
            raise TypeError("this kind of band needs a covariance")  # BandMethod.needs_matrices prevents that
        return self.known


@dataclass(frozen=True)
class BandMethod:
    """A kind of band; to add one, add an object of this class to `BAND_METHODS`.

    Parameters
    ----------
    name : str
        Its name for users.
    ends : callable
        Computes the ends of a request, for the argument of a monotonic output nonlinearity.
    needs_matrices : bool
        Whether it needs the p x p covariance.
    takes_sandwich : bool
        Whether it is right with ``covariance="sandwich"``; others are made of the likelihood alone.
    default_number : int
        The default number of toys or starts; 0 for a kind of band without any.
    """

    name: str
    ends: Callable[[BandRequest], Ends]
    needs_matrices: bool = False
    takes_sandwich: bool = False
    default_number: int = 0

    def __call__(
        self,
        fitted: FittedProblem,
        known: LinearBand | MatrixFreeBand,
        x: Array,
        *,
        cl: float,
        number: int | None = None,
        seed: Seed = None,
        workers: Workers = HERE,
    ) -> Interval:
        """Compute the band of the predictions at raw inputs x ``(d, n)`` on the device; see `FitResult.band`."""
        if self.needs_matrices and not isinstance(known, LinearBand):
            raise ValueError(f"a {self.name} needs the p x p covariance, which was not formed: use method='linear'")
        if fitted.problem.sandwich and not self.takes_sandwich:
            raise ValueError(
                f"a band by method={self.name!r} follows from the likelihood, which covariance='sandwich' does not "
                "trust: use method='linear', or fit_replicas with kind='bootstrap'"
            )
        number = self.default_number if number is None else number
        number = whole_number(number, "number", int(self.default_number > 0))
        request = BandRequest(fitted, known, x, cl, number, seed, workers)
        ends = self.ends(request)
        values = [ends.mean, ends.low, ends.high]
        if request.network is not fitted.problem.network:
            f, backend = fitted.problem.network.activations[-1], request.backend
            with backend.context(), np.errstate(over="ignore"):
                values = [backend.to_host(f.f(backend.xp, backend.to_device(a))) for a in values]
        mean, low, high, status = (a[0] if len(a) == 1 else a.T for a in (*values, ends.status))
        return Interval(mean, low, high, cl, self.name, status.astype(np.str_), ends.stopped, ends.deeper)


def linear_ends(request: BandRequest) -> Ends:
    """Compute the ends z standard deviations from the prediction."""
    z, mean = request.z, request.evaluate(request.known.parameters)
    with stoppable(request.workers.deadline) as stop:
        std = request.std(request.known)
    if stop.reason:
        raise ValueError(f"there is no band yet: {stop.reason}")
    identified = np.isfinite(std)
    status = np.where(identified, "", np.where(np.isfinite(mean), UNIDENTIFIED, OVERFLOWS))
    low, high = np.where(identified, mean - z * std, -np.inf), np.where(identified, mean + z * std, np.inf)
    return Ends(mean, low, high, status)


def profile_ends(request: BandRequest, tuning: ProfileTuning = DEFAULT_PROFILE) -> Ends:
    """Compute the ends of all values of the prediction where S has risen by no more than e z^2."""
    mean, low, high, status = linear_ends(request)[:4]
    known, cost = request.matrices(), request.fitted.cost
    linear = low, high, status
    return Ends(
        mean, *profile_predictions(cost, known, request.network, request.x, request.z, linear, tuning, request.workers)
    )


def replica_ends(request: BandRequest) -> Ends:
    """Compute the basic bootstrap interval of toys around the fit, each fitted again."""
    mean, _, _, status = linear_ends(request)[:4]
    problem, number = request.fitted.problem, request.number
    toys = fit_toys(problem, request.known.parameters, seeds_of(request.seed, number), request.workers)
    minima = [problem.scaling.to_raw(theta) for theta in toys.theta[toys.valid]]
    if len(minima) < 2:
        hint = toys.stopped or "use a prior, or method='linear'"
        raise ValueError(f"{len(minima)} of {number} toys reached a minimum: {hint}")
    y = np.stack([request.evaluate(theta) for theta in minima])
    high, low = (2 * mean - np.quantile(y, q, axis=0) for q in request.tails)
    identified = status == ""  # elsewhere toys follow the minimum to infinity, or stay where they began
    return Ends(mean, np.where(identified, low, -np.inf), np.where(identified, high, np.inf), status, toys.stopped)


def mixture_ends(request: BandRequest) -> Ends:
    """Compute quantiles over all minima that random starts end in, weighted by their evidence."""
    fitted, key, stopped = request.fitted, (request.number, request.seed), ""
    minima = fitted.minima.get(key, [])
    if not minima:
        rng = np.random.default_rng(request.seed)
        minima, stopped = other_minima(fitted.problem, request.matrices(), request.number, rng, request.workers)
        if not stopped:
            fitted.minima[key] = minima
    mean = np.stack([request.evaluate(minimum.parameters) for minimum in minima])
    std = np.stack([request.std(minimum) for minimum in minima])
    values = np.array([fitted.cost.value_and_gradient(minimum.theta)[0] for minimum in minima])
    weights = _evidence_shares(values, fitted.cost.errordef, minima)
    identified = np.isfinite(std).all(axis=0)
    width = np.maximum(np.where(identified, std, 1.0), np.finfo(float).tiny)
    low, high = (mixture_quantile(mean, width, weights, scipy.stats.norm, q) for q in request.tails)
    status = np.where(identified, "", UNIDENTIFIED)
    low, high = np.where(identified, low, -np.inf), np.where(identified, high, np.inf)
    deeper = _deeper(values, fitted.cost.errordef, minima)
    return Ends(np.tensordot(weights, mean, axes=1), low, high, status, stopped, deeper)


BAND_METHODS = {
    method.name: method
    for method in (
        BandMethod("linear", linear_ends, takes_sandwich=True),
        BandMethod("profile", profile_ends, needs_matrices=True),
        BandMethod("replicas", replica_ends, default_number=200),
        BandMethod("mixture", mixture_ends, needs_matrices=True, default_number=8),
    )
}
"""All kinds of band by the names that users give."""


def find_band_method(name: str) -> BandMethod:
    """Return the kind of band that has this name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in BAND_METHODS:
        raise ValueError(f"unknown method {name!r}: {did_you_mean(name, list(BAND_METHODS))}")
    return BAND_METHODS[name]


def _evidence_shares(values: HostArray, errordef: float, minima: list[LinearBand]) -> HostArray:
    """Compute each minimum's share of the evidence, by its S alone if some have unidentified directions."""
    log = -values / (2 * errordef)
    if all(m.spectrum.factor.shape[1] == len(m.theta) for m in minima):
        log += [np.linalg.slogdet(m.spectrum.factor)[1] for m in minima]
    return np.asarray(scipy.special.softmax(log))


def _deeper(values: HostArray, errordef: float, minima: list[LinearBand]) -> HostArray | None:
    """Return the parameters of the lowest minimum if it is not the first, that of the fit, and warn of it."""
    at = int(np.argmin(values))
    fall = float(values[0] - values[at])
    if fall < DEEPER * errordef:
        return None
    warnings.warn(
        f"a start of this band came to a minimum in which S is lower by {fall:.3g} than in the fit's: fit(..., "
        "start=band.deeper) goes on from there",
        FitWarning,
        stacklevel=outside_the_package(),
    )
    return minima[at].parameters
