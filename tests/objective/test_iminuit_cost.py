"""The contract of iminuit: what `Minuit` finds on a cost, and that the numbers it gets from it are right."""

from __future__ import annotations

import copy
import pickle
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import iminuit
import iminuit.cost
import numpy as np
import pytest
from iminuit import Minuit
from iminuit.cost import NormalConstraint

import ffnn_xp as fx
from ffnn_xp.backends import Backend

SIGMA = 0.1


def data(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Two bends with noise: a network of widths 1-2-1 is determined by it."""
    rng = np.random.default_rng(7)
    x = np.linspace(-2, 2, n)
    return x, np.tanh(2 * x - 0.5) - 0.7 * np.tanh(1.2 * x + 1) + SIGMA * rng.normal(size=n)


@pytest.fixture(scope="module")
def fitted() -> tuple[fx.Model, fx.FitResult]:
    model = fx.Model((1, 2, 1), backend="numpy", seed=1)
    return model, model.fit(*data(), SIGMA)


@pytest.fixture
def cost(fitted: tuple[fx.Model, fx.FitResult]) -> fx.LeastSquares:
    return fx.LeastSquares(*data(), SIGMA, fitted[0])


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


def test_what_iminuits_cost_has_and_this_one_has_not(cost: fx.LeastSquares) -> None:
    for name in ("mask", "loss"):
        with pytest.raises(AttributeError, match=r"make another one, of the selected events"):
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


def test_sum_with_constraint(cost: fx.LeastSquares) -> None:
    name, at = "b_L2_L3[0]", float(cost.start[6]) + 0.3
    constraint = NormalConstraint(name, at, 0.02)
    m = Minuit(cost + constraint, cost.start).migrad().hesse()
    assert m.valid
    assert m.parameters == cost.model.names
    assert m.nhessian > 0
    assert abs(m.values[name] - at) < 0.1
    hessian = cost.hessian(np.array(m.values))
    hessian[6, 6] += 2 / 0.02**2
    np.testing.assert_allclose(m.covariance, 2 * np.linalg.inv(hessian), rtol=1e-8)


def test_sum_that_iminuit_makes_itself(cost: fx.LeastSquares) -> None:
    """``constraint + cost`` is iminuit's own sum: it orders the names its way, and wants numbers, not a vector."""
    name, at = "b_L2_L3[0]", float(cost.start[6]) + 0.3
    total = NormalConstraint(name, at, 0.02) + cost
    m = Minuit(total, **dict(zip(cost.model.names, cost.start, strict=True))).migrad()
    assert m.valid
    ours = Minuit(cost + NormalConstraint(name, at, 0.02), cost.start).migrad()
    assert m.fval == pytest.approx(ours.fval, abs=2e-3)


def test_sum_with_fixed_parameters(cost: fx.LeastSquares) -> None:
    m = Minuit(cost + NormalConstraint("a_L1_L2[0,0]", float(cost.start[0]), 0.05), cost.start)
    m.fixed[2] = True
    m.migrad().hesse()
    free = [0, 1, 3, 4, 5, 6]
    H = cost.hessian(np.array(m.values))
    H[0, 0] += 2 / 0.05**2
    expected = 2 * np.linalg.inv(H[np.ix_(free, free)])
    np.testing.assert_allclose(np.array(m.covariance)[np.ix_(free, free)], expected, rtol=1e-8)


def test_sum_with_a_parametric_model_that_shares_nothing(cost: fx.LeastSquares) -> None:
    line = iminuit.cost.LeastSquares([0.0, 1.0, 2.0], [1.0, 3.1, 4.9], 0.1, lambda x, slope, const: const + slope * x)
    total = cost + line
    assert total.npar == 9
    assert not total.has_hessian
    m = Minuit(total, np.append(cost.start, [1.0, 0.0]))
    m.migrad()
    assert m.valid
    assert m.values["slope"] == pytest.approx(1.95, abs=1e-3)
    assert m.nfcn < 2000
    assert total(np.array(m.values)) == pytest.approx(
        cost(np.array(m.values)[:7]) + line(m.values["slope"], m.values["const"]), rel=1e-12
    )
    with pytest.raises(ValueError, match="no second derivative in closed form"):
        total.hessian(np.array(m.values))


def test_sums_of_several_and_of_numbers(cost: fx.LeastSquares) -> None:
    theta = cost.start
    assert sum([cost, cost])(theta) == pytest.approx(2 * cost(theta))
    assert (cost + cost + 5)(theta) == pytest.approx(2 * cost(theta) + 5)
    np.testing.assert_allclose((cost + cost).hessian(theta), 2 * cost.hessian(theta))
    np.testing.assert_allclose((cost + cost).g2(theta), np.diag(2 * cost.hessian(theta)))


def test_model_serves_iminuits_own_cost(fitted: tuple[fx.Model, fx.FitResult]) -> None:
    model, fit = fitted
    plain = iminuit.cost.LeastSquares(*data(), SIGMA, model)
    assert Minuit(plain, np.array(fit.parameters)).parameters == model.names
    assert plain(*fit.parameters) == pytest.approx(fit.fval, rel=1e-12)
    m = Minuit(plain, np.array(fit.parameters) * 1.001).migrad()
    assert m.fval == pytest.approx(fit.fval, abs=1e-3)


def test_pulls_prediction_and_data(cost: fx.LeastSquares) -> None:
    x, y = data()
    theta = cost.start
    np.testing.assert_allclose(cost.prediction(theta), cost.model(x), rtol=1e-14)
    np.testing.assert_allclose(cost.pulls(theta), (y - cost.prediction(theta)) / SIGMA, rtol=1e-12)
    assert np.sum(cost.pulls(theta) ** 2) == pytest.approx(cost(theta), rel=1e-12)
    np.testing.assert_allclose(cost.y, y)
    np.testing.assert_allclose(cost.yerror, np.full(120, SIGMA))
    np.testing.assert_allclose(cost.x, x[:, None])


@pytest.mark.parametrize(("d", "k"), [(1, 1), (1, 2), (3, 2)])
def test_visualize_draws_data_and_curve(d: int, k: int) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    rng = np.random.default_rng(1)
    model = fx.Model((d, 2, k), backend="numpy", seed=1)
    x = rng.normal(size=(20, d))
    cost = fx.LeastSquares(x, rng.normal(size=(20, k)), 0.5, model)
    figure = plt.figure()
    (_, y, _), (_, curve) = cost.visualize(cost.start)
    assert len(figure.axes[0].lines) > k
    assert y.shape[0] == 20
    assert np.all(np.isfinite(curve))
    plt.close(figure)


@pytest.mark.parametrize("k", [1, 3])
def test_errors_per_value_event_output_and_scalar(k: int) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(9, 2)), rng.normal(size=(9, k))
    model = fx.Model((2, 4, k), backend="numpy", seed=1)
    residual = np.reshape(model(x), (9, k)) - y
    for error in (0.3, rng.uniform(0.1, 1, (9, 1)), rng.uniform(0.1, 1, (9, k)), rng.uniform(0.1, 1, (1, k))):
        given = error[:, 0] if np.ndim(error) and error.shape == (9, 1) else np.squeeze(error)
        cost = fx.LeastSquares(x, y, given if np.ndim(given) else float(given), model)
        assert cost(cost.start) == pytest.approx(np.sum((residual / error) ** 2), rel=1e-12)
    weights = rng.uniform(0.5, 2, 9)
    cost = fx.LeastSquares(x, y, 0.3, model, weights=weights)
    assert cost(cost.start) == pytest.approx(np.sum(weights[:, None] * (residual / 0.3) ** 2), rel=1e-12)


def test_float32_declares_its_precision() -> None:
    x, y = data()
    model = fx.Model((1, 2, 1), backend="numpy", dtype="float32", seed=1)
    model.fit(x, y, SIGMA)
    cost = fx.LeastSquares(x, y, SIGMA, model)
    m = Minuit(cost, cost.start)
    assert m.precision == pytest.approx(8 * np.finfo(np.float32).eps)
    assert m.migrad().valid
    assert fx.LeastSquares(x, y, SIGMA, fx.Model((1, 2, 1), backend="numpy")).precision is None


@pytest.mark.parametrize(("hidden", "remembered"), [(2, 4), (20_000, 1)])
def test_the_last_points_are_remembered(hidden: int, remembered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four; of a large network, whose gradients are long, one."""
    cost = fx.LeastSquares(*data(3), SIGMA, fx.Model((1, hidden, 1), backend="numpy", seed=1))
    asked = []
    original = type(cost.objective).value_and_gradient
    monkeypatch.setattr(
        type(cost.objective), "value_and_gradient", lambda self, theta: [asked.append(1), original(self, theta)][1]
    )
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


def test_widths_left_open_are_read_from_the_data(backend: Backend) -> None:
    model = fx.Model(backend=backend, seed=1)
    cost = fx.LeastSquares(np.ones((5, 3)), np.ones((5, 2)), 1.0, model)
    assert model.layers == (3, 10, 2)
    assert cost.npar == model.n_parameters == 62


def test_no_warning_at_any_step(cost: fx.LeastSquares) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m = Minuit(cost, cost.start).migrad().hesse()
        m.minos("b_L2_L3[0]")
    assert m.merrors["b_L2_L3[0]"].is_valid


def test_yerror_is_needed() -> None:
    with pytest.raises(ValueError, match="`yerror` is needed"):
        fx.LeastSquares([0.0], [1.0], None, fx.Model((1, 1)))
