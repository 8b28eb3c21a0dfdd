r"""Errors of y where none were given: one for each output, from the residuals of the fit itself.

.. math:: \sigma_k^2 = \sum_n r_{nk}^2 / (n - p_{eff}/k)

For a robust statistic it is the median of the absolute residuals, over that of the statistic's pulls, and the same
factor for the parameters (P. J. Huber, Robust Statistics, 1981, sec. 7.8).

Residuals of events that were held out need no such factor: theirs is the width (`recipe`).

Errors and minimum are found in turn: how exactly a minimum is known, and with a prior or several outputs also where it
is, depends on the errors.
"""

from __future__ import annotations

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.multistart import Search
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.losses import Robust, StudentTLoss
from ffnn_xp.network import evaluate

ROUNDS = 8
SETTLED = 0.01  # relative change of the errors that needs no further round


def estimate_y_error(task: FitProblem, search: Search) -> FitProblem:
    """Return the problem with errors of y from the residuals; moves the search's best point to their minimum."""
    if search.theta is None:
        return task
    if not search.finished:  # the walk was cut short: the best guess, for a point that is no minimum anyway
        return task.with_y_error(residual_width(task, search.theta, float(task.layout.n_parameters)))
    cost = task.cost()
    for _ in range(ROUNDS):
        new = residual_width(task, search.theta, task.effective(cost, search.theta, matrices=search.matrices))
        settled = np.max(np.abs(new / task.y_error - 1)) < SETTLED
        task = task.with_y_error(new)
        cost = task.cost()
        search.refine(cost)
        if settled or not search.finished:
            break
    return task


def residual_width(task: FitProblem, theta: HostArray, effective: float) -> HostArray:
    """The formula above for a point in standardised theta; never quite zero, so that a perfect fit has a chi-square."""
    backend, s = task.model.backend, task.scaling
    xp, data = backend.xp, task.data
    with backend.context():
        residual = evaluate(task.network, backend, backend.to_device(s.to_raw(theta)), data.x) - data.y
        if isinstance(task.loss, Robust):
            return _median_width(task, backend.to_host(xp.abs(residual)), effective)
        square = residual * residual if data.weights is None else residual * residual * data.weights
        total = backend.to_host(xp.sum(square, axis=-1))
        events = data.n if data.weights is None else float(backend.to_host(xp.sum(data.weights)))
    width = np.sqrt(total / max(events - effective / len(total), 1e-3 * events)) / s.y_scale
    return np.maximum(width, 1e3 * backend.epsilon)


def held_out_width(task: FitProblem, residual: HostArray, weights: HostArray | None) -> HostArray:
    """Errors ``(k,)`` of the standardised outputs from residuals ``(k, n)`` that no parameter has seen."""
    if isinstance(task.loss, Robust):
        width = _median(task.loss, np.abs(residual))
    else:
        width = np.sqrt(np.average(residual**2, axis=1, weights=weights))
    return np.maximum(width, 1e3 * task.model.backend.epsilon)


def _median_width(task: FitProblem, residual: HostArray, effective: float) -> HostArray:
    """From absolute residuals ``(k, n)``; weights do not count."""
    assert isinstance(task.loss, Robust)
    n = task.data.n
    free = max(n - effective / len(residual), 1e-3 * n)
    width = _median(task.loss, residual) * np.sqrt(n / free)
    return np.asarray(np.maximum(width / task.scaling.y_scale, 1e3 * task.model.backend.epsilon))


def _median(loss: Robust, residual: HostArray) -> HostArray:
    """Width of the good measurements, normal ones, or Student's own, by the median of absolute residuals ``(k, n)``."""
    law = scipy.stats.t(loss.nu) if isinstance(loss, StudentTLoss) else scipy.stats.norm
    return np.asarray(np.median(residual, axis=1) / law.ppf(0.75))
