"""Fits without a p x p matrix, against the same with matrices."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.fitting.local_search import LocalSearchTuning
from ffnn_xp.fitting.tuning import Tuning
from ffnn_xp.minimizers import EDMBounds, MatrixFree, MinimizerResult, Status

NO_MATRICES = Tuning(matrix_limit=10)


@dataclass(frozen=True)
class Found(MatrixFree):
    """A minimizer that finds these bounds where it begins."""

    bounds: EDMBounds | None = None

    def run(self, problem: Any, theta: np.ndarray, budget: Any = None) -> MinimizerResult:
        assert self.bounds is not None
        value = problem.value_and_gradient(theta)[0]
        return MinimizerResult(theta, value, self.bounds.upper, Status.NO_GAIN, bounds=self.bounds)


class TestFit:
    """With the limit brought down, so that a small network is too large for matrices."""

    def fit(self, seed: int = 1, **options: object) -> tuple[fx.FitResult, fx.FitResult]:
        rng = np.random.default_rng(1)
        x = rng.uniform(-2, 2, 200)
        y = np.sin(2 * x) + 0.1 * rng.normal(size=200)
        options = {"y_err": 0.1, "prior": 2.0, "progress": False, **options}
        with_matrices = fx.Model((1, 8, 1), backend="numpy", seed=seed).fit(x, y, **options)  # type: ignore[arg-type]
        model = fx.Model((1, 8, 1), backend="numpy", seed=seed)
        without = model.fit(x, y, **options, tuning=NO_MATRICES)  # type: ignore[arg-type]
        assert without.covariance is None
        return with_matrices, without

    @pytest.mark.slow
    def test_the_certificate_says_what_it_rests_on(self) -> None:
        with_matrices, without = self.fit(restarts=1)
        assert with_matrices.certificate == "MIGRAD"
        assert without.certificate == "conjugate gradients"
        assert without.valid
        assert without.edm_newton <= without.edm < 2e-4
        assert without.chi2 == pytest.approx(with_matrices.chi2, rel=0.05)
        assert "conjugate gradients" in repr(without)
        assert np.isnan(without.errors).all()

    @pytest.mark.slow
    def test_errors_from_the_residuals(self) -> None:
        """One in thirty such fits without a prior ends where S still curves down, and says so; this one does not."""
        with_matrices, without = self.fit(seed=2, y_err=None, restarts=3, prior=None)
        assert without.valid
        np.testing.assert_allclose(without.y_error, with_matrices.y_error, rtol=0.1)

    def test_what_is_no_minimum_is_not_valid(self) -> None:
        """An EDM that is above the goal, and a direction of negative curvature."""
        far = EDMBounds(np.zeros(25), 1.0, 2.0, 7)
        falls = EDMBounds(np.zeros(25), 0.0, np.inf, 7, np.ones(25))
        degenerate = EDMBounds(np.zeros(25), 1.0, 2.0, 7, weakly_determined=True)
        for found, words in (
            (far, "EDM lies between 1 and 2"),
            (falls, "curves down"),
            (degenerate, "a degenerate minimum"),
        ):
            tuning = replace(NO_MATRICES, local_search=LocalSearchTuning(matrix_free=Found(bounds=found)))
            x = np.linspace(-2, 2, 100)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", fx.FitWarning)
                fit = fx.Model((1, 8, 1), backend="numpy", seed=1).fit(
                    x,
                    np.sin(2 * x),
                    0.1,
                    prior=2.0,
                    restarts=1,
                    progress=False,
                    tuning=tuning,
                )
            assert not fit.valid
            assert fit.certificate == "none"
            assert words in fit.message

    @pytest.mark.slow
    def test_the_band_is_that_of_the_matrices(self) -> None:
        """From the same minimum; an upper bound, within one percent of it."""
        x = np.linspace(-2, 2, 100)
        model = fx.Model((1, 8, 1), backend="numpy", seed=1)
        options = {"prior": 2.0, "restarts": 1, "progress": False}
        model.fit(x, np.sin(2 * x), 0.1, **options)
        at = [-2.5, -1.0, 0.3, 3.0]
        _, known = model.predict(at, return_std=True)
        fit = model.fit(x, np.sin(2 * x), 0.1, **options, tuning=NO_MATRICES)
        assert fit.certificate == "conjugate gradients"
        _, std = model.predict(at, return_std=True)
        assert np.all(std > known * (1 - 1e-3))
        assert np.all(std < known * 1.02)

    def test_such_a_band_is_not_saved(self, tmp_path: Path) -> None:
        pytest.importorskip("safetensors")
        x = np.linspace(-2, 2, 100)
        model = fx.Model((1, 8, 1), backend="numpy", seed=1)
        model.fit(x, np.sin(2 * x), 0.1, prior=2.0, restarts=1, progress=False, tuning=NO_MATRICES)
        model.save(tmp_path / "net.safetensors")
        with pytest.raises(fx.NotFittedError, match="no p x p matrix was formed"):
            fx.load(tmp_path / "net.safetensors").predict(x, return_std=True)
        with pytest.raises(ValueError, match="no error band to save"):
            model.save(tmp_path / "net.safetensors", band=True)
