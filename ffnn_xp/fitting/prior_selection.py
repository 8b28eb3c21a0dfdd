r"""Prior selection, ``prior="auto"``: the prior's strength is chosen by cross-validation.

The prior is Gaussian with precision :math:`\lambda P` on the standardised parameters, P being d for the weights of the
first matrix, 1 for its biases, 20 for all later weights and biases, 0 for the output's bias. Networks are minimized
along a regularization path: the strength :math:`\lambda` is halved again and again, and each minimization starts where
the one before ended. A strong prior shows the gross shape first, which leads past the poor minima that a weak one has.
The chosen strength is that with the smallest S of held-out data, of five folds, or of one of them where there are many
events.

More networks follow the path in each fold. Then all are minimized with all data. A prediction is the mean of this
ensemble with equal weights, of probabilities too: on held-out digits the log-loss is smaller by a twentieth than that
of the best network (`benchmarks/probabilities.py`). Of measured values the density is a Student's t around that mean

.. math:: t_\nu\!\left(\frac{y - \bar y(x)}{s}\right),
          \qquad s^2 = a\,\sigma^2 + b\,\sigma^2\,j^T (J^T J + \lambda P)^{-1} j

whose a, b and number of degrees of freedom are fitted to the held-out residuals, so that they include what a linear
band leaves out. Where no errors of y are given the noise's width :math:`\sigma` may depend on x (`width_selection`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from ffnn_xp._lib.journal import recorded
from ffnn_xp._lib.limits import stop_if_due, stoppable
from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp._lib.validation import Seed
from ffnn_xp.backends import Backend
from ffnn_xp.data import Events, Scaling
from ffnn_xp.fitting.folds import CostBatch, Fold
from ffnn_xp.fitting.hidden_layers import follow_best
from ffnn_xp.fitting.problem import FitProblem, effective_number
from ffnn_xp.fitting.progress import Report
from ffnn_xp.fitting.regularization_path import PathMinimizer
from ffnn_xp.fitting.search_result import FitState
from ffnn_xp.fitting.width_selection import HeldOut, choose_width, rounding_error
from ffnn_xp.fitting.workers import HERE, Workers
from ffnn_xp.fitting.y_error import held_out_width, residual_width
from ffnn_xp.network import Network, evaluate
from ffnn_xp.objective import GaussianPrior, NetworkCost
from ffnn_xp.uncertainty import Calibration, LinearBand, Member, Predictive, Spectrum, VaryingWidth, sandwich

FEWEST_TO_CHOOSE = 10  # events without which cross-validation says nothing
MOST_SCATTER = 0.5  # of the square of held-out residuals: the most that an ensemble is taken to be better
MOST_EFFECTIVE = 0.9  # share of the values that parameters can take up: what is left gives the errors of y
SWITCHED_OFF = 10  # times the smaller errors, from which on an error says that its value is not to be used


@dataclass(frozen=True)
class PriorSelection:
    r"""The prior that was chosen, and the ensemble of networks that comes with it.

    Attributes
    ----------
    strength : float
        The regularization strength :math:`\lambda`, in units of S per event of a constant prediction.
    precision : array with shape (p,)
        Precisions of the prior, for S with errors 1 of the standardised outputs where none are given.
    path : array with shape (s, 2)
        Strengths that were tried, and S per held-out value of each.
    held_out : int
        Number of values that were held out, each once.
    members : list of array with shape (p,)
        Standardised parameters of the networks, the one with the smallest S first.
    calibration : Calibration or None
        Calibration of the predictive density; None for other statistics than those of measured values, where no
        p x p matrices are formed, and where the choice was cut short.
    y_error : array with shape (k,)
        Width of the held-out residuals of the standardised outputs, the errors of y where none are given; else ones.
    stopped : str
        Why it was cut short, if it was.
    gradients : float
        Gradients of all events that the choice has cost.
    predictive : Predictive or None
        The prediction of all networks, for measured values and for probabilities.
    hidden_layers : tuple of (tuple of int, float)
        Hidden layers that were tried, with S per held-out value of each, if they were left open.
    """

    strength: float
    precision: HostArray
    path: HostArray
    held_out: int
    members: list[HostArray]
    calibration: Calibration | None
    y_error: HostArray
    stopped: str = ""
    gradients: float = 0.0
    predictive: Predictive | None = field(default=None, repr=False)
    hidden_layers: tuple[tuple[tuple[int, ...], float], ...] = ()

    def words(self) -> str:
        """Return the choice in a line of text."""
        score = float(self.path[np.argmin(np.abs(np.log(self.path[:, 0] / self.strength))), 1])
        text = (
            f"strength {self.strength:.2g} of {len(self.path)} tried, by S of {self.held_out} held-out values, "
            f"{score:.3g} each; {len(self.members)} networks"
        )
        c = self.calibration
        if c is not None:
            text += f"; width^2 {c.a:.2g} noise + {c.b:.2g} band, nu {c.nu:.2g}"
            if self.predictive is not None and self.predictive.width is not None:
                text += ", the noise depends on x"
        if self.hidden_layers:
            tried = (f"{'-'.join(map(str, units))} ({score:.3g})" for units, score in self.hidden_layers)
            text += f"; hidden layers by the same S: {', '.join(tried)}"
        return text + (f"; cut short: {self.stopped}" if self.stopped else "")


def why_not_chosen(problem: FitProblem) -> str:
    """Return why the prior of a problem cannot or need not be chosen by events that are held out; empty if it can."""
    if problem.loss.has_linear_operator:
        return "events that are correlated or summed cannot be held out"
    if problem.in_parts:
        return "events in parts are not held out: choose it on a sample, and give that number"
    if problem.data.n < FEWEST_TO_CHOOSE:
        return f"{problem.data.n} events are too few to hold some out"
    if problem.layout.n_layers == 1 and problem.layout.n_parameters < problem.n_values:
        return "a network without hidden units needs none"
    return ""


def choose(
    problems: Sequence[FitProblem], seed: Seed, began: float, workers: Workers = HERE, report: Report | None = None
) -> tuple[FitProblem, PriorSelection]:
    """Choose the hidden layers, the strength, the ensemble and its calibration for a problem that has no prior yet.

    A larger network is taken where S of the held-out values is smaller by a share (`PriorSelectionTuning.larger`).

    Parameters
    ----------
    problems : sequence of FitProblem
        The problem with each of the networks in question, the smallest first.
    seed : int, tuple of int or None
        Seed of the folds and starts.
    began : float
        `time.monotonic` value.
    workers : Workers
        Those who minimize networks too large for a batch. The path ends early enough before their deadline for the
        calibration and a certificate.
    report : callable or None
        Called with a `FitState` where a network gets better; returns True to stop.
    """
    n, rng = problems[0].data.n, np.random.default_rng(seed)
    tuning = problems[0].tuning.prior_selection
    fold = rng.permutation(np.arange(n) % tuning.folds)
    lowest = np.inf

    def tell(value: float, calls: int) -> bool | None:
        nonlocal lowest
        lowest = min(lowest, value)
        return None if report is None else report(FitState(0, 0, value, lowest, calls, time.monotonic() - began))

    time_of = problems[0].tuning.time
    last = time_of.until(time_of.path, began, workers.deadline)
    path = PathMinimizer(replace(workers, deadline=last), problems[0].tuning.path, None if report is None else tell)
    best, tried = follow_best(problems, fold, rng, path)
    problem, whole, P, unit, strengths, parts, at, scores, thetas, joined = best
    strength = float(strengths[at])
    number = tuning.few_members if n < tuning.many_events else tuning.fewest_members
    measured = problem.loss.auxiliary == "y_err"
    of_folds = [[theta, *joined[f :: len(parts)]] for f, theta in enumerate(thetas)]
    found = [*thetas, *joined][:number]
    if not path.stopped:
        batch = CostBatch([whole.objective] * len(found))
        found = path.minimize(batch, found, strength * P, path.tuning.last_evaluations)
    values = [whole.chi2(theta) + strength * float(np.sum(P * theta**2)) for theta in found]
    members, calibration, predictive = [found[i] for i in np.argsort(values)], None, None
    y_error = _held_out_error(problem, parts, thetas)
    with stoppable(workers.deadline) as stop:
        if problem.with_matrices and (measured or problem.loss.target_kind in ("successes", "class")):
            stop_if_due()
            networks = tuple(member(problem, theta, strength * P) for theta in members)
            width = None
            if measured:
                held_out = _held_out(problem, parts, of_folds, strength * P)
                calibration, width = recorded("calibration", partial(_calibrated, problem, held_out, rng, path))
            predictive = Predictive(networks, calibration, width=width)
    return problem, PriorSelection(
        strength / unit,
        strength * P,
        np.stack([strengths[: len(scores)] / unit, scores], axis=1),
        sum(len(part.out) for part in parts) * problem.loss.ndof_per_event(problem.data.n_values),
        members,
        calibration,
        y_error,
        path.stopped or stop.reason,
        path.events / n,
        predictive,
        tuple((each.problem.layout.widths[1:-1], each.score) for each in tried) if len(problems) > 1 else (),
    )


def member(problem: FitProblem, theta: HostArray, precision: HostArray) -> Member:
    """Return a network of the ensemble with the band of its Gauss-Newton matrix, and the errors of its residuals."""
    cost = replace(problem, prior=GaussianPrior(precision), y_error=np.ones(problem.data.n_values)).cost()
    G, square = cost.gauss_newton(theta), 1.0
    held = min(effective_number(G, 1.0, GaussianPrior(precision)), MOST_EFFECTIVE * problem.n_values)
    if problem.loss.auxiliary != "y_err":
        y_error = np.zeros(len(problem.scaling.y_mean))
    elif problem.errors_known:
        y_error = typical_error(problem)
    else:
        residual = residual_width(problem, theta, held)
        y_error, square = residual * problem.scaling.y_scale, float(np.mean(residual**2))
    return Member(LinearBand(theta, problem.scaling, _covariance(problem, cost, theta, G, square)), y_error, held)


def _covariance(problem: FitProblem, cost: NetworkCost, theta: HostArray, G: HostArray, square: float) -> Spectrum:
    """Return the covariance at errors of y with this mean square, from a cost with errors 1 and its matrix G."""
    spectrum = Spectrum.of_hessian(G / square, cost.errordef)
    if not problem.sandwich:
        return spectrum
    assert cost.prior is not None
    return sandwich(spectrum, cost.scores(theta) / square**2, cost.errordef, cost.prior.precision / square)


def _held_out_error(problem: FitProblem, parts: list[Fold], thetas: list[HostArray]) -> HostArray:
    """Return the errors of the standardised outputs from the held-out residuals ``(k,)``; ones if they are known."""
    if problem.errors_known or problem.loss.auxiliary != "y_err":
        return np.ones(problem.data.n_values)
    backend, outside = problem.model.backend, [part.outside.events for part in parts]
    residuals = [_residuals(problem.network, backend, *pair) for pair in zip(thetas, outside, strict=True)]
    weights = [w for events in outside if (w := _weights(backend, events)) is not None]
    return held_out_width(problem, np.concatenate(residuals, axis=1), np.concatenate(weights) if weights else None)


def _calibrated(
    problem: FitProblem, held_out: HeldOut, rng: np.random.Generator, path: PathMinimizer
) -> tuple[Calibration, VaryingWidth | None]:
    """Calibrate the density; where no errors of y are given its width may depend on x."""
    if problem.errors_known:
        return held_out.calibrate(held_out.y_error), None
    backend = problem.model.backend
    with backend.context():
        rounding = rounding_error(backend.to_host(problem.data.y))
    return choose_width(held_out, rounding, rng, path, problem.tuning.width)


def _held_out(problem: FitProblem, parts: list[Fold], of_folds: list[list[HostArray]], precision: HostArray) -> HeldOut:
    """Return the held-out residuals, in units of the errors of y if they are known, else with each fold's own errors.

    They are those of the mean of each fold's networks. The ensemble is the mean of more networks, and so its residuals
    are smaller: by the scatter of each fold's networks they are scaled down to these.
    """
    backend, network = problem.model.backend, problem.network
    layout, d, k, scaling = network.layout, len(problem.scaling.x_mean), len(problem.scaling.y_mean), problem.scaling
    plain = Scaling(layout, np.zeros(d), np.ones(d), np.zeros(k), np.ones(k))
    each, total = len(of_folds[0]), sum(map(len, of_folds))
    all_of: list[tuple[HostArray, ...]] = []
    for part, networks in zip(parts, of_folds, strict=True):
        theta = networks[0]
        cost = part.cost(precision)
        G = cost.gauss_newton(theta)
        y_error = np.ones((k, 1))
        if not problem.errors_known:
            r = _residuals(network, backend, theta, part.inside.events)
            free = max(
                r.shape[1] - effective_number(G, 1.0, GaussianPrior(precision)) / k,
                (1 - MOST_EFFECTIVE) * r.shape[1],
            )
            y_error = held_out_width(problem, r, _weights(backend, part.inside.events))[:, None]
            y_error = y_error * np.sqrt(r.shape[1] / free)
        band = LinearBand(theta, plain, _covariance(problem, cost, theta, G, float(np.mean(y_error**2))))
        stop_if_due()
        x = part.outside.events.x[:d, :]
        std = backend.to_host(band.std(network, backend, x) * part.outside.events.data[1])
        outside, w = part.outside.events, _weights(backend, part.outside.events)
        more = 1.0 if w is None or problem.sandwich else np.sqrt(w)  # errors are smaller by its square root
        of_each = more * np.stack([_residuals(network, backend, theta, outside) for theta in networks])
        residuals, scatter = np.mean(of_each, axis=0), np.var(of_each, axis=0, ddof=1 if each > 1 else 0)
        prediction = np.mean([_outputs(network, backend, theta, x) for theta in networks], axis=0)
        all_of.append((residuals, scatter, y_error + 0 * residuals, more * std, prediction, backend.to_host(x)))
    residuals, scatter, y_error, bands, predictions, x = (np.concatenate(a, axis=1) for a in zip(*all_of, strict=True))
    less = np.mean(scatter, axis=1) * (1 / each - 1 / total)
    square = np.maximum(np.mean(residuals**2, axis=1), np.finfo(float).tiny)
    residuals = residuals * np.sqrt(1 - np.minimum(less / square, MOST_SCATTER))[:, None]
    predictions = predictions * scaling.y_scale[:, None] + scaling.y_mean[:, None]
    unit = np.ones((k, 1)) if problem.errors_known else scaling.y_scale[:, None]
    x = x * scaling.x_scale[:, None] + scaling.x_mean[:, None]
    return HeldOut(residuals * unit, y_error * unit, bands * unit, predictions, x)


def _weights(backend: Backend, events: Events) -> HostArray | None:
    """Return the weights of the events, ``(n,)``, if they have any."""
    return None if events.weights is None else backend.to_host(events.weights)[0]


def _residuals(network: Network, backend: Backend, theta: HostArray, events: Events) -> HostArray:
    """Compute residuals in units of the errors, ``(k, n)``, of standardised data."""
    with backend.context():
        y = evaluate(network, backend, backend.to_device(theta), events.x)
        return backend.to_host((events.data[0] - y) * events.data[1])


def _outputs(network: Network, backend: Backend, theta: HostArray, x: Array) -> HostArray:
    """Compute the outputs ``(k, n)`` of standardised data, on the host."""
    return backend.to_host(evaluate(network, backend, backend.to_device(theta), x))


def typical_error(problem: FitProblem) -> HostArray:
    """Return the root mean square of the given errors of y, ``(k,)`` in raw units.

    Values that were switched off by huge errors, compared with the lower quartile, do not count.
    """
    squares, used = np.sum(problem.each(_squared_errors_in_use), axis=0)
    return np.asarray(np.sqrt(squares / used))


def _squared_errors_in_use(problem: FitProblem) -> HostArray:
    """Sum the squared errors of y, but for huge ones, and count them, ``(2, k)``."""
    backend = problem.model.backend
    with backend.context():
        return backend.to_host(backend.bind(_squares_and_numbers)(problem.data.inverse_error))


def _squares_and_numbers(xp: Namespace, inverse: Array) -> Array:
    """Sum squares of the errors, and count them, ``(2, k)``, from inverse errors ``(k, n)``, but for huge errors."""
    at = 3 * (inverse.shape[-1] - 1) // 4
    used = SWITCHED_OFF * inverse >= xp.sort(inverse, axis=-1)[:, at : at + 1]
    error = 1 / xp.where(used, inverse, float("inf"))
    return xp.stack([xp.sum(error * error, axis=-1), xp.sum(xp.astype(used, error.dtype), axis=-1)])
