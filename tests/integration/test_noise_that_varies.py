"""Where the noise depends on x, the fit, its pulls, its toys and its bands have the errors of each event."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.fitting import Refits
from ffnn_xp.fitting.members import member
from ffnn_xp.fitting.tuning import Tuning
from ffnn_xp.fitting.width_selection import WidthTuning
from ffnn_xp.network.evaluation import evaluate

RNG = np.random.default_rng(5)
X = RNG.uniform(-1, 1, 400)
NOISE = 0.1 * 10 ** (0.5 * (X + 1))  # 0.1 ... 1
Y = 2 * X + NOISE * RNG.normal(size=400)


@pytest.fixture(scope="module")
def varying() -> tuple[fx.Model, fx.FitResult]:
    model = fx.Model((1, 5, 1), backend="numpy", seed=1)
    return model, model.fit(X, Y)


@pytest.mark.slow
def test_the_fit_is_that_of_these_errors_given(varying: tuple[fx.Model, fx.FitResult]) -> None:
    model, fit = varying
    relative = fit.problem.relative_error
    assert fit.valid
    assert relative is not None
    assert relative.shape == (1, 400)
    assert np.mean(relative**-2.0) == pytest.approx(1)
    errors = fit.problem.y_error[0] * fit.scaling.y_scale[0] * relative[0]
    assert np.median(np.abs(np.log(errors / NOISE))) < 0.15
    cost = fx.LeastSquares(X, Y, errors, model, prior=fit.raw_cost.prior)
    assert cost(fit.parameters) == pytest.approx(fit.fval, rel=1e-9)
    np.testing.assert_allclose(cost.grad(fit.parameters), fit.raw_cost.grad(fit.parameters), atol=1e-6)
    assert fit.y_error == pytest.approx(np.sqrt(np.mean(errors**2)))


@pytest.mark.slow
def test_pulls_are_normal_everywhere(varying: tuple[fx.Model, fx.FitResult]) -> None:
    pulls = varying[1].goodness().pulls[0]
    for third in np.array_split(np.argsort(X), 3):
        assert np.std(pulls[third]) == pytest.approx(1, abs=0.2)


@pytest.mark.slow
def test_toys_scatter_as_the_noise_does(varying: tuple[fx.Model, fx.FitResult]) -> None:
    fit = varying[1]
    toys = Refits(fit.problem, fit.standardised).toys([np.random.SeedSequence(i) for i in range(400)])
    assert toys.shape == (400, 1, 400)
    np.testing.assert_allclose(toys.std(axis=0)[0] * fit.problem.data_with_errors().inverse_error[0], 1, atol=0.2)
    assert np.median(np.abs(np.log(toys.std(axis=0)[0] / NOISE))) < 0.15


@pytest.mark.slow
def test_the_band_is_narrow_where_the_noise_is_small(varying: tuple[fx.Model, fx.FitResult]) -> None:
    model, fit = varying
    _, std = model.predict([-0.8, 0.8], return_std=True)
    assert std[1] > 2.5 * std[0]
    band = fit.band([-0.8, 0.8])
    assert band.high[1] - band.low[1] > 2.5 * (band.high[0] - band.low[0])


@pytest.mark.slow
def test_the_density_knows_bands_for_equal_errors_and_the_mean_those_of_each_event(
    varying: tuple[fx.Model, fx.FitResult], tmp_path: Path
) -> None:
    """The width's networks were given bands for equal errors of y, and the calibration too."""
    pytest.importorskip("safetensors")
    model, fit = varying
    density, at = fit.predictive, (fit.problem.network, fit.problem.model.backend, np.array([[-0.9, 0.0, 0.9]]))
    assert density is not None
    assert density.width is not None
    assert density.middle is not None
    assert density.calibration is not None
    assert fit.recipe is not None
    equal, precision = replace(fit.problem, relative_error=None), fit.recipe.precision
    plain = [member(equal, m.band.theta, precision).band.std(*at)[0] for m in density.members]  # type: ignore[union-attr]
    own = [member(fit.problem, m.band.theta, precision).band.std(*at)[0] for m in density.members]  # type: ignore[union-attr]
    outputs = [m.mean(*at)[0] for m in density.members]
    mean, band, M = np.mean(outputs, axis=0)[None], np.sqrt(np.mean(np.square(own), axis=0)), len(outputs)
    ratio = own[M // 2] / plain[M // 2]
    equal = (band / ratio)[None]
    np.testing.assert_allclose(equal[0] / np.sqrt(np.mean(np.square(plain), axis=0)), 1, atol=0.2)
    expected = density.calibration.width(density.width(at[2], mean, equal), equal)
    low, high = model.interval(at[2][0], cl=0.683)
    np.testing.assert_allclose((high - low) / 2 / density.calibration.law.ppf(0.8415), expected[0], rtol=1e-9)
    _, std = model.predict(at[2][0], return_std=True)
    np.testing.assert_allclose(std**2, band**2 + np.var(outputs, axis=0, ddof=1) / M, rtol=1e-9)
    assert ratio[0] < 0.7
    assert ratio[2] > 1.2
    model.save(tmp_path / "net.safetensors")
    again = fx.load(tmp_path / "net.safetensors", backend="numpy")
    np.testing.assert_allclose(again.interval(at[2][0], cl=0.683), (low, high), rtol=1e-12)
    np.testing.assert_allclose(again.predict(at[2][0], return_std=True)[1], std, rtol=1e-12)


def test_the_band_of_a_straight_line_is_that_of_its_least_squares() -> None:
    """A line that is fitted with equal weights to values with other errors: A^-1 (sum sigma^2 j j^T) A^-1."""
    fit = fx.Model((1, 1), backend="numpy", seed=1).fit(X, Y, prior=None)
    relative = NOISE[None] * np.sqrt(np.mean(NOISE**-2.0))
    problem = replace(fit.problem, relative_error=relative)
    theta, tiny = fit.standardised, 1e-12 * np.ones(2)
    found = member(problem, theta, tiny)
    J = np.stack([X, np.ones(400)])
    residual = Y - J.T @ fit.parameters
    unit = np.sum((residual / relative[0]) ** 2) / 398
    A = np.linalg.inv(J @ J.T)
    expected = unit * A @ (J * relative[0] ** 2 @ J.T) @ A
    at = np.array([[-0.5, 0.0, 1.0]])
    std = found.band.std(problem.network, problem.model.backend, at)
    j = np.stack([at[0], np.ones(3)])
    np.testing.assert_allclose(std[0], np.sqrt(np.sum(j * (expected @ j), axis=0)), rtol=1e-6)


def test_equal_relative_errors_change_nothing() -> None:
    fit = fx.Model((1, 2, 1), backend="numpy", seed=1).fit(X, Y, prior=1.0)
    same = replace(fit.problem, relative_error=np.ones((1, 400)))
    theta, precision = fit.standardised, fit.problem.prior.precision  # type: ignore[union-attr]
    assert same.cost()(theta) == pytest.approx(fit.cost(theta), rel=1e-14)
    one, two = (member(problem, theta, precision) for problem in (fit.problem, same))
    np.testing.assert_allclose(one.y_error, two.y_error, rtol=1e-12)
    twice = replace(fit.problem, relative_error=np.full((1, 400), 2.0))
    y = evaluate(fit.problem.network, fit.problem.model.backend, fit.parameters, X[None])
    assert fit.y_error is not None
    pulls = np.asarray(twice.raw_cost().pulls(fit.parameters))
    np.testing.assert_allclose(pulls, (Y - y[0]) / (2 * fit.y_error), rtol=1e-9)


@pytest.mark.slow
def test_no_event_counts_for_much_more_than_the_others(varying: tuple[fx.Model, fx.FitResult]) -> None:
    """An error of nothing, from few residuals, would hold the network to its event alone."""
    tuning = Tuning(width=WidthTuning(least=0.8))
    fit = fx.Model((1, 5, 1), backend="numpy", seed=1).fit(X, Y, tuning=tuning)
    bounded, free = fit.problem.relative_error, varying[1].problem.relative_error
    assert bounded is not None
    assert free is not None
    rms = np.sqrt(np.mean(free**2))
    expected = np.maximum(free, 0.8 * rms)
    np.testing.assert_allclose(bounded / bounded.max(), expected / expected.max(), rtol=1e-9)
    assert np.min(free) < 0.5 * rms


@pytest.mark.slow
def test_replicas_of_the_same_data_have_the_same_errors(varying: tuple[fx.Model, fx.FitResult]) -> None:
    """The toys of the model start at the fit's minimum and end beside it, each event with its own noise."""
    model, fit = varying
    toys = model.fit_replicas(X, Y, number=40, seed=1)
    at = np.array([-0.8, 0.8])
    narrow, wide = np.std(toys(at), axis=0)
    band = fit.band(at)
    assert wide > 2.5 * narrow
    np.testing.assert_allclose([narrow, wide], (band.high - band.low) / 2, rtol=0.4)
