"""Batched L-BFGS: each replica ends where it does alone, and says so by the exact Hessian."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp import Backend, LeastSquares, Model, get_backend
from ffnn_xp.minimizers import BatchedLBFGS, Budget, PreconditionedLBFGS, Status
from ffnn_xp.objective.batch import Replicas
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.objective.prior import GaussianPrior

WIDTHS, PRECISION = (2, 5, 1), np.full(21, 0.2)


def toys(backend: Backend, number: int = 4) -> tuple[Replicas, list[LeastSquares], np.ndarray]:
    """Replicas with measurements of their own, each as a cost of its own, and where they start."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(80, 2))
    model = Model(WIDTHS, backend=backend, seed=1)
    y = np.sin(x[:, 0]) + x[:, 1] + 0.1 * rng.normal(size=(number, 80))
    costs = [LeastSquares(x, one, 0.1, model) for one in y]
    objective = costs[0].objective
    to = objective.backend.to_device
    data = (to(y[:, None, :]), *objective.events.data[1:])
    events = type(objective.events)(objective.events.x, data, None)
    problem = Replicas(type(objective)(objective.network, objective.loss, events, objective.backend), PRECISION)
    return problem, costs, 0.3 * rng.normal(size=(number, 21))


@pytest.mark.slow
def test_each_ends_at_a_minimum_of_its_own(backend: Backend) -> None:
    problem, _, theta = toys(backend)
    end = BatchedLBFGS().run(problem, theta)
    assert end.converged.all()
    assert end.status == (Status.MINIMUM,) * 4
    at = problem.numbers(end.theta)
    rows = np.arange(4)
    value, gradient = problem.on_host(at, rows)
    H = problem.numbers(problem.hessian(end.theta, rows))
    for i in rows:
        np.linalg.cholesky(H[i])
        edm = 0.5 * gradient[i] @ np.linalg.solve(H[i], gradient[i])
        assert edm < 2e-4
        assert end.edm[i] == pytest.approx(edm, rel=1e-3, abs=1e-12)
    np.testing.assert_allclose(end.value, value, rtol=1e-12)


@pytest.mark.slow
def test_gradients_are_counted_but_not_those_in_vain() -> None:
    """Where all are asked together each time (a compiler, a GPU), each counts its own questions."""
    problem, _, theta = toys(get_backend("numpy"))
    plain = BatchedLBFGS().run(problem, theta)
    asked = 0

    class Counted(Replicas):
        def on_host(self, at: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            nonlocal asked
            asked += len(rows)
            return super().on_host(at, rows)

    class Together(Counted):
        of_one_shape = True

    assert BatchedLBFGS().run(Counted(problem.objective, problem.precision), theta).steps.sum() == asked
    asked = 0
    together = BatchedLBFGS().run(Together(problem.objective, problem.precision), theta)
    np.testing.assert_array_equal(together.steps, plain.steps)
    np.testing.assert_allclose(together.value, plain.value, rtol=1e-12)
    assert asked > plain.steps.sum()


class Stuck:
    """No step lowers S, and its Hessian is positive definite only when shifted."""

    errordef, epsilon, of_one_shape = 1.0, float(np.finfo(float).eps), False

    def on_host(self, theta: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.ones(len(rows)), np.full((len(rows), 2), 1e-3)

    def hessian(self, theta: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.tile([[1.0, 1 + 1e-5], [1 + 1e-5, 1.0]], (len(rows), 1, 1))

    def gauss_newton(self, theta: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.tile(1e-4 * np.eye(2), (len(rows), 1, 1))

    def numbers(self, a: np.ndarray) -> np.ndarray:
        return a

    on_device = numbers


def test_a_shifted_hessian_is_not_believed() -> None:
    """By it EDM would be 2.5e-7 or so; by the Gauss-Newton matrix it is g^2 / 2 B."""
    end = BatchedLBFGS().run(Stuck(), np.zeros((2, 2)))  # type: ignore[arg-type]
    np.testing.assert_allclose(end.edm, 1e-2, rtol=1e-9)
    assert not end.converged.any()
    assert end.status == (Status.NO_GAIN,) * 2


def test_the_hessian_has_the_prior_and_is_the_gradients_derivative(backend: Backend) -> None:
    problem, _, theta = toys(backend, 2)
    rows, h = np.arange(2), 1e-5
    H = problem.numbers(problem.hessian(problem.on_device(theta), rows))
    for j in (0, 7, 20):
        step = h * np.eye(21)[j]
        slope = (problem.on_host(theta + step, rows)[1] - problem.on_host(theta - step, rows)[1]) / (2 * h)
        np.testing.assert_allclose(H[:, :, j], slope, rtol=0, atol=1e-6 * np.abs(H).max())


@pytest.mark.slow
def test_each_is_as_alone() -> None:
    """Near a minimum; from far away rounding decides between minima, for one alone too."""
    problem, costs, theta = toys(get_backend("numpy"))
    alone = [NetworkCost(cost.objective, n_values=80, prior=GaussianPrior(PRECISION)) for cost in costs]
    each = BatchedLBFGS().each
    starts = np.stack([each.run(cost, start).theta for cost, start in zip(alone, theta, strict=True)])
    starts += 0.01 * np.random.default_rng(1).normal(size=starts.shape)
    end = BatchedLBFGS().run(problem, starts)
    for i, cost in enumerate(alone):
        one = each.run(cost, starts[i])
        assert end.value[i] == pytest.approx(one.value, rel=1e-6)
        np.testing.assert_allclose(problem.numbers(end.theta)[i], one.theta, atol=1e-3)


@pytest.mark.slow
def test_parts_are_as_all_at_once() -> None:
    problem, _, theta = toys(get_backend("numpy"), 5)
    whole = BatchedLBFGS().run(problem, theta)
    parts = BatchedLBFGS(matrix_bytes=2 * 8 * 21**2).run(problem, theta)
    np.testing.assert_allclose(parts.value, whole.value, rtol=1e-9)
    assert parts.converged.all()


def test_what_was_found_is_kept_when_the_budget_is_used_up() -> None:
    problem, _, theta = toys(get_backend("numpy"))
    before = problem.on_host(theta, np.arange(4))[0]
    each = PreconditionedLBFGS(edm_goal=1e-12, fine_goal=1e-14, max_rounds=60)
    end = BatchedLBFGS(each).run(problem, theta, Budget(max_evaluations=7))
    assert "gradients" in end.stopped
    assert end.status == (Status.INTERRUPTED,) * 4
    assert not end.converged.any()
    assert np.all(end.value < before)
    np.testing.assert_allclose(problem.on_host(problem.numbers(end.theta), np.arange(4))[0], end.value, rtol=1e-12)


def test_a_start_without_a_finite_value_has_its_own_status() -> None:
    problem, _, theta = toys(get_backend("numpy"))
    theta[1] = np.nan
    end = BatchedLBFGS().run(problem, theta)
    assert end.status[1] is Status.NOT_FINITE
    assert end.converged.tolist() == [True, False, True, True]


def test_a_report_may_end_it() -> None:
    """It is called at each new best of all replicas."""
    problem, _, theta = toys(get_backend("numpy"))
    reported: list[float] = []

    def report(value: float, evaluations: int) -> bool:
        reported.append(value)
        return len(reported) == 5

    end = BatchedLBFGS().run(problem, theta, Budget(report=report))
    assert end.stopped == "the callback returned True"
    assert len(reported) == 5
    assert reported == sorted(reported, reverse=True)
    assert end.value.min() == reported[-1]
