"""Toys and other refits walked in lockstep: they end where single walks do, and say so by the exact Hessian."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from ffnn_xp import Backend, LeastSquares, Model, get_backend
from ffnn_xp.fitting import batch_refit as toy_fits
from ffnn_xp.minimizers import BatchResult, StopMinimization, batched_lbfgs, preconditioned_lbfgs
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
    end = batched_lbfgs(problem, theta, edm_goal=2e-4)
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


@pytest.mark.slow
def test_gradients_are_counted_but_not_those_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all are asked together each time (a compiler, a GPU), each counts its own questions."""
    problem, _, theta = toys(get_backend("numpy"))
    plain = batched_lbfgs(problem, theta, edm_goal=2e-4)
    asked = 0
    original = Replicas.on_host

    def counted(self: Replicas, at: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal asked
        asked += len(rows)
        return original(self, at, rows)

    monkeypatch.setattr(Replicas, "on_host", counted)
    assert batched_lbfgs(problem, theta, edm_goal=2e-4).steps.sum() == asked
    monkeypatch.setattr(Replicas, "of_one_shape", True)
    asked = 0
    together = batched_lbfgs(problem, theta, edm_goal=2e-4)
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
    end = batched_lbfgs(Stuck(), np.zeros((2, 2)), edm_goal=2e-4)  # type: ignore[arg-type]
    np.testing.assert_allclose(end.edm, 1e-2, rtol=1e-9)
    assert not end.converged.any()
    assert end.status == ["no gain"] * 2


@pytest.mark.parametrize(
    ("widths", "activation", "walks"),
    [
        ((1, 4, 1), "relu", ["batched_levenberg_marquardt"]),
        ((1, 4, 1), "tanh", ["batched_levenberg_marquardt", "batched_lbfgs"]),
        ((1, 25, 1), "tanh", ["batched_lbfgs"]),
    ],
)
def test_steps_by_matrices_where_they_are_cheap_or_all_there_is(
    widths: tuple[int, ...], activation: str, walks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And always the end by the exact Hessian, unless there are kinks, which it does not see."""
    taken: list[str] = []
    steps = np.zeros(3, dtype=int)
    for name in ("batched_levenberg_marquardt", "batched_lbfgs"):
        original = getattr(toy_fits, name)

        def noted(*args: object, original=original, name=name, **options: object) -> BatchResult:  # type: ignore[no-untyped-def]
            taken.append(name)
            end = original(*args, **options)
            steps[:] += end.steps
            return end

        monkeypatch.setattr(toy_fits, name, noted)
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 60)
    y = np.abs(x) + 0.1 * rng.normal(size=60)
    model = Model(widths, activation=activation, backend="numpy", seed=1)
    found = model.fit_replicas(x, y, 0.1, prior=2.0, number=3, seed=1)
    assert taken == walks
    np.testing.assert_array_equal(found.steps, steps)
    assert found.valid.all() or activation == "relu"


def test_time_that_is_up_in_the_first_steps_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they reached is kept, and nothing follows."""

    def watch(value: float, step: int) -> None:
        if step == 3:
            raise StopMinimization("time is up")

    problem, _, theta = toys(get_backend("numpy"))
    monkeypatch.setattr(toy_fits, "batched_lbfgs", None)
    end = toy_fits.refit(problem, theta[0], 4, watch)
    assert end.stopped == "time is up"
    assert end.steps.tolist() == [3] * 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["toys", "bootstrap"])
def test_refits_of_a_deeper_network_reach_their_minima(kind: str) -> None:
    """Along its valleys steps by Gauss-Newton matrices alone leave most of them, after hundreds."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 2))
    model = Model((2, 10, 10, 1), backend="numpy", seed=1)
    y = model(x) + 0.1 * rng.normal(size=300)
    model.fit(x, y, 0.1, prior=3.0, restarts=3)
    found = model.fit_replicas(x, y, 0.1, prior=3.0, kind=kind, number=6, seed=1)
    assert found.valid.all()


def test_the_hessian_has_the_prior_and_is_the_gradients_derivative(backend: Backend) -> None:
    problem, _, theta = toys(backend, 2)
    rows, h = np.arange(2), 1e-5
    H = problem.numbers(problem.hessian(problem.on_device(theta), rows))
    for j in (0, 7, 20):
        step = h * np.eye(21)[j]
        slope = (problem.on_host(theta + step, rows)[1] - problem.on_host(theta - step, rows)[1]) / (2 * h)
        np.testing.assert_allclose(H[:, :, j], slope, rtol=0, atol=1e-6 * np.abs(H).max())


@pytest.mark.slow
def test_one_walks_as_alone() -> None:
    """Asked in lockstep or by itself, the points are the same."""
    problem, costs, theta = toys(get_backend("numpy"))
    end = batched_lbfgs(problem, theta, edm_goal=2e-4)
    for i, cost in enumerate(costs):
        alone = NetworkCost(cost.objective, n_values=80, prior=GaussianPrior(PRECISION))
        one = preconditioned_lbfgs(alone, theta[i], edm_goal=2e-4, fine=2e-6, max_rounds=60)
        assert end.value[i] == pytest.approx(one.value, rel=1e-6)


@pytest.mark.slow
def test_lots_are_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, _, theta = toys(get_backend("numpy"), 5)
    whole = batched_lbfgs(problem, theta, edm_goal=2e-4)
    monkeypatch.setattr(sys.modules[batched_lbfgs.__module__], "MATRICES", 2 * 8 * 21**2)
    parts = batched_lbfgs(problem, theta, edm_goal=2e-4)
    np.testing.assert_allclose(parts.value, whole.value, rtol=1e-9)
    assert parts.converged.all()


def test_what_was_found_is_kept_when_time_is_up() -> None:
    def watch(value: float, question: int) -> None:
        if question == 8:
            raise StopMinimization("time is up")

    problem, _, theta = toys(get_backend("numpy"))
    before = problem.on_host(theta, np.arange(4))[0]
    end: BatchResult = batched_lbfgs(problem, theta, edm_goal=1e-12, watch=watch)
    assert end.stopped == "time is up"
    assert end.status == ["stopped"] * 4
    assert not end.converged.any()
    assert np.all(end.value < before)
    np.testing.assert_allclose(problem.on_host(problem.numbers(end.theta), np.arange(4))[0], end.value, rtol=1e-12)


@pytest.mark.slow
def test_a_start_without_a_finite_value_is_told() -> None:
    problem, _, theta = toys(get_backend("numpy"))
    theta[1] = np.nan
    end = batched_lbfgs(problem, theta, edm_goal=2e-4)
    assert end.status[1] == "no finite value"
    assert end.converged.tolist() == [True, False, True, True]
