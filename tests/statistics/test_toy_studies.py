"""Goodness of fit and coverage: what they say where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import ffnn_xp as fx
from ffnn_xp.studies.goodness import _p_runs

X = np.linspace(-1, 1, 80)


def straight(seed: int, error: float = 0.1, auxiliary: float = 0.0) -> fx.FitResult:
    rng = np.random.default_rng(seed)
    y = 2 * X + auxiliary * np.sin(9 * X) + 0.1 * rng.normal(size=80)
    return fx.Model((1, 1), seed=1).fit(X, y, error, prior=None)


@pytest.mark.slow
def test_p_values_by_toys_are_those_of_chi_square() -> None:
    """A straight line, whose chi-square has its distribution exactly."""
    fit = straight(3)
    good = fit.goodness(1000, seed=1)
    assert good.n_toys == 1000
    assert good.p_value == pytest.approx(scipy.stats.chi2.sf(fit.chi2, 78), rel=1e-9)
    assert good.p_toys == pytest.approx(good.p_value, abs=4 * 0.5 / np.sqrt(1000))
    np.testing.assert_allclose(good.pulls[0], fit.raw_cost.pulls(fit.parameters))
    np.testing.assert_allclose(good.calibration[:, 1], good.calibration[:, 0], atol=0.2)


def test_what_does_not_fit_is_seen_in_every_number() -> None:
    good = straight(3, auxiliary=0.3).goodness(200, seed=1)
    assert good.p_value < 1e-6
    assert good.p_toys == pytest.approx(1 / 201)
    assert good.p_runs < 1e-3
    assert "by toys 0.00498 (200 toys)" in repr(good)


def test_runs_are_seen_where_chi_square_is_blind() -> None:
    """Errors twice too large hide a wave from chi-square."""
    good = straight(3, error=0.3, auxiliary=0.2).goodness()
    assert good.p_value > 0.5
    assert good.p_runs < 1e-3
    assert np.isnan(good.p_toys)


def test_runs_have_their_distribution() -> None:
    rng = np.random.default_rng(1)
    p = np.array([_p_runs(rng.normal(size=60), np.arange(60.0)) for _ in range(2000)])
    for level in (0.05, 0.2, 0.5):  # runs are whole numbers: the chance is at most what is said, and hardly less
        assert level - 0.09 < np.mean(p <= level) < level + 3 * np.sqrt(level * (1 - level) / 2000)
    assert _p_runs(np.ones(10), np.arange(10.0)) == 1.0


def test_small_counts_have_a_p_value_by_toys_alone() -> None:
    rng = np.random.default_rng(2)
    fit = fx.Model((1, 1), output="exp", seed=1).fit(X, rng.poisson(0.15 * np.exp(X)), loss="poisson", prior=None)
    good = fit.goodness(300, seed=1)
    assert np.isnan(good.p_value)
    assert 0.05 < good.p_toys < 0.95
    assert scipy.stats.chi2.sf(fit.chi2, fit.ndof) > 0.99  # what the asymptotic value would have said
    assert "runs" not in repr(good)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "output", "options"),
    [
        ("least_squares", "identity", {"y_err": 0.1}),
        ("least_squares", "identity", {}),
        ("poisson", "exp", {}),
        ("binomial", "logistic", {"trials": 20}),
    ],
)
def test_bands_cover(loss: str, output: str, options: dict[str, float]) -> None:
    """400 toys: the standard error of an average over a curve is about a point. A strong prior would pull the curve."""
    rng = np.random.default_rng(5)
    f = np.sin(3 * X)
    y = {
        "least_squares": f + 0.1 * rng.normal(size=80),
        "poisson": rng.poisson(20 * np.exp(f)),
        "binomial": rng.binomial(20, 1 / (1 + np.exp(-f))),
    }[loss]
    fit = fx.Model((1, 3, 1), output=output, seed=1).fit(X, y, loss=loss, prior=10.0, **options)  # type: ignore[arg-type]
    measured = fit.coverage(number=400, seed=1)
    assert measured.n_toys >= 398
    assert measured.averaged[0] == pytest.approx(0.683, abs=0.035)
    assert measured.averaged[1] == pytest.approx(0.954, abs=0.02)
    assert "68.3%" in repr(measured)


@pytest.mark.slow
def test_a_band_that_is_too_narrow_is_found_out() -> None:
    """A line through a network whose prior allows no slope: the band is narrow, and beside the truth."""
    fit = straight(3)
    narrow = fx.Model((1, 3, 1), seed=1)
    rng = np.random.default_rng(3)
    strict = narrow.fit(X, 2 * X + 0.1 * rng.normal(size=80), 0.1, prior=0.03)
    assert np.abs(fit.coverage(number=200, seed=1).bias).max() < 0.35
    assert np.abs(strict.coverage(number=100, seed=1).bias).max() > 2


def test_where_and_how_are_checked() -> None:
    fit = straight(3)
    assert fit.coverage([0.0, 5.0], cl=0.9, number=50, seed=1).pointwise.shape == (1, 1, 2)
    with pytest.raises(ValueError, match="`cl` must lie between 0 and 1"):
        fit.coverage(cl=68.3)
    with pytest.raises(ValueError, match="`number` must be"):
        fit.coverage(number=1)
    with pytest.raises(ValueError, match="`number` must be"):
        fit.goodness(-1)
    with pytest.warns(fx.FitWarning):
        bad = fx.Model((1, 8, 1), seed=1).fit(X, X, 0.1, max_seconds=1e-9, prior=None)
    with pytest.raises(fx.NotFittedError, match="no error band"):
        bad.coverage()
