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


@pytest.mark.parametrize("name", [name for name in MINIMIZERS if name != "migrad"])
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
