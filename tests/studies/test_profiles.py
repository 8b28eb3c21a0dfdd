"""Profiles of many predictions side by side: each is what it is alone, on every array library."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.optimize

import ffnn_xp as fx
import ffnn_xp.studies.profiles
from ffnn_xp import Backend
from ffnn_xp.minimizers import run_batched
from ffnn_xp.studies.bands import BandMethod, profile_ends
from ffnn_xp.studies.fitted_problem import FittedProblem
from ffnn_xp.studies.profiles import DEFAULT_PROFILE, ProfileTuning, _end, _Penalised
from ffnn_xp.uncertainty import LinearBand

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


@pytest.mark.slow
def test_each_point_and_output_has_its_own_ends(fit: fx.FitResult) -> None:
    """In batches of any size, and alone."""
    together = fit.band(AT, method="profile")
    linear = fit.band(AT)
    assert together.low.shape == (3, 2)
    assert set(together.status.ravel()) == {""}
    np.testing.assert_allclose(together.high - together.low, linear.high - linear.low, rtol=0.15)
    ends = partial(profile_ends, tuning=ProfileTuning(batch=5))
    assert isinstance(fit.error_band, LinearBand)
    fitted = FittedProblem(fit.problem, fit.cost, fit.parameters, fit.chi2, fit.ndof, fit.p_value)
    in_batches = BandMethod("profile", ends)(fitted, fit.error_band, np.asarray(AT).T, cl=together.cl)
    width = together.high - together.low
    for one in (in_batches, *(fit.band(AT[i : i + 1], method="profile") for i in range(3))):
        rows = slice(None) if len(one.low) == 3 else np.argmin(np.abs(together.mean[:, 0] - one.mean[0, 0]))
        assert np.max(np.abs(one.low - together.low[rows]) / width[rows]) < 2e-3
        assert np.max(np.abs(one.high - together.high[rows]) / width[rows]) < 2e-3


@pytest.mark.slow
def test_s_has_risen_by_one_at_the_ends(fit: fx.FitResult) -> None:
    """The smallest S of all parameters with that prediction, by SciPy's SLSQP."""
    band = fit.band(AT[:1], method="profile", cl=0.6827)
    model = fx.Model((2, 4, 2), backend="numpy", seed=1)
    raw = fit.raw_cost
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


@pytest.mark.slow
def test_every_library_finds_the_same_ends(fit: fx.FitResult, backend: Backend) -> None:
    band, same = fit.band(AT, method="profile"), fitted(backend).band(AT, method="profile")
    width = band.high - band.low
    assert np.max(np.abs(same.low - band.low) / width) < 2e-3
    assert np.max(np.abs(same.high - band.high) / width) < 2e-3


@pytest.mark.parametrize(
    ("S", "slope", "word"),
    [
        (lambda t: t**2 - 1.2 * t**3, lambda t: 2 * t - 3.6 * t**2, "a deeper minimum was found"),
        (lambda t: t**2 / (1 + 4 * t**2), lambda t: 2 * t / (1 + 4 * t**2) ** 2, "no end: S does not rise enough"),
        (lambda t: t**2, lambda t: 2 * t, ""),
    ],
)
def test_an_end_that_is_none_says_why(S: Callable[[float], float], slope: Callable[[float], float], word: str) -> None:
    """Of one parameter, which is the prediction too."""
    known: Any = SimpleNamespace(theta=np.zeros(1), spectrum=SimpleNamespace(factor=np.eye(1)))
    penalised = _Penalised(
        1.0, lambda t, _: (S(t[:, 0]), slope(t)), lambda t, _: np.concatenate([t, np.ones_like(t)], axis=1), 1
    )
    (told,) = run_batched([_end(penalised, 0, known, 1.0, DEFAULT_PROFILE)], penalised)
    assert told[1] == word
    assert told[0] == pytest.approx(1, abs=0.01) if not word else not np.isfinite(told[0])


def test_the_word_is_the_points_and_outputs_own(fit: fx.FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all ends here the upper one of the second output at the third point."""
    number = [0]

    def end(*args: Any) -> Any:
        number[0] += 1
        mine = number[0]
        yield fit.standardised
        return (np.nan, "mine") if mine == 12 else (float(mine), "")

    monkeypatch.setattr(ffnn_xp.studies.profiles, "_end", end)
    band = fit.band(AT, method="profile")
    assert np.sum(band.status == "mine") == np.sum(band.status != "") == 1
    assert np.array_equal(np.isnan(band.high), band.status == "mine")
    assert not np.isnan(band.low).any()
