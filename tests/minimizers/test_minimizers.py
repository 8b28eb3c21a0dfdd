"""The walkers on functions whose minima are known, and the log that survives an interruption."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize

from ffnn_xp.minimizers import (
    MinimizerResult,
    StopMinimization,
    Tracker,
    is_certified,
    lbfgs,
    levenberg_marquardt,
    preconditioned_lbfgs,
)
from ffnn_xp.minimizers.ask_tell import AskTell, answer, answered
from ffnn_xp.minimizers.preconditioned_lbfgs import GAIN, GAUSS_NEWTON, STEPS, _Metric


class Residuals:
    """S = sum of r(theta)^2 with a Jacobian by hand: enough of a `Problem` for every walker."""

    errordef = 1.0
    epsilon = float(np.finfo(float).eps)

    def __init__(self, r: Callable, J: Callable, second: Callable | None = None) -> None:
        self.r, self.J, self.second = r, J, second

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        r = self.r(theta)
        return float(r @ r), 2 * self.J(theta).T @ r

    def chi2(self, theta: np.ndarray) -> float:
        return self.value_and_gradient(theta)[0]

    def gauss_newton(self, theta: np.ndarray) -> np.ndarray:
        return 2 * self.J(theta).T @ self.J(theta)

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        return self.gauss_newton(theta) + (0 if self.second is None else self.second(theta))


def rosenbrock() -> Residuals:
    """10 (y - x^2) and 1 - x: minimum 0 at (1, 1), behind a curved valley."""
    return Residuals(
        lambda t: np.array([10 * (t[1] - t[0] ** 2), 1 - t[0]]),
        lambda t: np.array([[-20 * t[0], 10.0], [-1.0, 0.0]]),
        lambda t: np.array([[-400 * (t[1] - t[0] ** 2), 0.0], [0.0, 0.0]]),
    )


def steep(p: int = 30, orders: float = 6) -> tuple[Residuals, np.ndarray]:
    """A quadratic whose curvatures span twice these orders of magnitude, turned so that no axis is special."""
    rng = np.random.default_rng(1)
    Q, _ = np.linalg.qr(rng.normal(size=(p, p)))
    A, at = np.diag(np.logspace(-orders / 2, orders / 2, p)) @ Q, rng.normal(size=p)
    return Residuals(lambda t: A @ (t - at), lambda t: A), at


WALKERS = pytest.mark.parametrize("walker", [levenberg_marquardt, preconditioned_lbfgs])


@WALKERS
def test_rosenbrock(walker: Callable[..., MinimizerResult]) -> None:
    end = walker(rosenbrock(), np.array([-1.2, 1.0]), edm_goal=1e-10)
    assert end.converged
    assert end.edm < 1e-10
    np.testing.assert_allclose(end.theta, [1, 1], atol=1e-4)


@WALKERS
def test_a_quadratic_of_any_steepness(walker: Callable[..., MinimizerResult]) -> None:
    problem, at = steep(orders=2 if walker is levenberg_marquardt else 6)
    walk = Tracker(problem)
    end = walker(walk, np.zeros(30), edm_goal=1e-8)
    assert end.converged
    assert end.value < 1e-6
    assert walk.calls < 120
    residual = problem.r(end.theta)
    assert residual @ residual == pytest.approx(end.value)
    assert np.max(np.abs(end.theta - at)) < 1


@WALKERS
def test_edm_is_the_distance_of_a_quadratic(walker: Callable[..., MinimizerResult]) -> None:
    problem, _ = steep(5)
    end = walker(problem, np.zeros(5), edm_goal=1e12)  # satisfied where it stands
    assert end.edm == pytest.approx(problem.value_and_gradient(np.zeros(5))[0], rel=1e-5)
    np.testing.assert_array_equal(end.theta, np.zeros(5))


@WALKERS
def test_directions_without_curvature_are_left_alone(walker: Callable[..., MinimizerResult]) -> None:
    problem = Residuals(lambda t: np.array([t[0] - 2, 0 * t[1]]), lambda t: np.array([[1.0, 0.0], [0.0, 0.0]]))
    end = walker(problem, np.array([0.0, 7.0]), edm_goal=1e-8)
    assert end.converged
    np.testing.assert_allclose(end.theta, [2, 7], atol=1e-4)


def test_large_residuals_need_the_exact_hessian() -> None:
    """Where residuals are large, Gauss-Newton steps converge slowly or not at all; Newton's do."""
    x = np.linspace(0, 1, 40)
    y = np.cos(9 * x)

    def r(t: np.ndarray) -> np.ndarray:
        return t[0] * np.exp(-t[1] * x) - y

    def jacobian(t: np.ndarray) -> np.ndarray:
        e = np.exp(-t[1] * x)
        return np.stack([e, -t[0] * x * e], axis=1)

    def second(t: np.ndarray) -> np.ndarray:
        e = np.exp(-t[1] * x)
        cross = 2 * r(t) @ (-x * e)
        return np.array([[0.0, cross], [cross, 2 * r(t) @ (t[0] * x * x * e)]])

    with np.errstate(over="ignore"):  # of a trial step
        end = preconditioned_lbfgs(Residuals(r, jacobian, second), np.array([1.0, 1.0]), edm_goal=1e-12)
        reference = scipy.optimize.least_squares(r, [1.0, 1.0], jacobian, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    assert end.converged
    np.testing.assert_allclose(end.theta, reference.x, rtol=1e-5)


def test_a_hessian_that_was_refused_is_not_asked_for_at_once() -> None:
    """Where no mu makes it positive definite: after 1, 2, 4 rounds, with the Gauss-Newton matrix in between.

    In round 7 it is, and counting begins anew: after 1, 1, 2, 4, 8 rounds, not more.
    """
    asked: list[int] = []

    class Saddle(Residuals):
        def hessian(self, theta: np.ndarray) -> np.ndarray:
            asked.append(rounds)
            return np.eye(len(theta)) * (2e-6 if rounds == 7 else -1.0)

    problem = Saddle(lambda t: 1e-3 * t, lambda t: 1e-3 * np.eye(len(t)))
    metric = _Metric(1e-12)
    theta = np.ones(2)
    for rounds in range(34):
        C, edm, mu = answered(metric(theta, problem.value_and_gradient(theta)[1]), partial(answer, problem))
        shift = 1e-12 if rounds == 7 else GAUSS_NEWTON
        np.testing.assert_allclose(C @ C.T, 2e-6 * (1 + shift) * np.eye(2), rtol=1e-12)
        assert edm == pytest.approx(1e-6 * theta @ theta)
        assert mu == (1e-12 if rounds == 7 else np.inf)
    assert asked == [0, 1, 3, 7, 8, 9, 11, 15, 23, 31]


def test_a_hessian_gets_the_least_shift_that_makes_it_positive_definite() -> None:
    """In powers of ten from a tenth of the last one on; none, as soon as none is needed."""
    lowest = 0.0

    class Bent(Residuals):
        def hessian(self, theta: np.ndarray) -> np.ndarray:
            return np.array([[1.0, 1.0 - lowest], [1.0 - lowest, 1.0]])  # eigenvalues 2 - lowest and lowest

    metric, g, problem = _Metric(1e-12), np.array([1.0, 1.0]), Bent(lambda t: t, lambda t: np.eye(len(t)))
    for lowest, expected in [
        (-3e-5, 1e-4),
        (-3e-6, 1e-5),
        (-3e-9, 1e-6),  # a tenth will do, nothing will not
        (-3e-9, 1e-7),
        (1e-6, 1e-12),
        (-3e-9, 1e-8),
        (-3e-4, 1e-3),
        (-3e-3, np.inf),
    ]:
        C, edm, mu = answered(metric(np.zeros(2), g), partial(answer, problem))
        assert mu == pytest.approx(expected, rel=1e-9)
        assert edm == pytest.approx(0.5, rel=2e-3)  # of curvature 2, along g; 1 for each of two residuals
        metric.wait = 0
        if mu < np.inf:
            np.testing.assert_allclose(C @ C.T - (1 + mu) * np.eye(2), (1 - lowest) * np.eye(2)[::-1], atol=1e-9)


class Quadratic(Residuals):
    """S = theta^T H theta / 2 of any H: where it has negative eigenvalues, with a saddle at 0."""

    def __init__(self, H: np.ndarray) -> None:
        self.H = H

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        return float(theta @ self.H @ theta) / 2, self.H @ theta

    def gauss_newton(self, theta: np.ndarray) -> np.ndarray:
        return np.diag(np.maximum(np.diag(self.H), 0.0))

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        return self.H


@pytest.mark.parametrize(
    ("lowest", "known"),
    [
        (1e-5, True),
        (-0.5, True),  # EDM of the Gauss-Newton matrix
        (-1e-5, False),  # with the shift EDM is too small
    ],
)
def test_an_end_is_one_without_a_shift(lowest: float, known: bool) -> None:
    """A shifted Hessian gives up no start for its small EDM, and ends no walk as converged, not even at gradient 0."""
    told: list[float] = []

    def hopeless(theta: np.ndarray, gain: float) -> bool:
        told.append(gain)
        return True

    H = np.array([[1.0, 1.0 - lowest], [1.0 - lowest, 1.0]])
    preconditioned_lbfgs(Quadratic(H), np.array([1.0, 0.5]), edm_goal=1e-9, hopeless=hopeless)
    assert np.isfinite(told).tolist() == [known]
    assert preconditioned_lbfgs(Quadratic(H), np.zeros(2), edm_goal=1e-9).converged == known


def test_the_exact_hessians_coordinates_lead_on_once() -> None:
    """They lead from the goal to `fine`, or to where rounding is in the way: that is the end all the same."""
    asked: list[int] = []

    class Counted(Quadratic):
        def hessian(self, theta: np.ndarray) -> np.ndarray:
            asked.append(1)
            return super().hessian(theta)

    for fine, matrices in ((1e-20, 2), (0.0, 2), (1e-9, 1), (None, 1)):
        asked.clear()
        end = preconditioned_lbfgs(Counted(np.diag([1.0, 2.0])), np.array([1e-5, 0.0]), edm_goal=1e-9, fine=fine)
        assert end.converged
        assert (end.edm < 1e-20) == (matrices == 2)
        assert len(asked) == matrices


@pytest.mark.parametrize(("p", "steps"), [(10, STEPS), (2000, 250)])
def test_rounds_are_longer_where_matrices_are_dear(monkeypatch: pytest.MonkeyPatch, p: int, steps: int) -> None:
    seen: list[int] = []

    def at_once(most: int, gtol: float) -> Callable[..., bool]:
        seen.append(most)
        return lambda *told: False

    monkeypatch.setattr(sys.modules[_Metric.__module__], "_Round", at_once)
    preconditioned_lbfgs(Quadratic(np.eye(p)), np.ones(p), edm_goal=1e-9, max_rounds=1)
    assert seen == [steps]


@pytest.mark.parametrize(("share", "rounds"), [(0.9, 3), (1.1, 20)])
def test_rounds_that_gain_less_than_their_steps_should_are_the_last(
    monkeypatch: pytest.MonkeyPatch, share: float, rounds: int
) -> None:
    at, values = np.ones(10), [5.0]

    def gained(*_: object, **__: object) -> AskTell[tuple[np.ndarray, float, np.ndarray]]:
        values.append(values[-1] - share * STEPS * GAIN)
        yield from ()
        return at, values[-1], at

    monkeypatch.setattr(sys.modules[_Metric.__module__], "steps_in", gained)
    preconditioned_lbfgs(Quadratic(np.eye(10)), at, edm_goal=1e-9, max_rounds=20)
    assert len(values) == 1 + rounds


def test_kinks_end_the_walk() -> None:
    """S = (|t| + 0.1)^2 + 1 has its minimum on a kink: no gradient vanishes, and the walk has to see that."""
    problem = Residuals(lambda t: np.array([np.abs(t[0]) + 0.1, 1.0]), lambda t: np.array([[np.sign(t[0])], [0.0]]))
    walk = Tracker(problem)
    end = levenberg_marquardt(walk, np.array([3.0]), edm_goal=1e-10)
    assert not end.converged
    assert abs(end.theta[0]) < 0.05
    assert walk.calls < 200


def test_lbfgs_leaves_the_end_to_others() -> None:
    walk = Tracker(rosenbrock())
    lbfgs(walk, np.array([-1.2, 1.0]), ftol=1e-4)
    assert walk.best_value < 0.1
    assert walk.calls < 60


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, True),
        ({"edm": 1.9e-3}, True),  # MINUIT's own tolerance: ten times its goal
        ({"edm": 1.8e11}, False),  # what it hands back, as valid, where the preset was not positive definite for it
        ({"edm": np.nan}, False),
        ({"is_valid": False}, False),
        ({"has_made_posdef_covar": True}, False),
    ],
)
def test_migrads_own_word_is_not_enough(state: dict[str, object], expected: bool) -> None:
    fmin = SimpleNamespace(**{"is_valid": True, "edm": 1e-6, "has_made_posdef_covar": False, **state})
    assert is_certified(SimpleNamespace(fmin=fmin, tol=0.1, errordef=1.0)) is expected  # type: ignore[arg-type]


class TestWalk:
    def test_remembers_the_best(self) -> None:
        walk = Tracker(rosenbrock())
        for t in ([0.0, 0.0], [1.0, 1.0], [2.0, 0.0]):
            walk.value_and_gradient(np.array(t))
        np.testing.assert_array_equal(walk.best, [1, 1])
        assert walk.best_value == 0
        assert walk.calls == 3

    def test_what_is_not_finite_is_infinitely_bad(self) -> None:
        walk = Tracker(Residuals(lambda t: np.array([np.nan * t[0]]), lambda t: np.array([[np.nan]])))
        assert walk.value_and_gradient(np.ones(1))[0] == np.inf
        assert walk.best is None

    @pytest.mark.parametrize("ask", ["value_and_gradient", "gauss_newton", "hessian"])
    def test_stops_at_the_deadline(self, ask: str) -> None:
        walk = Tracker(rosenbrock(), deadline=time.monotonic() - 1)
        with pytest.raises(StopMinimization, match="max_seconds"):
            getattr(walk, ask)(np.zeros(2))

    def test_report_may_end_it(self) -> None:
        seen: list[float] = []

        def report(value: float, calls: int) -> bool:
            seen.append(value)
            return value < 1

        walk = Tracker(rosenbrock(), report=report)
        with pytest.raises(StopMinimization, match="callback"):
            preconditioned_lbfgs(walk, np.array([-1.2, 1.0]), edm_goal=1e-10)
        assert walk.best_value == seen[-1] < 1
        assert seen == sorted(seen, reverse=True)
