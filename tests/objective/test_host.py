"""The contract of iminuit: what `Minuit` finds on a cost, and that the numbers it gets from it are right."""

from __future__ import annotations

import copy
import pickle
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import iminuit
import iminuit.cost
import numpy as np
import pytest
from iminuit import Minuit

import ffnn_xp as fx

from .two_bends import SIGMA, data


def plain_chi2(theta: np.ndarray) -> float:
    """The same chi-square in five lines of NumPy that know nothing of the library."""
    x, y = data()
    a1, b1, a2, b2 = theta[[0, 2]], theta[[1, 3]], theta[[4, 5]], theta[6]
    hidden = np.tanh(np.outer(a1, x) + b1[:, None])
    return float(np.sum(((a2 @ hidden + b2 - y) / SIGMA) ** 2))


def test_minuit_needs_no_keywords(cost: fx.LeastSquares) -> None:
    m = Minuit(cost, cost.start + 0.01)
    assert m.parameters == cost.model.names
    assert m.errordef == 1.0
    m.migrad()
    assert m.valid
    assert m.accurate
    assert m.ndof == 120 - 7
    assert m.ngrad > 0
    assert m.nhessian > 0
    assert m.nfcn < 100  # a numerical gradient alone would take 14 for each of the others


def test_agrees_with_minuit_on_plain_numpy(cost: fx.LeastSquares) -> None:
    plain = Minuit(plain_chi2, cost.start)
    plain.errordef = 1.0
    plain.strategy = 2
    plain.migrad().hesse()
    ours = Minuit(cost, cost.start).migrad().hesse()
    assert ours.fval == pytest.approx(plain.fval, rel=1e-9)
    best = np.array(ours.values)
    steps = 0.01 * np.sqrt(2 / np.diag(cost.hessian(best)))  # S rises by 1e-4: far above rounding, far below its cubes

    def second(i: int, j: int) -> float:
        a, b = steps[i] * np.eye(7)[i], steps[j] * np.eye(7)[j]
        corners = plain_chi2(best + a + b) - plain_chi2(best + a - b) - plain_chi2(best - a + b)
        return (corners + plain_chi2(best - a - b)) / (4 * steps[i] * steps[j])

    H = np.array([[second(i, j) for j in range(7)] for i in range(7)])
    np.testing.assert_allclose(ours.covariance, 2 * np.linalg.inv(H), rtol=2e-3)
    np.testing.assert_allclose(ours.values, plain.values, atol=1e-2 * np.max(plain.errors))


def test_accepts_a_vector_or_numbers(cost: fx.LeastSquares) -> None:
    theta = cost.start
    assert cost(theta) == cost(*theta) == cost(list(theta)) == pytest.approx(plain_chi2(theta), rel=1e-13)
    np.testing.assert_array_equal(cost.grad(theta), cost.grad(*theta))
    with pytest.raises(ValueError, match="expected 7 parameters"):
        cost(theta[:3])


def test_callers_may_write_into_what_they_get(cost: fx.LeastSquares) -> None:
    theta = cost.start
    for f in (cost.grad, cost.hessian, cost.g2, cost.gauss_newton):
        first = f(theta)
        expected = first.copy()
        first[...] = 0
        np.testing.assert_array_equal(f(theta), expected)


@pytest.mark.parametrize("strategy", [0, 1, 2])
@pytest.mark.parametrize("fixed", [[0], [3], [6], [0, 4], [1, 2, 5]])
def test_fixed_parameters_have_the_right_covariance(cost: fx.LeastSquares, strategy: int, fixed: list[int]) -> None:
    m = Minuit(cost, cost.start)
    m.strategy = strategy
    for i in fixed:
        m.fixed[i] = True
    m.migrad().hesse()
    free = [i for i in range(7) if i not in fixed]
    expected = 2 * np.linalg.inv(cost.hessian(np.array(m.values))[np.ix_(free, free)])
    np.testing.assert_allclose(np.array(m.covariance)[np.ix_(free, free)], expected, rtol=1e-8)
    assert m.valid


def test_released_parameters_too(cost: fx.LeastSquares) -> None:
    m = Minuit(cost, cost.start)
    m.fixed[0] = True
    m.migrad().hesse()
    m.fixed[0] = False
    m.migrad().hesse()
    expected = 2 * np.linalg.inv(cost.hessian(np.array(m.values)))
    np.testing.assert_allclose(m.covariance, expected, rtol=1e-8)


def test_start_with_negative_curvature_or_dead_units() -> None:
    x, y = data()
    model = fx.Model((1, 3, 1), activation="relu", backend="numpy", seed=2)
    theta = np.array(model.parameters)
    theta[1] = -50.0  # the first unit is off everywhere: its rows of the Hessian are zero
    cost = fx.LeastSquares(x, y, SIGMA, model)
    assert np.any(np.diag(cost.hessian(theta)) == 0)
    assert Minuit(cost, theta).migrad().fval < cost(theta)
    tanh = fx.Model((1, 3, 1), backend="numpy", seed=3)
    cost = fx.LeastSquares(x, y, SIGMA, tanh)
    starts = np.random.default_rng(3).normal(size=(50, 10))
    start = next(s for s in starts if np.any(np.diag(cost.hessian(s)) < 0))
    assert Minuit(cost, start).migrad().fval < cost(start)


@pytest.mark.parametrize("fixed", [None, 0])
@pytest.mark.parametrize("limits", [(2.0, None), (None, -2.0), (2.0, 9.0), (-9.0, -2.0), (-50.0, 50.0), (-50.0, None)])
def test_limits(cost: fx.LeastSquares, limits: tuple[float | None, float | None], fixed: int | None) -> None:
    """In units of the error, active and not, one- and two-sided: as MINUIT finds it without our Hessian."""
    best = cost.start
    error = np.sqrt(np.diag(2 * np.linalg.inv(cost.hessian(best))))[6]
    low, high = (None if v is None else best[6] + v * error for v in limits)
    ends = []
    for m in (Minuit(cost, best), Minuit(cost, best, hessian=False, g2=cost.g2)):
        m.limits[6] = (low, high)
        m.values[6] = np.clip(best[6], (low or -np.inf) + 0.5 * error, (high or np.inf) - 0.5 * error)
        if fixed is not None:
            m.fixed[fixed] = True
        ends.append(m.migrad())
    assert ends[0].valid
    assert ends[0].fval == pytest.approx(ends[1].fval, abs=0.02)


def test_a_hessian_wrapped_by_somebody_else(cost: fx.LeastSquares) -> None:
    """A Minuit of two parameters that asks for our matrix of seven gets it as it is."""
    seen = []

    def wrapped(v: np.ndarray) -> np.ndarray:
        H = cost.hessian(np.append(v, cost.start[2:]))
        seen.append(H)
        return H[:2, :2]

    m = Minuit(
        lambda v: cost(np.append(v, cost.start[2:])), cost.start[:2],
        grad=lambda v: cost.grad(np.append(v, cost.start[2:]))[:2], hessian=wrapped,
    )  # fmt: skip
    m.migrad().hesse()
    np.testing.assert_array_equal(seen[-1], cost.hessian(np.append(np.array(m.values), cost.start[2:])))


def test_the_data_of_a_fit_cannot_be_set(fitted: tuple[fx.Model, fx.FitResult]) -> None:
    for cost in (fitted[1].cost, fitted[1].raw_cost):
        for name in ("mask", "loss", "weights"):
            with pytest.raises(AttributeError, match=r"those of a fit: make a cost of your own, such as LeastSquares"):
                setattr(cost, name, None)


def test_copies_and_pickles_after_use(cost: fx.LeastSquares, fitted: tuple[fx.Model, fx.FitResult]) -> None:
    theta = cost.start
    expected = cost(theta), cost.hessian(theta)
    for copied in (pickle.loads(pickle.dumps(cost)), copy.deepcopy(cost), pickle.loads(pickle.dumps(cost + 1.0))[0]):
        assert copied(theta) == expected[0]
        np.testing.assert_array_equal(copied.hessian(theta), expected[1])
    fit = pickle.loads(pickle.dumps(fitted[1]))
    np.testing.assert_array_equal(fit.parameters, fitted[1].parameters)
    assert fit.minuit.migrad().valid


def test_threads_share_a_cost(cost: fx.LeastSquares) -> None:
    points = [cost.start + 1e-3 * i for i in range(20)]
    expected = [cost(p) for p in points]
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(cost, points * 20)) == expected * 20
    finally:
        sys.setswitchinterval(switch)


def test_model_serves_iminuits_own_cost(fitted: tuple[fx.Model, fx.FitResult]) -> None:
    model, fit = fitted
    plain = iminuit.cost.LeastSquares(*data(), SIGMA, model)
    assert Minuit(plain, np.array(fit.parameters)).parameters == model.names
    assert plain(*fit.parameters) == pytest.approx(fit.fval, rel=1e-12)
    m = Minuit(plain, np.array(fit.parameters) * 1.001).migrad()
    assert m.fval == pytest.approx(fit.fval, abs=1e-3)


def test_float32_declares_its_precision() -> None:
    x, y = data()
    model = fx.Model((1, 2, 1), backend="numpy", dtype="float32", seed=1)
    model.fit(x, y, SIGMA, prior=None)
    cost = fx.LeastSquares(x, y, SIGMA, model)
    m = Minuit(cost, cost.start)
    assert m.precision == pytest.approx(8 * np.finfo(np.float32).eps)
    assert m.migrad().valid
    assert fx.LeastSquares(x, y, SIGMA, fx.Model((1, 2, 1), backend="numpy")).precision is None


@pytest.mark.parametrize(("hidden", "remembered"), [(2, 4), (20_000, 1)])
def test_the_last_points_are_remembered(hidden: int, remembered: int, before_each: Callable[..., None]) -> None:
    """Four; of a large network, whose gradients are long, one."""
    cost = fx.LeastSquares(*data(3), SIGMA, fx.Model((1, hidden, 1), backend="numpy", seed=1))
    asked: list[np.ndarray] = []
    before_each(asked.append, "value_and_gradient")
    points = [cost.start + i for i in range(5)]
    first = [cost.value_and_gradient(point) for point in points]
    for i in reversed(range(5)):
        asked.clear()
        value, gradient = cost.value_and_gradient(points[i])
        assert len(asked) == (i < 5 - remembered)
        assert value == first[i][0]
        np.testing.assert_array_equal(gradient, first[i][1])


def test_gradients_are_the_callers_to_write_to(cost: fx.LeastSquares) -> None:
    expected = cost.grad(cost.start)
    for _ in range(3):  # the first is computed, the others are remembered
        _, gradient = cost.value_and_gradient(cost.start)
        np.testing.assert_array_equal(gradient, expected)
        gradient[:] = np.nan


def test_verbose_prints_calls(capsys: pytest.CaptureFixture[str]) -> None:
    cost = fx.LeastSquares([0.0, 1.0], [0.0, 1.0], 1.0, fx.Model((1, 1), backend="numpy", seed=1), verbose=1)
    cost(1.0, 0.0)
    assert "-> 0.0" in capsys.readouterr().out


def test_no_warning_at_any_step(cost: fx.LeastSquares) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m = Minuit(cost, cost.start).migrad().hesse()
        m.minos("b_L2_L3[0]")
    assert m.merrors["b_L2_L3[0]"].is_valid


def test_a_sample_has_its_share_of_the_prior() -> None:
    """S of some events by the statistic's own definition, and of all events S itself."""
    x, y = data()
    model = fx.Model((1, 2, 1), backend="numpy", seed=1)
    fit = model.fit(x, y, SIGMA, prior=3.0, restarts=1)
    cost, theta = fit.raw_cost, fit.parameters + 0.1
    assert cost.prior is not None
    some, rows = cost.sample(40, np.random.default_rng(3)), np.random.default_rng(3).choice(120, 40, replace=False)
    pulls = (np.asarray(model(x[rows], theta)) - y[rows]) / SIGMA
    assert some.value_and_gradient(theta)[0] == pytest.approx(pulls @ pulls + cost.prior.value(theta) / 3, rel=1e-9)
    assert some.ndata == 40
    every = cost.sample(120, np.random.default_rng(3))
    np.testing.assert_array_equal(every.value_and_gradient(theta)[1], cost.value_and_gradient(theta)[1])
