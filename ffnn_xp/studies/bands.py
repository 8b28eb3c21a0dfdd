r"""Bands of a prediction f(x): linear, by profiles, by toys, by other minima.

Linear: :math:`f \mp z \sqrt{j^T \Sigma j}`, j the derivative in theta. Profile: the ends of all values that f(x) has
where S is at most :math:`S_{min} + e z^2`, MINOS for a prediction. An end is sought as the minimum of
:math:`S + w (f - v)^2`, which has the smallest S of all theta with its f; v is moved until S has risen by e z^2.
Toys: new measurements around the fit, each fitted again; of their quantiles q the basic interval is taken,
:math:`2 f - q` (A. C. Davison and D. V. Hinkley, Bootstrap Methods, 1997, eq. 5.6), which puts a bias of the fit where
it belongs.

Mixture: the same data fitted again from other random starts; where these end in other minima, each has a linear band
around a curve of its own, and a share in the evidence by Laplace's approximation,
:math:`w \propto e^{-S/2e} \sqrt{\det\Sigma}`. Ends are quantiles of the weighted normal distributions. Of the four it
is the one that knows that a start is an accident.

Where the output nonlinearity is monotonous (exp, logistic, softplus) all four are made of what stands before it, and
sent through it: the ends are in its range, and not at equal distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.text import pair_lines
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.backends import Backend
from ffnn_xp.fitting.batch_refit import fit_toys
from ffnn_xp.fitting.multistart import MultiStart
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.network.evaluation import evaluate
from ffnn_xp.network.initialization import glorot
from ffnn_xp.network.sweeps import Network
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.studies.profiles import profiles
from ffnn_xp.uncertainty.covariance import curvature
from ffnn_xp.uncertainty.linear_band import Band
from ffnn_xp.uncertainty.matrix_free_band import ProductBand
from ffnn_xp.uncertainty.predictive import mixture_quantile

METHODS = ("linear", "profile", "replicas", "mixture")
NUMBER = {"replicas": 200, "mixture": 8}  # of toys, and of minima, if nothing else is asked for


@dataclass(frozen=True, repr=False)
class Interval:
    """A band; arrays have the shape of predictions, ``(n,)`` or ``(n, k)``, on the host.

    Attributes
    ----------
    mean, low, high : array
        The prediction, and the ends.
    cl : float
        Confidence level.
    method : str
        "linear", "profile", "replicas" or "mixture".
    status : array of str
        "" where all is well; else why an end is not finite or not to be trusted.
    """

    mean: HostArray
    low: HostArray
    high: HostArray
    cl: float
    method: str
    status: np.ndarray[tuple[int, ...], np.dtype[np.str_]]

    def __repr__(self) -> str:
        finite = np.isfinite(self.high - self.low)
        width = np.median((self.high - self.low)[finite]) if finite.any() else np.nan
        bad = [word for word in np.unique(self.status) if word]
        head = f"{100 * self.cl:.3g} % band, {self.method}, of {self.mean.size} predictions"
        lines = pair_lines([("half-width", f"median {0.5 * width:.4g}")])
        return "\n".join([head, *lines, *(f"  {np.sum(self.status == word)} x {word}" for word in bad)])


def covariance_root(network: Network, known: Band, backend: Backend, x: Array) -> HostArray:
    """`Band.spread` on the host: ``(n k, r)``."""
    return backend.to_host(known.spread(network, backend, x))


def prior_share(task: FitProblem, cost: NetworkCost, known: Band, x: Array) -> HostArray:
    """Of the predictions at raw inputs ``(d, n)``, ``(k, n)``; see `FitResult.prior_share`."""
    backend, precision = task.model.backend, np.zeros(len(known.theta))
    if task.prior is not None:
        precision = task.prior.precision
    shape = curvature(cost.gauss_newton(known.theta), cost.errordef, cost.epsilon)
    held = Band(known.theta, known.scaling, shape)
    return backend.to_host(held.prior_share(task.network, backend, x, precision))


def predicted(network: Network, backend: Backend, raw: HostArray, x: Array) -> HostArray:
    """Predictions ``(n,)`` or ``(n, k)`` on the host."""
    rows = backend.to_host(evaluate(network, backend, backend.to_device(raw), x)).T
    return rows[:, 0] if rows.shape[1] == 1 else rows


def band(
    task: FitProblem,
    cost: NetworkCost,
    known: Band | ProductBand,
    x: Array,
    cl: float,
    method: str,
    number: int,
    rng: np.random.Generator,
    minima: list[Band],
) -> tuple[HostArray, ...]:
    """Mean, low, high and status, each ``(k, n)``; see `FitResult.band`; x are columns on the device.

    `minima` are those of the mixture.
    """
    network, backend = task.network, task.model.backend
    f = network.activations[-1]
    inner = network.before_output() if f.monotonic else network
    raw = task.scaling.to_raw(known.theta)
    center = backend.to_host(evaluate(inner, backend, backend.to_device(raw), x))
    z = float(scipy.special.ndtri(0.5 + cl / 2))
    std = backend.to_host(known.std(inner, backend, x))
    status = np.where(np.isfinite(std), "", "depends on an undetermined direction")
    low, high = center - z * std, center + z * std
    if method == "profile":
        assert isinstance(known, Band)
        low, high, status = profiles(cost, known, inner, x, z, low, high, status)
    elif method == "replicas":
        toys = fit_toys(task, raw, number, rng)
        each = [task.scaling.to_raw(theta) for theta in toys.theta[toys.valid]]
        if len(each) < 2:
            raise ValueError(f"{len(each)} of {number} toys reached a minimum: use a prior, or method='linear'")
        y = np.stack([backend.to_host(evaluate(inner, backend, backend.to_device(theta), x)) for theta in each])
        high, low = (2 * center - np.quantile(y, q, axis=0) for q in (0.5 - cl / 2, 0.5 + cl / 2))
    elif method == "mixture":
        center, low, high, status = _mixture(cost, minima, inner, x, cl)
    if inner is network:
        return center, low, high, status
    with backend.context(), np.errstate(over="ignore"):
        return (*(backend.to_host(f.f(backend.xp, backend.to_device(a))) for a in (center, low, high)), status)


def other_minima(task: FitProblem, known: Band, number: int, rng: np.random.Generator) -> list[Band]:
    """The known minimum, and where `number` - 1 random starts end, as far as they arrive.

    Those that end at the bottom of a valley, with more undetermined directions than this fit has, are left out.
    """
    minima = [known]
    for _ in range(number - 1):
        cost = task.cost()
        end = MultiStart(cost, task.local_search(cost)).run([glorot(task.layout, rng)]).best
        if end is None or end.spectrum is None or end.spectrum.n_negative:
            continue
        if end.spectrum.n_null <= known.curvature.n_null:
            minima.append(Band(end.theta, task.scaling, end.spectrum))
    return minima


def _mixture(cost: NetworkCost, minima: list[Band], network: Network, x: Array, cl: float) -> tuple[HostArray, ...]:
    """Mean, ends and status of the mixture of these minima."""
    backend = cost.objective.backend
    raw = [minimum.scaling.to_raw(minimum.theta) for minimum in minima]
    mean = np.stack([backend.to_host(evaluate(network, backend, backend.to_device(theta), x)) for theta in raw])
    std = np.stack([backend.to_host(minimum.std(network, backend, x)) for minimum in minima])
    weights = _shares(cost, minima)
    known_at = np.isfinite(std).all(axis=0)
    width = np.maximum(np.where(known_at, std, 1.0), np.finfo(float).tiny)
    low, high = (mixture_quantile(mean, width, weights, scipy.stats.norm, q) for q in (0.5 - cl / 2, 0.5 + cl / 2))
    status = np.where(known_at, "", "depends on an undetermined direction")
    low, high = np.where(known_at, low, -np.inf), np.where(known_at, high, np.inf)
    return np.tensordot(weights, mean, axes=1), low, high, status


def _shares(cost: NetworkCost, minima: list[Band]) -> HostArray:
    """Each minimum's part of the evidence; by S alone where some have undetermined directions."""
    log = np.array([-cost.value_and_gradient(m.theta)[0] / (2 * cost.errordef) for m in minima])
    if all(m.curvature.factor.shape[1] == len(m.theta) for m in minima):
        log += [np.linalg.slogdet(m.curvature.factor)[1] for m in minima]
    return np.asarray(scipy.special.softmax(log))
