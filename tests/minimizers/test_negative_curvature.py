"""Escape from saddles: S is followed down from them, and what hardly falls is a weakly determined direction."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from ffnn_xp.minimizers import AskTellHessian, HessianRequest, MinimizerResult, SaddleEscape, Status, run_ask_tell
from ffnn_xp.minimizers.base import rounding_error

from .problems import Bent

ESCAPE = SaddleEscape()


class Lifted(Bent):
    """The same, 1,000 higher, in numbers of nine digits."""

    epsilon = 1e-9

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = super().value_and_gradient(theta)
        return value + 1e3, gradient


def test_the_lowest_point_counts() -> None:
    problem = Bent(0.05)
    down = np.eye(2)[:, :1]
    found = ESCAPE.lower_point(problem, np.zeros(2), 0.0, down)
    assert found is not None
    tried = [problem.value_and_gradient(s * np.array([t, 0.0]))[0] for t in ESCAPE.line_steps for s in (1, -1)]
    assert problem.value_and_gradient(found)[0] == min(tried) < 0
    assert ESCAPE.lower_point(problem, np.zeros(2), 0.0, down, fall=1e-3) is None
    assert ESCAPE.lower_point(problem, np.zeros(2), 0.0, np.eye(2)[:, 1]) is None


@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize("lowest", ESCAPE.line_steps)
def test_either_way_and_at_any_step(side: float, lowest: float) -> None:
    """S falls on one side only, to a lowest point among the lower ones."""

    def evaluate(theta: np.ndarray) -> tuple[float, np.ndarray]:
        t = side * float(theta[0])
        return (-1 / (1 + abs(np.log(t / lowest))) if t > 0 else 1.0), theta

    found = run_ask_tell(ESCAPE.lower_points(np.zeros(1), 0.0, np.array([[3.0]]), 1e-9), evaluate)
    assert found == pytest.approx([side * lowest])


def test_a_fall_within_rounding_is_none() -> None:
    """Of S = 1e6 some 2e-8 are rounding."""

    def lower(fall: float) -> np.ndarray | None:
        steps = ESCAPE.lower_points(np.zeros(1), 1e6, np.ones((1, 1)), rounding_error(Bent.epsilon, 1e6))
        return run_ask_tell(steps, lambda t: (1e6 - fall, t))

    assert lower(1e-8) is None
    assert lower(1e-7) is not None
    assert ESCAPE.lower_point(Lifted(0.05), np.zeros(2), 1e3, np.eye(2)[:, :1]) is None


MOST = 4
ESCAPE_FEW = SaddleEscape(max_saddles=MOST)


class Ended(NamedTuple):
    value: float
    saddles: int
    at_saddle: bool
    runs: int
    matrices: int


def ended(values: list[float], *, last_is_minimum: bool, look: bool = True, flat_from: int = 99) -> Ended:
    """Where a minimization past saddles of these values ends, its status, and what that took."""
    minimizations, matrices = 0, 0

    def minimize(theta: np.ndarray) -> AskTellHessian[MinimizerResult]:
        nonlocal minimizations
        value, minimizations = values[minimizations], minimizations + 1
        yield theta
        positive = last_is_minimum and minimizations == len(values)
        return MinimizerResult(theta, value, 0.0, Status.MINIMUM, hessian_is_positive=positive)

    def evaluate(request: np.ndarray | HessianRequest) -> object:
        nonlocal matrices
        if isinstance(request, HessianRequest):
            assert request.exact
            matrices += 1
            return -np.eye(1)
        return values[min(minimizations, len(values) - 1)] - 1.0, request

    down = (lambda H: np.ones((1, int(minimizations < flat_from)))) if look else None
    units = SimpleNamespace(errordef=2.0, epsilon=1e-16)
    end = run_ask_tell(ESCAPE_FEW.steps(minimize, units, np.zeros(1), down), evaluate)
    at_saddle = end.status is Status.SADDLE_POINT
    return Ended(end.value, end.saddles, at_saddle, minimizations, matrices)


def test_it_goes_on_past_saddles() -> None:
    assert ended([9.0, 5.0, 3.0], last_is_minimum=True) == Ended(3.0, 2, False, runs=3, matrices=2)
    assert ended([9.0], last_is_minimum=True) == Ended(9.0, 0, False, runs=1, matrices=0)  # what is known already
    assert ended([9.0, 5.0], last_is_minimum=False, look=False) == Ended(9.0, 0, False, runs=1, matrices=0)
    assert ended([9.0, 5.0, 3.0], last_is_minimum=False, flat_from=2) == Ended(5.0, 1, False, runs=2, matrices=2)
    assert ended([np.inf, 5.0], last_is_minimum=False) == Ended(np.inf, 0, False, runs=1, matrices=0)  # there is none


def test_what_hardly_falls_is_weakly_determined() -> None:
    flat, falls = 9.0 - 1.9 * ESCAPE.min_gain, 9.0 - 2.1 * ESCAPE.min_gain  # errordef is 2
    assert ended([9.0, flat, 0.0], last_is_minimum=True) == Ended(flat, 0, False, runs=2, matrices=1)
    assert ended([9.0, falls, 0.0], last_is_minimum=True) == Ended(0.0, 2, False, runs=3, matrices=2)


def test_saddles_without_end_are_given_up() -> None:
    values = list(np.arange(2.0 * MOST, 0.0, -1.0))
    assert ended(values, last_is_minimum=False) == Ended(values[MOST], MOST, True, runs=MOST + 1, matrices=MOST + 1)
    arrived = ended(values[: MOST + 1], last_is_minimum=True)  # by the last one
    assert arrived == Ended(values[MOST], MOST, False, runs=MOST + 1, matrices=MOST)
    arrived = ended(values, last_is_minimum=False, flat_from=MOST + 1)  # where nothing is known but that nothing falls
    assert arrived == Ended(values[MOST], MOST, False, runs=MOST + 1, matrices=MOST + 1)


def test_a_fall_between_walls_that_are_closer_than_the_shortest_step_is_found() -> None:
    """S = -t^2 + (t / w)^4 is lower only for t up to w^2."""
    w = 1.7e-3

    def lower(fall: float) -> np.ndarray | None:
        steps = ESCAPE.lower_points(np.zeros(1), 0.0, np.ones((1, 1)), fall)
        return run_ask_tell(steps, lambda t: (-float(t[0] ** 2) + float(t[0] / w) ** 4, t))

    found = lower(1e-18)
    assert found is not None
    assert abs(found[0]) < w**2
    assert lower(1e-3) is None


def test_along_a_direction_in_which_nothing_changes_there_are_no_shorter_steps() -> None:
    asked = []
    steps = ESCAPE.lower_points(np.zeros(1), 0.0, np.ones((1, 1)), 1e-9)
    assert run_ask_tell(steps, lambda t: (asked.append(t) or 0.0, t)) is None
    assert len(asked) == 2 * len(ESCAPE.line_steps) + 1
