"""Estimators for scikit-learn: networks in its pipelines, grid searches and cross-validations.

- `regressor`, `classifier`: `FFNNRegressor` and `FFNNClassifier`.
- `network_estimator`: their common part, from checked arrays to a fitted `Model`.
- `options`: keyword arguments of scikit-learn's networks: those that have an equivalent, and those that have none.
- `rows`: equal rows as one event with a weight.

``import ffnn_xp`` does not load this package. It needs scikit-learn: ``pip install 'ffnn_xp[sklearn]'``.
"""

from ffnn_xp._lib.optional import require

require("sklearn", "sklearn", "ffnn_xp.estimators")

from ffnn_xp.estimators.classifier import FFNNClassifier  # noqa: E402
from ffnn_xp.estimators.network_estimator import FitConvergenceWarning  # noqa: E402
from ffnn_xp.estimators.regressor import FFNNRegressor  # noqa: E402

__all__ = [
    "FFNNClassifier",
    "FFNNRegressor",
    "FitConvergenceWarning",
]
