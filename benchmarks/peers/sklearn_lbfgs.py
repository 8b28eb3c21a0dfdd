"""scikit-learn's MLPRegressor with its solver for small data."""

from __future__ import annotations

import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from . import Answer, Problem

NAME = "scikit-learn, lbfgs"


def fit(task: Problem, seed: int) -> Answer:
    network = MLPRegressor(
        hidden_layer_sizes=task.widths[1:-1],
        activation=task.activation,
        solver="lbfgs",
        alpha=0.0,
        max_iter=5000,
        max_fun=100_000,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(task.x, task.y)
    return Answer(network.predict(task.x).reshape(task.y.shape))
