"""The recipe: data to a certified `FitResult`.

Standardise (`task`); walk from random starts to a minimum (`walk`); estimate the errors of y if they are unknown
(`noise`); take the covariance from the exact Hessian; go back to raw units, exactly; let MIGRAD certify the point; say
what it is worth (`verdict`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from iminuit import Minuit

from ._typing import HostArray
from .cost import LeastSquares, ModelLike
from .errors import did_you_mean
from .inputs import dataset
from .losses import loss as find_loss
from .minimizers import certify, migrad_alone, unstarted
from .noise import estimate_noise, residual_width
from .prior import GaussianPrior, layer_precision
from .progress import progress_line
from .starts import glorot
from .task import Task, standardisation
from .uncertainty import Curvature
from .verdict import Outcome, verdict
from .walk import SIGMAS, FitState, Search

MATRIX_LIMIT = 6000  # parameters above which p x p matrices are not formed: no Gauss-Newton steps, no certificate
AT_KINKS = 5  # runs of MIGRAD, at most
STARTS = 10  # at most, where chi-square can end the search
MINIMIZERS = ("auto", "migrad")


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
    """See `Model.fit`; `start` are the model's parameters in raw units if they are to be the first start."""
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
        errors_known=y_err is not None,
    )
    _check_degrees_of_freedom(task)
    deadline = np.inf if max_seconds is None else began + max_seconds
    if minimizer == "migrad":
        theta = model.backend.to_host(model.parameters) if start is None else start
        return _migrad_alone(task, theta, began, deadline)
    number = _number_of_starts(restarts, task, start is not None)
    noise = np.ones(data.y.shape[0])
    with progress_line(progress, callback) as report:
        search = Search(
            task.cost(noise),
            good_enough=_good_enough(task),
            starts=number,
            kinked=model.network.kinked,
            matrices=task.layout.n_parameters <= MATRIX_LIMIT,
            deadline=deadline,
            callback=report,
        )
        search.run(_starts(task, start, number, seed))
        if not task.errors_known:
            noise = estimate_noise(task, search, noise)
    return _certified(task, search, noise, began)


def _certified(task: Task, search: Search, noise: HostArray, began: float) -> Outcome:
    """From the best point of the walk to MINUIT's word on it."""
    if search.theta is None:
        raise ValueError(
            "the cost is not finite at any start: the data or their errors span too many orders of magnitude, or the "
            "output's nonlinearity overflows; rescale y, or use output='identity'"
        )
    raw = task.raw_cost(noise)
    theta, shape = task.scaling.to_raw(search.theta), search.arrived
    if shape is None or shape.n_negative:
        return verdict(task, raw, unstarted(raw, theta), search, shape, noise, began)
    try:
        minuit = _asked(task, search, raw, theta, shape)
        if not np.array_equal(minuit.values, theta):
            search.theta = task.scaling.to_standard(np.asarray(minuit.values))
            shape, _ = search.shape_at(search.theta)
    except KeyboardInterrupt:
        search.stopped, shape = "interrupted by the user", None
        minuit = unstarted(raw, theta)
    return verdict(task, raw, minuit, search, shape, noise, began)


def _asked(task: Task, search: Search, raw: LeastSquares, theta: HostArray, shape: Curvature) -> Minuit:
    """MIGRAD's run from this point with this curvature.

    At kinks it is asked again, with a new covariance, where it does not see a minimum: its own, built from gradients
    that jump, degrades. The run with the smallest EDM counts.
    """
    runs: list[Minuit] = []
    while len(runs) < (AT_KINKS if search.kinked else 1):
        half = task.scaling.linear(shape.inverse_hessian(raw.errordef))
        runs.append(certify(raw, theta, task.scaling.linear(half.T)))
        if runs[-1].valid or np.array_equal(runs[-1].values, theta) or time.monotonic() > search.deadline:
            break
        theta = np.asarray(runs[-1].values)
        shape, _ = search.shape_at(task.scaling.to_standard(theta))
    return min(runs, key=lambda m: (not m.valid, m.fmin.edm))


def _migrad_alone(task: Task, theta: HostArray, began: float, deadline: float) -> Outcome:
    """The lesson's way, and the same account of where it ended.

    With unknown errors it runs twice: the first run's residuals are the second's errors.
    """
    noise = np.ones(task.data.y.shape[0])
    if not task.errors_known:
        noise = residual_width(task, task.scaling.to_standard(theta), 0.0)
        theta = np.asarray(migrad_alone(task.raw_cost(noise), theta, deadline=deadline).values)
        noise = residual_width(task, task.scaling.to_standard(theta), float(task.layout.n_parameters))
    raw = task.raw_cost(noise)
    minuit = migrad_alone(raw, theta, deadline=deadline)
    search = Search(task.cost(noise), kinked=task.model.network.kinked)
    search.theta = task.scaling.to_standard(np.asarray(minuit.values))
    return verdict(task, raw, minuit, search, search.shape_at(search.theta)[0], noise, began)


def _check_options(loss: str, prior: object, restarts: int | str, minimizer: str, max_seconds: float | None) -> None:
    find_loss(loss)
    if minimizer not in MINIMIZERS:
        raise ValueError(f"unknown minimizer {minimizer!r}: {did_you_mean(minimizer, MINIMIZERS)}")
    if prior is not None and (not isinstance(prior, int | float | np.number) or not 0 < prior < np.inf):
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
        return STARTS
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
