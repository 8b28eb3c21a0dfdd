"""Tests of the choice of how the noise depends on x."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import ffnn_xp as fx
from ffnn_xp.fitting.folds import CostBatch
from ffnn_xp.fitting.regularization_path import PathMinimizer
from ffnn_xp.fitting.width_selection import (
    FEWEST,
    FOLDS,
    HeldOut,
    WidthTuning,
    _learn_width,
    choose_width,
    rounding_error,
)
from ffnn_xp.fitting.workers import Workers
from ffnn_xp.uncertainty import Calibration, VaryingWidth
from ffnn_xp.uncertainty.predictive import log_student_t

NONE = np.zeros(1)


def held_out(width: np.ndarray, x: np.ndarray, seed: int) -> HeldOut:
    """Residuals of normal noise of these widths at these x, with a small band and one error for all."""
    residuals = width * np.random.default_rng(seed).normal(size=x.shape)
    error = np.full(x.shape, np.std(residuals))
    return HeldOut(residuals, error, 0.01 * error, np.zeros(x.shape), x)


def choose(found: HeldOut, rounding: np.ndarray = NONE, seed: int = 1) -> tuple[Calibration, VaryingWidth | None]:
    return choose_width(found, rounding, np.random.default_rng(seed), PathMinimizer(), WidthTuning())


class Constant(PathMinimizer):
    """Networks whose outputs are given constants, one for each fold, whatever the events, which are kept."""

    def __init__(self, *outputs: float, stopped: str = "") -> None:
        super().__init__(stopped=stopped)
        self.outputs, self.batches = outputs, list[CostBatch]()

    def minimize(self, costs: CostBatch, thetas: object, *options: object) -> list[np.ndarray]:
        self.batches.append(costs)
        p = costs.objectives[0].network.layout.n_parameters
        return [output * np.eye(p)[-1] for output in self.outputs]


def two(n: int = 60) -> HeldOut:
    """Residuals of two outputs of different size, and bands that are not small."""
    rng = np.random.default_rng(1)
    residuals, bands = (rng.uniform(0.5, 2, (2, n)) * np.array([[1.0], [64.0]]) for _ in range(2))
    return HeldOut(residuals, np.ones((2, n)), bands, rng.normal(size=(2, n)), 100 + rng.normal(size=(3, n)))


@pytest.mark.slow
def test_noise_that_grows_tenfold_is_found_and_described() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (1, 800))
    calibration, width = choose(held_out(10.0**x, x, 2))
    assert width is not None
    at = np.array([[-0.8, 0.0, 0.8]])
    found = np.sqrt(calibration.a) * width(at, np.zeros((1, 3)), np.full((1, 3), 0.01))
    if calibration.nu < 30:
        found = found * calibration.law.std()
    np.testing.assert_allclose(found, 10.0**at, rtol=0.25)


@pytest.mark.slow
def test_noise_that_grows_with_the_prediction_is_found() -> None:
    """Counts scatter by the root of their mean; x alone says nothing here."""
    rng = np.random.default_rng(3)
    x, mean = rng.uniform(-1, 1, (1, 800)), rng.uniform(1, 100, (1, 800))
    error = np.full(x.shape, 7.0)
    residuals = np.sqrt(mean) * rng.normal(size=x.shape)
    _, width = choose(HeldOut(residuals, error, 0.01 * error, mean, x))
    assert width is not None
    low, high = width(np.zeros((1, 2)), np.array([[4.0, 90.0]]), np.full((1, 2), 0.07))[0]
    assert high / low == pytest.approx(np.sqrt(90 / 4), rel=0.3)


@pytest.mark.slow
def test_constant_noise_has_one_width_for_nearly_all_draws() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (2, 200))
    chosen = [choose(held_out(np.ones((1, 200)), x[:1], seed), seed=seed)[1] for seed in range(10)]
    assert sum(width is not None for width in chosen) <= 1


@pytest.mark.slow
def test_it_does_not_fall_below_what_rounding_gives() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (1, 400))
    found = held_out(10.0 ** (2 * x), x, 2)
    _, free = choose(found)
    _, rounded = choose(found, np.array([0.5]))
    assert free is not None
    assert rounded is not None
    assert np.exp(free.lowest) < 0.1
    np.testing.assert_allclose(np.exp(rounded.lowest), 0.5)
    assert choose(found, np.array([1e3]))[1] is None  # all of it may be rounding


@pytest.mark.slow
def test_far_away_it_is_one_that_was_seen() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (1, 400))
    _, width = choose(held_out(10.0**x, x, 2))
    assert width is not None
    far = width(np.array([[-1e6, 1e6]]), np.full((1, 2), 1e9), np.full((1, 2), np.inf))
    assert np.all((far >= np.exp(width.lowest)) & (far <= np.exp(width.highest)))


def test_without_time_there_is_one_width() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (1, 800))
    late = PathMinimizer(Workers(deadline=time.monotonic() - 1))
    assert choose_width(held_out(10.0**x, x, 2), NONE, np.random.default_rng(1), late, WidthTuning())[1] is None


def test_few_residuals_have_one_width() -> None:
    x = np.linspace(-1, 1, FEWEST - 1)[None]
    assert choose(held_out(100.0**x, x, 2))[1] is None


@pytest.mark.parametrize(
    ("values", "step"),
    [([3, 4, 4, 5, 5, 5, 8, 8], 1.0), ([0.25, 0.5, 0.5, 0.75, 0.75, 0.25], 0.25), ([0.1, 0.2, 0.35, 0.36], 0.0)],
)
def test_rounding(values: list[float], step: float) -> None:
    assert rounding_error(np.array([values]))[0] == pytest.approx(step / np.sqrt(12))


def test_last_digits_do_not_hide_a_rounding() -> None:
    values = np.array([[0.1 * i for i in range(10)] * 3, [i / 10 for i in range(10)] * 3]).ravel()
    values[::7] += 1e-17 + np.spacing(values[::7])
    assert rounding_error(values[None])[0] == pytest.approx(0.1 / np.sqrt(12))
    assert rounding_error(np.zeros((1, 9)))[0] == 0


def test_repeated_values_that_have_no_common_step_are_not_rounded() -> None:
    values = np.repeat([0.0, 1.0, np.pi], 4)
    assert rounding_error(values[None])[0] == 0


@pytest.fixture(scope="module")
def fitted() -> tuple[fx.Model, fx.FitResult]:
    """The fit of a sine whose noise grows tenfold, 700 values."""
    x, y = sine(700, 1)
    model = fx.Model((1, 8, 1), seed=1)
    return model, model.fit(x, y, prior="auto")


def sine(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    return x, np.sin(3 * x) + 0.1 * 10.0 ** ((x - 1) / 2) * rng.normal(size=n)


@pytest.mark.slow
def test_intervals_hold_what_they_claim_in_each_third(fitted: tuple[fx.Model, fx.FitResult]) -> None:
    model, fit = fitted
    assert fit.predictive is not None
    assert fit.predictive.width is not None
    assert "the noise depends on x" in fit.recipe.words()
    x, y = sine(6000, 2)
    for cl in (0.683, 0.954):
        low, high = model.interval(x, cl=cl)
        for third in np.array_split(np.argsort(high - low), 3):
            inside = np.mean((low[third] < y[third]) & (y[third] < high[third]))
            assert inside == pytest.approx(cl, abs=0.06)


@pytest.mark.slow
def test_the_density_is_nearly_that_of_the_truth(fitted: tuple[fx.Model, fx.FitResult]) -> None:
    model, _ = fitted
    x, y = sine(6000, 2)
    truth = scipy.stats.norm(np.sin(3 * x), 0.1 * 10.0 ** ((x - 1) / 2)).logpdf(y)
    assert np.mean(truth) - np.mean(model.log_density(x, y)) < 0.05
    _, std = model.predict(x, return_std=True, kind="prediction")
    assert std[x > 0.9].mean() / std[x < -0.9].mean() > 5


@pytest.mark.slow
def test_a_file_keeps_it(fitted: tuple[fx.Model, fx.FitResult], tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    model, fit = fitted
    model.save(tmp_path / "net", fit=fit)
    x, y = sine(50, 3)
    again = fx.load(tmp_path / "net")
    np.testing.assert_allclose(again.log_density(x, y), model.log_density(x, y), rtol=1e-12)
    np.testing.assert_allclose(again.interval(x), model.interval(x), rtol=1e-12)


@pytest.mark.slow
def test_inputs_that_were_constant_count_for_nothing() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (1, 400))
    two = np.concatenate([x, np.full_like(x, 3.0)])
    found = held_out(10.0**x, x, 2)._replace(x=two)
    _, width = choose(found)
    assert width is not None
    at, flat = np.array([[0.5, 0.5], [3.0, 300.0]]), np.full((1, 2), 0.01)
    one, other = width(at, 0 * flat, flat)[0]
    assert one == pytest.approx(other, rel=1e-12)


def test_each_event_has_the_width_of_the_networks_that_do_not_know_it() -> None:
    """In units of all residuals; networks see inputs of mean 0 and width 1."""
    x = np.random.default_rng(1).uniform(5, 6, (1, 100))
    found = held_out(10.0**x, x, 2)._replace(bands=np.exp(x**2), predictions=x**3)
    networks = Constant(0.0, 0.5, 1.0, 1.5, 2.0)
    learnt = _learn_width(found, NONE, np.random.default_rng(1), networks, WidthTuning())
    assert learnt is not None
    varying, width = learnt
    rms = np.sqrt(np.mean(found.residuals**2))
    parts = [objective.events for objective in networks.batches[0].objectives]
    assert len(parts) == FOLDS
    for part, output in zip(parts, networks.outputs, strict=True):
        known = np.isclose(found.residuals[0][:, None], rms * part.data[0][0], rtol=1e-9).any(axis=1)
        assert np.sum(~known) == 100 / FOLDS
        np.testing.assert_allclose(width[0, ~known], rms * np.exp(output), rtol=1e-12)
    np.testing.assert_allclose(np.exp([varying.lowest, varying.highest]), [[rms], [rms * np.exp(2.0)]], rtol=1e-12)
    inputs = np.concatenate([part.x for part in parts], axis=1)[:3]
    np.testing.assert_allclose(np.mean(inputs, axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(np.std(inputs, axis=1), 1, rtol=1e-9)


def test_the_varying_width_has_its_own_calibration() -> None:
    found, always = two(), WidthTuning(level=-np.inf)
    calibration, width = choose_width(found, np.zeros(2), np.random.default_rng(1), Constant(*[3.0] * FOLDS), always)
    assert width is not None
    np.testing.assert_allclose(width.lowest, width.highest, rtol=1e-12)
    assert calibration == found.calibrate(np.exp(width.lowest)[:, None] + 0 * found.residuals)
    assert calibration != found.calibrate(found.y_error)


def test_the_level_decides() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (1, 100))
    found = held_out(10.0**x, x, 2)
    networks = Constant(-0.2, -0.1, 0.0, 0.1, 0.2)
    levels = [
        choose_width(found, NONE, np.random.default_rng(1), networks, WidthTuning(level=level))[1]
        for level in (-1e6, 1e6)
    ]
    assert [width is None for width in levels] == [False, True]


def test_a_calibration_is_the_same_in_other_units_of_y() -> None:
    found = two()
    other = found._replace(residuals=8 * found.residuals, bands=8 * found.bands)
    assert other.calibrate(8 * found.y_error) == found.calibrate(found.y_error)
    assert other.calibrate(found.y_error) != found.calibrate(found.y_error)


def test_the_log_density_is_that_of_noise_and_band() -> None:
    found, width = two(), np.array([[1.5], [50.0]]) + np.zeros((2, 60))
    s = np.sqrt(2 * width**2 + 3 * found.bands**2)
    expected = scipy.stats.norm(0, s).logpdf(found.residuals).sum(axis=0)
    np.testing.assert_allclose(found.log_density(width, Calibration(2.0, 3.0)), expected, rtol=1e-12)
    unknown = found._replace(bands=np.full((2, 60), np.inf))  # counts as one error
    np.testing.assert_allclose(
        unknown.log_density(width, Calibration(2.0, 3.0)),
        scipy.stats.norm(0, np.sqrt(5) * width).logpdf(found.residuals).sum(axis=0),
        rtol=1e-12,
    )


@pytest.mark.parametrize("scale", [np.zeros((2, 1)), np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]])])
def test_of_residuals_of_nothing_no_width_is_learnt(scale: np.ndarray) -> None:
    """One such output is enough."""
    networks, found = Constant(), two()
    found = found._replace(residuals=found.residuals * scale)
    assert choose_width(found, np.zeros(2), np.random.default_rng(1), networks, WidthTuning())[1] is None
    assert not networks.batches


@pytest.mark.parametrize("rounding", [[1e3, 0.0], [0.0, 1e3]])
def test_no_width_is_learnt_where_rounding_is_all(rounding: list[float]) -> None:
    networks = Constant()
    assert choose_width(two(), np.array(rounding), np.random.default_rng(1), networks, WidthTuning())[1] is None
    assert not networks.batches


def test_no_network_is_minimized_where_time_is_up_already() -> None:
    networks = Constant(stopped="max_seconds")
    assert choose_width(two(), np.zeros(2), np.random.default_rng(1), networks, WidthTuning())[1] is None
    assert not networks.batches


def test_the_logarithm_of_a_width_is_the_mean_of_the_networks_outputs() -> None:
    """One has 2 tanh(x), the other tanh(log(band) / 100)."""
    parameters = np.array([[1.0, 0, 0, 0, 2, 0], [0, 0, 0.01, 0, 1, 0]])
    width = VaryingWidth(parameters, 1, 1, np.array([-9.0]), np.array([9.0]))
    x, band = np.array([[-0.3, 0.2, 0.0, 0.0]]), np.array([[2.0, 0.5, 0.0, np.inf]])
    logs = np.log(np.clip(band, 1e-30, 1e30))
    expected = 0.5 * (2 * np.tanh(x) + np.tanh(0.01 * logs))
    np.testing.assert_allclose(np.log(width(x, 0 * x, band)), expected, rtol=1e-12)


def test_the_widths_network_is_not_told_of_weights_by_the_bands() -> None:
    """Bands are larger by the root of a weight, which is nothing that a new event has."""
    found, always = two(), WidthTuning(level=-np.inf)
    root = np.linspace(1, 3, 60)
    weighted = found._replace(bands=found.bands * root, root_weights=root)
    widths = [
        choose_width(each, np.zeros(2), np.random.default_rng(1), PathMinimizer(), always)[1]
        for each in (found, weighted)
    ]
    assert widths[0] is not None
    assert widths[1] is not None
    np.testing.assert_allclose(widths[0].parameters, widths[1].parameters, rtol=1e-6, atol=1e-9)


def test_students_density_is_scipys() -> None:
    z = np.array([-30.0, -1.0, 0.0, 0.5, 1e6])
    for nu in (2.1, 9.5, 1e4):
        np.testing.assert_allclose(log_student_t(z, nu), scipy.stats.t.logpdf(z, nu), rtol=1e-10)
