"""Check that a model in float32 holds a fit, which is computed in float64 where the device has it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends import Backend
from ffnn_xp.fitting import FitProblem, FitRecord
from ffnn_xp.network import evaluate

RESOLUTION = 0.1  # standard deviations of the data by which predictions in float32 may differ


def checked_in(backend: Backend, record: FitRecord) -> FitRecord:
    """Return the record, not valid if predictions with the model's own backend are far from those of the fit."""
    if record.problem.model.backend.dtype == backend.dtype or not record.valid:
        return record
    lost = _lost(backend, record.problem, record.parameters)
    if lost <= RESOLUTION:
        return record
    message = (
        f"{backend.dtype} does not hold this fit, which was made in float64: predictions would be wrong by up to "
        f"{lost:.2g} standard deviations of the data. Use dtype='float64', or subtract an offset from x or y."
    )
    message += f" {record.message}" if record.caution else ""
    return replace(record, valid=False, message=message, error_band=None, predictive=None)


def _lost(backend: Backend, problem: FitProblem, theta: HostArray) -> float:
    """Compute the largest difference of the data's pulls by predictions of the two backends."""
    of_fit, data, loss = problem.model.backend, problem.data_with_errors(), problem.loss
    columns = backend.asarray(data.x) if backend.owns(data.x) else backend.to_device(data.x)
    own = backend.to_host(evaluate(problem.network, backend, backend.to_device(theta), columns))
    with of_fit.context():
        arguments = data.loss_arguments(of_fit.xp, loss, of_fit.to_device(own))
        pulls = [
            of_fit.to_host(data.pulls(of_fit.xp, loss, each, weighted=False))
            for each in (arguments, of_fit.to_device(problem.expected(theta)))
        ]
    lost = np.abs(pulls[0] - pulls[1])[np.isfinite(pulls[1])]
    return float(np.max(np.where(np.isnan(lost), np.inf, lost), initial=0.0))
