"""Measured values at inputs that are uncertain: against closed forms, automatic differentiation, toys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from iminuit import Minuit

import ffnn_xp as fx
from ffnn_xp import Backend
from ffnn_xp.losses import EffectiveVarianceLoss
from ffnn_xp.objective.chunking import SumKind

N = 23


class Data:
    """Two outputs of three inputs, the middle one of which is known exactly."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.x = rng.normal(size=(N, 3))
        self.y = rng.normal(size=(N, 2))
        self.y_err = rng.uniform(0.5, 2, (N, 2))
        self.x_err = rng.uniform(0.1, 0.5, (N, 3)) * [1, 0, 1]
        self.x_err[4, 0] = 0.0
        self.weights = rng.uniform(0.5, 2, N)
        self.theta = rng.normal(size=26)


def _cost(backend: Backend) -> fx.LeastSquares:
    d = Data()
    model = fx.Model((3, 4, 2), backend=backend, seed=1)
    return fx.LeastSquares(d.x, d.y, d.y_err, model, xerror=d.x_err, weights=d.weights)


def _deming(x: np.ndarray, y: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept of the line in closed form; `ratio` is that of the variances of y and x."""
    mx, my = x.mean(axis=-1), y.mean(axis=-1)
    xx, yy = x.var(axis=-1), y.var(axis=-1)
    xy = ((x - mx[..., None]) * (y - my[..., None])).mean(axis=-1)
    slope = (yy - ratio * xx + np.sqrt((yy - ratio * xx) ** 2 + 4 * ratio * xy**2)) / (2 * xy)
    return slope, my - slope * mx


def test_a_straight_line_is_demings() -> None:
    rng = np.random.default_rng(3)
    true = rng.uniform(-1, 1, 60)
    x, y = true + 0.2 * rng.normal(size=60), 3 * true + 1 + 0.3 * rng.normal(size=60)
    fit = fx.Model((1, 1), seed=1).fit(x, y, 0.3, x_err=0.2, prior=None)
    assert fit.valid
    assert fit.covariance is not None
    off = fit.parameters - np.ravel(_deming(x, y, (0.3 / 0.2) ** 2))
    assert fit.edm_newton < 1e-10  # S, by finite differences, is good to so much
    assert off @ np.linalg.solve(fit.covariance, off) == pytest.approx(fit.edm_newton, rel=1e-3, abs=1e-17)
    assert fit.chi2 == pytest.approx(
        np.sum((y - fit.parameters @ [x, 1 + 0 * x]) ** 2) / (0.09 + 0.04 * fit.parameters[0] ** 2)
    )


@pytest.mark.slow
def test_errors_of_a_line_are_as_wide_as_its_toys_scatter() -> None:
    """Toys of x and y around true points, which the fit does not know: no slope is lost, and errors are right."""
    rng = np.random.default_rng(4)
    true = np.linspace(-1, 1, 50)
    x, y = true + 0.2 * rng.normal(size=(4000, 50)), 2 * true + 1 + 0.3 * rng.normal(size=(4000, 50))
    slope, intercept = _deming(x, y, (0.3 / 0.2) ** 2)
    fits = [fx.Model((1, 1), seed=1).fit(x[i], y[i], 0.3, x_err=0.2, prior=None) for i in range(40)]
    np.testing.assert_allclose(np.median([f.errors for f in fits], axis=0), [slope.std(), intercept.std()], rtol=0.1)
    plain = fx.Model((1, 1), seed=1).fit(x.ravel(), y.ravel(), 0.3, prior=None)
    whole = fx.Model((1, 1), seed=1).fit(x.ravel(), y.ravel(), 0.3, x_err=0.2, prior=None)
    assert whole.parameters[0] == pytest.approx(2, abs=3 * whole.errors[0])
    assert plain.parameters[0] < 1.85  # diluted, by var(x) / (var(x) + 0.04)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_value_and_derivatives_by_automatic_differentiation() -> None:
    torch = pytest.importorskip("torch")
    d = Data()
    x, y, x_err, y_err, w = map(torch.from_numpy, (d.x, d.y, d.x_err, d.y_err, d.weights))

    def network(theta: Any, x: Any) -> Any:
        A, B = theta[:16].reshape(4, 4), theta[16:].reshape(2, 5)
        return B[:, :4] @ torch.tanh(A[:, :3] @ x + A[:, 3]) + B[:, 4]

    def one(theta: Any, x: Any, y: Any, x_err: Any, y_err: Any) -> Any:
        slopes = torch.func.jacfwd(network, argnums=1)(theta, x)
        return ((network(theta, x) - y) ** 2 / (y_err**2 + ((slopes * x_err) ** 2).sum(dim=1))).sum()

    each = torch.vmap(one, in_dims=(None, 0, 0, 0, 0))

    def statistic(theta: Any) -> Any:
        return (w * each(theta, x, y, x_err, y_err)).sum()

    cost, theta = _cost(fx.get_backend("numpy")), torch.from_numpy(d.theta)
    gradient, hessian = torch.func.grad(statistic)(theta).numpy(), torch.func.hessian(statistic)(theta).numpy()
    assert cost(d.theta) == pytest.approx(float(statistic(theta)), rel=1e-9)
    np.testing.assert_allclose(cost.grad(d.theta), gradient, rtol=1e-8, atol=1e-9 * np.abs(gradient).max())
    np.testing.assert_allclose(cost.hessian(d.theta), hessian, atol=1e-8 * np.abs(hessian).max())
    events = torch.func.jacrev(each)(theta, x, y, x_err, y_err).numpy() * d.weights[:, None]
    scores = cost.scores(d.theta)
    np.testing.assert_allclose(scores, events.T @ events, atol=1e-8 * np.abs(scores).max())


def test_derivatives_are_those_of_each_other(backend: Backend) -> None:
    cost, theta = _cost(backend), Data().theta
    numpy = _cost(fx.get_backend("numpy"))
    v = np.random.default_rng(2).normal(size=26)
    assert cost(theta) == pytest.approx(numpy(theta), rel=1e-9)
    np.testing.assert_allclose(cost.grad(theta), numpy.grad(theta), rtol=1e-8, atol=1e-8)
    H, G = cost.hessian(theta), cost.gauss_newton(theta)
    np.testing.assert_allclose(H, numpy.hessian(theta), atol=1e-8 * np.abs(H).max())
    np.testing.assert_allclose(cost.hessian_product(theta, v), H @ v, atol=1e-9 * np.abs(H @ v).max())
    np.testing.assert_allclose(cost.gauss_newton_product(theta, v), G @ v, atol=1e-9 * np.abs(G @ v).max())
    assert np.linalg.eigvalsh(G).min() > -1e-9 * np.abs(G).max()


def test_gauss_newton_is_that_of_the_pulls() -> None:
    """G = 2 Z^T Z with the pulls' derivatives Z, here by differences; weights are in the pulls."""
    cost, theta = _cost(fx.get_backend("numpy")), Data().theta
    h = 1e-6 * np.eye(26)
    Z = np.stack([(cost.pulls(theta + e) - cost.pulls(theta - e)).ravel() / 2e-6 for e in h], axis=1)
    G = cost.gauss_newton(theta)
    np.testing.assert_allclose(G, 2 * Z.T @ Z, atol=1e-6 * np.abs(G).max())
    assert cost(theta) == pytest.approx(np.sum(cost.pulls(theta) ** 2), rel=1e-9)


def test_a_small_block_gives_the_same() -> None:
    cost, theta = _cost(fx.get_backend("numpy")), Data().theta
    whole = cost.objective.hessian(theta)
    small = type(cost.objective)(
        cost.objective.network, cost.statistic, cost.objective.events, cost.objective.backend, chunk_size=3
    )
    np.testing.assert_allclose(small.hessian(theta), whole, rtol=1e-9, atol=1e-9 * np.abs(whole).max())
    np.testing.assert_allclose(small.value_and_gradient(theta), cost.objective.value_and_gradient(theta), rtol=1e-9)


@pytest.mark.slow
def test_a_curve_is_found_where_plain_least_squares_is_misled() -> None:
    rng = np.random.default_rng(1)
    true = rng.uniform(-2, 2, 400)
    x, y = true + 0.08 * rng.normal(size=400), np.tanh(2 * true) + 0.05 * rng.normal(size=400)
    model = fx.Model((1, 3, 1), seed=1)
    fit = model.fit(x, y, 0.05, x_err=0.08, prior=3.0)
    assert fit.valid
    assert 0.8 < fit.chi2 / fit.ndof < 1.2
    inner = np.linspace(-1.5, 1.5, 31)
    mean, std = model.predict(inner, return_std=True)
    z = (mean - np.tanh(2 * inner)) / std
    assert np.sqrt(np.mean(z**2)) < 2
    plain = fx.Model((1, 3, 1), seed=1).fit(x, y, 0.05, prior=3.0)
    assert plain.chi2 / plain.ndof > 2
    toys = fit.goodness(30, seed=1)
    assert toys.n_toys > 20
    assert toys.p_toys > 0.02
    assert toys.pulls.std() == pytest.approx(1, abs=0.15)


def test_toys_scatter_by_the_effective_variance() -> None:
    x = np.linspace(-1, 1, 30)
    model = fx.Model.from_matrices([([[2.0]], [1.0])])
    toys = model.fit_replicas(x, 2 * x + 1, 0.3, x_err=0.2, number=600, seed=1)
    assert toys.valid.all()
    fit = model.fit(x, 2 * x + 1, 0.3, x_err=0.2, prior=None)
    np.testing.assert_allclose(toys.parameters.std(axis=0), fit.errors, rtol=0.1)


@pytest.mark.slow
def test_no_errors_and_zeros_are_the_plain_chi_square() -> None:
    x, y = np.linspace(0, 1, 20), np.linspace(1, 3, 20) ** 2
    plain = fx.Model((1, 2, 1), seed=1).fit(x, y, 0.1, prior=3.0)
    for zero in (0, 0.0, np.zeros(20), np.zeros((20, 1))):
        same = fx.Model((1, 2, 1), seed=1).fit(x, y, 0.1, x_err=zero, prior=3.0)
        np.testing.assert_array_equal(same.parameters, plain.parameters)


def test_only_inputs_with_errors_cost_columns() -> None:
    cost = _cost(fx.get_backend("numpy"))
    assert cost.statistic == EffectiveVarianceLoss((0, 2))
    assert cost.data.x.shape == (3, 5 * N)
    np.testing.assert_array_equal(cost.x, Data().x)
    np.testing.assert_array_equal(cost.xerror, Data().x_err)
    assert cost.ndata == 2 * N
    assert cost.prediction(Data().theta).shape == (N, 2)


@pytest.mark.parametrize("x_err", [0.2, [0.2, 0.2, 0.2], np.full((N, 3), 0.2), np.full(N, 0.2), np.full((N, 1), 0.2)])
def test_shapes_of_errors(x_err: Any) -> None:
    d = Data()
    cost = fx.LeastSquares(d.x, d.y, d.y_err, fx.Model((3, 4, 2), seed=1), xerror=x_err)
    full = fx.LeastSquares(d.x, d.y, d.y_err, fx.Model((3, 4, 2), seed=1), xerror=np.full((N, 3), 0.2))
    assert cost(d.theta) == full(d.theta)


def test_a_mask_selects_errors_too() -> None:
    d, use = Data(), np.arange(N) % 3 > 0
    d.x_err[~use] = np.nan
    one = fx.Model((3, 2, 2), seed=1).fit(d.x, d.y, d.y_err, x_err=d.x_err, mask=use, prior=1.0)
    two = fx.Model((3, 2, 2), seed=1).fit(d.x[use], d.y[use], d.y_err[use], x_err=d.x_err[use], prior=1.0)
    np.testing.assert_array_equal(one.parameters, two.parameters)


def test_the_sandwich_and_the_profile_work() -> None:
    rng = np.random.default_rng(6)
    true = np.linspace(-1, 1, 80)
    x, y = true + 0.1 * rng.normal(size=80), true**2 + 0.1 * rng.normal(size=80)
    fit = fx.Model((1, 2, 1), seed=1).fit(x, y, 0.1, x_err=0.1, prior=3.0, covariance="sandwich")
    assert fit.valid
    plain = fx.Model((1, 2, 1), seed=1).fit(x, y, 0.1, x_err=0.1, prior=3.0)
    ratio = fit.errors / plain.errors
    assert np.all((ratio > 0.5) & (ratio < 2))
    linear, profile = (plain.band(true[::20], cl=0.68, method=way) for way in ("linear", "profile"))
    np.testing.assert_allclose(profile.high - profile.low, linear.high - linear.low, rtol=0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x_err": -0.1}, "`x_err` must be finite and not negative, got -0.1"),
        ({"x_err": [0.1, np.nan, 0.1]}, "`x_err` must be finite and not negative, got nan in row 1"),
        ({"x_err": np.ones((3, 2))}, r"`x_err` must be one number, or have shape \(1,\) or \(n, 1\), got \(3, 2\)"),
        ({"x_err": np.ones(4)}, r"`x_err` must be one number, \(3,\) for one per event"),
        ({"x_err": 0.1, "y_err": None}, "`x_err` needs `y_err`"),
        ({"x_err": 0.1, "loss": "huber"}, "`x_err` is for least squares with independent errors, not for 'huber'"),
        ({"x_err": 0.1, "y_err": None, "y_cov": np.eye(3)}, "`x_err` is for least squares with independent errors"),
    ],
)
def test_what_is_refused_says_why(options: dict[str, Any], message: str) -> None:
    model = fx.Model((1, 1), seed=1)
    before = model.parameters
    with pytest.raises(ValueError, match=message):
        model.fit([0.0, 1.0, 2.0], [1.0, 2.0, 3.5], **{"y_err": 0.1, **options})
    np.testing.assert_array_equal(model.parameters, before)


def test_bins_single_precision_and_functions_are_refused() -> None:
    x, y = [0.0, 1.0, 2.0], [1.0, 2.0, 3.5]
    with pytest.raises(ValueError, match="beside Bins"):
        fx.Model((1, 1), seed=1).fit(fx.Bins([0.0, 1.0, 2.0, 3.0]), y, 0.1, x_err=0.1, prior=None)
    with pytest.raises(ValueError, match="dtype='float64', got 'float32'"):
        fx.LeastSquares(x, y, 0.1, fx.Model((1, 1), seed=1, dtype="float32"), xerror=0.1)
    cost = fx.LeastSquares(x, y, 0.1, fx.Model((1, 1), seed=1), xerror=0.1)
    with pytest.raises(ValueError, match="not to measured values with errors in x"):
        fx.PlusFunction(cost, lambda x, a: a * x, a=1.0)


def test_minuit_finds_the_same_with_a_plain_minuit_object() -> None:
    x, y = np.linspace(-1, 1, 40), np.linspace(-1, 1, 40) ** 3
    model = fx.Model((1, 2, 1), seed=1)
    fit = model.fit(x, y, 0.1, x_err=0.05, prior=3.0)
    cost = fx.LeastSquares(x, y, 0.1, model, xerror=0.05, prior=fit.minuit.fcn._fcn.prior)
    assert Minuit(cost, fit.parameters).migrad().fval == pytest.approx(fit.fval, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 2])
def test_bins_and_errors_are_drawn(d: int) -> None:
    """One point for each bin at its middle, in units of the density; bars across where x has errors."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    edges = [np.array([0.0, 1.0, 3.0, 4.0])] * d
    bins = fx.Bins(*edges)
    model = fx.Model((d, 1), seed=1)
    model.parameters = [*[0.0] * d, 2.0]
    pyplot.figure()
    (x, y, _), (_, curve) = fx.LeastSquares(bins, 2 * bins.volume, 0.1, model).visualize(model.parameters)
    np.testing.assert_allclose(x, bins.centers[:, 0] if d == 1 else np.full(9, 2.0), atol=1e-12)
    np.testing.assert_allclose(y, 2)
    np.testing.assert_allclose(curve, 2)
    pyplot.close()
    pyplot.figure()
    points = np.linspace(0, 1, 3 * d).reshape(3, d)
    fx.LeastSquares(points, [2.0, 2.0, 2.0], 0.1, model, xerror=0.2).visualize(model.parameters)
    bars = pyplot.gca().containers[0]
    assert bars.has_yerr
    assert bars.has_xerr == (d == 1)
    pyplot.close()


@pytest.mark.slow
def test_what_follows_a_fit_knows_of_the_columns() -> None:
    """Units react at events, not at columns; coverage by toys; no density, since new x have errors too."""
    x = np.linspace(-1, 1, 60)
    model = fx.Model((1, 2, 1), seed=1)
    fit = model.fit(x, np.tanh(2 * x), 0.05, x_err=0.05, prior=3.0)
    np.testing.assert_array_equal(fit.cost.active_events(fit.standardised), [60, 60])
    assert not fit.report().dead
    coverage = fit.coverage(x[::10], number=60, seed=1)
    assert abs(coverage.averaged[0] - 0.683) < 0.15
    with pytest.raises(fx.NotFittedError, match="at known inputs"):
        model.interval(0.3)


def test_coordinates_are_those_of_the_plain_chi_square_where_errors_are_small() -> None:
    """Kronecker factors are means over columns, of which an event has five here; blocks are a fifth as long."""
    d = Data()
    plain = fx.LeastSquares(d.x, d.y, d.y_err, fx.Model((3, 4, 2), seed=1), weights=d.weights)
    small = fx.LeastSquares(d.x, d.y, d.y_err, fx.Model((3, 4, 2), seed=1), xerror=1e-3 * d.x_err, weights=d.weights)
    for ours, theirs in zip(small.kronecker_factors(d.theta), plain.kronecker_factors(d.theta), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())
    for kind in (SumKind(matrices=False), SumKind(matrices=True)):
        assert small.objective._sizes.most(kind) == plain.objective._sizes.most(kind) // 5


def test_single_precision_is_not_asked() -> None:
    """It would lose the differences."""
    x, theta = np.linspace(-1, 1, 100_000), [1.0, 0.0, 1.0, 0.0]
    model = fx.Model((1, 1, 1), backend="numpy", seed=1)
    assert fx.LeastSquares(x, x, 0.1, model).in_single_precision() is not None
    cost = fx.LeastSquares(x, x, 0.1, model, xerror=0.1)
    assert cost.in_single_precision() is None
    assert cost(theta) == pytest.approx(np.sum((np.tanh(x) - x) ** 2 / (0.01 + 0.01 / np.cosh(x) ** 4)), rel=1e-9)
