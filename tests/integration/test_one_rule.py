"""What a fit knows about its data holds in each study of it: errors of y, weights, the covariance, the precision."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.fitting import fit_toys, seeds_of

N = 100
X = np.linspace(-2, 2, N)


def _smooth(seed: int, noise: float = 0.1) -> Any:
    return np.tanh(2 * X) + noise * np.random.default_rng(seed).normal(size=N)


def test_migrad_alone_tells_its_callback_and_knows_a_density() -> None:
    """It stops where the callback asks, and the density is that of any other fit."""
    y, told = _smooth(1), []
    model = fx.Model((1, 3, 1), seed=1)
    fit = model.fit(X, y, 0.1, prior=1.0, minimizer="migrad", callback=lambda state: told.append(state.fval))
    assert told[-1] == pytest.approx(fit.fval)
    assert np.all(np.isfinite(model.log_density([0.0], [0.0])))
    stopped = fx.Model((1, 3, 1), seed=1).fit(X, y, 0.1, prior=1.0, minimizer="migrad", callback=lambda _: True)
    assert stopped.minuit.nfcn <= fit.minuit.nfcn


@pytest.mark.slow
def test_replicas_estimate_errors_as_the_fit_does() -> None:
    """With more parameters than values, where their effective number counts."""
    x, y = X[::2], _smooth(2)[::2]
    model = fx.Model((1, 30, 1), seed=1)
    fit = model.fit(x, y, prior=1.0)
    estimated = model.fit_replicas(x, y, prior=1.0, number=20, seed=1)
    given = model.fit_replicas(x, y, float(fit.y_error[0]), prior=1.0, number=20, seed=1)
    np.testing.assert_allclose(estimated.fval, given.fval, rtol=1e-2)
    with pytest.raises(ValueError, match="parameters"):
        model.fit_replicas(x, y, prior=None, number=20)


def test_all_sets_of_replicas_are_checked() -> None:
    """As the one set of a fit: counts are not negative, events have a class, successes are no more than trials."""
    x, counts = X[:10], np.full((3, 10, 1), 4.0)
    bad = counts.copy()
    bad[2, 7, 0] = -1
    model = fx.Model((1, 1), output="exp", seed=1)
    model.fit_replicas(x, counts, loss="poisson")
    with pytest.raises(ValueError, match="y"):
        model.fit_replicas(x, bad, loss="poisson")
    bad[2, 7, 0] = 6
    with pytest.raises(ValueError, match="at most the number of `trials`, got 6 in row 7"):
        fx.Model((1, 1), output="logistic").fit_replicas(x, bad, loss="binomial", trials=5)


@pytest.mark.slow
def test_replicas_of_a_model_in_single_precision_are_computed_in_double() -> None:
    """As its fit: here y is near 1000 and its errors are smaller than the distance of two numbers of float32."""
    y = 1000 + 1e-3 * np.tanh(2 * X) + 2e-5 * np.random.default_rng(1).normal(size=N)
    fvals = []
    for dtype in ("float64", "float32"):
        model = fx.Model((1, 3, 1), seed=1, dtype=dtype)
        model.fit(X, y, 2e-5, prior=3.0)
        fvals.append(model.fit_replicas(X, y, 2e-5, prior=3.0, number=10, seed=1).fval)
    np.testing.assert_allclose(fvals[1], fvals[0], rtol=0.01)


def test_a_mask_does_not_decide_what_an_ambiguous_array_means() -> None:
    x, y, model = np.arange(3.0)[:, None], np.arange(9.0).reshape(3, 3), fx.Model((1, 3))
    for mask in (None, [True, True, False]):
        with pytest.raises(ValueError, match="one per event or one per output"):
            fx.LeastSquares(x, y, [0.1, 0.2, 0.3], model, mask=mask)


def test_weights_of_both_signs_may_leave_no_errors_of_y() -> None:
    y, w = _smooth(1), np.where(np.arange(N) % 3 == 0, -1.0, 1.0)
    w[np.argmax(np.abs(y - np.tanh(2 * X)))] = -300.0
    w[0] = 400.0
    with pytest.raises(ValueError, match="the sum of squared residuals is negative; give y_err"):
        fx.Model((1, 1), seed=1).fit(X, y, weights=w, covariance="sandwich", prior=None)


def test_weights_are_in_pulls() -> None:
    """A value of weight w is one with an error smaller by sqrt(w), in goodness, calibration and the cost."""
    w = np.where(np.arange(N) % 2, 16.0, 1.0)
    y = np.tanh(2 * X) + 0.4 * np.random.default_rng(1).normal(size=N) / np.sqrt(w)
    weighted = fx.Model((1, 2, 1), seed=1).fit(X, y, 0.4, weights=w, prior=1.0)
    equivalent = fx.Model((1, 2, 1), seed=1).fit(X, y, 0.4 / np.sqrt(w), prior=1.0)
    np.testing.assert_allclose(weighted.goodness().pulls, equivalent.goodness().pulls, atol=1e-6)


@pytest.mark.slow
def test_weights_are_in_the_calibration_of_prior_auto() -> None:
    w = np.where(np.arange(N) % 2, 100.0, 1.0)
    y = np.tanh(2 * X) + np.random.default_rng(3).normal(size=N) / np.sqrt(w)
    weighted = fx.Model((1, 4, 1), seed=1).fit(X, y, 1.0, weights=w, prior="auto")
    equivalent = fx.Model((1, 4, 1), seed=1).fit(X, y, 1 / np.sqrt(w), prior="auto")
    assert weighted.recipe is not None
    assert equivalent.recipe is not None
    one, other = (astuple(fit.recipe.calibration) for fit in (weighted, equivalent))
    np.testing.assert_allclose(one, other, rtol=0.02)


@pytest.mark.slow
def test_intervals_of_a_robust_loss_hold_their_share_of_events() -> None:
    """Where one event of ten is far off, 90 % intervals hold 90 % of new events, and are not as wide as those."""
    n, inside, widths = 400, [], []
    x = np.linspace(-2, 2, n)

    def events(rng: np.random.Generator) -> Any:
        y = np.tanh(2 * x) + 0.1 * rng.normal(size=n)
        return y + np.where(rng.random(n) < 0.1, 10 * rng.normal(size=n), 0.0)

    for seed in range(4):
        rng = np.random.default_rng(seed)
        model = fx.Model((1, 5, 1), seed=seed)
        model.fit(x, events(rng), loss="student_t", prior="auto")
        low, high = model.interval(x, cl=0.9)
        new = events(rng)
        inside.append(np.mean((low < new) & (new < high)))
        widths.append(np.median(high - low))
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)
    assert np.max(widths) < 1.0


def test_coverage_uses_the_covariance_of_the_fit() -> None:
    """Errors stated three times too small do not make each toy's sandwich three times too wide."""
    y = np.random.default_rng(4).normal(size=N) * 0.3 + X
    fits = {c: fx.Model((1, 1), seed=1).fit(X, y, 0.1, covariance=c, prior=None) for c in ("hessian", "sandwich")}
    x = np.linspace(-2, 2, 5)
    for fit in fits.values():  # toys are drawn with the stated errors, which both know or find in the toys' scatter
        assert fit.coverage(x, number=100, seed=2, cl=0.683).averaged == pytest.approx(0.683, abs=0.1)
    with pytest.raises(ValueError, match="does not trust"):
        fits["sandwich"].band(x, method="profile")


@pytest.mark.parametrize("seed", [1, 2])
def test_ties_of_toys_and_data_do_not_depend_on_rounding(seed: int) -> None:
    """Toys of 0 and 1 often repeat the data, or mirror them: each counts as at least as bad."""
    x, y = np.arange(8.0), np.array([0.0, 1, 0, 1, 0, 1, 1, 0])
    fit = fx.Model((1, 1), output="logistic", seed=1).fit(x, y, loss="binomial", prior=None)
    toys = fit_toys(fit.problem, fit.parameters, seeds_of(seed, 200))
    as_bad = toys.chi2[toys.valid] > fit.chi2 - 1e-3
    assert fit.goodness(200, seed=seed).p_toys == pytest.approx((1 + as_bad.sum()) / (1 + len(as_bad)))
