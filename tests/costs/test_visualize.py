"""Pictures of costs: what is drawn are the numbers of the cost, and every kind of data has a picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from iminuit import Minuit
from iminuit.cost import NormalConstraint

import ffnn_xp as fx

plt = pytest.importorskip("matplotlib.pyplot")

RNG = np.random.default_rng(2)
X, N = np.linspace(-1, 1, 40), 40


@pytest.fixture(autouse=True)
def figure() -> Iterator[Any]:
    made = plt.figure()
    yield made
    plt.close("all")


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def line(k: int = 1, output: str = "identity", d: int = 1) -> fx.Model:
    return fx.Model((d, k), output=output, seed=1)


def test_least_squares_as_iminuit_draws_them(figure: Any) -> None:
    mask = X > -0.5
    cost = fx.LeastSquares(X, 2 * X, 0.1, line(), mask=mask)
    (x, y, error), (points, curve) = cost.visualize([2.0, 0.5], model_points=7)
    np.testing.assert_array_equal(x, X[mask])
    np.testing.assert_array_equal(y, 2 * X[mask])
    np.testing.assert_allclose(error, np.full(mask.sum(), 0.1))
    np.testing.assert_allclose(points, np.linspace(x[0], x[-1], 7))
    np.testing.assert_allclose(curve, 2 * points + 0.5)
    assert legend(figure.axes[0]) == ["prediction", "data"]
    _, (points, _) = cost.visualize([2.0, 0.5], model_points=[0.0, 3.0])
    np.testing.assert_array_equal(points, [0.0, 3.0])
    _, (points, _) = cost.visualize([2.0, 0.5])
    assert len(points) == 400


def test_counts_in_units_of_the_output() -> None:
    n = RNG.poisson(30.0, N)
    cost = fx.Poisson(X, n, line(output="exp"), exposure=2.0)
    (_, y, error), (points, curve) = cost.visualize([0.1, 2.7])
    np.testing.assert_allclose(y, n / 2)
    np.testing.assert_allclose(error, np.sqrt(np.exp(0.1 * X + 2.7) / 2))
    np.testing.assert_allclose(curve, np.exp(0.1 * points + 2.7))
    edges = np.linspace(0, 2, 11)
    plt.clf()
    (x, y, _), (points, _) = fx.Poisson(fx.Bins(edges), np.arange(10), line(output="exp")).visualize([0.1, 2.7])
    assert legend(plt.gca()) == ["prediction", "in bins", "data"]
    of_bins = np.diff(np.exp(0.1 * edges + 2.7)) / 0.1
    np.testing.assert_allclose(plt.gca().patches[0].get_data().values, of_bins / np.diff(edges))
    np.testing.assert_allclose(x, edges[:-1] + 0.1)
    np.testing.assert_allclose(y, np.arange(10) / 0.2)
    np.testing.assert_allclose(points[[0, -1]], [0.0, 2.0])


def test_yes_or_no_and_classes_in_groups(figure: Any) -> None:
    yes = fx.Binomial(X, X > 0, line(output="logistic"))
    (x, y, error), _ = yes.visualize([1.0, 0.0])
    np.testing.assert_allclose(y, [0, 0, 1, 1])
    np.testing.assert_allclose(x, X.reshape(4, 10).mean(axis=1))
    p = (1 / (1 + np.exp(-X))).reshape(4, 10)
    np.testing.assert_allclose(error, np.sqrt(np.mean(p * (1 - p), axis=1) / 10), rtol=1e-6)
    assert legend(figure.axes[0]) == ["prediction", "groups of 10"]
    plt.clf()
    classes = fx.Multinomial(X, np.arange(N) % 3, line(3, "softmax"))
    (_, shares, _), (_, curves) = classes.visualize(np.ones(6))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(curves, 1 / 3)
    assert legend(plt.gca()) == ["$y_{0}$", "$y_{1}$", "$y_{2}$", "groups of 10"]


def test_trials_as_shares() -> None:
    (_, y, error), _ = fx.Binomial(X, np.arange(N) // 4, line(output="logistic"), trials=25).visualize([0.0, 0.0])
    np.testing.assert_allclose(y, (np.arange(N) // 4) / 25)
    np.testing.assert_allclose(error, np.full(N, 0.1))


def test_a_predicted_width_is_a_band(figure: Any) -> None:
    (_, _, error), (_, mean) = fx.Normal(X, X, line(2)).visualize([1.0, 0.0, 0.0, 0.0])
    assert error is None
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(mean.min() - 1)
    assert band[:, 1].max() == pytest.approx(mean.max() + 1)
    assert "predicted width" in legend(figure.axes[0])


@pytest.mark.parametrize("k", [1, 2])
def test_several_inputs_measured_against_predicted(figure: Any, k: int) -> None:
    x, y = RNG.normal(size=(30, 2)), RNG.normal(size=(30, k))
    cost = fx.LeastSquares(x, y, 0.2, line(k, d=2))
    (predicted, measured, error), (ends, same) = cost.visualize(cost.start)
    np.testing.assert_allclose(np.reshape(predicted, (30, k)), np.reshape(cost.model(x), (30, k)))
    np.testing.assert_array_equal(np.reshape(measured, (30, k)), y)
    assert np.all(error == pytest.approx(0.2))
    np.testing.assert_array_equal(ends, same)
    assert figure.axes[0].get_xlabel() == ("predicted $y$" if k == 1 else "predicted value")
    yes = fx.Binomial(x, y[:, 0] > 0, line(output="logistic", d=2))
    (groups, _, _), _ = yes.visualize(yes.start)
    assert len(groups) == 3


def peak(x: np.ndarray, height: float, position: float) -> np.ndarray:
    return height * np.exp(-50 * (x - position) ** 2)


def test_a_function_and_the_network_as_components(figure: Any) -> None:
    cost = fx.PlusFunction(fx.LeastSquares(X, 3 * X, 0.1, line(), mask=X < 0.9), peak, height=2.0, position=0.1)
    at = [3.0, 0.5, 2.0, 0.1]
    (x, _, _), (points, total) = Minuit(cost, at).visualize()
    assert len(x) == np.sum(X < 0.9)
    np.testing.assert_allclose(total, 3 * points + 0.5 + peak(points, 2.0, 0.1))
    axes = figure.axes[0]
    assert legend(axes) == ["peak", "network", "network + peak", "data"]
    network = next(drawn for drawn in axes.lines if drawn.get_label() == "network")
    np.testing.assert_allclose(network.get_ydata(), 3 * points + 0.5)
    area = axes.collections[-1 if len(axes.collections) == 1 else 1].get_paths()[0].vertices
    assert area[:, 1].max() == pytest.approx(total.max())
    several = fx.PlusFunction(fx.LeastSquares(np.stack([X, X], 1), X, 0.1, line(d=2)), lambda x, a: a + x[:, 0], a=1.0)
    (predicted, _, _), _ = several.visualize(several.start)
    np.testing.assert_allclose(predicted, several.prediction(several.start))


def test_a_sum_has_a_panel_for_each_part(figure: Any) -> None:
    first = fx.LeastSquares(X, X, 0.1, line())
    total = first + fx.LeastSquares(X, 2 * X, 0.1, first.model) + NormalConstraint("b_L1_L2[0]", 0.0, 1.0) + 5
    Minuit(total, total.start).visualize(component_kwargs={1: {"model_points": [0.0, 7.0]}})
    assert len(figure.axes) == 3
    assert figure.axes[1].lines[-1].get_xdata().tolist() == [0.0, 7.0]
    assert [label.get_text() for label in figure.axes[2].get_yticklabels()] == ["b_L1_L2[0]"]


def test_names_of_tables_are_on_the_axes(figure: Any) -> None:
    pd = pytest.importorskip("pandas")
    names = ["U [V]", "cost $ of $"]
    cost = fx.LeastSquares(pd.DataFrame({"t_1 [s]": X}), pd.DataFrame(dict.fromkeys(names, X)), 0.1, line(2))
    cost.visualize(cost.start)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "t_1 [s]"
    assert legend(axes) == ["U [V]", r"cost \$ of \$", "data"]
    figure.canvas.draw()
