"""Evidence, and by how much the prior holds up a prediction, against closed forms of linear networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

import ffnn_xp as fx
from ffnn_xp.backends import Backend

RNG = np.random.default_rng(5)
X = RNG.normal(size=(30, 3))
Y = X @ np.array([1.0, -0.5, 0.0]) + 2 + 0.5 * RNG.normal(size=30)
NEW = RNG.normal(size=(7, 3)) * np.array([0.1, 1.0, 3.0])
STANDARD = (X - X.mean(axis=0)) / X.std(axis=0)


def fitted(prior: float | None, backend: str | Backend = "numpy") -> fx.FitResult:
    return fx.Model((3, 1), backend=backend, seed=1).fit(X, Y, 0.5, prior=prior)


def exact(prior: float) -> float:
    """Log density of the measured values, over weights of width prior / sqrt(3) and a bias that may be anything."""
    wide = 30.0
    y, error = (Y - Y.mean()) / Y.std(), 0.5 / Y.std()
    covariance = error**2 * np.eye(30) + STANDARD @ STANDARD.T * prior**2 / 3 + wide**2
    return float(scipy.stats.multivariate_normal(np.zeros(30), covariance).logpdf(y))


def test_differences_of_evidence_are_those_of_linear_models() -> None:
    for prior in (0.1, 0.5, 3.0):
        difference = fitted(prior).log_evidence - fitted(1.0).log_evidence
        assert difference == pytest.approx(exact(prior) - exact(1.0), rel=1e-6)


@pytest.mark.slow
def test_evidence_of_unknown_errors_prefers_the_network_that_made_the_data() -> None:
    rng = np.random.default_rng(6)
    x = np.linspace(-2, 2, 200)
    y = np.tanh(3 * x) + 0.1 * rng.normal(size=200)
    few, many = (fx.Model((1, h, 1), backend="numpy", seed=1).fit(x, y, prior=2.0) for h in (1, 8))
    line = fx.Model((1, 1), backend="numpy", seed=1).fit(x, y, prior=2.0)
    assert line.log_evidence < many.log_evidence < few.log_evidence
    assert "log Z" in str(few)


def test_there_is_no_evidence_without_a_prior() -> None:
    fit = fitted(None)
    assert np.isnan(fit.log_evidence)
    assert "log Z" not in str(fit)
    np.testing.assert_array_equal(fit.prior_share(NEW), 0)


def test_the_share_is_that_of_the_normal_equations(backend: Backend) -> None:
    prior = 0.3
    design = np.concatenate([STANDARD, np.ones((30, 1))], axis=1) * (Y.std() / 0.5)
    P = np.diag([3 / prior**2] * 3 + [0.0])
    covariance = np.linalg.inv(design.T @ design + P)
    j = np.concatenate([(NEW - X.mean(axis=0)) / X.std(axis=0), np.ones((7, 1))], axis=1)
    v = j @ covariance
    share = fitted(prior, backend).prior_share(NEW)
    np.testing.assert_allclose(share, np.sum(v @ P * v, axis=1) / np.sum(v * j, axis=1), rtol=1e-8)
    assert share.max() > 0.2


def test_several_outputs_and_many_events() -> None:
    y = np.stack([Y, -Y, X[:, 0]], axis=1)
    fit = fx.Model((3, 2, 3), backend="numpy", seed=1).fit(X, y, 0.5, prior=1.0)
    whole = fit.prior_share(NEW)
    assert whole.shape == (7, 3)
    assert np.all((whole > 0) & (whole < 1))
    fit = replace(fit, error_band=replace(fit.error_band, jacobian_bytes=1))  # an event at a time
    np.testing.assert_allclose(fit.prior_share(NEW), whole, rtol=1e-12)


def test_a_sandwich_changes_errors_and_not_shares() -> None:
    fit = fx.Model((3, 1), backend="numpy", seed=1).fit(X, Y, 0.5, prior=1.0, covariance="sandwich")
    np.testing.assert_allclose(fit.prior_share(NEW), fitted(1.0).prior_share(NEW), rtol=1e-6)
    assert np.isnan(fit.log_evidence)
