"""BFGS along kinks; what it shares with all minimizers is in `test_registry`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from ffnn_xp.minimizers import BFGS, Budget, LevenbergMarquardt, Status, StopMinimization, Tracker

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
