"""Many fits in one batch: each replica must come out as it would alone, on every array library."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import array_api_compat.numpy
import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend
from ffnn_xp.data import Events, Measurements
from ffnn_xp.fitting import FitOptions, FitProblem, read_problem
from ffnn_xp.minimizers import (
    BatchedLevenbergMarquardt,
    BatchResult,
    Budget,
    LevenbergMarquardt,
    Status,
)
from ffnn_xp.network import glorot
from ffnn_xp.objective.batch import Replicas
from ffnn_xp.objective.prior import layer_precision

NOISE = 0.1


class PrimalReplicas(Replicas):
    """Never the dual."""

    @property
    def dual(self) -> bool:
        return False


def bends(n: int = 80, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.linspace(-2, 2, n)
    return x, np.tanh(2 * x) - 0.5 * np.tanh(3 * x - 2) + NOISE * rng.normal(size=n)


def problem(backend: Backend, widths: tuple[int, ...] = (1, 3, 1), tau: float | None = 3.0) -> FitProblem:
    x, y = bends()
    model = fx.Model(widths, backend=backend, seed=1)
    return read_problem(model, Measurements(x, y, NOISE), FitOptions(prior=tau))


def starts(job: FitProblem, r: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    return np.stack([glorot(job.layout, rng) for _ in range(r)])


def minimise(job: FitProblem, theta: np.ndarray, *budget: Budget, **options: Any) -> BatchResult:
    cost = job.cost()
    replicas = Replicas(cost.objective, None if cost.prior is None else cost.prior.precision)
    return BatchedLevenbergMarquardt(edm_goal=1e-6).run(replicas, replicas.on_device(theta), *budget, **options)


def test_a_batch_ends_where_single_minimizations_end(backend: Backend) -> None:
    """Same minima as the single Levenberg-Marquardt, start by start; EDM is that of the cost."""
    job = problem(backend)
    theta = starts(job, 4)
    end = minimise(job, theta)
    cost = job.cost()
    assert end.converged.all()
    assert set(end.status) == {Status.MINIMUM}
    there = backend.to_host(end.theta)
    for i in range(4):
        value, g = cost.value_and_gradient(there[i])
        assert value == pytest.approx(end.value[i], rel=1e-9)
        edm = 0.5 * g @ np.linalg.solve(cost.gauss_newton(there[i]), g)
        assert edm < 1e-6
        if backend.name == "numpy":
            single = LevenbergMarquardt(edm_goal=1e-6, damping=1e-2).run(cost, theta[i])
            assert end.value[i] <= single.value + 0.01 or end.value[i] == pytest.approx(single.value, rel=0.2)


@pytest.mark.parametrize("tau", [3.0, None])
def test_the_dual_takes_the_same_steps(backend: Backend, tau: float | None) -> None:
    """With 6 values and 25 parameters, each with weights of its own: m x m systems against p x p, step by step."""
    x, y = bends(6)
    model = fx.Model((1, 8, 1), backend=backend, seed=1)
    job = read_problem(model, Measurements(x, y, NOISE), FitOptions())
    objective = job.cost().objective
    weights = backend.to_device(np.random.default_rng(3).integers(0, 3, size=(4, 1, 6)))
    events = Events(objective.events.x, objective.events.data, weights)
    precision = None if tau is None else layer_precision(model.network.layout, tau)
    ends = []
    for kind in (Replicas, PrimalReplicas):
        replicas = kind(replace(objective, events=events), precision)
        assert replicas.dual is (kind is Replicas)
        theta = replicas.on_device(starts(job, 4))
        ends.append(BatchedLevenbergMarquardt(edm_goal=1e-6, max_iterations=4).run(replicas, theta))
    dual, primal = ends
    np.testing.assert_allclose(dual.value, primal.value, rtol=1e-6)
    np.testing.assert_allclose(backend.to_host(dual.theta), backend.to_host(primal.theta), rtol=1e-4, atol=1e-6)
    if tau is not None:
        np.testing.assert_allclose(dual.edm, primal.edm, rtol=1e-4)


class Bowls:
    """Bowls of three dimensions, whose numbers do not depend on which of them are asked together."""

    xp, device, errordef, epsilon, dual = array_api_compat.numpy, "cpu", 1.0, 2e-16, False

    def __init__(self, widths: np.ndarray, compiles: bool) -> None:
        self.widths, self.compiles = widths, compiles
        self.asked: list[int] = []

    def value_and_gradient(self, theta: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.asked.append(len(rows))
        c = self.widths[rows]
        value = np.sum(c * (theta - 1) ** 2 + theta**4, axis=1)
        return np.concatenate([value[:, None], 2 * c * (theta - 1) + 4 * theta**3], axis=1)

    def gauss_newton(self, theta: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return (2 * self.widths[rows] + 12 * theta**2)[:, :, None] * np.eye(3)

    def bound(self, f: Any, *static: Any) -> Any:
        return partial(f, *static, self.xp)

    def numbers(self, a: np.ndarray) -> np.ndarray:
        return a

    on_device = numbers

    def take(self, a: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return a[rows]


def test_those_that_stay_in_the_batch_do_not_move() -> None:
    """The same steps, number for number, whether the batch shrinks or keeps its shape for a compiler."""
    rng = np.random.default_rng(1)
    widths, theta = 10.0 ** rng.uniform(-2, 3, size=(9, 3)), rng.normal(size=(9, 3)) * 10.0 ** np.arange(-2, 7)[:, None]
    theta[4] = 1e100

    def prune(step: int, value: np.ndarray, edm: np.ndarray) -> np.ndarray:
        return (value > 1e12) & (step == 3)

    shrinking, staying = Bowls(widths, compiles=False), Bowls(widths, compiles=True)
    first, second = (
        BatchedLevenbergMarquardt(edm_goal=1e-6).run(bowls, theta, prune=prune)  # type: ignore[arg-type]
        for bowls in (shrinking, staying)
    )
    assert set(first.status) == {Status.MINIMUM, Status.PRUNED, Status.NOT_FINITE}
    assert len(np.unique(first.steps)) > 4
    assert set(staying.asked) == {9}
    assert len(set(shrinking.asked)) > 4
    for name in ("theta", "value", "edm", "converged", "steps", "status"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_single_precision_walks_in_single_precision(backend: Backend) -> None:
    """S is summed in float64, and the steps are float32 all the same: libraries do not multiply one with the other."""
    job = problem(backend)
    double = job.cost().objective
    assert job.prior is not None
    replicas = Replicas(double.in_single_precision(), job.prior.precision)
    theta = replicas.on_device(starts(job, 6))
    assert replicas.value_and_gradient(theta, np.arange(6)).dtype == theta.dtype
    end = BatchedLevenbergMarquardt(edm_goal=1e-2).run(replicas, theta)
    assert end.converged.any()
    at = backend.to_host(end.theta)
    exact = Replicas(double, job.prior.precision)
    again = exact.value_and_gradient(exact.on_device(at), np.arange(6))
    np.testing.assert_allclose(end.value, backend.to_host(again)[:, 0], rtol=1e-4)


def test_what_happens_to_one_replica_does_not_touch_another() -> None:
    """Alone, in a batch, and beside a start that is not finite: the same end."""
    job = problem(fx.get_backend("numpy"))
    theta = starts(job, 3)
    spoiled = np.concatenate([theta, np.full((1, theta.shape[1]), np.nan), np.full((1, theta.shape[1]), 1e300)])
    together, alone = minimise(job, spoiled), [minimise(job, theta[i : i + 1]) for i in range(3)]
    np.testing.assert_allclose(together.value[:3], [a.value[0] for a in alone], rtol=1e-9)
    assert together.status[3] is Status.NOT_FINITE
    assert not together.converged[3]
    assert together.value[3] == np.inf


def test_a_singular_matrix_does_not_stop_the_others() -> None:
    """All weights zero: the Gauss-Newton matrix has rank 1, and there is no prior to hold the rest."""
    job = problem(fx.get_backend("numpy"), tau=None)
    theta = starts(job, 3)
    theta[1] = 0.0
    end = minimise(job, theta)
    assert np.isfinite(end.value).all()
    assert end.value[1] == pytest.approx(job.cost().value_and_gradient(theta[1])[0])  # nowhere to go
    assert end.value[[0, 2]].max() < 0.2 * end.value[1]


def test_what_is_pruned_leaves() -> None:
    job = problem(fx.get_backend("numpy"))

    def prune(step: int, value: np.ndarray, edm: np.ndarray) -> np.ndarray:
        return (value > value.min()) & (step >= 3)

    end = minimise(job, starts(job, 5), prune=prune)
    assert end.status.count(Status.PRUNED) >= 3
    assert end.converged.sum() >= 1
    assert max(end.steps[[s is Status.PRUNED for s in end.status]]) <= end.steps[end.converged].min()


def test_stopping_keeps_what_there_is() -> None:
    job = problem(fx.get_backend("numpy"))
    theta = starts(job, 3)

    end = minimise(job, theta, Budget(max_evaluations=2))
    assert "gradients" in end.stopped
    assert set(end.status) == {Status.INTERRUPTED}
    assert set(end.steps) == {3}
    cost = job.cost()
    assert end.value.min() < min(cost.value_and_gradient(t)[0] for t in theta)
