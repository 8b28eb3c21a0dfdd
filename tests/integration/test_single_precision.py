"""The first stages of a fit are in float32 where that is faster; what is certified is float64 all the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.costs import LeastSquares
from ffnn_xp.fitting.local_search import LocalSearchTuning
from ffnn_xp.fitting.tuning import Tuning
from ffnn_xp.minimizers import KroneckerLBFGS, MinimizerResult
from ffnn_xp.objective import NetworkCost

from .test_fit import teacher


@pytest.fixture
def dtypes(before_each: Callable[..., None]) -> list[str]:
    """What every value and gradient is computed in."""
    seen: list[str] = []
    before_each(lambda theta: seen.append(str(theta.dtype)), "value_and_gradient")
    return seen


def test_the_minimum_is_that_of_double_precision(dtypes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = teacher("tanh", 3)
    rough = fx.Model((8, 7, 9, 6), backend="numpy", seed=2).fit(x, y, 0.1, prior=3.0, restarts=1)
    assert dtypes.count("float32") > 2 * dtypes.count("float64") > 0
    assert rough.valid
    assert rough.edm_newton < 1e-9
    assert rough.cost.precision is None
    dtypes.clear()
    monkeypatch.setattr(NetworkCost, "in_single_precision", lambda self: None)
    fine = fx.Model((8, 7, 9, 6), backend="numpy", seed=2)
    fine.parameters = rough.parameters
    again = fine.fit(x, y, 0.1, prior=3.0, start="current", restarts=1)
    assert set(dtypes) == {"float64"}
    assert again.fval == pytest.approx(rough.fval, abs=1e-6)
    np.testing.assert_allclose(again.errors, rough.errors, rtol=1e-6)


def test_small_data_and_float32_models_get_no_copy() -> None:
    x = np.linspace(-2, 2, 50)
    small = LeastSquares(x, np.tanh(x), 0.1, fx.Model((1, 3, 1), backend="numpy", seed=1))
    assert small.in_single_precision() is None
    x = np.linspace(-2, 2, 20_000)
    single = LeastSquares(x, np.tanh(x), 0.1, fx.Model((1, 3, 1), backend="numpy", dtype="float32", seed=1))
    assert single.in_single_precision() is None


def test_the_copy_is_the_same_function() -> None:
    x = np.linspace(-2, 2, 20_000)
    double = LeastSquares(x, np.tanh(x), 0.1, fx.Model((1, 3, 1), backend="numpy", seed=1))
    copy = double.in_single_precision()
    assert copy is not None
    start = double.start
    for ours, theirs in zip(copy.value_and_gradient(start), double.value_and_gradient(start), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert copy.epsilon > 1e8 * double.epsilon


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "again"), [(1e-7, True), (0.1, False)])
def test_what_float32_cannot_resolve_is_minimised_again_in_double(sigma: float, again: bool) -> None:
    """Pulls of 1e-7 are below its rounding; pulls of 0.1 are not, and one rough minimization is enough."""
    epsilons: list[float] = []

    class Noted(KroneckerLBFGS):
        def run(self, problem: Any, theta: np.ndarray, *budget: Any) -> MinimizerResult:
            if self == noted:
                epsilons.append(problem.epsilon)
            return super().run(problem, theta, *budget)

    noted = Noted(**vars(LocalSearchTuning().kronecker))
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8000, 2))
    y = np.tanh(x[:, 0]) + np.tanh(x @ [0.5, 0.5]) + sigma * rng.normal(size=8000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        model, tuning = (
            fx.Model((2, 4, 1), backend="numpy", seed=1),
            Tuning(matrix_limit=5, local_search=LocalSearchTuning(kronecker=noted)),
        )
        model.fit(x, y, sigma, prior=3.0, restarts=1, max_seconds=5, tuning=tuning)
    assert epsilons[0] > 1e-8
    assert (min(epsilons) < 1e-15) is again


def test_the_sum_is_not_rounded_to_seven_digits(backend: fx.Backend, rng: np.random.Generator) -> None:
    """Each term has an error of 1e-7 of its own; that of the sum must not be 1e-7 of the sum, which is millions."""
    x = rng.normal(size=(200_000, 2))
    y = x @ [1.0, -1.0] + rng.normal(size=len(x))
    values = []
    for dtype in ("float64", "float32"):
        model = fx.Model((2, 3, 1), backend=fx.get_backend(backend.name, dtype=dtype), seed=1)
        cost = LeastSquares(x, y, 0.1, model)
        values.append(cost.value_and_gradient(cost.start)[0])
    assert values[0] > 1e7
    assert abs(values[1] / values[0] - 1) < 2e-8


@pytest.mark.slow
def test_a_float32_model_has_a_certified_fit(backend: fx.Backend, rng: np.random.Generator) -> None:
    """In float32 the gradient at the minimum is wrong by standard deviations; so the end is in float64."""
    n = 20_000
    x = rng.normal(size=(n, 2))
    y = np.sin(x[:, 0]) * x[:, 1] + 0.1 * rng.normal(size=n)
    exact = fx.Model((2, 6, 1), backend="numpy", seed=1)
    single = fx.Model((2, 6, 1), backend=fx.get_backend(backend.name, dtype="float32"), seed=1)
    fit = single.fit(x, y, 0.1, prior=3.0, restarts=1)
    assert fit.valid
    assert str(single.parameters.dtype).endswith("float32")
    assert str(single(x[:3]).dtype).endswith("float32")
    exact.parameters = fit.parameters
    again = exact.fit(x, y, 0.1, prior=3.0, restarts=1)
    assert again.fval == pytest.approx(fit.fval, abs=1e-3)
    np.testing.assert_allclose(fit.errors, again.errors, rtol=1e-3)
    std = fx.to_numpy(single.predict(x[:20], return_std=True)[1])
    np.testing.assert_allclose(std, exact.predict(x[:20], return_std=True)[1], rtol=1e-2)


@pytest.mark.parametrize(
    "library", ["numpy", "array_api_strict", *(pytest.param(name, marks=pytest.mark.slow) for name in ("torch", "jax"))]
)
@pytest.mark.parametrize(("x0", "dx", "y0", "dy"), [
    (0, 1, 0, 1), (2000, 5, 0, 1), (1e6, 1, 0, 1), (1.7e9, 100, 0, 1), (0, 1, 1.7e9, 100), (0, 1e-60, 0, 1),
    (0, 1, 0, 1e60),
])  # fmt: skip
def test_float32_models_predict_what_was_fitted_or_say_that_they_do_not(
    library: str, x0: float, dx: float, y0: float, dy: float
) -> None:
    """Timestamps and the like: the chi-square of the predictions is that of the fit, or the fit is refused."""
    pytest.importorskip(library)
    backend = fx.get_backend(library, dtype="float32")
    if backend.name != library:
        pytest.skip(f"{library} is not here")
    t = np.linspace(-2, 2, 100)
    x, y = x0 + dx * t, y0 + dy * (np.sin(t) + 0.1 * np.random.default_rng(5).normal(size=100))
    model = fx.Model((1, 2, 1), seed=1, backend=backend)
    try:
        fit = model.fit(x, y, 0.1 * dy, prior=3.0, restarts=1)
    except ValueError as error:
        assert x0 + y0 > 1e5 or dx * dy != 1
        assert "float32" in str(error) or "must be finite" in str(error)  # noqa: PT017
        return
    if not fit.valid:
        assert x0 + y0 > 1e5 or dx * dy != 1
        assert "float32 does not hold this fit" in fit.message
        with pytest.raises(fx.NotFittedError, match="subtract an offset"):
            model.predict(x, return_std=True)
        return
    seen = np.sum(((fx.to_numpy(model(x)).astype(float) - y) / (0.1 * dy)) ** 2)
    assert seen == pytest.approx(fit.chi2, rel=0.01)
    exact = fx.Model((1, 2, 1), seed=1).fit(x, y, 0.1 * dy, prior=3.0, restarts=1)
    assert fit.chi2 == pytest.approx(exact.chi2, rel=0.01)


@pytest.mark.parametrize(("offset", "valid"), [(1e3, True), (1e12, False)])
def test_what_float64_does_not_hold_in_raw_units_is_not_valid(offset: float, valid: bool) -> None:
    """At x = 1e12 plus numbers of order one a bias is rounded by 6e-5, which is six errors of y."""
    x = np.linspace(0, 30, 40)
    model = fx.Model((1, 1), backend="numpy", seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        fit = model.fit(x + offset, x / 3, 1e-5, prior=None)
    assert fit.valid == valid
    assert ("subtract an offset from x or y." in fit.message) != valid
    if not valid:
        with pytest.raises(fx.NotFittedError, match="standardised units"):
            model.predict(x + offset, return_std=True)
