"""Points next to a minimum: where S is lower there, the search goes on, and nothing is certified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.fitting.beside import biases_of_units_that_are_off, lower_aside, lower_beside
from ffnn_xp.fitting.local_search import LocalSearch
from ffnn_xp.fitting.multistart import MultiStart
from ffnn_xp.minimizers import SaddleEscape
from ffnn_xp.uncertainty import Spectrum

X = np.linspace(-2, 2, 30)
ONE_ERROR = Spectrum.of_hessian(2 * np.eye(3), errordef=1.0)


@dataclass
class Curve:
    """S as a function of all three parameters."""

    f: Callable[[np.ndarray], float]
    errordef: float = 1.0

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, None]:
        return self.f(theta), None


@pytest.mark.parametrize(
    "f",
    [
        lambda t: t @ t + 1e5 * t[0] * t[1] * t[2],
        lambda t: t @ t - 1e3 * max(t[2], 0.0),
        lambda t: t @ t - 10.0 * (abs(t[0]) > 1e-6),
    ],
    ids=["third derivatives", "kink", "step"],
)
def test_what_one_point_does_not_see_is_found(f: Callable[[np.ndarray], float]) -> None:
    beside = lower_beside(Curve(f), np.zeros(3), ONE_ERROR, fall=4e-3)
    assert beside is not None
    assert f(beside) < -4e-3
    assert np.linalg.norm(beside) < 0.05


@pytest.mark.parametrize(
    "f",
    [
        lambda t: t @ t,
        lambda t: 1e12 + 1e-2 * np.sin(1e12 * t[0]),
        lambda t: t @ t - 0.1 * t[0],
        lambda t: np.nan if t[0] else 0.0,
    ],
    ids=["parabola", "rounding", "little", "not finite"],
)
def test_there_is_nothing_lower_next_to_a_minimum(f: Callable[[np.ndarray], float]) -> None:
    assert lower_beside(Curve(f), np.zeros(3), ONE_ERROR, fall=4e-3) is None


@pytest.mark.parametrize(
    ("output", "unit", "options"),
    [
        ("relu", 1.0, {"start": np.zeros(7), "y_err": 0.1}),  # the gradient of units that are off is zero
        (
            "softplus",
            1e6,
            {"prior": 30.0, "y_err": 1.0},
        ),  # at weights of zero only third derivatives lead down
    ],
)
def test_the_search_goes_on_from_there(output: str, unit: float, options: dict[str, object]) -> None:
    y = unit * (1.5 + np.sin(X))
    fit = fx.Model((1, 2, 1), output=output, backend="numpy", seed=5).fit(X, y, restarts=1, **{"prior": 3.0, **options})
    assert fit.valid
    assert fit.chi2 < 0.1 * np.sum(((y - np.mean(y)) / options["y_err"]) ** 2)  # that of a constant


def test_units_with_kinks_that_are_off_are_known_by_their_biases() -> None:
    """In each layer; the next layer's weights behind such a unit have no influence either, but are no biases."""
    layers = [([[1.0], [1.0]], [3.0, -9.0]), ([[1.0, 1.0]], [0.0])]
    model = fx.Model.from_matrices(layers, activation="relu", output="relu", backend="numpy")
    cost = fx.LeastSquares(X, np.sin(X), 0.1, model)
    assert np.argmax(biases_of_units_that_are_off(cost, cost.start), axis=0).tolist() == [3]
    off = cost.start - 100 * np.eye(7)[6]
    assert np.argmax(biases_of_units_that_are_off(cost, off), axis=0).tolist() == [1, 3, 6]
    smooth = fx.Model.from_matrices(layers, activation="tanh", backend="numpy")
    assert biases_of_units_that_are_off(fx.LeastSquares(X, np.sin(X), 0.1, smooth), cost.start).shape == (7, 0)


def test_an_output_that_is_off_at_all_events_is_turned_on() -> None:
    """No gradient says so: S falls only beyond the nearest kink."""
    y = np.column_stack([1.5 + np.sin(X), 2 + 0.1 * X])
    model = fx.Model((1, 2, 2), output="relu", backend="numpy", seed=1)
    start = np.r_[1.0, 0.1, -1.0, 0.2, 1.0, 0.5, 1.0, 0.01, 0.01, -0.1]
    fit = model.fit(X, y, 0.1, prior=None, restarts=1, start=start)
    assert fit.chi2 < 0.5 * np.sum((y[:, 1] / 0.1) ** 2)  # that of an output that is off


def test_gradients_aside_lead_down_from_a_point_that_has_none() -> None:
    """S = |u| v falls from 0 along none of its own gradients, which vanish."""

    class Wedge:
        errordef, epsilon = 1.0, 2.2e-16

        def value_and_gradient(self, t: np.ndarray) -> tuple[float, np.ndarray]:
            return abs(t[0]) * t[1], np.array([np.sign(t[0]) * t[1], abs(t[0])])

    wedge: Any = Wedge()
    lower = lower_aside(wedge, np.zeros(2), SaddleEscape(), fall=4e-3)
    assert lower is not None
    assert wedge.value_and_gradient(lower)[0] < -4e-3
    assert lower_aside(wedge, np.array([0.0, 3.0]), SaddleEscape(), fall=4e-3) is None


def test_a_point_with_a_lower_one_beside_it_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever MIGRAD says; here the point beside it, which the search may not go on from, is only said to be lower."""
    monkeypatch.setattr(LocalSearch, "lower_beside", lambda local, theta, spectrum: theta + 0.1 * spectrum.factor[:, 0])
    monkeypatch.setattr(MultiStart, "past_lower_points", lambda search, found: found)
    with pytest.warns(fx.FitWarning, match="Not a minimum: S is lower by -0.01 within a hundredth"):
        fit = fx.Model((1, 2, 1), backend="numpy", seed=1).fit(X, np.sin(X), 0.1, prior=3.0, restarts=1)
    assert not fit.valid
    assert np.all(np.isnan(fit.errors))
