"""A network plus a function with parameters of its own, in one cost."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Annotated

import iminuit.cost
import numpy as np
import pytest
import scipy.optimize
from iminuit import Minuit
from iminuit.cost import NormalConstraint
from iminuit.util import describe

import ffnn_xp as fx
from ffnn_xp.backends import Backend
from ffnn_xp.objective.data_cost import DataCost
from ffnn_xp.objective.prior import GaussianPrior

X = np.linspace(100.5, 159.5, 60)
PHI = {"signal": 300.0, "mass": 125.0, "width": 2.0}


def peak(x: np.ndarray, signal: float, mass: float, width: float) -> np.ndarray:
    return signal * np.exp(-0.5 * ((x - mass) / width) ** 2) / (np.sqrt(2 * np.pi) * width)


def peak_gradient(x: np.ndarray, signal: float, mass: float, width: float) -> np.ndarray:
    f, z = peak(x, signal, mass, width), (x - mass) / width
    return np.stack([f / signal, f * z / width, f * (z**2 - 1) / width])


def counts() -> np.ndarray:
    return np.random.default_rng(1).poisson(400 * np.exp(-(X - 100) / 25) + peak(X, 400, 125, 2.0))


def background(backend: str | Backend = "numpy", output: str = "exp") -> fx.Model:
    model = fx.Model((1, 2, 1), output=output, backend=backend, seed=1)
    side = np.abs(X - 125) > 7
    model.fit(X[side], counts()[side], loss="poisson", prior=1.0)
    return model


def differences(cost: iminuit.cost.Cost, v: np.ndarray, steps: np.ndarray) -> np.ndarray:
    return np.array([(cost(v + h) - cost(v - h)) / (2 * h[i]) for i, h in enumerate(np.diag(steps))])


def costs() -> dict[str, DataCost]:
    rng = np.random.default_rng(2)
    y, weights = counts().astype(float), rng.uniform(0.5, 2, 60)
    values = fx.Model((1, 3, 1), seed=2, backend="numpy")
    model = background()
    prior = GaussianPrior(np.full(model.n_parameters, 0.3))
    return {
        "poisson": fx.Poisson(X, counts(), model, prior=prior),
        "exposure": fx.Poisson(X, counts(), model, exposure=rng.uniform(0.5, 2, 60), weights=weights),
        "softplus": fx.Poisson(X, counts(), background(output="softplus")),
        "least squares": fx.LeastSquares(X - 120, y, np.sqrt(y), values, weights=weights),
        "huber": fx.LeastSquares(X - 120, y, np.sqrt(y), values, loss="huber"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["poisson", "exposure", "softplus", "least squares", "huber"])
def test_derivatives_are_those_of_the_value(kind: str) -> None:
    cost = costs()[kind]
    shift = -120.0 if kind in ("least squares", "huber") else 0.0

    def function(x: np.ndarray, signal: float, mass: float, width: float) -> np.ndarray:
        return peak(x, signal, mass + shift, width)

    def gradient(x: np.ndarray, signal: float, mass: float, width: float) -> np.ndarray:
        return peak_gradient(x, signal, mass + shift, width)

    both = fx.PlusFunction(cost, function, grad=gradient, **PHI)
    v = both.start * 1.01
    np.testing.assert_allclose(both.grad(v), differences(both, v, 1e-5 * np.abs(v)), rtol=2e-5, atol=1e-3)
    H, steps = both.hessian(v), 1e-6 * np.abs(v)
    numerical = [(both.grad(v + h) - both.grad(v - h)) / (2 * h[i]) for i, h in enumerate(np.diag(steps))]
    scale = 1e-3 + np.sqrt(np.abs(np.outer(np.diag(H), np.diag(H))))
    np.testing.assert_allclose(H / scale, np.array(numerical) / scale, atol=2e-5)
    np.testing.assert_allclose(H, H.T, rtol=1e-12)
    np.testing.assert_allclose(both.g2(v), np.diag(both.matrix("gauss_newton", v)))
    alone = fx.PlusFunction(cost, function, **PHI)  # with derivatives of its own
    np.testing.assert_allclose(alone.grad(v), both.grad(v), rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(alone.hessian(v) / scale, H / scale, atol=1e-4)


@pytest.mark.slow
def test_the_value_is_that_of_the_sum_by_hand() -> None:
    cost = costs()["exposure"]
    both = fx.PlusFunction(cost, peak, **PHI)
    exposure = cost.data.auxiliary
    assert exposure is not None
    weights = np.asarray(cost.data.weights)[0]
    network, function = both.parts(both.start)
    np.testing.assert_allclose(function, peak(X, **PHI))
    np.testing.assert_allclose(network, cost.prediction(cost.start))
    np.testing.assert_allclose(both.prediction(both.start), network + function)
    expected, n = (network + function) * exposure[0], counts()
    by_hand = 2 * np.sum(weights * (expected - n + n * np.log(n / expected)))
    assert both(both.start) == pytest.approx(by_hand, rel=1e-12)
    np.testing.assert_allclose(both.pulls(both.start), (n - expected) / np.sqrt(expected))


def test_a_line_and_a_peak_are_those_of_curve_fit() -> None:
    """Values, errors and correlations, with a network that is a line."""
    rng = np.random.default_rng(3)
    x = np.linspace(-5, 5, 80)
    error = rng.uniform(0.05, 0.2, 80)
    y = 1 + 0.3 * x + peak(x, 3.0, 0.5, 0.8) + error * rng.normal(size=80)

    def line_and_peak(x: np.ndarray, a: float, b: float, *phi: float) -> np.ndarray:
        return a * x + b + peak(x, *phi)

    values, covariance = scipy.optimize.curve_fit(
        line_and_peak, x, y, [0.0, 1.0, 2.0, 0.0, 1.0], sigma=error, absolute_sigma=True, ftol=1e-14, xtol=1e-14
    )
    for grad in (None, peak_gradient):
        line = fx.LeastSquares(x, y, error, fx.Model((1, 1), seed=1))
        cost = fx.PlusFunction(line, peak, grad=grad, signal=2.0, mass=0.0, width=1.0)
        minuit = Minuit(cost, cost.start)
        minuit.tol = 1e-6
        minuit.migrad()
        minuit.hesse()
        assert minuit.valid
        np.testing.assert_allclose(minuit.values, values, atol=1e-3 * np.sqrt(np.diag(covariance)).min())
        # the exact second derivative, where curve_fit has J^T J
        np.testing.assert_allclose(minuit.errors, np.sqrt(np.diag(covariance)), rtol=0.05)
        J = np.stack([x, np.ones_like(x), *peak_gradient(x, *minuit.values[2:])]) / error
        np.testing.assert_allclose(cost.matrix("gauss_newton", np.array(minuit.values))[:2, :2], 2 * (J @ J.T)[:2, :2])


@pytest.mark.slow
def test_a_peak_on_a_network_in_one_fit() -> None:
    cost = fx.PlusFunction(fx.Poisson(X, counts(), background()), peak, **PHI)
    minuit = Minuit(cost, cost.start).migrad()
    assert minuit.valid
    assert minuit.nfcn < 100
    assert abs(minuit.values["signal"] - 400) < 2.5 * minuit.errors["signal"]
    assert abs(minuit.values["mass"] - 125) < 3 * minuit.errors["mass"]
    assert np.sum(cost.pulls(minuit.values) ** 2) < 60 + 3 * np.sqrt(120)
    free = minuit.errors["signal"]
    known = cost + NormalConstraint("width", 2.0, 0.02)
    nuisance = Minuit(known, *cost.start).migrad()
    assert nuisance.valid
    assert nuisance.errors["width"] == pytest.approx(0.02, rel=0.05)
    assert nuisance.errors["signal"] < free
    minuit.fixed["mass"] = True  # MINUIT reads the Hessian of the others
    minuit.migrad()
    minuit.hesse()
    H = cost.matrix("hessian", np.array(minuit.values))
    others = [i for i in range(cost.npar) if describe(cost)[i] != "mass"]
    covariance = 2 * np.linalg.inv(H[np.ix_(others, others)])
    assert minuit.errors["signal"] == pytest.approx(np.sqrt(covariance[-2, -2]), rel=5e-3)  # of condition 1e11


@pytest.mark.slow
def test_the_same_on_every_backend(backend: Backend) -> None:
    there, here = (fx.PlusFunction(fx.Poisson(X, counts(), background(b)), peak, **PHI) for b in (backend, "numpy"))
    v = here.start
    assert there(v) == pytest.approx(here(v), rel=1e-10)
    np.testing.assert_allclose(there.grad(v), here.grad(v), rtol=1e-8, atol=1e-6)
    np.testing.assert_allclose(there.hessian(v), here.hessian(v), rtol=1e-5, atol=1e-4)


def test_several_outputs_and_inputs() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(50, 2)), rng.normal(size=(50, 3))

    def shift(x: np.ndarray, scale: float) -> np.ndarray:
        return np.stack([scale * x[:, 0], 0 * x[:, 0], x[:, 1] ** 2 * scale], axis=1)

    cost = fx.PlusFunction(fx.LeastSquares(x, y, 0.5, fx.Model((2, 3), seed=1)), shift, scale=0.3)
    v = cost.start
    network, function = cost.parts(v)
    assert cost(v) == pytest.approx(np.sum(((y - network - function) / 0.5) ** 2))
    np.testing.assert_allclose(cost.grad(v), differences(cost, v, np.full(len(v), 1e-5)), rtol=1e-6, atol=1e-6)
    there = cost.parts(v, x[:7])
    np.testing.assert_allclose(there[0], network[:7])
    np.testing.assert_allclose(there[1], function[:7])
    flat = fx.LeastSquares(x, y, 0.5, fx.Model((2, 3), seed=1))
    common = fx.PlusFunction(flat, lambda x, level: level + 0 * x[:, 0], level=0.5)
    np.testing.assert_allclose(common.parts(common.start)[1], np.full((50, 3), 0.5))


def test_in_blocks_and_with_weights(backend: Backend) -> None:
    """Of two outputs, two parameters: the gradient in these by hand, from what the parts predict."""
    rng = np.random.default_rng(5)
    n = 330
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(n, 2))
    error, weights = rng.uniform(0.5, 2, (n, 2)), rng.uniform(0.5, 2, n)

    def shift(x: np.ndarray, scale: float, bend: float) -> np.ndarray:
        return np.stack([scale * x[:, 0], np.tanh(bend * x[:, 1])], axis=1)

    def slopes(x: np.ndarray, scale: float, bend: float) -> list[np.ndarray]:
        zero = np.zeros(n)
        return [np.stack([x[:, 0], zero], axis=1), np.stack([zero, x[:, 1] / np.cosh(bend * x[:, 1]) ** 2], axis=1)]

    model = fx.Model((2, 3, 2), seed=1, backend=backend)
    cost = fx.PlusFunction(
        fx.LeastSquares(x, y, error, model, weights=weights), shift, grad=slopes, scale=0.3, bend=-0.4
    )
    v = cost.start
    residuals = sum(cost.parts(v)) - y
    derivative = 2 * weights[:, None] * residuals / error**2
    value, gradient = cost.value_and_gradient(v)
    assert value == pytest.approx(np.sum(derivative * residuals) / 2, rel=1e-11)
    np.testing.assert_allclose(gradient[-2:], [np.sum(derivative * s) for s in slopes(x, 0.3, -0.4)], rtol=1e-10)
    network = differences(cost, v, np.full(len(v), 1e-5))[:-2]
    np.testing.assert_allclose(gradient[:-2], network, rtol=1e-6, atol=1e-5)
    other = v * 1.1
    elsewhere = cost.value_and_gradient(other)[1]
    cost._plain, cost._seen = replace(cost._plain, chunk_size=100), (b"", np.inf, np.empty(0))
    np.testing.assert_allclose(cost.value_and_gradient(v)[1], gradient, rtol=1e-11)
    np.testing.assert_allclose(cost.value_and_gradient(other)[1], elsewhere, rtol=1e-11)


@pytest.mark.slow
def test_a_prior_is_on_the_network_alone() -> None:
    plain, held = (
        fx.PlusFunction(fx.Poisson(X, counts(), background(), prior=prior), peak, **PHI)
        for prior in (None, GaussianPrior(np.full(7, 0.3)))
    )
    v = plain.start
    change = held.grad(v) - plain.grad(v)
    np.testing.assert_allclose(change[:7], 2 * 0.3 * v[:7], rtol=1e-9)
    np.testing.assert_array_equal(change[7:], 0)


def test_limits_come_from_annotations() -> None:
    def bump(x: np.ndarray, height: Annotated[float, 0 : np.inf]) -> np.ndarray:  # type: ignore[misc,name-defined]
        return height * np.exp(-(x**2))

    x = np.linspace(-3, 3, 40)
    cost = fx.PlusFunction(fx.LeastSquares(x, x, 0.1, fx.Model((1, 1), seed=1)), bump, height=1.0)
    assert Minuit(cost, cost.start).limits["height"] == (0, np.inf)


@pytest.mark.parametrize(
    ("function", "start", "message"),
    [
        (peak, {"signal": 1.0, "mass": 1.0}, r"missing: \['width'\]"),
        (peak, {**PHI, "masss": 1.0}, r"unknown: \['masss'\]"),
        (lambda x: x, {}, "must have parameters after x"),
        (lambda x, a: a, {"a": 1.0}, r"shape \(60,\) for 60 events, got \(\)"),
        (lambda x, a: a * x[:5], {"a": 1.0}, r"got \(5,\)"),
    ],
)
def test_bad_functions_are_refused(function: object, start: dict[str, float], message: str) -> None:
    cost = fx.LeastSquares(X, X, 1.0, fx.Model((1, 1), seed=1))
    with pytest.raises(ValueError, match=message):
        fx.PlusFunction(cost, function, **start)  # type: ignore[arg-type]


def test_names_of_function_and_network_differ() -> None:
    cost = fx.LeastSquares(X, X, 1.0, fx.Model((1, 1), seed=1), name=("slope", "signal"))
    with pytest.raises(ValueError, match=r"both have the parameters \['signal'\]"):
        fx.PlusFunction(cost, peak, **PHI)


def test_probabilities_and_bins_are_refused() -> None:
    efficiency = fx.Binomial(X, X > 120, fx.Model((1, 1), output="logistic", seed=1))
    with pytest.raises(ValueError, match="not to 'binomial'"):
        fx.PlusFunction(efficiency, peak, **PHI)
    contents = fx.LeastSquares(fx.Bins(np.arange(61.0)), X, 1.0, fx.Model((1, 1), seed=1))
    with pytest.raises(ValueError, match="not to integrals over bins"):
        fx.PlusFunction(contents, peak, **PHI)


def test_it_can_be_pickled() -> None:
    cost = fx.PlusFunction(fx.Poisson(X, counts(), background()), peak, **PHI)
    copy = pickle.loads(pickle.dumps(cost))
    assert copy(cost.start) == cost(cost.start)


def test_pulls_are_weighted_as_those_of_the_network() -> None:
    x, weights = np.linspace(-1, 1, 20), np.linspace(1, 4, 20)
    cost = fx.LeastSquares(x, np.cos(5 * x), 0.1, fx.Model((1, 2, 1), backend="numpy", seed=1), weights=weights)
    total = fx.PlusFunction(cost, lambda x, height: height * x, height=0.0)
    np.testing.assert_allclose(total.pulls(total.start), cost.pulls(cost.start), rtol=1e-12)
    want = (np.cos(5 * x) - cost.prediction(cost.start) - 2 * x) / 0.1 * np.sqrt(weights)
    np.testing.assert_allclose(total.pulls([*cost.start, 2.0]), want, rtol=1e-12)
