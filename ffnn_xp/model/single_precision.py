"""Check that a model holds a fit, which is computed in standardised units, and in float64 where the device has it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends import Backend
from ffnn_xp.fitting import FitProblem, FitRecord
from ffnn_xp.network import evaluate

RESOLUTION = 0.1  # standard deviations of the data by which predictions may differ
FAR = 1e3  # widths of an input from zero to its mean: up to there float64 loses three of its 16 digits


def checked_in(backend: Backend, record: FitRecord) -> FitRecord:
    """Return the record, not valid if predictions with the model's own parameters are far from those of the fit."""
    problem = record.problem
    far = np.max(np.abs(problem.scaling.x_mean) / problem.scaling.x_scale) > FAR
    if not record.valid or (problem.model.backend.dtype == backend.dtype and not far):
        return record
    lost = max(problem.each(_lost, backend, record.parameters, record.standardised))
    if lost <= RESOLUTION:
        return record
    other = "" if backend.dtype == "float64" else ", or use dtype='float64'"
    message = (
        f"{backend.dtype} does not hold this fit, which was made in float64 and standardised units: predictions would "
        f"be wrong by up to {lost:.2g} standard deviations of the data; subtract an offset from x or y{other}."
    )
    message += f" {record.message}" if record.caution else ""
    return replace(record, valid=False, message=message, error_band=None, predictive=None)


def _lost(problem: FitProblem, backend: Backend, theta: HostArray, standardised: HostArray) -> float:
    """Compute the largest difference of the data's pulls by raw parameters in this backend and by standardised ones."""
    of_fit, data, loss, s = problem.model.backend, problem.data_with_errors(), problem.loss, problem.scaling
    columns = backend.asarray(data.x) if backend.owns(data.x) else backend.to_device(data.x)
    own = backend.to_host(evaluate(problem.network, backend, backend.to_device(theta), columns))
    of_standard_x = replace(s, x_mean=np.zeros_like(s.x_mean), x_scale=np.ones_like(s.x_scale))
    with of_fit.context():
        mean, scale = (of_fit.to_device(a[:, None]) for a in (s.x_mean, s.x_scale))
        exact = of_fit.to_device(of_standard_x.to_raw(standardised))
        outputs = (of_fit.to_device(own), evaluate(problem.network, of_fit, exact, (data.x - mean) / scale))
        each = [data.loss_arguments(of_fit.xp, loss, y) for y in outputs]
        pulls = [of_fit.to_host(data.pulls(of_fit.xp, loss, y, weighted=False)) for y in each]
    lost = np.abs(pulls[0] - pulls[1])[np.isfinite(pulls[1])]
    return float(np.max(np.where(np.isnan(lost), np.inf, lost), initial=0.0))
