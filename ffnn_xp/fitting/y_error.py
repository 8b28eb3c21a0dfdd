r"""Estimate the errors of y where none were given: one for each output, from the residuals of the fit itself.

.. math:: \sigma_k^2 = \sum_n r_{nk}^2 / (n - p_{eff}/k)

For a robust statistic it is the median of the absolute residuals, over that of the statistic's pulls, with the same
factor for the parameters (P. J. Huber, Robust Statistics, 1981, sec. 7.8). Residuals of held-out events need no such
factor (`prior_selection`).

The errors and the minimum are found in turn, since the covariance depends on the errors, and with a prior or several
outputs, or a robust statistic, the minimum does too. They have settled where they are those of the residuals at their
own minimum. Turns that approach this slowly, or jump to and fro, are sped up by a secant in the logarithms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Mask
from ffnn_xp.fitting.multistart import MultiStart
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.fitting.search_result import SearchResult
from ffnn_xp.network import evaluate

LONGEST = 5.0  # longest step of a secant, in units of the change
PERFECT = 1e-6  # errors in units of the width of y below which a fit describes its data exactly
CHANGES = "the errors of y, estimated from the residuals, change with each fit that uses them: give y_err"
DEGENERATE = (
    "half of the values or more lie on the curve exactly, so that the median residual is no measure of errors of y: "
    "give y_err"
)


def estimate_y_error(
    problem: FitProblem, search: MultiStart, found: SearchResult
) -> tuple[FitProblem, MultiStart, SearchResult]:
    """Return the problem with errors of y from the residuals, and the minimum that belongs to them.

    The errors are a guess where the search was cut short and its best point is no minimum.
    """
    if found.best is None:
        return problem, search, found
    if not found.located:
        width = residual_width(problem, found.best.theta, float(problem.layout.n_parameters))
        return problem.with_y_error(width), search, found

    def minimize(problem: FitProblem) -> HostArray | None:
        nonlocal search, found
        search = search.for_cost(problem.cost())
        found = search.refine(found)
        return found.best.theta if found.best is not None and found.located else None

    return settle(problem, found.best.theta, minimize), search, found


def settle(problem: FitProblem, theta: HostArray, minimize: Callable[[FitProblem], HostArray | None]) -> FitProblem:
    """Return the problem with the errors of y that belong to their own minimum, or with the reason why there are none.

    Parameters
    ----------
    problem : FitProblem
        The problem; theta is its minimum.
    theta : array with shape (p,)
        A standardised minimum for these errors.
    minimize : callable
        Minimises a problem with other errors; returns the standardised minimum, or None if it did not get there.
    """
    tuning, now, before = problem.tuning.y_error, np.log(problem.y_error), None
    for _ in range(tuning.rounds):
        change = np.log(residual_width(problem, theta, problem.effective(problem.cost(), theta))) - now
        small = now + change < np.log(PERFECT)
        if np.any(small) and _is_degenerate(problem, theta, small):
            return replace(problem, unsettled=DEGENERATE)
        if np.max(np.abs(change)) < tuning.settled:
            return problem
        step = change if before is None else _secant(now, change, *before)
        before, now = (now, change), now + step
        problem = problem.with_y_error(np.exp(now))
        end = minimize(problem)
        if end is None or np.all(small):
            return problem
        theta = end
    return replace(problem, unsettled=CHANGES)


def _secant(now: HostArray, change: HostArray, then: HostArray, change_then: HostArray) -> HostArray:
    """Return the steps to where the changes are zero, at most `LONGEST` changes long."""
    moved = now - then
    slope = (change - change_then) / np.where(moved == 0, 1.0, moved)
    return -change / np.minimum(slope, -1 / LONGEST)


def _is_degenerate(problem: FitProblem, theta: HostArray, small: Mask) -> bool:
    """Return True if the median residual of an output is zero to rounding, `small`, while others are not."""
    if problem.loss.median_pull() is None:
        return False
    backend = problem.model.backend
    with backend.context():
        y = evaluate(problem.network, backend, backend.to_device(problem.scaling.to_raw(theta)), problem.data.x)
        largest = backend.to_host(backend.xp.max(backend.xp.abs(y - problem.data.y), axis=-1)) / problem.scaling.y_scale
    return bool(np.any(small & (largest > np.sqrt(PERFECT))))


def residual_width(problem: FitProblem, theta: HostArray, effective: float, y: Array | None = None) -> HostArray:
    """Compute the errors by the formula above, for other measurements y ``(k, n)`` if given.

    They are never quite zero, so that a perfect fit has a chi-square.

    Raises
    ------
    ValueError
        If weights of both signs leave no positive sum of squares.
    """
    median = problem.loss.median_pull()
    if median is not None:
        backend = problem.model.backend
        residual = np.abs(backend.to_host(_residuals(problem, theta, y)))
        return _median_width(problem, residual, median, effective)
    parts = problem.each(_squared_residuals, theta, y)
    total, events = np.sum([total for total, _ in parts], axis=0), sum(events for _, events in parts)
    width = _root(total / max(events - effective / len(total), 1e-3 * events)) / problem.scaling.y_scale
    return np.maximum(width, 1e3 * problem.model.backend.epsilon)


def _residuals(problem: FitProblem, theta: HostArray, y: Array | None) -> Array:
    """Compute raw residuals ``(k, n)`` of the data's y, or of other measurements, at standardised theta.

    Where events have errors of different size, they are in units of the relative ones.
    """
    backend, data = problem.model.backend, problem.data
    with backend.context():
        predicted = evaluate(problem.network, backend, backend.to_device(problem.scaling.to_raw(theta)), data.x)
        residual = predicted - (data.y if y is None else y)
        return residual if problem.relative_error is None else residual / backend.to_device(problem.relative_error)


def _squared_residuals(problem: FitProblem, theta: HostArray, y: Array | None) -> tuple[HostArray, float]:
    """Sum the squared residuals ``(k,)`` times the weights, and the weights."""
    backend, data = problem.model.backend, problem.data
    with backend.context():
        residual = _residuals(problem, theta, y)
        square = residual * residual if data.weights is None else residual * residual * data.weights
        total = backend.to_host(backend.xp.sum(square, axis=-1))
        events = data.n if data.weights is None else float(backend.to_host(backend.xp.sum(data.weights)))
    return total, events


def held_out_width(problem: FitProblem, residual: HostArray, weights: HostArray | None) -> HostArray:
    """Compute errors ``(k,)`` of the standardised outputs from residuals ``(k, n)`` of held-out events."""
    median = problem.loss.median_pull()
    if median is not None:
        width = np.median(np.abs(residual), axis=1) / median
    else:
        width = _root(np.average(residual**2, axis=1, weights=weights))
    return np.maximum(width, 1e3 * problem.model.backend.epsilon)


def _root(mean_square: HostArray) -> HostArray:
    """Return the square root; a sum of squares with weights of both signs may be negative, and is refused."""
    if np.any(mean_square < 0):
        raise ValueError(
            "the errors of y cannot be estimated: with these weights of both signs the sum of squared residuals is "
            "negative; give y_err"
        )
    return np.sqrt(mean_square)


def _median_width(problem: FitProblem, residual: HostArray, median: float, effective: float) -> HostArray:
    """Compute errors from the median of absolute residuals ``(k, n)``, without weights."""
    n = problem.data.n
    free = max(n - effective / len(residual), 1e-3 * n)
    width = np.median(residual, axis=1) / median * np.sqrt(n / free)
    return np.asarray(np.maximum(width / problem.scaling.y_scale, 1e3 * problem.model.backend.epsilon))
