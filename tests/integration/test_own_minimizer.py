"""Minimizers that users name or hand in: they take the place of the local search, and MINUIT certifies all the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.optimize

import ffnn_xp as fx
from ffnn_xp.minimizers import MINIMIZERS, Budget, MinimizerResult, Problem, Status

rng = np.random.default_rng(1)
X = rng.uniform(-2, 2, 100)
Y = np.tanh(2 * X) + 0.1 * rng.normal(size=100)


@dataclass(frozen=True)
class Bfgs:
    """SciPy's BFGS; notes where it was started."""

    starts: list[np.ndarray]

    def run(self, problem: Problem, theta: np.ndarray, budget: Budget | None = None) -> MinimizerResult:
        self.starts.append(theta)
        end = scipy.optimize.minimize(problem.value_and_gradient, theta, jac=True, method="BFGS")
        return MinimizerResult(end.x, float(end.fun), np.inf, Status.NO_GAIN)


def fit(minimizer: object, **options: object) -> fx.FitResult:
    model = fx.Model((1, 2, 1), backend="numpy", seed=1)
    return model.fit(X, Y, 0.1, prior=3.0, minimizer=minimizer, progress=False, **options)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", MINIMIZERS)
def test_each_named_minimizer_comes_to_a_certified_minimum(name: str) -> None:
    found = fit(name)
    assert found.valid
    assert found.restarts[0].status == "minimum"
    assert found.edm < 2e-4
    assert found.fval == pytest.approx(fit("auto").fval, abs=1e-3)


def test_an_object_of_the_user_is_asked_for_each_start() -> None:
    """Where errors of y are unknown all starts are tried, and the best is minimized again with the errors found."""
    mine = Bfgs([])
    found = fx.Model((1, 2, 1), backend="numpy", seed=1).fit(X, Y, prior=3.0, minimizer=mine, restarts=4)
    assert found.valid
    assert len(found.restarts) == 4
    assert len(mine.starts) > 4
    assert min(row.edm for row in found.restarts) < 2e-4
    assert found.y_error is not None
    assert found.y_error[0] == pytest.approx(0.1, rel=0.2)


def test_it_is_asked_within_the_budget() -> None:
    with pytest.warns(fx.FitWarning, match="interrupted|callback"):
        found = fit(Bfgs([]), callback=lambda state: state.calls > 3)
    assert not found.valid


@pytest.mark.parametrize(
    ("minimizer", "error", "words"),
    [
        ("lbfg", ValueError, "did you mean 'lbfgs'"),
        (3, TypeError, "object with a method run"),
        (Bfgs, TypeError, "object with a method run"),
    ],
)
def test_others_are_refused(minimizer: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fit(minimizer)


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1e-12), (0.0, 1e8), (1e6, 1.0), (5.0, 1e-3)])
def test_units_are_nothing_to_migrad(offset: float, scale: float) -> None:
    """A straight line has one answer, whatever the units of x; MIGRAD's own EDM would be small in many other places."""
    line = fx.Model((1, 1), backend="numpy", seed=1).fit(
        offset + scale * X, 2 * X + Y, 0.1, minimizer="migrad", prior=None
    )
    slope, intercept = np.polyfit(X, 2 * X + Y, 1)
    assert line.valid
    assert line.chi2 == pytest.approx(np.sum(((2 * X + Y - slope * X - intercept) / 0.1) ** 2), rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_where_migrad_ends_is_a_minimum(seed: int) -> None:
    """By Newton's step too, and the default search, started there, gains nothing."""
    rng = np.random.default_rng(seed)
    x = 5 + 1e-3 * rng.uniform(-2, 2, 60)
    y = np.sin(2e3 * (x - 5)) + 0.1 * rng.normal(size=60)
    model = fx.Model((1, 3, 1), backend="numpy", seed=seed)
    found = model.fit(x, y, 0.1, prior=3.0, minimizer="migrad")
    assert found.valid
    assert found.edm_newton < 20 * found.edm_goal
    again = model.fit(x, y, 0.1, prior=3.0, start="current")
    assert again.fval == pytest.approx(found.fval, abs=0.01)


@dataclass(frozen=True)
class Lazy:
    """A minimizer that stays where it is, and says that this is a minimum."""

    def run(self, problem: Problem, theta: np.ndarray, budget: Budget | None = None) -> MinimizerResult:
        return MinimizerResult(theta, problem.value_and_gradient(theta)[0], 0.0, Status.MINIMUM)


def test_a_minimizer_that_is_wrong_is_not_believed() -> None:
    """The last steps to a minimum are taken from where it ends."""
    found = fit(Lazy())
    assert found.valid
    assert found.edm_newton < 20 * found.edm_goal
    assert found.fval == pytest.approx(fit("auto").fval, abs=1e-3)


@pytest.mark.slow
def test_the_prior_is_chosen_for_any_minimizer() -> None:
    """The path has its own; the network at the chosen prior is minimized by the user's."""
    fits = [
        fx.Model((1, 2, 1), backend="numpy", seed=1).fit(X, Y, 0.1, prior="auto", minimizer=name)
        for name in ("auto", "migrad")
    ]
    assert all(found.valid and found.recipe is not None for found in fits)
    assert fits[1].fval == pytest.approx(fits[0].fval, abs=1e-3)
