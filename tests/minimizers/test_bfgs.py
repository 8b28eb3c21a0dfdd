"""BFGS along kinks; what it shares with all minimizers is in `test_registry`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from ffnn_xp.minimizers import BFGS, Budget, LevenbergMarquardt, Status, StopMinimization, Tracker
from ffnn_xp.minimizers.bfgs import _update

from .problems import Residuals

Vector = np.ndarray


@dataclass
class Function:
    """S by value, gradient and Hessian."""

    value: Callable[[Vector], float]
    gradient: Callable[[Vector], Vector]
    second: Callable[[Vector], Vector]
    errordef: float = 1.0
    epsilon: float = 2.2e-16

    def value_and_gradient(self, t: Vector) -> tuple[float, Vector]:
        return self.value(t), self.gradient(t)

    def hessian(self, t: Vector) -> Vector:
        return self.second(t)


def bent_kink() -> Function:
    """8 |x^2 - y| + (1 - x)^2, a Rosenbrock valley with a kink along its floor; Lewis and Overton, section 5.5."""

    def gradient(t: Vector) -> Vector:
        side = np.sign(t[0] ** 2 - t[1])
        return np.array([16 * side * t[0] - 2 * (1 - t[0]), -8 * side])

    def second(t: Vector) -> Vector:
        return np.diag([16 * np.sign(t[0] ** 2 - t[1]) + 2, 0.0])

    return Function(lambda t: 8 * abs(t[0] ** 2 - t[1]) + (1 - t[0]) ** 2, gradient, second)


def test_it_follows_a_bent_kink_to_the_minimum() -> None:
    end = BFGS(edm_goal=1e-8).run(bent_kink(), np.array([-1.2, 1.0]))
    np.testing.assert_allclose(end.theta, 1.0, atol=0.01)
    end = BFGS().run(bent_kink(), np.array([-1.2, 1.0]))
    assert end.converged
    assert end.value < 0.01


def test_it_goes_on_where_steps_by_matrices_gain_no_more() -> None:
    """The root of S has a kink along the parabola v = u^2, in which S = 0.09 (1 - u)^2 + 1: a bent valley."""
    problem = Residuals(
        lambda t: np.array([1 + 8 * abs(t[0] ** 2 - t[1]), 0.3 * (1 - t[0])]),
        lambda t: np.array([8 * np.sign(t[0] ** 2 - t[1]) * np.array([2 * t[0], -1.0]), [-0.3, 0.0]]),
    )
    by_matrices = LevenbergMarquardt().run(problem, np.array([-1.2, 1.0]))
    end = BFGS().run(problem, by_matrices.theta)
    assert by_matrices.value > 1.3
    assert end.value < 1.2
    assert BFGS(confirmations=0).run(problem, by_matrices.theta).value > 1.2  # EDM was small at one step, by chance


def test_its_inverse_is_that_of_a_parabola_and_has_learned_of_kinks() -> None:
    H = np.array([[2.0, 0.5], [0.5, 1.0]])
    parabola = Function(lambda t: 0.5 * t @ H @ t, lambda t: H @ t, lambda t: H)
    end, inverse = BFGS().with_inverse(parabola, np.array([3.0, -1.0]))
    np.testing.assert_allclose(inverse, np.linalg.inv(H), rtol=1e-9)
    assert abs(end.value) < 1e-12
    end, inverse = BFGS().with_inverse(bent_kink(), np.array([1.3, 1.5]))
    across, along = np.array([2.0, -1.0]), np.array([1.0, 2.0])
    assert end.edm == pytest.approx(0.5 * bent_kink().gradient(end.theta) @ inverse @ bent_kink().gradient(end.theta))
    assert across @ inverse @ across < 0.01 * (along @ inverse @ along)


def test_it_leads_down_from_beside_a_saddle_point() -> None:
    saddle = Function(
        lambda t: t[0] ** 2 - t[1] ** 2 + t[1] ** 4,
        lambda t: np.array([2 * t[0], -2 * t[1] + 4 * t[1] ** 3]),
        lambda t: np.diag([2.0, -2 + 12 * t[1] ** 2]),
    )
    end = BFGS().run(saddle, np.array([0.3, 0.01]))
    assert end.value == pytest.approx(-0.25, abs=1e-3)


def test_it_ends_at_what_it_may_take_or_where_it_is_pruned() -> None:
    start = np.array([-1.2, 1.0])
    assert BFGS(max_steps=2).run(bent_kink(), start).status is Status.BUDGET_USED_UP
    assert BFGS(max_tries=1).run(bent_kink(), start).status is Status.NO_GAIN
    pruned = BFGS().run(bent_kink(), start, Budget(prune=lambda theta, gain: gain > 0))
    assert (pruned.status, pruned.value) == (Status.PRUNED, bent_kink().value(start))
    with pytest.raises(StopMinimization, match="the 3 gradients"):
        BFGS().run(bent_kink(), start, Budget(max_evaluations=3))


def test_it_tells_what_is_not_finite() -> None:
    nowhere = Function(lambda t: np.nan, lambda t: t, lambda t: np.eye(2))
    assert BFGS().run(nowhere, np.ones(2)).status is Status.NOT_FINITE
    no_hessian = Function(lambda t: t @ t, lambda t: 2 * t, lambda t: np.full((2, 2), np.nan))
    tracker = Tracker(no_hessian)
    assert BFGS().run(tracker, np.ones(2)).converged
    walls = Function(lambda t: t[0] if t[0] > 1 else np.nan, lambda t: np.ones(1), lambda t: np.zeros((1, 1)))
    end = BFGS().run(walls, np.array([3.0]))
    assert 1 < end.value < 1.001


def quartic(errordef: float) -> Function:
    """t^4, at whose minimum there is no curvature: EDM falls by a constant factor at each step."""
    return Function(lambda t: float(t[0] ** 4), lambda t: 4 * t**3, lambda t: np.diag(12 * t**2), errordef)


@pytest.mark.parametrize("confirmations", [0, 1, 4])
@pytest.mark.parametrize("errordef", [1.0, 1e-6])
def test_edm_is_confirmed_by_as_many_further_steps(confirmations: int, errordef: float) -> None:
    seen: list[float] = []

    def note(theta: Vector, edm: float) -> bool:
        seen.append(edm / errordef)
        return False

    bfgs = BFGS(edm_goal=1e-3, confirmations=confirmations)
    end = bfgs.run(quartic(errordef), np.ones(1), Budget(prune=note))
    assert end.status is Status.MINIMUM
    assert [edm for edm in seen if edm <= 1e-3] == seen[len(seen) - confirmations :]


def test_an_edm_that_grows_again_is_confirmed_anew() -> None:
    """Gradients as they come, whatever the point: EDM is below the goal twice, but not two times in a row."""
    gradients = iter([0.1, 1e-3, -1.0, 1e-3])
    values = iter(-np.arange(4.0))
    erratic = Function(lambda t: next(values), lambda t: np.array([next(gradients)]), lambda t: np.eye(1))
    with pytest.raises(StopIteration):
        BFGS(edm_goal=1e-5, confirmations=1).run(erratic, np.zeros(1))


def test_the_first_step_is_made_twice_as_long_until_it_is_long_enough() -> None:
    """S = t^2 with a curvature eight times too large: steps of 1/16 of the way, and of 1/8, are tried."""
    tried: list[float] = []

    def value(t: Vector) -> float:
        tried.append(float(t[0]))
        return float(t[0] ** 2)

    BFGS(max_steps=1).run(Function(value, lambda t: 2 * t, lambda t: np.array([[32.0]])), np.ones(1))
    assert tried == [1.0, 1 - 1 / 16, 1 - 1 / 8]


def first_inverse(H: Vector) -> Vector:
    """The model of the inverse Hessian before the first step."""
    problem = Function(lambda t: 0.0, lambda t: np.ones(len(H)), lambda t: H)
    return BFGS().with_inverse(problem, np.zeros(len(H)), Budget(prune=lambda theta, edm: True))[1]


def test_its_first_inverse_has_positive_eigenvalues_without_those_of_rounding() -> None:
    turned = first_inverse(np.array([[1.0, 3.0], [3.0, 1.0]]))  # eigenvalues 4 and -2
    np.testing.assert_allclose(turned, [[0.375, -0.125], [-0.125, 0.375]], rtol=1e-12)
    a = np.array([1.0, 2.0, 3.0])
    assert np.all(np.diag(first_inverse(np.outer(a, a))) < 1.0001 / a**2)
    assert np.all(np.isfinite(first_inverse(np.diag([1.0, 1e-320]))))


def test_it_learns_no_curvature_from_a_slope_that_fell() -> None:
    hill = Function(lambda t: -float(t @ t), lambda t: -2 * t, lambda t: -2 * np.eye(1))
    inverse = BFGS(max_steps=1, max_tries=3).with_inverse(hill, np.ones(1))[1]
    np.testing.assert_allclose(inverse, 0.5, rtol=1e-12)
    inverse = np.eye(2)
    _update(inverse, np.array([1.0, 0.0]), np.array([1e-17, 1.0]))  # nor where it grew by rounding
    np.testing.assert_array_equal(inverse, np.eye(2))


def test_without_steps_it_ends_where_it_began() -> None:
    start = np.array([1.3, 1.5])
    end = BFGS(max_steps=0).run(bent_kink(), start)
    assert end.status is Status.BUDGET_USED_UP
    np.testing.assert_array_equal(end.theta, start)
    assert end.edm == np.inf
