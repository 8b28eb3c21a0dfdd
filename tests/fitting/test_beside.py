"""Points next to a minimum: where S is lower there, the search goes on, and nothing is certified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.fitting.beside import lower_beside
from ffnn_xp.fitting.local_search import LocalSearch
from ffnn_xp.fitting.multistart import MultiStart
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


def test_a_point_with_a_lower_one_beside_it_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever MIGRAD says; here the point beside it, which the search may not go on from, is only said to be lower."""
    monkeypatch.setattr(LocalSearch, "lower_beside", lambda local, theta, spectrum: theta + 0.1 * spectrum.factor[:, 0])
    monkeypatch.setattr(MultiStart, "past_lower_points", lambda search, found: found)
    with pytest.warns(fx.FitWarning, match="Not a minimum: S is lower by -0.01 within a hundredth"):
        fit = fx.Model((1, 2, 1), backend="numpy", seed=1).fit(X, np.sin(X), 0.1, prior=3.0, restarts=1)
    assert not fit.valid
    assert np.all(np.isnan(fit.errors))
