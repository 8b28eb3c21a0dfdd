"""Errors of y from the residuals: they are those of the fit's own residuals, or the fit says that there are none."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

import ffnn_xp as fx
from ffnn_xp.data import Measurements
from ffnn_xp.fitting import FitOptions, FitProblem, read_problem, settle
from ffnn_xp.fitting.y_error import CHANGES

X = np.linspace(-1, 1, 50)
MEDIAN = {"huber": scipy.stats.norm.ppf(0.75), "soft_l1": scipy.stats.norm.ppf(0.75), "student_t": 0.7406970841126831}


def robust_line(y: np.ndarray, width: float, turns: int = 200) -> float:
    """Turn by turn Huber's line for a width, and the width of its median residual, two parameters fitted."""
    line = np.zeros(2)
    for _ in range(turns):
        line = scipy.optimize.minimize(
            lambda t, w=width: np.sum(scipy.special.huber(1.345, (y - t[0] * X - t[1]) / w)), line, tol=1e-10
        ).x
        width = np.median(np.abs(y - line[0] * X - line[1])) / MEDIAN["huber"] * np.sqrt(50 / 48)
    return width


@pytest.mark.slow
@pytest.mark.parametrize("minimizer", ["auto", "migrad"])
def test_the_width_of_a_robust_line_is_hubers(minimizer: str) -> None:
    y = 2 * X + 0.1 * np.random.default_rng(1).standard_t(1.5, size=50)
    fit = fx.Model((1, 1), seed=1).fit(X, y, loss="huber", minimizer=minimizer, prior=None)
    assert fit.valid
    assert fit.y_error is not None
    assert fit.y_error[0] == pytest.approx(robust_line(y, 0.1), rel=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("minimizer", ["auto", "migrad"])
@pytest.mark.parametrize("loss", MEDIAN)
@pytest.mark.parametrize("seed", [1, 12, 27])
def test_the_width_is_that_of_the_fits_own_residuals(seed: int, loss: str, minimizer: str) -> None:
    """With a third of outliers, from which the widths of successive fits come near slowly or jump to and fro."""
    rng = np.random.default_rng(seed)
    y = np.sin(2 * X) + 0.1 * rng.normal(size=50)
    y[::3] += 3 * rng.normal(size=17)
    model = fx.Model((1, 2, 1), seed=1)
    fit = model.fit(X, y, loss=loss, prior=2.0, minimizer=minimizer)
    assert fit.valid
    free = 50 - fit.n_effective
    own = np.median(np.abs(y - model(X))) / MEDIAN[loss] * np.sqrt(50 / free)
    assert fit.y_error is not None
    assert fit.y_error[0] == pytest.approx(own, rel=1e-2)


@pytest.mark.parametrize("loss", ["least_squares", *MEDIAN])
def test_a_fit_is_valid_with_its_own_width_only(loss: str) -> None:
    """60 of 100 values are exactly 3: their median residual is zero, and tells nothing of any error."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 100)
    y = np.where(np.arange(100) % 5 < 3, 3.0, 5 * rng.normal(size=100))
    model = fx.Model((1, 1), seed=1)
    if loss == "least_squares":
        fit = model.fit(x, y, prior=None)
        assert fit.valid
        assert fit.y_error is not None
        assert fit.y_error[0] == pytest.approx(np.sqrt(np.sum((y - model(x)) ** 2) / 98), rel=1e-6)
        return
    with pytest.warns(fx.FitWarning, match="Not certified: .*errors of y.*: give y_err"):
        fit = model.fit(x, y, loss=loss, prior=None)
    assert not fit.valid
    assert fit.covariance is None
    with pytest.raises(fx.NotFittedError, match="errors of y"):
        model.predict(x, return_std=True)
    assert model.fit(x, y, 1.0, loss=loss, prior=None).valid


@pytest.mark.parametrize("loss", MEDIAN)
def test_exact_data_have_a_valid_fit(loss: str) -> None:
    fit = fx.Model((1, 1), seed=1).fit(X, 2 * X + 1, loss=loss, prior=None)
    assert fit.valid
    np.testing.assert_allclose(fit.parameters, [2, 1], rtol=1e-5)


def test_two_outputs_settle_each_by_itself() -> None:
    rng = np.random.default_rng(3)
    y = np.stack([X + 0.1 * rng.standard_t(2, size=50), 3 * X + 2 * rng.standard_t(2, size=50)], axis=1)
    model = fx.Model((1, 2), seed=1)
    fit = model.fit(X, y, loss="soft_l1", prior=None)
    assert fit.y_error is not None
    own = np.median(np.abs(y - model(X)), axis=0) / MEDIAN["soft_l1"] * np.sqrt(50 / 48)
    np.testing.assert_allclose(fit.y_error, own, rtol=1e-2)


@pytest.mark.slow
def test_a_predicted_width_that_vanishes_is_no_minimum() -> None:
    """Without a prior the likelihood of predicted widths has no bound: valid fits have widths near the true one."""
    valid = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x = np.sort(rng.uniform(-1, 1, 25))
        y = np.sin(2 * x) + 0.1 * rng.normal(size=25)
        model = fx.Model((1, 4, 2), seed=1)
        fit = model.fit(x, y, loss="normal", restarts=4, prior=None)
        width = np.exp(model(x)[:, 1])
        valid.append(fit.valid)
        if fit.valid:
            assert np.min(width) > 1e-4 * np.median(width)
        elif "goes to zero" in fit.message:
            with pytest.raises(fx.NotFittedError, match="stronger prior"):
                model.predict(x, return_std=True)
    assert not all(valid)
    assert fx.Model((1, 2, 2), seed=1).fit(x, y, loss="normal", prior=1.0).valid


class Offset:
    """A minimizer of a line that is off by a multiple of the errors that it is given."""

    def __init__(self, slope: float, floor: float = 0.1) -> None:
        self.slope, self.floor, self.calls = slope, floor, 0
        self.problem = read_problem(fx.Model((1, 1), seed=1), Measurements(X, 0 * X, None), FitOptions())

    def __call__(self, problem: FitProblem) -> np.ndarray:
        self.calls += 1
        free = np.sqrt((50 - 2) / 50)  # residuals of r are errors of r over this
        width = self.floor + self.slope * float(problem.y_error[0])
        return np.asarray(problem.scaling.to_standard(np.array([0.0, width * problem.scaling.y_scale[0] * free])))


@pytest.mark.parametrize("slope", [0.0, 0.8, -0.9])
def test_slow_turns_are_shortened(slope: float) -> None:
    """Errors that each fit leaves at four fifths of the way to their own would take 28 turns to 0.2 %."""
    minimize = Offset(slope)
    settled = settle(minimize.problem, minimize(minimize.problem), minimize)
    assert not settled.unsettled
    own = 0.1 + slope * settled.y_error[0]  # the width of the residuals at the minimum for these errors
    assert settled.y_error[0] == pytest.approx(own, rel=2e-3)
    assert minimize.calls < 20


def test_what_never_settles_is_said() -> None:
    """A minimum that is another one in each turn."""
    minimize, calls = Offset(0.0), iter(range(100))

    def jump(problem: FitProblem) -> np.ndarray:
        return minimize(problem) * (1.0 if next(calls) % 2 else 3.0)

    assert settle(minimize.problem, jump(minimize.problem), jump).unsettled == CHANGES
