"""Toys and other refits walked in lockstep: they end where single walks do, and say so by the exact Hessian."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from ffnn_xp import Backend, LeastSquares, Model, get_backend
from ffnn_xp.cost import NetworkCost
from ffnn_xp.minimizers import BatchArrival, StopWalk, lockstep_lbfgs, preconditioned_lbfgs
from ffnn_xp.prior import GaussianPrior
from ffnn_xp.replicas import Replicas

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


def test_each_ends_at_a_minimum_of_its_own(backend: Backend) -> None:
    problem, _, theta = toys(backend)
    end = lockstep_lbfgs(problem, theta, edm_goal=2e-4)
    assert end.converged.all()
    assert end.status == ["converged"] * 4
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
    assert np.all(end.steps > 10)


def test_the_hessian_has_the_prior_and_is_the_gradients_derivative(backend: Backend) -> None:
    problem, _, theta = toys(backend, 2)
    rows, h = np.arange(2), 1e-5
    H = problem.numbers(problem.hessian(problem.on_device(theta), rows))
    for j in (0, 7, 20):
        step = h * np.eye(21)[j]
        slope = (problem.on_host(theta + step, rows)[1] - problem.on_host(theta - step, rows)[1]) / (2 * h)
        np.testing.assert_allclose(H[:, :, j], slope, rtol=0, atol=1e-6 * np.abs(H).max())


def test_one_walks_as_alone() -> None:
    """Asked in lockstep or by itself, the points are the same."""
    problem, costs, theta = toys(get_backend("numpy"))
    end = lockstep_lbfgs(problem, theta, edm_goal=2e-4)
    for i, cost in enumerate(costs):
        alone = NetworkCost(cost.objective, n_values=80, prior=GaussianPrior(PRECISION))
        one = preconditioned_lbfgs(alone, theta[i], edm_goal=2e-4, fine=2e-6, max_rounds=60)
        assert end.value[i] == pytest.approx(one.value, rel=1e-6)


def test_lots_are_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, _, theta = toys(get_backend("numpy"), 5)
    whole = lockstep_lbfgs(problem, theta, edm_goal=2e-4)
    monkeypatch.setattr(sys.modules[lockstep_lbfgs.__module__], "MATRICES", 2 * 8 * 21**2)
    parts = lockstep_lbfgs(problem, theta, edm_goal=2e-4)
    np.testing.assert_allclose(parts.value, whole.value, rtol=1e-9)
    assert parts.converged.all()


def test_what_was_found_is_kept_when_time_is_up() -> None:
    def watch(value: float, question: int) -> None:
        if question == 8:
            raise StopWalk("time is up")

    problem, _, theta = toys(get_backend("numpy"))
    before = problem.on_host(theta, np.arange(4))[0]
    end: BatchArrival = lockstep_lbfgs(problem, theta, edm_goal=1e-12, watch=watch)
    assert end.stopped == "time is up"
    assert end.status == ["stopped"] * 4
    assert not end.converged.any()
    assert np.all(end.value < before)
    np.testing.assert_allclose(problem.on_host(problem.numbers(end.theta), np.arange(4))[0], end.value, rtol=1e-12)


def test_a_start_without_a_finite_value_is_told() -> None:
    problem, _, theta = toys(get_backend("numpy"))
    theta[1] = np.nan
    end = lockstep_lbfgs(problem, theta, edm_goal=2e-4)
    assert end.status[1] == "no finite value"
    assert end.converged.tolist() == [True, False, True, True]
