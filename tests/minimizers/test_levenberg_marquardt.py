"""Levenberg and Marquardt's steps at non-smooth points; smooth functions are in `test_registry`."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp.minimizers import LevenbergMarquardt, Status, Tracker

from .problems import Residuals, rosenbrock


def test_a_non_smooth_point_ends_it() -> None:
    """S = (|t| + 0.1)^2 + 1 has its minimum at such a point: no gradient vanishes, and it has to notice that."""
    problem = Residuals(lambda t: np.array([np.abs(t[0]) + 0.1, 1.0]), lambda t: np.array([[np.sign(t[0])], [0.0]]))
    tracker = Tracker(problem)
    end = LevenbergMarquardt(edm_goal=1e-10).run(tracker, np.array([3.0]))
    assert end.status is Status.NO_GAIN
    assert not end.converged
    assert abs(end.theta[0]) < 0.05
    assert tracker.calls < 200


@pytest.mark.parametrize("steps", [1, 3])
def test_it_takes_no_more_steps_than_it_may(steps: int) -> None:
    tracker = Tracker(rosenbrock())
    end = LevenbergMarquardt(max_iterations=steps).run(tracker, np.array([-1.2, 1.0]))
    assert end.status is Status.BUDGET_USED_UP
    assert tracker.calls == 1 + steps


def test_a_fall_far_beyond_what_was_predicted_ends_in_no_overflow() -> None:
    """Behind a wall of 1 S falls to -1e200: the cube of that gain is no float."""

    class Abyss(Residuals):
        def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
            return (float(theta[0] ** 2), 2 * theta) if theta[0] > 0.5 else (-1e200, 0 * theta)

    end = LevenbergMarquardt().run(Abyss(lambda t: t, lambda t: np.eye(1)), np.array([1.0]))
    assert end.value == -1e200
