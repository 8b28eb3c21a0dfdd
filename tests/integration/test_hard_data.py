"""Data as they come: each fit ends in a usable result or a clear error, and the model keeps finite parameters."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx

N = 60
RNG = np.random.default_rng(5)
X = np.linspace(-2, 2, N)
Y = np.sin(1.5 * X) + 0.1 * RNG.normal(size=N)
TWO = np.stack([X, RNG.normal(size=N)], axis=1)


def fitted(widths: tuple[int, ...], x: Any, y: Any, y_err: Any, **options: Any) -> tuple[fx.Model, fx.FitResult]:
    """A fit that may end as not valid, but not in any other warning, and never in parameters that are not finite."""
    activation = options.pop("activation", "tanh")
    model = fx.Model(widths, activation=activation, backend="numpy", seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", fx.FitWarning)
        fit = model.fit(x, y, y_err, progress=False, **{"restarts": 2, "prior": None, **options})
    assert np.all(np.isfinite(fit.parameters))
    np.testing.assert_array_equal(model.parameters, fit.parameters)
    assert fit.message
    assert np.all(np.isfinite(model(np.asarray(x))))
    if fit.valid and np.all(np.isfinite(fit.errors)):
        _, std = model.predict(x, return_std=True)
        assert np.all(np.isfinite(std) & (std >= 0))
    return model, fit


@pytest.mark.slow
def test_a_vanishing_prior_on_an_unidentifiable_network() -> None:
    """As good as no prior: what the data leave open is counted, or its errors are as wide as the prior."""
    _, fit = fitted((1, 12, 1), X, Y, 0.1, prior=1e6)
    assert not fit.valid or fit.n_null > 0 or fit.errors.max() > 1e3


def test_a_prior_of_no_width_is_refused() -> None:
    with pytest.raises(ValueError, match="positive width"):
        fitted((1, 2, 1), X, Y, 0.1, prior=0.0)


def test_relu_that_is_dead_at_the_start_gets_other_starts() -> None:
    model = fx.Model((1, 4, 1), activation="relu", backend="numpy", seed=1)
    model.parameters = np.r_[[0.0, -1.0] * 4, [1.0] * 4, 0.0]  # off at every event
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        fit = model.fit(X, np.abs(X), 0.1, restarts=10, progress=False, prior=None)
    assert fit.chi2 / fit.n_data < 1.5


def test_relu_that_stays_dead_is_named() -> None:
    model = fx.Model((1, 2, 1), activation="relu", output="relu", backend="numpy", seed=1)
    model.parameters = [0.0, -1.0, 0.0, -1.0, 0.0, 0.0, -1.0]
    with pytest.warns(fx.FitWarning, match="No parameter has any influence"):
        fit = model.fit(X, 0 * X + 1, 0.1, start="current", restarts=1, progress=False, prior=None)
    assert not fit.valid


@pytest.mark.parametrize("value", [0.0, 3.0, -1e12])
def test_constant_targets(value: float) -> None:
    model, fit = fitted((1, 3, 1), X, np.full(N, value), 0.1)
    np.testing.assert_allclose(model(X), value, atol=0.05, rtol=1e-9)
    assert fit.chi2 < N


def test_constant_targets_without_errors() -> None:
    """The residuals are zero, and so would be the errors: they stop at rounding."""
    model, fit = fitted((1, 3, 1), X, np.full(N, 3.0), None)
    np.testing.assert_allclose(model(X), 3.0, rtol=1e-6)
    assert fit.y_error is not None
    assert fit.y_error[0] > 0


@pytest.mark.parametrize("second", ["constant", "copy", "far"])
def test_an_input_that_says_nothing(second: str) -> None:
    """A constant, a copy of the other, and one that is constant up to rounding: the prediction is that without it."""
    other = {"constant": np.full(N, 7.0), "copy": 1 - 3 * X, "far": 1e9 + 0 * X}[second]
    x = np.stack([X, other], axis=1)
    _, fit = fitted((2, 3, 1), x, Y, 0.1, prior=3.0)
    assert fit.valid
    assert fit.chi2 / fit.n_data < 1.5
    report = fit.report()
    assert (report.copies == (("input 0", "input 1"),)) if second == "copy" else ("input 1" in report.constant)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_values_than_parameters(n: int) -> None:
    x, y = X[:: N // n][:n], Y[:: N // n][:n]
    _, without = fitted((1, 4, 1), x, y, 0.1)
    assert not without.valid or without.n_null > 0
    model, fit = fitted((1, 4, 1), x, y, 0.1, prior=1.0)
    assert fit.valid
    assert fit.n_effective < n
    _, std = model.predict(X, return_std=True)
    assert np.all(np.isfinite(std))


def test_one_event_without_errors_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be estimated from 1 values"):
        fitted((1, 2, 1), X[:1], Y[:1], None)


@pytest.mark.parametrize(("x_unit", "y_unit"), [(1e-150, 1.0), (1e150, 1.0), (1.0, 1e-140), (1.0, 1e140), (1e9, 1e-30)])
def test_huge_and_tiny_units(x_unit: float, y_unit: float) -> None:
    """The same fit in other units."""
    _, known = fitted((1, 3, 1), X, Y, 0.1, prior=3.0)
    _, fit = fitted((1, 3, 1), X * x_unit, Y * y_unit, 0.1 * y_unit, prior=3.0)
    assert fit.valid == known.valid
    assert fit.chi2 == pytest.approx(known.chi2, rel=1e-3)


def test_an_outlier_of_a_million_sigma() -> None:
    """Least squares follows it: the fit is no success, and says so."""
    y = Y.copy()
    y[30] += 1e5
    _, fit = fitted((1, 3, 1), X, y, 0.1)
    assert not fit.valid or "does not describe the data" in fit.message or fit.chi2 / fit.ndof < 2


def test_an_objective_that_turns_nan_on_the_way() -> None:
    """A nonlinearity without values at large arguments: the minimizer turns back there."""
    outside = []

    def f(xp: Any, z: Any) -> Any:
        outside.append(bool(xp.any(xp.abs(z) > 4)))
        return xp.where(xp.abs(z) < 4, xp.sin(z), float("nan"))

    def df(xp: Any, z: Any, a: Any) -> Any:
        return xp.cos(z)

    def d2f(xp: Any, z: Any, a: Any) -> Any:
        return -f(xp, z)

    own = fx.Activation("short_sine", f, df, d2f)
    _, fit = fitted((1, 3, 1), X, np.sin(4 * X), 0.01, activation=own, restarts=5)
    assert any(outside)
    assert np.isfinite(fit.fval)


def test_values_that_are_nowhere_finite_are_an_error_and_change_nothing() -> None:
    own = fx.Activation(
        "nothing",
        lambda xp, z: z * float("nan"),
        lambda xp, z, a: z * float("nan"),
        lambda xp, z, a: z * float("nan"),
    )
    model = fx.Model((1, 3, 1), activation=own, backend="numpy", seed=3)
    before = np.array(model.parameters)
    with pytest.raises(ValueError, match="not finite at any start"):
        model.fit(X, Y, 0.1, progress=False, prior=None)
    np.testing.assert_array_equal(model.parameters, before)


@pytest.mark.slow
def test_large_and_precise_data_are_too_much_for_single_precision() -> None:
    """Single precision stops at its rounding; the rest is done in double precision."""
    x = np.random.default_rng(1).normal(size=(8000, 2))
    y = np.tanh(x[:, 0]) + np.tanh(x @ [0.5, 0.5])
    model, fit = fitted((2, 4, 1), x, y + 1e-9 * np.random.default_rng(2).normal(size=8000), 1e-9, max_seconds=10)
    assert model.n_parameters * 8000 > 10**5
    assert np.max(np.abs(model(x) - y)) < 1e-5
    assert np.isfinite(fit.chi2)
