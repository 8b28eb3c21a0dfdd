"""A fitted network, and the cost that was minimized."""

from __future__ import annotations

import pytest

import ffnn_xp as fx

from .two_bends import SIGMA, data


@pytest.fixture(scope="module")
def fitted() -> tuple[fx.Model, fx.FitResult]:
    model = fx.Model((1, 2, 1), backend="numpy", seed=1)
    return model, model.fit(*data(), SIGMA, prior=None)


@pytest.fixture
def cost(fitted: tuple[fx.Model, fx.FitResult]) -> fx.LeastSquares:
    return fx.LeastSquares(*data(), SIGMA, fitted[0])
