"""The choice of how the noise depends on x, from residuals of held-out events.

Since these events were not in the fits, a network cannot make their residuals small, and a width learnt from them
cannot run away. Small networks learn the logarithm of the width (`uncertainty.VaryingWidth`), each from four fifths of
the residuals, with the strength of their prior that describes the other fifth best. The noise is taken to depend on x
where that describes events which were held out here too better than one width for all, by twice the error of the
difference; so where noise is constant nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends import get_backend
from ffnn_xp.data import Events, Scaling
from ffnn_xp.fitting.folds import CostBatch, Fold
from ffnn_xp.fitting.regularization_path import PathMinimizer, shape_of_prior
from ffnn_xp.losses import ScatterLoss
from ffnn_xp.network import augment, evaluate, glorot
from ffnn_xp.objective import NetworkCost, Objective
from ffnn_xp.uncertainty import Calibration, VaryingWidth, bounded, calibrate, width_inputs, width_network

FEWEST = 50  # held-out events, below which there is one width
FOLDS = 5  # of the held-out events
SAME = 1e-9  # of the largest value, up to which two values are the same
CONSTANT = 1e-12  # relative scatter up to which an input is constant
NONE = np.zeros(1)  # no scatter between networks
UNUSED = 1e100  # scale of constant inputs, with which their weights are nothing in raw units


@dataclass(frozen=True)
class WidthTuning:
    """Tuned numbers of the width's networks."""

    units: int = tuned(10, "hidden units; more: finer dependence on x, slower")
    strongest: float = tuned(4.0, "strength of the strongest prior, in units of S per event; larger: slower")
    steps: int = tuned(7, "strengths, each half of the one before; more: less smooth widths, slower")
    evaluations: int = tuned(100, "gradients at each strength; more: nearer to the minimum, slower")
    least: float = tuned(
        0.15, "least error of an event in a fit, in root mean squares of all; smaller: more exact, longer minimizations"
    )
    level: float = tuned(2.0, "standard deviations by which widths must describe events better; larger: more often one")


class HeldOut(NamedTuple):
    """Residuals of held-out events, and what their width may depend on.

    Attributes
    ----------
    residuals, y_error, bands, predictions : array with shape (k, n)
        Measured less predicted, the error of y by the events of the fit, the band, the prediction, in raw units of y;
        where errors of y are known the first three are in units of these.
    x : array with shape (d, n)
        Raw inputs.
    scatter : array with shape (k,)
        The largest standard deviation between the networks of a fold at an event, in raw units of y; zero where each
        fold has one network.
    root_weights : array with shape (n,)
        Roots of the events' weights, by which residuals and bands are larger.
    """

    residuals: HostArray
    y_error: HostArray
    bands: HostArray
    predictions: HostArray
    x: HostArray
    scatter: HostArray = NONE
    root_weights: HostArray = np.ones(1)

    def calibrate(self, width: HostArray) -> Calibration:
        """Calibrate the density whose noise has these widths ``(k, n)``."""
        return calibrate((self.residuals / width).ravel(), (self.bands / width).ravel())

    def log_density(self, width: HostArray, calibration: Calibration) -> HostArray:
        """Return the log density of each event ``(n,)`` with noise of these widths ``(k, n)``."""
        s = width * calibration.width(1.0, bounded(self.bands / width))
        return np.asarray(np.sum(calibration.law.logpdf(self.residuals / s) - np.log(s), axis=0))


def rounding_error(y: HostArray) -> HostArray:
    """Return the standard deviation that rounding gives to values ``(k, n)``, ``(k,)``; zero where none are rounded.

    They are where half of them or more are repeated, and all differ by multiples of the smallest difference. Values
    that differ by a billionth of the largest or less are the same: 0.3 and 0.1 + 0.2.

    Examples
    --------
    >>> rounding_error(np.array([[3.0, 5.0, 4.0, 4.0, 5.0, 5.0], [0.1, 0.2, 0.35, 0.4, 0.7, 0.9]])).round(4)
    array([0.2887, 0.    ])
    """
    errors = np.zeros(len(y))
    for i, row in enumerate(y):
        gaps = np.diff(np.unique(row))
        gaps = gaps[gaps > SAME * np.max(np.abs(row))]
        if len(gaps) and 2 * len(gaps) <= len(row):
            step = float(np.min(gaps))
            if np.all(np.abs(gaps / step - np.round(gaps / step)) < 1e-3):
                errors[i] = step / np.sqrt(12)
    return errors


def relative_errors(widths: HostArray, least: float) -> HostArray:
    """Return widths ``(k, n)`` in units of that of mean weight, none below a share of their root mean square.

    A width that is much smaller than the others would hold a network to its event alone.

    Examples
    --------
    >>> relative_errors(np.array([[1.0, 1.0, 0.1]]), 0.5).round(3)
    array([[1.63 , 1.63 , 0.667]])
    """
    widths = np.maximum(widths, least * np.sqrt(np.mean(widths**2, axis=1, keepdims=True)))
    return np.asarray(widths * np.sqrt(np.mean(widths**-2.0, axis=1, keepdims=True)))


def choose_width(
    held_out: HeldOut, rounding: HostArray, rng: np.random.Generator, minimizer: PathMinimizer, tuning: WidthTuning
) -> tuple[Calibration, VaryingWidth | None]:
    """Return the calibration of the density, and the width of the noise where it depends on x.

    Parameters
    ----------
    held_out : HeldOut
        The residuals.
    rounding : array with shape (k,)
        The width that rounding alone gives to y, below which no width may fall; zero where y is not rounded.
    rng : numpy.random.Generator
        Generator of folds and starts.
    minimizer : PathMinimizer
        Minimises the widths' networks.
    tuning : WidthTuning
        The numbers.
    """
    one = held_out.calibrate(held_out.y_error)
    too_few = held_out.residuals.shape[1] < FEWEST
    if too_few or minimizer.stopped or np.any(np.std(held_out.residuals, axis=1) <= rounding):
        return one, None
    found = _learn_width(held_out, rounding, rng, minimizer, tuning)
    if found is None:
        return one, None
    varying, width = found
    several = held_out.calibrate(width)
    gain = held_out.log_density(width, several) - held_out.log_density(held_out.y_error, one)
    error = float(np.std(gain)) / np.sqrt(len(gain))
    return (several, varying) if float(np.mean(gain)) > tuning.level * error else (one, None)


def _learn_width(
    held_out: HeldOut, rounding: HostArray, rng: np.random.Generator, minimizer: PathMinimizer, tuning: WidthTuning
) -> tuple[VaryingWidth, HostArray] | None:
    """Return the width by all networks, and at each event that by networks which do not know it, ``(k, n)``.

    None if time was up.
    """
    backend = get_backend("numpy")
    (k, n), d = held_out.residuals.shape, len(held_out.x)
    given = width_inputs(held_out.x, held_out.predictions, held_out.bands / held_out.root_weights)
    network = width_network(d, tuning.units, k)
    unit = np.log(np.sqrt(np.mean(held_out.residuals**2, axis=1)))
    scale = np.std(given, axis=1)
    scale[scale <= CONSTANT * np.max(np.abs(given), axis=1)] = UNUSED
    scaling = Scaling(network.layout, np.mean(given, axis=1), scale, unit, np.ones(k))
    inputs = augment(np, (given - scaling.x_mean[:, None]) / scaling.x_scale[:, None])
    events = Events(inputs, (held_out.residuals * np.exp(-unit)[:, None],))
    whole = NetworkCost(Objective(network, ScatterLoss(), events, backend), n_values=n * k)
    fold = rng.permutation(np.arange(n) % FOLDS)
    parts = [Fold.of(whole, fold, f) for f in range(FOLDS)]
    batch, P = CostBatch([part.inside for part in parts]), shape_of_prior(network)
    starts = [glorot(network.layout, rng) for _ in parts]
    lowest, best = np.inf, starts
    for strength in tuning.strongest * np.logspace(0, 1 - tuning.steps, tuning.steps, base=2.0):
        # each from the same starts: where a strong prior has made networks constant, they would stay so
        ends = minimizer.minimize(batch, starts, strength * P, tuning.evaluations)
        if minimizer.stopped:
            return None
        score = sum(part.score(theta) for part, theta in zip(parts, ends, strict=True))
        if score < lowest:
            lowest, best = score, ends
    raw = scaling.to_raw(np.stack(best))
    logs = np.empty((k, n))
    for part, theta in zip(parts, raw, strict=True):
        logs[:, part.out] = evaluate(network, backend, theta, given[:, part.out])
    with np.errstate(divide="ignore"):
        floor = np.log(rounding)[:, None]
    logs = np.maximum(logs, floor)
    return VaryingWidth(raw, d, k, logs.min(axis=1), logs.max(axis=1)), np.exp(logs)
