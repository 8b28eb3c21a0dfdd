"""`Model.fit` without options: a prior that held-out events choose, where some can be held out."""

from pathlib import Path

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.uncertainty import LinearBand


def points(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    return x, np.sin(3 * x) + 0.1 * rng.normal(size=n)


def network(seed: int = 1) -> fx.Model:
    return fx.Model((1, 6, 1), backend="numpy", seed=seed)


@pytest.mark.slow
def test_it_is_that_of_a_prior_chosen_by_held_out_events() -> None:
    x, y = points(100)
    default, auto = network().fit(x, y, 0.1), network().fit(x, y, 0.1, prior="auto")
    np.testing.assert_array_equal(default.parameters, auto.parameters)
    assert default.recipe is not None
    assert default.fval < network().fit(x, y, 0.1, prior=0.1).fval
    assert default.chi2 > network().fit(x, y, 0.1, prior=None).chi2


@pytest.mark.slow
def test_its_band_covers_what_it_claims() -> None:
    """60 toys of some eight independent points each have an error of 0.02."""
    at, inside = np.linspace(-0.9, 0.9, 20), []
    for seed in range(60):
        model = network(seed)
        assert model.fit(*points(150, seed), 0.1).valid
        mean, std = model.predict(at, return_std=True)
        inside.append(np.abs(mean - np.sin(3 * at)) / std)
    assert 0.62 < np.mean(np.array(inside) < 1) < 0.76
    assert 0.91 < np.mean(np.array(inside) < 2) < 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    ("widths", "data", "why"),
    [
        ((1, 1), (*points(50), 0.1), "a network without hidden units needs none"),
        ((1, 2, 1), (*points(9), 0.1), "9 events are too few to hold some out"),
    ],
)
def test_where_there_is_nothing_to_choose_it_has_none(
    widths: tuple[int, ...], data: tuple[np.ndarray, np.ndarray, float], why: str
) -> None:
    fit = fx.Model(widths, backend="numpy", seed=1).fit(*data)
    assert f"none: {why}" in repr(fit)
    assert fit.fval == fit.chi2
    assert fit.fval == fx.Model(widths, backend="numpy", seed=1).fit(*data, prior=None).fval


@pytest.mark.slow
def test_events_that_cannot_be_held_out() -> None:
    x, y = points(30)
    fit = network().fit(x, y, y_cov=0.01 * np.eye(30), restarts=2)
    assert "none: events that are correlated or summed cannot be held out" in repr(fit)
    edges = np.linspace(-1, 1, 21)
    counts = np.random.default_rng(1).poisson(50 * np.exp(edges[1:]))
    model = fx.Model((1, 2, 1), output="exp", backend="numpy", seed=1)
    fit = model.fit(fx.Bins(edges), counts, loss="poisson", restarts=2)
    assert "none: events that are correlated or summed cannot be held out" in repr(fit)


def test_a_line_of_more_parameters_than_values_has_a_prior() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 60))
    y = x[:, 0] + 0.1 * rng.normal(size=40)
    model = fx.Model((60, 1), backend="numpy", seed=1)
    assert model.fit(x, y).recipe is not None
    new = rng.normal(size=(200, 60))
    assert np.corrcoef(model.predict(new), new[:, 0])[0, 1] > 0.5


@pytest.mark.slow
def test_the_standard_deviation_is_that_of_the_mean_of_the_networks() -> None:
    """The band of all, and one over their number of the variance between them; of a measurement, noise and band."""
    x, y = points(60)
    model, at = network(), np.array([0.2, 1.5])
    model.fit(x, y, 0.1)
    density = model.to_state().predictive
    assert density is not None
    own, bands = [], []
    for member in density.members:
        assert isinstance(member.band, LinearBand)
        alone = network()
        alone.parameters = member.band.parameters
        own.append(alone.predict(at))
        step = 1e-6
        J = []
        for i in range(alone.n_parameters):
            ends = [alone(at, member.band.parameters + s * step * np.eye(alone.n_parameters)[i]) for s in (1, -1)]
            J.append((ends[0] - ends[1]) / (2 * step))
        F = member.band.scaling.linear(member.band.spectrum.factor.T)
        bands.append(np.sum((F @ np.array(J)) ** 2, axis=0))
    mean, std = model.predict(at, return_std=True)
    M = len(own)
    np.testing.assert_allclose(mean, np.mean(own, axis=0))
    np.testing.assert_allclose(std**2, np.mean(bands, axis=0) + np.var(own, axis=0, ddof=1) / M, rtol=1e-5)
    c = density.calibration
    width = np.array(bands) * c.b + c.a * 0.1**2
    beyond = np.maximum(0, np.var(own, axis=0, ddof=1) - density.scatter**2)
    expected = c.nu / (c.nu - 2) * (np.mean(width, axis=0) + beyond)
    np.testing.assert_allclose(model.predict(at, return_std=True, kind="prediction")[1] ** 2, expected, rtol=1e-5)


@pytest.mark.slow
def test_replicas_have_the_prior_of_the_fit(tmp_path: Path) -> None:
    x, y = points(60)
    model = network()
    fit = model.fit(x, y, 0.1)
    assert fit.problem.prior is not None
    replicas = model.fit_replicas(x, y, 0.1, number=5, seed=1)
    alone = network()
    alone.parameters = fit.parameters
    toys = alone.fit_replicas(x, y, 0.1, number=5, seed=1)
    none = model.fit_replicas(x, y, 0.1, prior=None, number=5, seed=1)
    np.testing.assert_array_equal(toys.parameters, none.parameters)
    assert np.all(none.fval < replicas.fval)
    model.save(tmp_path / "net.safetensors")
    by_hand = fx.load(tmp_path / "net.safetensors", backend="numpy")
    by_hand.parameters = fit.parameters
    own = by_hand.fit_replicas(x, y, 0.1, number=5, seed=1)
    np.testing.assert_array_equal(own.parameters, none.parameters)
    again = fx.load(tmp_path / "net.safetensors", backend="numpy").fit_replicas(x, y, 0.1, number=5, seed=1)
    np.testing.assert_allclose(again.fval, replicas.fval, rtol=1e-6)


@pytest.mark.slow
def test_the_search_goes_on_where_newtons_step_says_that_migrad_is_too_sure() -> None:
    """A network of 81 parameters and 30 values: MIGRAD's covariance is far too small along some direction."""
    rng = np.random.default_rng(25)
    x = rng.uniform(-1, 1, (30, 2))
    y = np.sin(3 * x[:, 0]) * x[:, 1] + 0.05 * rng.normal(size=30)
    fit = fx.Model((2, 20, 1), backend="numpy", seed=25).fit(x, y, 0.1, prior=300.0, restarts=1)
    assert fit.valid, fit.message
    assert fit.edm_newton < 20 * fit.edm_goal
