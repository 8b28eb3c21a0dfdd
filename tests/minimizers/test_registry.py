"""Minimizers by name or handed in, each on functions whose minima are known."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

from ffnn_xp._lib.tuning import tuned_numbers
from ffnn_xp.minimizers import (
    MINIMIZERS,
    Budget,
    KroneckerLBFGS,
    LevenbergMarquardt,
    MatrixFree,
    Migrad,
    Minimizer,
    MinimizerResult,
    PreconditionedLBFGS,
    Problem,
    Status,
    StopMinimization,
    Tracker,
    get_minimizer,
)

from .problems import Residuals, rosenbrock, steep

SECOND_ORDER = pytest.mark.parametrize("minimizer", [LevenbergMarquardt(), PreconditionedLBFGS()], ids=["LM", "LBFGS"])


@pytest.mark.parametrize("name", list(MINIMIZERS))
def test_each_gets_down_a_curved_valley(name: str) -> None:
    minimizer, tracker = get_minimizer(name), Tracker(rosenbrock())
    result = minimizer.run(tracker, np.array([-1.2, 1.0]))
    assert isinstance(minimizer, Minimizer)
    assert isinstance(result, MinimizerResult)
    assert result.value == tracker.problem.value_and_gradient(result.theta)[0] < 0.1
    assert result.converged == (name != "lbfgs")  # which knows no EDM
    assert tracker.calls > 5


@pytest.mark.parametrize("name", list(MINIMIZERS))
def test_each_stops_where_its_budget_is_used_up(name: str) -> None:
    with pytest.raises(StopMinimization, match="the 3 gradients"):
        get_minimizer(name).run(rosenbrock(), np.array([-1.2, 1.0]), Budget(max_evaluations=3))


ROUNDS = KroneckerLBFGS(check_every=1, renewal_cost=0.0)  # more of them than usual


@pytest.mark.parametrize(
    "minimizer",
    [LevenbergMarquardt(), PreconditionedLBFGS(), ROUNDS, MatrixFree(kronecker=ROUNDS)],
    ids=["LM", "LBFGS", "Kronecker", "matrix-free"],
)
def test_what_leads_to_a_poor_minimum_is_pruned(minimizer: Any) -> None:
    asked: list[float] = []

    def prune(theta: np.ndarray, gain: float) -> bool:
        asked.append(gain)
        return True

    result = minimizer.run(rosenbrock(), np.array([-1.2, 1.0]), Budget(prune=prune))
    assert result.status is Status.PRUNED
    assert len(asked) == 1
    assert asked[0] > 0


@pytest.mark.parametrize("name", list(MINIMIZERS))
def test_options_are_frozen_and_passed_in(name: str) -> None:
    minimizer: Any = get_minimizer(name)
    numbers = {path: trades for path, _, trades in tuned_numbers(minimizer)}
    assert numbers
    assert all(numbers.values())
    option = next(path for path in numbers if "." not in path)
    with pytest.raises(FrozenInstanceError):
        setattr(minimizer, option, 0)
    assert getattr(replace(minimizer, **{option: 7}), option) == 7


def test_a_minimizer_can_be_handed_in() -> None:
    class Nothing:
        def run(self, problem: Problem, theta: np.ndarray, budget: Budget = Budget()) -> MinimizerResult:  # noqa: B008
            return MinimizerResult(theta, 0.0, 0.0, Status.MINIMUM)

    mine = Nothing()
    assert get_minimizer(mine) is mine


def test_a_wrong_name_or_object_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'migrad'"):
        get_minimizer("migard")
    for wrong in (None, 3, Migrad):
        with pytest.raises(TypeError, match=r"an object with a method run\(problem, theta, budget\)"):
            get_minimizer(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("minimizer", [MatrixFree(), Migrad()])
def test_they_know_how_far_the_minimum_is(minimizer: Any) -> None:
    problem, at = steep(5, orders=1)
    result = minimizer.run(problem, np.zeros(5))
    assert result.converged
    assert result.edm < 2e-3
    assert result.value < 2e-3
    np.testing.assert_allclose(result.theta, at, atol=0.1)


@SECOND_ORDER
def test_rosenbrock(minimizer: Any) -> None:
    end = replace(minimizer, edm_goal=1e-10).run(rosenbrock(), np.array([-1.2, 1.0]))
    assert end.converged
    assert end.edm < 1e-10
    np.testing.assert_allclose(end.theta, [1, 1], atol=1e-4)


@SECOND_ORDER
def test_a_quadratic_of_any_steepness(minimizer: Any) -> None:
    problem, at = steep(orders=2 if isinstance(minimizer, LevenbergMarquardt) else 6)
    tracker = Tracker(problem)
    end = replace(minimizer, edm_goal=1e-8).run(tracker, np.zeros(30))
    assert end.converged
    assert end.value < 1e-6
    assert tracker.calls < 120
    residual = problem.r(end.theta)
    assert residual @ residual == pytest.approx(end.value)
    assert np.max(np.abs(end.theta - at)) < 1


@SECOND_ORDER
def test_edm_is_the_distance_of_a_quadratic(minimizer: Any) -> None:
    problem, _ = steep(5)
    end = replace(minimizer, edm_goal=1e12).run(problem, np.zeros(5))  # satisfied where it stands
    assert end.edm == pytest.approx(problem.value_and_gradient(np.zeros(5))[0], rel=1e-5)
    np.testing.assert_array_equal(end.theta, np.zeros(5))


@SECOND_ORDER
def test_directions_without_curvature_are_left_alone(minimizer: Any) -> None:
    problem = Residuals(lambda t: np.array([t[0] - 2, 0 * t[1]]), lambda t: np.array([[1.0, 0.0], [0.0, 0.0]]))
    end = replace(minimizer, edm_goal=1e-8).run(problem, np.array([0.0, 7.0]))
    assert end.converged
    np.testing.assert_allclose(end.theta, [2, 7], atol=1e-4)
