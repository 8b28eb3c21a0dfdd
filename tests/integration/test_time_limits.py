"""Time limits of fits and studies, by a clock that each evaluation moves on: what was done in time is kept and says so.

How well they are kept by a real clock is measured by `benchmarks/time_limits.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.fitting.tuning import Tuning

RNG = np.random.default_rng(5)
X = RNG.uniform(-2, 2, 60)
Y = np.tanh(2 * X) + 0.1 * RNG.normal(size=60)
AT = np.array([-1.0, 0.0, 0.5])
TIME_IS_UP = "the time given by max_seconds is up"


def network() -> fx.Model:
    return fx.Model((1, 3, 1), backend="numpy", seed=1)


@pytest.fixture(scope="module")
def fit() -> fx.FitResult:
    return network().fit(X, Y, 0.1, prior=3.0, restarts=1)


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch, before_each: Callable[..., None]) -> list[float]:
    """Return the time so far, to which each evaluation adds one second."""
    now = [0.0]

    def later(*_: object) -> None:
        now[0] += 1.0

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    before_each(later)
    return now


@pytest.mark.slow
@pytest.mark.parametrize("y_err", [0.1, None], ids=["known errors", "unknown errors"])
@pytest.mark.parametrize("restarts", [7, 5000, 10**9])
def test_the_best_start_is_certified_when_time_is_up(seconds: list[float], y_err: float | None, restarts: int) -> None:
    """There are too many starts for the time, and chi-square is never good enough: a part of it is for the best one."""
    noise = np.where(np.arange(60) % 2, 0.3, -0.3)
    with np.errstate(all="ignore"):
        fit = network().fit(X, Y + noise, y_err, prior=3.0, restarts=restarts, max_seconds=2000)
    assert fit.valid
    assert seconds[0] < 2000
    assert restarts == 7 or f"Other starts were not tried: {TIME_IS_UP}" in fit.message
    g = fit.cost.value_and_gradient(fit.standardised)[1]
    edm = 0.5 * g @ np.linalg.solve(fit.cost.hessian(fit.standardised), g)
    assert edm < 10 * fit.edm_goal


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ffnn_xp.FitWarning")
@pytest.mark.parametrize("limit", [3, 40, 250])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"y_err": None},
        {"y_err": None, "restarts": 100},
        {"minimizer": "migrad"},
        {"minimizer": "lbfgs"},
        {"minimizer": "levenberg_marquardt"},
        {"minimizer": "preconditioned_lbfgs"},
        {"minimizer": "kronecker_lbfgs"},
        {"minimizer": "matrix_free"},
        {"prior": "auto"},
        {"tuning": Tuning(matrix_limit=5)},
        {"covariance": "sandwich"},
    ],
    ids=str,
)
def test_a_fit_ends_in_time(options: dict[str, Any], limit: float, seconds: list[float]) -> None:
    """A result that is not valid says why, one that is valid has a covariance as ever."""
    fit = network().fit(X, Y, **{"y_err": 0.1, "prior": 3.0, "max_seconds": limit, **options})
    assert seconds[0] <= 1.2 * limit + 15  # the point is evaluated, and what a certificate consists of
    assert fit.valid or TIME_IS_UP in fit.message
    assert np.isfinite(fit.parameters).all()
    assert np.isfinite(fit.fval)


STUDIES: dict[str, Callable[..., Any]] = {
    "profile": lambda fit, **limit: fit.band(AT, method="profile", **limit),
    "replicas": lambda fit, **limit: fit.band(AT, method="replicas", number=60, seed=1, **limit),
    "mixture": lambda fit, **limit: fit.band(AT, method="mixture", number=6, seed=7, **limit),
    "coverage": lambda fit, **limit: fit.coverage(AT, number=60, seed=1, **limit),
    "goodness": lambda fit, **limit: fit.goodness(60, seed=1, **limit),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:a start of this band came to a minimum")
@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_study_is_partial_refused_or_complete(
    study: Callable[..., Any], fit: fx.FitResult, seconds: list[float]
) -> None:
    """The more time it has, the more it does; and what it did is the same as without a limit."""
    fit._fitted.minima.clear()
    whole = study(fit)
    assert not whole.stopped
    fit._fitted.minima.clear()
    seconds[0] = 0.0
    assert repr(study(fit, max_seconds=1e9)) == repr(whole)
    spent, parts = seconds[0], []
    fit._fitted.minima.clear()
    for share in (1e-9, 0.3, 0.7, 1.5):
        seconds[0] = 0.0
        try:
            result = study(fit, max_seconds=share * spent)
        except ValueError as refused:
            assert TIME_IS_UP in str(refused)  # noqa: PT017, it may also return
            continue
        assert seconds[0] <= share * spent + 5
        assert bool(result.stopped) == (share < 1)
        if result.stopped:
            before, done = result.stopped.split(", after ")
            assert before == TIME_IS_UP
            assert result.stopped in repr(result)
            parts.append(int(done.split()[0]))
    assert repr(result) == repr(whole)  # what was cut short before does not count
    assert parts == sorted(parts)
    assert len(set(parts)) > 1 or study is STUDIES["coverage"]


@pytest.mark.slow
def test_ends_that_were_found_in_time_are_as_ever(fit: fx.FitResult, seconds: list[float]) -> None:
    whole, spent = fit.band(AT, method="profile"), seconds[0]
    seconds[0] = 0.0
    part = fit.band(AT, method="profile", max_seconds=0.9 * spent)
    found = np.isfinite(np.stack([part.low, part.high]))
    assert 0 < found.sum() < 6
    assert part.stopped == f"{TIME_IS_UP}, after {found.sum()} of 6 ends"
    np.testing.assert_array_equal(np.stack([part.low, part.high])[found], np.stack([whole.low, whole.high])[found])
    np.testing.assert_array_equal(part.status != "", ~found.all(axis=0))


def test_toys_in_time_are_the_first_ones(fit: fx.FitResult, seconds: list[float]) -> None:
    """Coverage by those is that of as many toys."""
    part = fit.coverage(AT, number=60, seed=1, max_seconds=500)
    done = part.n_toys + part.n_failed
    assert 2 <= done < 60
    assert part.stopped == f"{TIME_IS_UP}, after {done} of 60 toys"
    few = fit.coverage(AT, number=done, seed=1)
    np.testing.assert_allclose(few.bias, part.bias, atol=1e-6)
    np.testing.assert_array_equal(few.pointwise, part.pointwise)


@pytest.mark.parametrize("name", ["band", "coverage", "goodness"])
@pytest.mark.parametrize("bad", [0, -1.0, "5", float("nan")])
def test_what_is_no_limit(name: str, bad: Any, fit: fx.FitResult) -> None:
    arguments = (AT,) if name == "band" else ()
    with pytest.raises(ValueError, match="`max_seconds` must be positive"):
        getattr(fit, name)(*arguments, max_seconds=bad)


def test_a_sandwich_beyond_matrices_is_refused_before_the_fit() -> None:
    with pytest.raises(ValueError, match="matrices of 10 x 10, and none are formed above 9 parameters"):
        network().fit(X, Y, 0.1, covariance="sandwich", tuning=Tuning(matrix_limit=9), prior=None)
