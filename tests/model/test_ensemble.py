"""Refits of replicas, and the ensembles that they make."""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.optimize

import ffnn_xp as fx
from ffnn_xp import Backend

NOISE = 0.1


def bends(n: int = 80, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.linspace(-2, 2, n)
    return x, np.tanh(2 * x) - 0.5 * np.tanh(3 * x - 2) + NOISE * rng.normal(size=n)


class TestFitReplicas:
    def fitted(self, backend: Backend | str = "numpy") -> tuple[fx.Model, np.ndarray, np.ndarray]:
        x, y = bends()
        model = fx.Model((1, 2, 1), backend=backend, seed=1)
        assert model.fit(x, y, NOISE, prior=3.0).valid
        return model, x, y

    @pytest.mark.slow
    def test_each_toy_is_a_fit_of_its_own(self) -> None:
        model, x, _ = self.fitted()
        toys = model(x) + NOISE * np.random.default_rng(5).normal(size=(6, len(x)))
        before = model.parameters.copy()
        ensemble = model.fit_replicas(x, toys[:, :, None], NOISE, prior=None)
        assert ensemble.kind == "data"
        assert ensemble.valid.sum() >= 5  # without a prior a toy may run along a valley, and says so
        np.testing.assert_array_equal(model.parameters, before)

        def residuals(theta: np.ndarray, toy: np.ndarray) -> np.ndarray:
            return (model(x, theta) - toy) / NOISE

        for i in np.flatnonzero(ensemble.valid):
            toy, fval, theta = toys[i], ensemble.fval[i], ensemble.parameters[i]
            reference = scipy.optimize.least_squares(residuals, before, args=(toy,), xtol=1e-12, ftol=1e-12)
            assert fval == pytest.approx(2 * reference.cost, abs=0.05)
            assert fval == pytest.approx(np.sum(residuals(theta, toy) ** 2), rel=1e-9)

    @pytest.mark.slow
    def test_on_every_library(self, backend: Backend) -> None:
        model, x, y = self.fitted(backend)
        reference, *_ = self.fitted()
        mine = model.fit_replicas(x, y, NOISE, prior=3.0, number=5, seed=3)
        theirs = reference.fit_replicas(x, y, NOISE, prior=3.0, number=5, seed=3)
        assert mine(x).shape == (5, len(x))
        np.testing.assert_allclose(mine.fval, theirs.fval, atol=2e-3)

    @pytest.mark.slow
    def test_toys_spread_as_the_band_says(self) -> None:
        model, x, y = self.fitted()
        ensemble = model.fit_replicas(x, y, NOISE, prior=3.0, number=400, seed=1)
        assert ensemble.valid.mean() > 0.98
        _, band = model.predict(x, return_std=True)
        _, spread, (low, high) = ensemble.predict(x, return_std=True, cl=0.6827)
        assert np.mean(spread / band) == pytest.approx(1.0, abs=0.1)
        assert np.mean((high - low) / (2 * band)) == pytest.approx(1.0, abs=0.1)

    def test_bootstrap_of_a_line_has_the_known_error(self) -> None:
        """A mean: the bootstrap's variance is that of the sample, over n."""
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=200), rng.normal(size=200)
        model = fx.Model((1, 1), backend="numpy", seed=1)
        model.fit(x, y, prior=None)
        ensemble = model.fit_replicas(x, y, kind="bootstrap", number=1000, seed=2)
        assert ensemble.valid.all()
        X = np.stack([x, np.ones(200)], axis=1)
        residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
        bread = np.linalg.inv(X.T @ X)
        sandwich = bread @ (X.T * residual**2) @ X @ bread
        np.testing.assert_allclose(np.diag(ensemble.covariance), np.diag(sandwich), rtol=0.15)

    def test_one_replica_for_each_prior(self) -> None:
        model, x, y = self.fitted()
        ensemble = model.fit_replicas(x, y, NOISE, prior=[0.3, 1.0, 3.0])
        alone = [model.fit_replicas(x, y, NOISE, prior=[tau]).fval[0] for tau in (0.3, 1.0, 3.0)]
        np.testing.assert_allclose(ensemble.fval, alone, rtol=1e-9)
        assert ensemble.fval[0] > ensemble.fval[2]

    def test_time_is_kept(self) -> None:
        model, x, y = self.fitted()
        began = time.monotonic()
        ensemble = model.fit_replicas(x, y, NOISE, number=2000, seed=1, max_seconds=0.02)
        assert ensemble.stopped
        assert "max_seconds" in repr(ensemble)
        assert time.monotonic() - began < 5

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"kind": "toy"}, "did you mean 'toys'"),
            ({"number": 0}, "positive integer"),
            ({"prior": -1.0}, "positive width"),
            ({"prior": []}, "must not be empty"),
            ({"y": np.zeros((3, 80, 1)), "y_err": None}, "need `y_err`"),
            ({"y": np.full((3, 80, 1), np.nan)}, "finite"),
            ({"y": np.zeros((3, 79, 1))}, "must have shape"),
        ],
    )
    def test_bad_input(self, options: dict[str, object], message: str) -> None:
        model, x, y = self.fitted()
        with pytest.raises(ValueError, match=message):
            model.fit_replicas(x, **{"y": y, "y_err": NOISE, **options})  # type: ignore[arg-type]

    def test_a_model_without_parameters(self) -> None:
        with pytest.raises(fx.NotFittedError):
            fx.Model(backend="numpy").fit_replicas([1.0, 2.0], [1.0, 2.0], 0.1)
