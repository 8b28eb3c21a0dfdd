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
from ffnn_xp.fitting.options import FitOptions
from ffnn_xp.fitting.problem import FitProblem, read_problem
from ffnn_xp.fitting.successive_halving import (
    DEFAULT_HALVING,
    Candidate,
    _survivors,
    halve_candidates,
)
from ffnn_xp.minimizers import (
    BatchedLevenbergMarquardt,
    BatchResult,
    Budget,
    LevenbergMarquardt,
    Status,
)
from ffnn_xp.network.initialization import glorot
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


@pytest.mark.parametrize("n", [80, 20_000])
def test_halving_finds_what_single_starts_find(n: int, backend: fx.Backend) -> None:
    """Also where the first rounds see a sample of the events."""
    x, y = bends(n)
    model = fx.Model((1, 3, 1), backend=backend, seed=1)
    job = read_problem(model, Measurements(x, y, NOISE), FitOptions())
    cost = job.cost()
    ranking, stopped = halve_candidates(cost, starts(job, 30), far=1.5, unit=1.0, rng=np.random.default_rng(1))
    assert not stopped
    assert sorted(c.start for c in ranking) == list(range(30))
    reached = cost.value_and_gradient(ranking[0].theta)[0]
    assert reached < 1.3 * n
    assert sum(c.status is Status.PRUNED for c in ranking) > 10


def test_a_start_at_the_minimum_stays_there_under_its_own_number(backend: Backend) -> None:
    job = problem(backend)
    cost, theta = job.cost(), starts(job, 30)

    def halved() -> list[Candidate]:
        return halve_candidates(cost, theta, far=1.5, unit=1.0, rng=np.random.default_rng(1))[0]

    best = halved()[0]
    theta[17] = best.theta
    end = next(c for c in halved() if c.start == 17)
    assert end.status is Status.MINIMUM
    np.testing.assert_allclose(end.theta, best.theta, atol=0.1)  # not another order of the units, nor other signs


def test_the_same_starts_compete_on_every_library(backend: fx.Backend) -> None:
    """And so the same seed ends in the same minimum, which two of these thirty come to."""
    x, y = bends(150)

    def fitted(backend: fx.Backend | str) -> tuple[float, np.ndarray]:
        model = fx.Model((1, 3, 1), backend=backend, seed=1)
        rows = model.fit(x, y, restarts=30, progress=False).restarts
        assert len(rows) == 30
        assert sum(row.status == "pruned" for row in rows) > 10
        return min(row.fval for row in rows), fx.to_numpy(model(x))

    (here, output), (there, outputs) = fitted(backend), fitted("numpy")
    assert here == pytest.approx(there, rel=1e-9)
    np.testing.assert_allclose(output, outputs, atol=1e-7)  # errors are 0.1


def test_a_rough_curve_needs_many_starts_and_gets_them() -> None:
    """The lesson's kind of curve: a single start ends far above, the best of many at the floor, certified."""
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, 300)
    y = np.where(np.abs(x - 0.43) < 0.15, np.sin(22 * x), -1 + 3.5 * x - 2 * x**2) + 0.03 * rng.normal(size=300)

    def fit(restarts: int | str) -> fx.FitResult:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fx.FitWarning)
            return fx.Model((1, 5, 1), activation="logistic", backend="numpy", seed=1).fit(
                x, y, 0.03, restarts=restarts, progress=False
            )

    many, one = fit("auto"), fit(1)
    assert many.valid
    assert many.chi2 < 1.6 * many.ndof
    assert one.chi2 > many.chi2 + 20
    assert len(many.restarts) == 500
    assert [row.start for row in many.restarts] == list(range(1, 501))
    best, second = sorted(row.fval for row in many.restarts)[:2]
    assert best == pytest.approx(many.fval, rel=1e-6)
    assert second > best + 20


class TestFitReplicas:
    def fitted(self, backend: Backend | str = "numpy") -> tuple[fx.Model, np.ndarray, np.ndarray]:
        x, y = bends()
        model = fx.Model((1, 2, 1), backend=backend, seed=1)
        assert model.fit(x, y, NOISE, prior=3.0).valid
        return model, x, y

    def test_each_toy_is_a_fit_of_its_own(self) -> None:
        model, x, _ = self.fitted()
        toys = model(x) + NOISE * np.random.default_rng(5).normal(size=(6, len(x)))
        before = model.parameters.copy()
        ensemble = model.fit_replicas(x, toys[:, :, None], NOISE)
        assert ensemble.kind == "data"
        assert ensemble.valid.sum() >= 5  # without a prior a toy may run along a valley, and says so
        np.testing.assert_array_equal(model.parameters, before)

        def residuals(theta: np.ndarray, toy: np.ndarray) -> np.ndarray:
            return (model(x, theta) - toy) / NOISE

        for i in np.flatnonzero(ensemble.valid):
            toy, fval, theta = toys[i], ensemble.fval[i], ensemble.parameters[i]
            reference = scipy.optimize.least_squares(residuals, before, args=(toy,), xtol=1e-12, ftol=1e-12)
            assert fval == pytest.approx(2 * reference.cost, abs=0.05)
            assert fval == pytest.approx(np.sum(residuals(theta, toy) ** 2), rel=1e-9)

    def test_on_every_library(self, backend: Backend) -> None:
        model, x, y = self.fitted(backend)
        reference, *_ = self.fitted()
        mine = model.fit_replicas(x, y, NOISE, prior=3.0, number=5, seed=3)
        theirs = reference.fit_replicas(x, y, NOISE, prior=3.0, number=5, seed=3)
        assert mine(x).shape == (5, len(x))
        np.testing.assert_allclose(mine.fval, theirs.fval, atol=2e-3)

    def test_toys_spread_as_the_band_says(self) -> None:
        model, x, y = self.fitted()
        ensemble = model.fit_replicas(x, y, NOISE, prior=3.0, number=400, seed=1)
        assert ensemble.valid.mean() > 0.98
        _, band = model.predict(x, return_std=True)
        _, spread, (low, high) = ensemble.predict(x, return_std=True, cl=0.6827)
        assert np.mean(spread / band) == pytest.approx(1.0, abs=0.1)
        assert np.mean((high - low) / (2 * band)) == pytest.approx(1.0, abs=0.1)

    def test_bootstrap_of_a_line_has_the_known_error(self) -> None:
        """A mean: the bootstrap's variance is that of the sample, over n."""
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=200), rng.normal(size=200)
        model = fx.Model((1, 1), backend="numpy", seed=1)
        model.fit(x, y)
        ensemble = model.fit_replicas(x, y, kind="bootstrap", number=1000, seed=2)
        assert ensemble.valid.all()
        X = np.stack([x, np.ones(200)], axis=1)
        residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
        bread = np.linalg.inv(X.T @ X)
        sandwich = bread @ (X.T * residual**2) @ X @ bread
        np.testing.assert_allclose(np.diag(ensemble.covariance), np.diag(sandwich), rtol=0.15)

    def test_one_replica_for_each_prior(self) -> None:
        model, x, y = self.fitted()
        ensemble = model.fit_replicas(x, y, NOISE, prior=[0.3, 1.0, 3.0])
        alone = [model.fit_replicas(x, y, NOISE, prior=[tau]).fval[0] for tau in (0.3, 1.0, 3.0)]
        np.testing.assert_allclose(ensemble.fval, alone, rtol=1e-9)
        assert ensemble.fval[0] > ensemble.fval[2]

    def test_time_is_kept(self) -> None:
        model, x, y = self.fitted()
        began = time.monotonic()
        ensemble = model.fit_replicas(x, y, NOISE, number=2000, seed=1, max_seconds=0.02)
        assert ensemble.stopped
        assert "max_seconds" in repr(ensemble)
        assert time.monotonic() - began < 5

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"kind": "toy"}, "did you mean 'toys'"),
            ({"number": 0}, "positive integer"),
            ({"prior": -1.0}, "positive width"),
            ({"prior": []}, "must not be empty"),
            ({"y": np.zeros((3, 80, 1)), "y_err": None}, "need `y_err`"),
            ({"y": np.full((3, 80, 1), np.nan)}, "finite"),
            ({"y": np.zeros((3, 79, 1))}, "must have shape"),
        ],
    )
    def test_bad_input(self, options: dict[str, object], message: str) -> None:
        model, x, y = self.fitted()
        with pytest.raises(ValueError, match=message):
            model.fit_replicas(x, **{"y": y, "y_err": NOISE, **options})  # type: ignore[arg-type]

    def test_a_model_without_parameters(self) -> None:
        with pytest.raises(fx.NotFittedError):
            fx.Model(backend="numpy").fit_replicas([1.0, 2.0], [1.0, 2.0], 0.1)


def test_survivors_did_not_arrive_at_the_same_value() -> None:
    """Those that were still on the way may go anywhere."""
    theta = np.zeros(1)

    def candidate(number: int, value: float, status: Status) -> Candidate:
        return Candidate(number, theta, value, 0.0, status, 1)

    ranked = [
        candidate(4, 10.0, Status.MINIMUM),
        candidate(2, 10.2, Status.MINIMUM),
        candidate(7, 10.3, Status.PRUNED),
        candidate(1, 10.4, Status.MINIMUM),
        candidate(3, 12.0, Status.MINIMUM),
        candidate(5, 13.0, Status.MINIMUM),
    ]
    assert DEFAULT_HALVING.survivors == 3
    assert _survivors(ranked, 0.5, 3) == [4, 7, 3]
    assert _survivors(ranked, 0.05, 3) == [4, 2, 7]
