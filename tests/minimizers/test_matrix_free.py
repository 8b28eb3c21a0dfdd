"""Walks, EDM and certificates without a p x p matrix, against the same with matrices."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
import ffnn_xp.fitting.local_search
import ffnn_xp.model.fit
from ffnn_xp import Backend
from ffnn_xp.data.events import Events
from ffnn_xp.minimizers import (
    Distance,
    KroneckerCoordinates,
    MinimizerResult,
    StopMinimization,
    Tracker,
    distance,
    edm_by_products,
    kronecker_lbfgs,
    minimize_matrix_free,
)
from ffnn_xp.minimizers.kronecker_lbfgs import STEPS, _Round
from ffnn_xp.network.initialization import glorot
from ffnn_xp.network.layout import Layout
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.objective.objective import Objective
from ffnn_xp.objective.prior import GaussianPrior, layer_precision

from ..oracles.loops import make_case, objective


def spd(p: int, orders: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.normal(size=(p, p)))
    return (Q * np.logspace(-orders, 0, p)) @ Q.T, rng.normal(size=p)


def network_cost(widths: tuple[int, ...] = (3, 8, 8, 2), tau: float | None = 2.0) -> NetworkCost:
    """A teacher's events, in units that need no standardisation."""
    rng = np.random.default_rng(4)
    teacher = fx.Model(widths, backend="numpy", seed=3)
    x = rng.normal(size=(300, widths[0]))
    y = teacher(x) + 0.1 * rng.normal(size=(300, widths[-1]))
    events = Events(x.T.copy(), (y.T.copy(), np.full((widths[-1], 300), 10.0)))
    prior = None if tau is None else GaussianPrior(layer_precision(Layout(widths), tau))
    S = Objective(teacher.network, fx.losses.get_loss("least_squares"), events, teacher.backend)
    return NetworkCost(S, n_values=600, prior=prior)


@pytest.mark.parametrize("orders", [0.5, 2, 4])
def test_bounds_hold_the_true_edm(orders: float) -> None:
    """Wherever conjugate gradients are cut off."""
    H, g = spd(60, orders)
    true = 0.5 * g @ np.linalg.solve(H, g)
    before = 0.0
    for k in (5, 10, 20, 40, 60, 120):
        found = edm_by_products(lambda v: H @ v, g, lambda v: v, tolerance=1e-12, max_iterations=k)
        assert before <= found.lower <= true * (1 + 1e-9)
        before = found.lower
        if k >= 40 or orders < 1:  # the smallest Ritz value has come down
            assert found.upper >= true * (1 - 1e-9)
    assert found.upper == pytest.approx(true, rel=1e-4)
    if orders < 4:
        np.testing.assert_allclose(H @ found.step, g, atol=1e-4)


def test_a_direction_that_falls_is_reported() -> None:
    H, g = np.diag([1.0, 2.0, -3.0]), np.ones(3)
    found = edm_by_products(lambda v: H @ v, g, lambda v: v)
    assert found.negative_directions is not None
    assert found.negative_directions @ H @ found.negative_directions <= 0
    assert found.upper == np.inf


def test_no_gradient_is_no_distance() -> None:
    assert edm_by_products(lambda v: v, np.zeros(3), lambda v: v).lower == 0


def test_factors_of_a_single_layer_are_the_matrix(backend: Backend) -> None:
    """Where all events have the same second derivative, G (x) A / n is exact."""
    case = make_case((3, 2), "identity", "identity", n=9)
    S = objective(case, backend)
    weights = S.events.data[1]
    same = Events(S.events.x, (S.events.data[0], 0 * weights + 1.0))
    cost = NetworkCost(Objective(S.network, S.loss, same, backend), n_values=18)
    ((G, A, P),) = cost.kronecker_factors(case.theta)
    np.testing.assert_allclose(np.kron(G, A), cost.gauss_newton(case.theta), rtol=1e-10, atol=1e-10)
    assert not P.any()


def test_coordinates_make_the_approximation_round() -> None:
    """W^T M W = 1 for M = G (x) A / n + P, where P is the same in each row."""
    cost = network_cost()
    theta = glorot(cost.objective.network.layout, np.random.default_rng(1))
    factors = cost.kronecker_factors(theta)
    W = KroneckerCoordinates(factors)
    p = len(theta)
    M, at = np.zeros((p, p)), 0
    for G, A, P in factors:
        size, floor = P.size, 1e-6 * A.max() * np.linalg.eigvalsh(G)[-1]
        M[at : at + size, at : at + size] = np.kron(G, A) + np.diag(np.maximum(P, floor).ravel())
        at += size
    V = np.stack([W.back(e) for e in np.eye(p)], axis=1)
    np.testing.assert_allclose(V.T @ M @ V, np.eye(p), atol=1e-6)
    np.testing.assert_allclose(np.stack([W.forth(e) for e in np.eye(p)], axis=1), V.T, atol=1e-12)


def test_with_a_prior_the_upper_bound_holds_wherever_it_is_cut_off() -> None:
    """The prior says how small an eigenvalue can be that conjugate gradients have not met."""
    cost = network_cost()
    rng = np.random.default_rng(2)
    for seed in range(3):
        theta = glorot(cost.objective.network.layout, np.random.default_rng(seed))
        W, B = KroneckerCoordinates(cost.kronecker_factors(theta)), cost.gauss_newton(theta)
        V = np.stack([W.back(e) for e in np.eye(len(theta))], axis=1)
        assert 0 < W.least < np.linalg.eigvalsh(V.T @ B @ V)[0]
        g = rng.normal(size=len(theta))
        true = 0.5 * g @ np.linalg.solve(B, g)
        for k in (5, 10, 20, 50, 100):
            found = edm_by_products(
                lambda v, B=B: B @ v, g, W.precondition, tolerance=1e-9, max_iterations=k, least=W.least
            )
            assert found.lower <= true * (1 + 1e-9)
            assert found.upper >= true * (1 - 1e-9)
    assert KroneckerCoordinates(network_cost(tau=None).kronecker_factors(theta)).least == np.inf


@pytest.mark.parametrize("tau", [2.0, None])
def test_the_walk_arrives_where_matrices_say_that_it_has(tau: float | None) -> None:
    cost = network_cost(tau=tau)
    start = glorot(cost.objective.network.layout, np.random.default_rng(1))
    before = cost.value_and_gradient(start)[0]
    end, found, saddles = minimize_matrix_free(Tracker(cost), start, edm_goal=1e-4)
    g = cost.value_and_gradient(end.theta)[1]
    assert end.value == cost.value_and_gradient(end.theta)[0] < 0.1 * before
    assert saddles >= 0
    if tau is not None:
        assert end.converged
        H = cost.hessian(end.theta)
        true = 0.5 * g @ np.linalg.solve(H, g)
        assert np.linalg.eigvalsh(H)[0] > 0
        assert found.negative_directions is None
        assert found.lower <= true * (1 + 1e-6)
        assert true <= found.upper * (1 + 1e-6) < 1e-4


def test_by_gauss_newton_where_the_exact_hessian_misses_kinks() -> None:
    cost = network_cost()
    theta = glorot(cost.objective.network.layout, np.random.default_rng(1))
    g, B = cost.value_and_gradient(theta)[1], cost.gauss_newton(theta)
    found = distance(cost, theta, exact=False)
    assert found.lower <= 0.5 * g @ np.linalg.solve(B, g) <= found.upper
    assert distance(cost, theta).negative_directions is not None  # far from a minimum the exact one is indefinite


def test_coordinates_are_kept_as_long_as_they_pay() -> None:
    """At a quadratic's own coordinates L-BFGS needs one round; and a walk of any kind ends at EDM < near."""
    cost = network_cost()
    calls: list[np.ndarray] = []
    original = cost.kronecker_factors
    cost.kronecker_factors = lambda theta: calls.append(theta) or original(theta)  # type: ignore[method-assign, func-returns-value]
    start = glorot(cost.objective.network.layout, np.random.default_rng(1))
    walk = Tracker(cost)
    end = kronecker_lbfgs(walk, start, near=1e-8)
    assert end.converged
    assert end.edm < 1e-8
    g = KroneckerCoordinates(original(calls[-1])).forth(cost.value_and_gradient(end.theta)[1])
    assert end.edm == pytest.approx(0.5 * g @ g, rel=1e-6)
    assert 2 < len(calls) < walk.calls / 15  # fewer than with a change each ten steps
    again = kronecker_lbfgs(Tracker(cost), end.theta, near=1e-7)
    np.testing.assert_array_equal(again.theta, end.theta)
    end = kronecker_lbfgs(Tracker(cost), end.theta, near=1e-11)
    nothing_more = kronecker_lbfgs(Tracker(cost), end.theta, enough=1.0)
    assert not nothing_more.converged
    assert nothing_more.value == pytest.approx(end.value, abs=1e-6)


def test_the_clock_is_looked_at_in_products_too() -> None:
    cost = network_cost()
    walk = Tracker(cost, deadline=0.0)
    for ask in (walk.gauss_newton_product, walk.hessian_product):
        with pytest.raises(StopMinimization, match="max_seconds"):
            ask(np.zeros(cost.npar), np.zeros(cost.npar))
    with pytest.raises(StopMinimization, match="max_seconds"):
        walk.kronecker_factors(np.zeros(cost.npar))


class Saddle:
    """S = -t^2/2 + t^4/4 + u^2/2: at t = 0 a saddle."""

    errordef, epsilon = 1.0, 2.2e-16

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        t, u = theta
        return float(-t * t / 2 + t**4 / 4 + u * u / 2), np.array([t**3 - t, u])

    def hessian_product(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.array([3 * theta[0] ** 2 - 1, 1.0]) * v

    def chi2(self, theta: np.ndarray) -> float:
        return self.value_and_gradient(theta)[0]

    def kronecker_factors(self, theta: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        return [(np.eye(1), np.eye(2), np.zeros((1, 2)))]


@pytest.mark.parametrize(("value", "edm", "leaves"), [(49.0, 1.0, True), (0.0, 1.0, False), (49.0, 1e-4, False)])
def test_a_round_ends_when_its_last_steps_gain_less_than_its_average(value: float, edm: float, leaves: bool) -> None:
    """From 100 to 50 in 10 gradients, then to 49, or to 0, in 10; near the end the coordinates are kept."""
    stays = _Round(near=0.0, close=1e-3, most=np.inf, start=100.0, calls=18, steps=STEPS - 1, checked=(50.0, 10))
    assert stays(value, np.array([np.sqrt(2 * edm)]), 2) != leaves
    assert (stays.calls, stays.edm) == (20, pytest.approx(edm))
    if edm == 1.0:
        assert stays.checked == (value, 20)


@pytest.mark.parametrize(("most", "calls"), [(7, 9), (np.inf, 10_000)])
def test_a_walk_takes_no_more_gradients_than_it_may(most: float, calls: int) -> None:
    """But for those of a step that has begun. A banana's valley takes it longer."""

    class Banana(Saddle):
        def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
            t, u = theta
            bend = u - t * t
            return float(100 * bend**2 + (1 - t) ** 2), np.array([-400 * t * bend - 2 * (1 - t), 200 * bend])

    walk = Tracker(Banana())  # type: ignore[arg-type]
    end = kronecker_lbfgs(walk, np.array([-1.2, 1.0]), near=1e-12, most=most)
    assert walk.calls - 1 <= calls  # one for the start
    assert end.converged == (most == np.inf)


@pytest.mark.parametrize(("dear", "first"), [(541, True), (542, False)])
def test_before_matrices_no_more_gradients_than_they_would_take(
    monkeypatch: pytest.MonkeyPatch, dear: int, first: bool
) -> None:
    """And none in float64 where a matrix costs less than the gradients of a round."""
    asked = []
    monkeypatch.setattr("ffnn_xp.fitting.local_search.DEAR", dear)

    def spy(walk: Tracker, theta: np.ndarray, **options: Any) -> Any:
        asked.append(options)
        return kronecker_lbfgs(walk, theta, **options)

    monkeypatch.setattr("ffnn_xp.fitting.local_search.kronecker_lbfgs", spy)
    model = fx.Model((4, 90, 1), backend="numpy", seed=1)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(100, 4))
    model.fit(x, x[:, 0], 0.1, prior=1.0, restarts=1)
    assert model.n_parameters == 541
    assert [o["most"] for o in asked if "most" in o] == [6 * (60 + 541 / 12)] * first
    assert asked[0]["near"] == pytest.approx(1e-3)  # of what single precision is left at


@pytest.mark.parametrize("start", [[0.02, 0.01], [0.0, 0.0], [0.0, 0.3]])
def test_saddles_are_passed(start: list[float]) -> None:
    """Also from where the gradient has no part in the direction that falls, or there is no gradient."""
    end, found, saddles = minimize_matrix_free(Tracker(Saddle()), np.array(start), edm_goal=1e-6)  # type: ignore[arg-type]
    assert end.converged
    assert end.value == pytest.approx(-0.25, abs=1e-6)
    assert found.negative_directions is None
    assert saddles == (start[0] == 0)


class Flat(Saddle):
    """The same, falling by 2.5e-5."""

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, g = super().value_and_gradient(theta)
        return 1e-4 * value, 1e-4 * g

    def hessian_product(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        return 1e-4 * super().hessian_product(theta, v)


@pytest.mark.parametrize(("start", "called_one"), [([1e-3, 0.0], True), ([0.0, 0.0], False)])
def test_a_fall_that_is_not_worth_following(start: list[float], called_one: bool) -> None:
    """A saddle where the gradient leads to it; the bottom of a valley, as with matrices, where one has to look."""
    found = distance(Flat(), np.array(start), enough=1e-6)  # type: ignore[arg-type]
    assert (found.negative_directions is not None) is called_one
    assert (found.upper == np.inf) is called_one
    assert found.flat is not called_one


def test_a_fall_that_is_not_worth_following_is_not_gone_round() -> None:
    end, found, saddles = minimize_matrix_free(Tracker(Flat()), np.array([1e-3, 0.0]), edm_goal=1.0)  # type: ignore[arg-type]
    assert found.negative_directions is not None
    assert saddles == 0
    assert end.theta.tolist() == [1e-3, 0.0]


class TestFit:
    """With the limit brought down, so that a small network is too large for matrices."""

    def fit(self, monkeypatch: pytest.MonkeyPatch, **options: object) -> tuple[fx.FitResult, fx.FitResult]:
        rng = np.random.default_rng(1)
        x = rng.uniform(-2, 2, 200)
        y = np.sin(2 * x) + 0.1 * rng.normal(size=200)
        options = {"y_err": 0.1, "prior": 2.0, "progress": False, **options}
        with_matrices = fx.Model((1, 8, 1), backend="numpy", seed=1).fit(x, y, **options)  # type: ignore[arg-type]
        monkeypatch.setattr(ffnn_xp.model.fit, "MATRIX_LIMIT", 10)
        model = fx.Model((1, 8, 1), backend="numpy", seed=1)
        without = model.fit(x, y, **options)  # type: ignore[arg-type]
        assert without.covariance is None
        return with_matrices, without

    def test_the_certificate_says_whose_word_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with_matrices, without = self.fit(monkeypatch)
        assert with_matrices.certificate == "MIGRAD"
        assert without.certificate == "conjugate gradients"
        assert without.valid
        assert without.edm_newton <= without.edm < 2e-4
        assert without.chi2 == pytest.approx(with_matrices.chi2, rel=0.05)
        assert "conjugate gradients" in repr(without)
        assert np.isnan(without.errors).all()

    def test_errors_from_the_residuals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with_matrices, without = self.fit(monkeypatch, y_err=None, restarts=3)
        assert without.valid
        np.testing.assert_allclose(without.y_error, with_matrices.y_error, rtol=0.1)

    def test_what_is_no_minimum_is_not_valid(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A distance that is above the goal, and a direction that falls."""
        far = Distance(np.zeros(25), 1.0, 2.0, 7)
        falls = Distance(np.zeros(25), 0.0, np.inf, 7, np.ones(25))
        valley = Distance(np.zeros(25), 1.0, 2.0, 7, flat=True)
        for found, words in ((far, "EDM lies between 1 and 2"), (falls, "curves down"), (valley, "bottom of a valley")):

            def walk(problem, theta, *, found=found, **options):  # type: ignore[no-untyped-def]
                value = problem.value_and_gradient(theta)[0]
                return MinimizerResult(theta, value, found.upper, converged=False), found, 0

            monkeypatch.setattr(ffnn_xp.fitting.local_search, "minimize_matrix_free", walk)
            monkeypatch.setattr(ffnn_xp.model.fit, "MATRIX_LIMIT", 10)
            x = np.linspace(-2, 2, 100)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", fx.FitWarning)
                fit = fx.Model((1, 8, 1), backend="numpy", seed=1).fit(
                    x, np.sin(2 * x), 0.1, prior=2.0, restarts=1, progress=False
                )
            assert not fit.valid
            assert fit.certificate == "none"
            assert words in fit.message

    def test_the_band_is_that_of_the_matrices(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From the same minimum; an upper bound, within one percent of it."""
        x = np.linspace(-2, 2, 100)
        model = fx.Model((1, 8, 1), backend="numpy", seed=1)
        options = {"prior": 2.0, "restarts": 1, "progress": False}
        model.fit(x, np.sin(2 * x), 0.1, **options)
        at = [-2.5, -1.0, 0.3, 3.0]
        _, known = model.predict(at, return_std=True)
        monkeypatch.setattr(ffnn_xp.model.fit, "MATRIX_LIMIT", 10)
        fit = model.fit(x, np.sin(2 * x), 0.1, **options)
        assert fit.certificate == "conjugate gradients"
        _, std = model.predict(at, return_std=True)
        assert np.all(std > known * (1 - 1e-3))
        assert np.all(std < known * 1.02)

    def test_such_a_band_is_not_saved(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        pytest.importorskip("safetensors")
        monkeypatch.setattr(ffnn_xp.model.fit, "MATRIX_LIMIT", 10)
        x = np.linspace(-2, 2, 100)
        model = fx.Model((1, 8, 1), backend="numpy", seed=1)
        model.fit(x, np.sin(2 * x), 0.1, prior=2.0, restarts=1, progress=False)
        model.save(tmp_path / "net.safetensors")
        with pytest.raises(fx.NotFittedError, match="no p x p matrix was formed"):
            fx.load(tmp_path / "net.safetensors").predict(x, return_std=True)
        with pytest.raises(ValueError, match="no error band to save"):
            model.save(tmp_path / "net.safetensors", band=True)
