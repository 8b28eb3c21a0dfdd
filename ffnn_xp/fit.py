"""The recipe: data to a certified `FitResult`.

Standardise; walk from random starts to a minimum (`walk`); estimate the errors of y if they are unknown; take the
covariance from the exact Hessian; go back to raw units, exactly; let MIGRAD certify the point.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import iminuit
import numpy as np

from ._typing import HostArray
from .backends import Backend
from .cost import LeastSquares, ModelLike, NetworkCost
from .errors import did_you_mean
from .inputs import Dataset, dataset
from .layout import Layout
from .losses import loss as find_loss
from .minimizers import certify, migrad_alone
from .network import Network
from .objective import Events, Objective
from .prediction import Band, evaluate
from .prior import GaussianPrior, layer_precision
from .progress import progress_line
from .result import FitResult
from .scaling import Scaling
from .starts import glorot
from .uncertainty import Curvature, dead_units
from .walk import SIGMAS, FitState, Search

MATRIX_LIMIT = 6000  # parameters above which p x p matrices are not formed and there is no certificate
NOISE_ROUNDS = 6
MINIMIZERS = ("auto", "migrad")


@dataclass(frozen=True)
class Outcome:
    """A fit's result, and what the model keeps of it."""

    result: FitResult
    band: Band | None
    no_band: str
    y_was_column: bool


@dataclass(frozen=True)
class Task:
    """A fit that is about to begin: checked data, their scaling, and the prior."""

    model: ModelLike
    data: Dataset
    scaling: Scaling
    prior: GaussianPrior | None
    errors_known: bool

    @property
    def layout(self) -> Layout:
        """Of the network."""
        return self.model.network.layout

    @property
    def n_values(self) -> int:
        """Number of measured values."""
        return self.data.n * int(self.data.y.shape[0])

    def cost(self, noise: HostArray) -> NetworkCost:
        """The cost in standardised units; `noise` are errors of the standardised outputs where none are given."""
        backend, s = self.model.backend, self.scaling
        xp, to = backend.xp, backend.to_device
        with backend.context():
            x = (self.data.x - to(s.x_mean[:, None])) / to(s.x_scale[:, None])
            y = (self.data.y - to(s.y_mean[:, None])) / to(s.y_scale[:, None])
            if self.data.inverse_error is None:
                inverse = xp.ones_like(y) / to(noise[:, None])
            else:
                inverse = self.data.inverse_error * to(s.y_scale[:, None])
        objective = Objective(
            self.model.network, find_loss("least_squares"), Events(x, (y, inverse), self.data.weights), backend
        )
        return NetworkCost(objective, n_values=self.n_values, prior=self.prior)

    def raw_cost(self, noise: HostArray) -> LeastSquares:
        """The same cost as MINUIT sees it, in raw units."""
        data = self.data
        if data.inverse_error is None:
            backend = self.model.backend
            with backend.context():
                inverse = backend.xp.ones_like(data.y) / backend.to_device((noise * self.scaling.y_scale)[:, None])
            data = replace(data, inverse_error=inverse)
        prior = None if self.prior is None else GaussianPrior(self.prior.precision, self.scaling)
        return LeastSquares.from_dataset(data, self.model, prior)


def fit(
    model: ModelLike,
    x: Any,
    y: Any,
    y_err: Any,
    *,
    loss: str,
    weights: Any,
    prior: float | None,
    restarts: int | str,
    minimizer: str,
    seed: int | None,
    start: HostArray | None,
    progress: bool | None,
    callback: Callable[[FitState], bool | None] | None,
    max_seconds: float | None,
) -> Outcome:
    """See `Model.fit`."""
    began = time.monotonic()
    _check_options(loss, prior, restarts, minimizer, max_seconds)
    d, k = model.shape_of_data()
    data = dataset(model.backend, x, y, y_err, weights, d=d, k=k)
    model.build(int(data.x.shape[0]), int(data.y.shape[0]))
    task = Task(
        model,
        data,
        standardisation(model.network, model.backend, data),
        None if prior is None else GaussianPrior(layer_precision(model.network.layout, prior)),
        y_err is not None,
    )
    _check_degrees_of_freedom(task)
    noise = np.ones(data.y.shape[0])
    if minimizer == "migrad":
        theta = model.backend.to_host(model.parameters) if start is None else start
        return _migrad_only(task, theta, noise, began)
    starts = _number_of_starts(restarts, task, start is not None)
    with progress_line(progress, callback) as report:
        cost = task.cost(noise)
        deadline = np.inf if max_seconds is None else began + max_seconds
        search = Search(cost, _good_enough(task), starts, model.network.kinked, deadline, report)
        search.run(_starts(task, start, starts, seed))
        if not task.errors_known and not search.stopped:
            noise, cost = _estimate_noise(task, search, noise)
    return _conclude(task, search, cost, noise, began)


def standardisation(network: Network, backend: Backend, data: Dataset) -> Scaling:
    """Mean and width of each input and, as far as the output's nonlinearity allows, of each target."""
    x_mean, x_scale = _moments(backend, data.x)
    y_mean, y_scale = _moments(backend, data.y)
    output = network.activations[-1]
    if output.name != "identity":
        y_scale = np.sqrt(y_mean**2 + y_scale**2) if output.homogeneous else np.ones_like(y_scale)
        y_scale = np.where(y_scale > 0, y_scale, 1.0)
        y_mean = np.zeros_like(y_mean)
    return Scaling(network.layout, x_mean, x_scale, y_mean, y_scale)


def _moments(backend: Backend, columns: Any) -> tuple[HostArray, HostArray]:
    """Mean and standard deviation over events; a constant column has width 1."""
    xp = backend.xp
    with backend.context():
        mean = xp.mean(columns, axis=-1, keepdims=True)
        width = xp.sqrt(xp.mean((columns - mean) ** 2, axis=-1, keepdims=True))
        both = backend.to_host(xp.concat([mean, width], axis=-1))
    center, scale = both[:, 0], both[:, 1]
    return center, np.where(scale > 4 * backend.epsilon * np.abs(center), scale, 1.0)


def _check_options(
    loss: str, prior: float | None, restarts: int | str, minimizer: str, max_seconds: float | None
) -> None:
    find_loss(loss)
    if minimizer not in MINIMIZERS:
        raise ValueError(f"unknown minimizer {minimizer!r}: {did_you_mean(minimizer, MINIMIZERS)}")
    if prior is not None and not 0 < prior < np.inf:
        raise ValueError(f"`prior` must be a positive width of the standardised weights, or None, got {prior!r}")
    if restarts != "auto" and (isinstance(restarts, bool | str) or int(restarts) != restarts or restarts < 1):
        raise ValueError(f"`restarts` must be 'auto' or a positive integer, got {restarts!r}")
    if max_seconds is not None and max_seconds <= 0:
        raise ValueError(f"`max_seconds` must be positive, got {max_seconds!r}")


def _check_degrees_of_freedom(task: Task) -> None:
    p, values = task.layout.n_parameters, task.n_values
    if not task.errors_known and task.prior is None and p >= values:
        raise ValueError(
            f"the errors of y cannot be estimated from {values} values with {p} parameters: "
            "give y_err, or a prior, or a smaller network"
        )


def _number_of_starts(restarts: int | str, task: Task, has_start: bool) -> int:
    if restarts != "auto":
        return int(restarts)
    if task.errors_known:
        return 10
    return 1 if has_start else int(np.clip(2000 // task.layout.n_parameters, 3, 16))


def _good_enough(task: Task) -> float:
    """Chi-square that no better fit would lower by much; without known errors there is no such value."""
    ndof = task.n_values - task.layout.n_parameters
    return ndof + SIGMAS * np.sqrt(2 * ndof) if task.errors_known and ndof > 0 else -np.inf


def _starts(task: Task, start: HostArray | None, number: int, seed: int | None) -> Iterator[HostArray]:
    rng = np.random.default_rng(seed)
    if start is not None:
        yield task.scaling.to_standard(start)
    for _ in range(number - (start is not None)):
        yield glorot(task.layout, rng)


def _estimate_noise(task: Task, search: Search, noise: HostArray) -> tuple[HostArray, NetworkCost]:
    """Errors of the standardised outputs from the residuals, and the minimum that belongs to them.

    One output without a prior needs no second walk, since a common factor moves no minimum; otherwise the two are
    found in turn.
    """
    moves = len(noise) > 1 or task.prior is not None
    for _ in range(NOISE_ROUNDS if moves else 1):
        assert search.theta is not None
        effective = _effective(task, search.arrived, search.problem.errordef) if search.arrived is not None else 0.0
        new = _residual_width(task, search.theta, effective)
        cost = task.cost(new)
        search.problem = cost
        change = np.max(np.abs(new / noise - 1))
        noise = new
        search.refine(search.theta)
        if change < 0.01 or search.stopped:
            break
    return noise, cost


def _residual_width(task: Task, theta: HostArray, effective: float) -> HostArray:
    """sqrt(RSS_k / (n - n_eff/k)) of each standardised output."""
    backend, s = task.model.backend, task.scaling
    raw = backend.to_device(s.to_raw(theta))
    with backend.context():
        residual = evaluate(task.model.network, backend, raw, task.data.x) - task.data.y
        square = residual**2 if task.data.weights is None else residual**2 * task.data.weights
        total = backend.to_host(backend.xp.sum(square, axis=-1))
        events = task.data.n if task.data.weights is None else float(backend.to_host(backend.xp.sum(task.data.weights)))
    width = np.sqrt(total / max(events - effective / len(total), 1e-3 * events)) / s.y_scale
    return np.maximum(width, 1e3 * backend.epsilon)


def _effective(task: Task, shape: Curvature, errordef: float) -> float:
    """tr(H_data H^-1): the number of determined directions, less the prior's share of each."""
    determined = shape.factor.shape[1]
    if task.prior is None:
        return float(determined)
    held = np.sum(task.prior.precision[:, None] * shape.factor**2)
    return float(determined - held)


def _conclude(task: Task, search: Search, cost: NetworkCost, noise: HostArray, began: float) -> Outcome:
    if search.theta is None:
        raise ValueError(
            "the cost is not finite at any start: the data or their errors span too many orders of magnitude, or the "
            "output's nonlinearity overflows; rescale y, or use output='identity'"
        )
    raw = task.raw_cost(noise)
    theta = task.scaling.to_raw(search.theta)
    shape = search.arrived
    if search.stopped or shape is None:
        minuit = iminuit.Minuit(raw, theta)
        return _result(task, raw, minuit, search, None, noise, began)
    if shape.n_negative:
        minuit = iminuit.Minuit(raw, theta)
        return _result(task, raw, minuit, search, shape, noise, began)
    inverse = shape.inverse_hessian(cost.errordef)
    half = task.scaling.linear(inverse)
    minuit = certify(raw, theta, task.scaling.linear(half.T))
    moved = task.scaling.to_standard(np.asarray(minuit.values))
    if minuit.valid and not np.array_equal(np.asarray(minuit.values), theta):
        search.theta, shape = moved, search.curvature(moved)
    return _result(task, raw, minuit, search, shape, noise, began)


def _migrad_only(task: Task, theta: HostArray, noise: HostArray, began: float) -> Outcome:
    """The lesson's way, and the same account of where it ended."""
    noise = noise if task.errors_known else _residual_width(task, task.scaling.to_standard(theta), 0.0)
    rounds = 1 if task.errors_known else 2
    for _ in range(rounds):
        raw = task.raw_cost(noise)
        minuit = migrad_alone(raw, theta)
        theta = np.asarray(minuit.values)
        if not task.errors_known:
            noise = _residual_width(task, task.scaling.to_standard(theta), float(task.layout.n_parameters))
    cost = task.cost(noise)
    search = Search(cost, -np.inf, 1, task.model.network.kinked)
    search.theta = task.scaling.to_standard(theta)
    shape = search.curvature(search.theta)
    return _result(task, raw, minuit, search, shape, noise, began)


def _result(
    task: Task,
    raw: LeastSquares,
    minuit: iminuit.Minuit,
    search: Search,
    shape: Curvature | None,
    noise: HostArray,
    began: float,
) -> Outcome:
    """Put together what was found, and say in words what it is worth."""
    theta = np.asarray(minuit.values, dtype=np.float64)
    fmin = minuit.fmin
    certified = bool(fmin is not None and fmin.is_valid and shape is not None and not shape.n_negative)
    good = shape if certified else None
    assert search.theta is not None
    factor, errors = None, np.full(len(theta), np.nan)
    if good is not None:
        factor = task.scaling.linear(good.factor.T).T
        errors = np.where(_undetermined(task, good), np.inf, np.sqrt(np.sum(factor**2, axis=1)))
    fval = raw.value_and_gradient(theta)[0]
    description = (
        "-".join(str(h) for h in task.layout.widths)
        + ", "
        + ", ".join(dict.fromkeys(a.name for a in task.model.network.activations))
    )
    message, source = _words(task, search, shape, fmin, certified)
    result = FitResult(
        valid=certified,
        message=message,
        fval=fval,
        chi2=raw.chi2(theta),
        edm=float("nan") if fmin is None else float(fmin.edm),
        n_data=task.n_values,
        n_effective=float(task.layout.n_parameters) if shape is None else _effective(task, shape, raw.errordef),
        parameters=theta,
        errors=errors,
        y_error=None if task.errors_known else noise * task.scaling.y_scale,
        covariance_source=source,
        n_null=0 if shape is None else shape.n_null,
        minuit=minuit,
        restarts=search.rows,
        seconds=time.monotonic() - began,
        layout=task.layout,
        description=description,
        factor=factor,
    )
    band = None if good is None else Band(task.scaling.to_standard(theta), task.scaling, good)
    return Outcome(result, band, message, task.data.y_was_column)


def _undetermined(task: Task, shape: Curvature) -> HostArray:
    """Parameters in raw units that mix in one that the data leave open."""
    if not shape.n_null:
        return np.zeros(task.layout.n_parameters, dtype=bool)
    unit = np.eye(task.layout.n_parameters)[shape.undetermined]
    return np.asarray(np.any(task.scaling.linear(unit) != 0, axis=0))


def _words(task: Task, search: Search, shape: Curvature | None, fmin: Any, certified: bool) -> tuple[str, str]:
    """The message, and where the covariance comes from."""
    p = task.layout.n_parameters
    if search.stopped:
        return (
            f"Stopped before a minimum was certified: {search.stopped}. These are the best parameters so far; "
            "call fit again to go on from them.",
            "none",
        )
    if shape is None:
        return "The walk ended before a minimum. Call fit again to go on from here.", "none"
    if shape.n_negative:
        return (
            f"Not a minimum: S still falls along {shape.n_negative} of {p} directions (a saddle, or a valley that runs "
            "to infinity). Use fewer units, more data, or prior=1.0; more restarts may find another minimum.",
            "none",
        )
    if not certified:
        why = "call limit reached" if fmin is not None and fmin.has_reached_call_limit else "EDM above the goal"
        return (
            f"MIGRAD did not certify the point ({why}). Call fit again to go on from here, or use more restarts; "
            "at kinks of relu a smooth activation such as softplus helps.",
            "none",
        )
    matrix = "Gauss-Newton matrix (relu has kinks)" if task.model.network.kinked else "exact Hessian"
    known = f"inverse of the {matrix}{', prior included' if task.prior is not None else ''}"
    if not shape.n_null:
        return f"MIGRAD certified the minimum; all {p} directions are determined.", f"{known}, all {p} directions"
    dead = dead_units(task.layout, search.problem.gauss_newton(search.theta)) if search.theta is not None else []
    named = f" (no influence: {', '.join(dead[:4])}{', ...' if len(dead) > 4 else ''})" if dead else ""
    return (
        f"MIGRAD certified the minimum; {shape.n_null} of {p} directions are not determined by the data{named}: the "
        "errors of parameters that take part in them are infinite. Fewer units or a prior would hold them.",
        f"{known}, on {p - shape.n_null} of {p} directions",
    )
