"""Costs of data: what they show of data and predictions."""

from __future__ import annotations

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.backends import Backend

from .two_bends import SIGMA, data


def test_pulls_prediction_and_data(cost: fx.LeastSquares) -> None:
    x, y = data()
    theta = cost.start
    np.testing.assert_allclose(cost.prediction(theta), cost.model(x), rtol=1e-14)
    np.testing.assert_allclose(cost.pulls(theta), (y - cost.prediction(theta)) / SIGMA, rtol=1e-12)
    assert np.sum(cost.pulls(theta) ** 2) == pytest.approx(cost(theta), rel=1e-12)
    np.testing.assert_allclose(cost.y, y)
    np.testing.assert_allclose(cost.yerror, np.full(120, SIGMA))
    np.testing.assert_allclose(cost.x, x[:, None])


@pytest.mark.parametrize(("d", "k"), [(1, 1), (1, 2), (3, 2)])
def test_visualize_draws_data_and_curve(d: int, k: int) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    rng = np.random.default_rng(1)
    model = fx.Model((d, 2, k), backend="numpy", seed=1)
    x = rng.normal(size=(20, d))
    cost = fx.LeastSquares(x, rng.normal(size=(20, k)), 0.5, model)
    figure = plt.figure()
    (_, y, _), (_, curve) = cost.visualize(cost.start)
    assert len(figure.axes[0].lines) > k
    assert y.shape[0] == 20
    assert np.all(np.isfinite(curve))
    plt.close(figure)


@pytest.mark.parametrize("k", [1, 3])
def test_errors_per_value_event_output_and_scalar(k: int) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(9, 2)), rng.normal(size=(9, k))
    model = fx.Model((2, 4, k), backend="numpy", seed=1)
    residual = np.reshape(model(x), (9, k)) - y
    for error in (0.3, rng.uniform(0.1, 1, (9, 1)), rng.uniform(0.1, 1, (9, k)), rng.uniform(0.1, 1, (1, k))):
        given = error[:, 0] if np.ndim(error) and error.shape == (9, 1) else np.squeeze(error)
        cost = fx.LeastSquares(x, y, given if np.ndim(given) else float(given), model)
        assert cost(cost.start) == pytest.approx(np.sum((residual / error) ** 2), rel=1e-12)
    weights = rng.uniform(0.5, 2, 9)
    cost = fx.LeastSquares(x, y, 0.3, model, weights=weights)
    assert cost(cost.start) == pytest.approx(np.sum(weights[:, None] * (residual / 0.3) ** 2), rel=1e-12)


def test_widths_left_open_are_read_from_the_data(backend: Backend) -> None:
    model = fx.Model(backend=backend, seed=1)
    cost = fx.LeastSquares(np.ones((5, 3)), np.ones((5, 2)), 1.0, model)
    assert model.layers == (3, 10, 2)
    assert cost.npar == model.n_parameters == 62


def test_yerror_is_needed() -> None:
    with pytest.raises(ValueError, match="`yerror` is needed"):
        fx.LeastSquares([0.0], [1.0], None, fx.Model((1, 1)))
