"""Histograms of a fit: the contents of bins that it predicts, with their variances."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffnn_xp._lib.optional import require
from ffnn_xp.data import Bins
from ffnn_xp.network import evaluate
from ffnn_xp.studies.fitted_problem import FittedProblem
from ffnn_xp.uncertainty import LinearBand


def histogram_of(fitted: FittedProblem, known: LinearBand, bins: Bins) -> Any:
    """Return a `hist.Hist` of the contents of bins, with their variances; see `FitResult.to_hist`."""
    hist = require("hist", "root", "to_hist")
    problem, backend = fitted.problem, fitted.problem.model.backend
    if problem.network.layout.widths[-1] != 1:
        raise ValueError(f"a histogram is of one output, and this network has {problem.network.layout.widths[-1]}")
    with backend.context():
        columns = backend.to_device(np.ascontiguousarray(bins.x.T))
        outputs = backend.to_host(evaluate(problem.network, backend, backend.to_device(fitted.parameters), columns))
        root = backend.to_host(known.covariance_root(problem.network, backend, columns))
    root = bins.contents(np.where(np.isfinite(root), root, np.nan))
    made = require("boost_histogram", "root", "to_hist").axis.Axis
    names = bins.columns or ("",) * len(bins.edges)
    edges = [hist.axis.Variable(e, name=name) for e, name in zip(bins.edges, names, strict=True)]
    axes = bins.axes if bins.axes and all(isinstance(axis, made) for axis in bins.axes) else edges
    filled = hist.Hist(*axes, storage=hist.storage.Weight())
    cells = [len(e) - 1 for e in bins.edges]
    filled[...] = np.stack([bins.contents(outputs[0]), np.sum(root * root, axis=-1)], axis=-1).reshape(*cells, 2)
    return filled
