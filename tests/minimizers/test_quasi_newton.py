"""L-BFGS that asks and tells: its model of the curvature, its line search, and where it ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.optimize

from ffnn_xp.minimizers import LineSearch, QuasiNewton, run_ask_tell
from ffnn_xp.minimizers.quasi_newton import CURVATURE, DECREASE, Memory

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]


class Plain:
    """Theta itself."""

    def back(self, z: np.ndarray) -> np.ndarray:
        return z

    def forth(self, g: np.ndarray) -> np.ndarray:
        return g


class Scaled:
    """Each coordinate in units of its own."""

    def __init__(self, units: np.ndarray) -> None:
        self.units = units

    def back(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(self.units * z)

    forth = back


def rosenbrock(theta: np.ndarray) -> tuple[float, np.ndarray]:
    return float(scipy.optimize.rosen(theta)), scipy.optimize.rosen_der(theta)


def while_steep(value: float, edm: float, largest: float, evaluations: int) -> bool:
    return largest > 1e-6


@pytest.mark.parametrize(("most", "learnt"), [(5, 3), (5, 5), (5, 17), (20, 12)])
def test_memory_is_the_dense_formula(most: int, learnt: int) -> None:
    """BFGS updates of the inverse Hessian by the last steps, from the unit matrix in the last one's scale."""
    rng = np.random.default_rng(1)
    p = 8
    A = rng.normal(size=(p, p))
    A = A @ A.T + np.eye(p)
    memory, pairs = Memory(most, p), []
    for _ in range(learnt):
        step = rng.normal(size=p)
        pairs.append((step, A @ step))
        memory.add(*pairs[-1])
        memory.add(step, -step)  # no curvature: not believed
    s, y = pairs[-1]
    H = np.eye(p) * (s @ y) / (y @ y)
    for s, y in pairs[-most:]:
        V = np.eye(p) - np.outer(y, s) / (s @ y)
        H = V.T @ H @ V + np.outer(s, s) / (s @ y)
    assert len(memory) == min(most, learnt)
    for g in rng.normal(size=(3, p)):
        np.testing.assert_allclose(memory.direction(g), -H @ g, rtol=1e-8, atol=1e-8)
    memory.clear()
    np.testing.assert_array_equal(memory.direction(s), -s)


def wall(theta: np.ndarray) -> tuple[float, np.ndarray]:
    """Infinite beyond 0.05."""
    if theta[0] > 0.05:
        return np.inf, np.zeros(1)
    return float(-np.log(0.06 - theta[0]) - 50 * theta[0]), 1 / (0.06 - theta) - 50


def bumps(theta: np.ndarray) -> tuple[float, np.ndarray]:
    return float(theta[0] ** 2 / 100 + np.cos(3 * theta[0])), theta / 50 - 3 * np.sin(3 * theta)


def far(theta: np.ndarray) -> tuple[float, np.ndarray]:
    """Its minimum is a thousand steps away."""
    return float(1e-4 * (theta[0] - 1000) ** 2), 2e-4 * (theta - 1000)


@pytest.mark.parametrize("first", [1e-4, 0.04, 1.0, 30.0])
@pytest.mark.parametrize(("f", "start"), [(wall, 0.0), (bumps, 0.3), (bumps, -8.0), (far, 0.0)])
def test_steps_keep_wolfes_conditions(f: Function, start: float, first: float) -> None:
    theta = np.array([start])
    value, g = f(theta)
    d = -g
    points: list[np.ndarray] = []

    def evaluate(at: np.ndarray) -> tuple[float, np.ndarray]:
        points.append(at)
        return f(at)

    step = run_ask_tell(LineSearch().along(theta, value, g, d, first), evaluate)
    assert step.evaluations == len(points) < LineSearch().max_tries
    there, slope = f(theta + step.t * d), float(g @ d)
    assert (step.value, step.gradient) == there
    assert step.value <= value + DECREASE * step.t * slope
    assert abs(step.gradient @ d) <= -CURVATURE * slope
    assert points[0] == theta + first * d


def test_at_a_jump_it_stops_where_no_number_is_left_to_try() -> None:
    """The statistic of a profile has such jumps, as small as rounding."""
    asked: list[float] = []

    def jump(at: np.ndarray) -> tuple[float, np.ndarray]:
        asked.append(float(at[0]))
        return (-float(at[0]), -np.ones(1)) if at[0] <= 0.1 else (5.0, 1e-3 * np.ones(1))

    step = run_ask_tell(LineSearch().along(np.zeros(1), 0.0, -np.ones(1), np.ones(1), 1.0), jump)
    assert step.t == 0.1
    assert step.evaluations == len(asked) == len(set(asked)) < LineSearch().max_tries
    assert np.nextafter(0.1, 1) == sorted(asked)[1]


def rounded(rounding_error: float) -> Function:
    """A round valley on a plateau of a million, with values that are good to a share `rounding_error` of it."""
    rng = np.random.default_rng(1)
    return lambda at: (1e6 * (1 + rounding_error * rng.uniform(-1, 1)) + float(at @ at), 2 * at)


@pytest.mark.parametrize("rounding_error", [0.0, 3e-16, 3e-12])
@pytest.mark.parametrize(("first", "most"), [(0.5, 1), (0.06, 1), (0.02, 2), (0.96, 2), (3.0, 2)])
def test_where_values_are_rounding_slopes_decide(rounding_error: float, first: float, most: int) -> None:
    """A step that brings the slope down is one, and the way to it is where slopes point."""
    f, start = rounded(rounding_error), np.array([3e-7, -2e-7])
    for _ in range(20):
        value, g = f(start)
        step = run_ask_tell(LineSearch().along(start, value, g, -g, first), f)
        assert step.evaluations <= most
        assert abs(step.gradient @ g) <= CURVATURE * (g @ g)


def test_it_goes_on_where_values_are_rounding() -> None:
    rng = np.random.default_rng(2)
    curvatures, f, asked = rng.uniform(0.5, 2, 10), rounded(3e-13), []

    def valley(at: np.ndarray) -> tuple[float, np.ndarray]:
        asked.append(at)
        value, g = f(at * np.sqrt(curvatures))
        return value, g * np.sqrt(curvatures)

    start = 1e-5 * rng.normal(size=10)
    value, g = valley(start)
    steep = lambda value, edm, largest, evaluations: largest > 1e-13  # noqa: E731
    _, _, g = run_ask_tell(QuasiNewton(10).steps(Plain(), start, value, g, steep), valley)
    assert np.max(np.abs(g)) <= 1e-13
    assert len(asked) < 40


def test_what_nobody_ends_ends_where_slopes_are_rounding_too() -> None:
    f, rng, asked = rounded(1e-15), np.random.default_rng(3), []

    def noisy(at: np.ndarray) -> tuple[float, np.ndarray]:
        asked.append(at)
        value, g = f(at)
        return value, g + 1e-9 * rng.normal(size=len(g))

    start = np.array([0.3, -0.2, 0.1])
    always = lambda value, edm, largest, evaluations: True  # noqa: E731
    _, _, g = run_ask_tell(QuasiNewton(10).steps(Plain(), start, *noisy(start), always), noisy)
    assert np.max(np.abs(g)) < 1e-7
    assert len(asked) < 100


def test_of_a_gradient_that_is_not_true_no_step_is_made() -> None:
    """Nor where the direction does not fall, and after steps that led nowhere what is remembered is forgotten."""
    start = np.array([1.0, 2.0])
    step = run_ask_tell(
        LineSearch().along(start, 5.0, -2 * start, 2 * start, 1.0), lambda at: (float(at @ at), -2 * at)
    )
    assert (step.t, step.value, step.evaluations) == (0.0, 5.0, LineSearch().max_tries)
    step = run_ask_tell(LineSearch().along(start, 5.0, 2 * start, 2 * start, 1.0), lambda at: (0.0, at))
    assert (step.t, step.evaluations) == (0.0, 0)
    asked: list[int] = []

    def stay(value: float, edm: float, largest: float, points: int) -> bool:
        asked.append(points)
        return len(asked) < 50

    theta, value, _ = run_ask_tell(
        QuasiNewton(5).steps(Plain(), start, 5.0, 2 * start, stay),
        lambda at: (float(at @ at), 2 * at if at @ at > 1 else -2 * at),  # wrong inside the circle
    )
    assert value <= 5.0
    assert value == theta @ theta
    assert len(asked) < 50


def test_where_no_step_gains_memory_is_cleared() -> None:
    """Here all tries of one direction fail; the next one, down the gradient, does not."""
    calls = [0]

    def f(theta: np.ndarray) -> tuple[float, np.ndarray]:
        calls[0] += 1
        return rosenbrock(theta) if not 10 < calls[0] <= 10 + LineSearch().max_tries else (np.inf, np.zeros_like(theta))

    start = np.linspace(-1, 1, 10)
    value, g = f(start)
    _, value, _ = run_ask_tell(QuasiNewton(5).steps(Plain(), start, value, g, while_steep), f)
    assert value < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("memory", [5, 20])
def test_it_is_as_good_as_scipy(memory: int) -> None:
    """Down a banana of thirty dimensions, in not many more gradients, from several starts, in other units too."""
    rng = np.random.default_rng(3)
    ours, theirs = [], []
    for units in (np.ones(30), 10.0 ** rng.uniform(-2, 2, 30)):
        for _ in range(3):
            start, calls = rng.normal(size=30), [0]

            def f(z: np.ndarray, units: np.ndarray = units, calls: list[int] = calls) -> tuple[float, np.ndarray]:
                calls[0] += 1
                value, g = rosenbrock(z)
                return value, g

            value, g = f(start)
            end, value, g = run_ask_tell(QuasiNewton(memory).steps(Plain(), start, value, g, while_steep), f)
            assert np.max(np.abs(g)) <= 1e-6
            assert (value, g) == (pytest.approx(rosenbrock(end)[0]), pytest.approx(rosenbrock(end)[1]))
            ours.append(calls[0])
            calls[0] = 0
            options = {"maxcor": memory, "ftol": 0.0, "gtol": 1e-6}
            scipy.optimize.minimize(f, start, jac=True, method="L-BFGS-B", options=options)
            theirs.append(calls[0])
            scaled = Scaled(units)  # theta / units is z: the same steps
            begin = start * units
            end, _, _ = run_ask_tell(
                QuasiNewton(memory).steps(scaled, begin, *_in_units(begin, units), while_steep),
                lambda at, units=units: _in_units(at, units),  # type: ignore[misc]
            )
            assert rosenbrock(end / units)[0] == pytest.approx(value, abs=1e-9)
    assert np.sum(ours) < 1.3 * np.sum(theirs)


def _in_units(theta: np.ndarray, units: np.ndarray) -> tuple[float, np.ndarray]:
    value, g = rosenbrock(theta / units)
    return value, g / units
