"""Pulls of toys."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp import Model


@pytest.mark.slow
def test_pulls_of_toys_are_standard_normal() -> None:
    """100 toys of a tanh unit: error estimates have the coverage that they claim."""
    rng = np.random.default_rng(5)
    x = np.linspace(-2, 2, 30)
    truth = np.array([1.0, 0.3, 2.0, -0.5])
    model = Model((1, 1, 1), backend="numpy", seed=1)
    y = model(x, truth)
    pulls = []
    for _ in range(100):
        model.parameters = truth
        fit = model.fit(x, y + rng.normal(0, 0.05, 30), 0.05, start="current", restarts=1, prior=None)
        assert fit.valid
        pulls.append((fit.parameters - truth) / fit.errors)
    pulls = np.array(pulls)
    np.testing.assert_allclose(pulls.std(axis=0), 1, atol=0.25)  # 3.5 / sqrt(2 * 100)
    np.testing.assert_allclose(pulls.mean(axis=0), 0, atol=0.35)  # 3.5 / sqrt(100)
