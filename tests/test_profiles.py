"""Profiles of many predictions side by side: each is what it is alone, on every array library."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize

import ffnn_xp as fx
import ffnn_xp.profiles
from ffnn_xp import Backend

RNG = np.random.default_rng(4)
X = RNG.uniform(-1, 1, (60, 2))
Y = np.stack([np.sin(3 * X[:, 0]) + X[:, 1], 50 * X[:, 0] * X[:, 1] + 7], axis=1)
ERROR = np.array([0.1, 5.0])
MEASURED = Y + ERROR * RNG.normal(size=Y.shape)
AT = np.array([[-0.5, 0.3], [0.1, 0.9], [0.7, -0.2]])


def fitted(backend: Backend | str) -> fx.FitResult:
    model = fx.Model((2, 4, 2), backend=backend, seed=1)
    return model.fit(X, MEASURED, ERROR, prior=3.0, restarts=2, progress=False)


@pytest.fixture(scope="module")
def fit() -> fx.FitResult:
    return fitted("numpy")


def test_each_point_and_output_has_its_own_ends(fit: fx.FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """In lots of any size, and asked for alone."""
    together = fit.band(AT, method="profile")
    linear = fit.band(AT)
    assert together.low.shape == (3, 2)
    assert set(together.status.ravel()) == {""}
    np.testing.assert_allclose(together.high - together.low, linear.high - linear.low, rtol=0.15)
    monkeypatch.setattr(ffnn_xp.profiles, "LOT", 5)
    in_lots = fit.band(AT, method="profile")
    width = together.high - together.low
    for one in (in_lots, *(fit.band(AT[i : i + 1], method="profile") for i in range(3))):
        rows = slice(None) if len(one.low) == 3 else np.argmin(np.abs(together.mean[:, 0] - one.mean[0, 0]))
        assert np.max(np.abs(one.low - together.low[rows]) / width[rows]) < 2e-3
        assert np.max(np.abs(one.high - together.high[rows]) / width[rows]) < 2e-3


def test_s_has_risen_by_one_at_the_ends(fit: fx.FitResult) -> None:
    """The smallest S of all parameters with that prediction, by SciPy's SLSQP."""
    band = fit.band(AT[:1], method="profile", cl=0.6827)
    model = fx.Model((2, 4, 2), backend="numpy", seed=1)
    raw = fit.make_minuit.args[0]  # type: ignore[attr-defined]
    cost = fx.LeastSquares(X, MEASURED, ERROR, model, prior=raw.prior)
    scale = fit.errors  # so that SLSQP sees a round function
    for output in range(2):
        for end in (band.low[0, output], band.high[0, output]):

            def short(z: np.ndarray, output: int = output, end: float = end) -> float:
                return float((model(AT[:1], fit.parameters + scale * z)[0, output] - end) / ERROR[output])

            best = scipy.optimize.minimize(
                lambda z: cost(fit.parameters + scale * z),
                np.zeros(cost.npar),
                jac=lambda z: scale * cost.grad(fit.parameters + scale * z),
                method="SLSQP",
                constraints=[{"type": "eq", "fun": short}],
                options={"maxiter": 2000, "ftol": 1e-9},
            )
            assert best.success
            assert best.fun - fit.fval == pytest.approx(1, abs=0.02)


def test_every_library_finds_the_same_ends(fit: fx.FitResult, backend: Backend) -> None:
    band, same = fit.band(AT, method="profile"), fitted(backend).band(AT, method="profile")
    width = band.high - band.low
    assert np.max(np.abs(same.low - band.low) / width) < 2e-3
    assert np.max(np.abs(same.high - band.high) / width) < 2e-3
