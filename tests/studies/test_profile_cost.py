"""MINUIT on some parameters of a fit: against the whole covariance, MINUIT's own scan, and fits with one value held."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import scipy.optimize

import ffnn_xp as fx
from ffnn_xp.fitting.tuning import Tuning
from ffnn_xp.studies.profile_cost import SubsetCost

X = np.stack([np.linspace(-2, 2, 80) * 3 + 10, np.cos(np.arange(80.0))], axis=1)
Y = 5 * np.sin(0.6 * X[:, 0]) + X[:, 1] + np.random.default_rng(1).normal(0, 0.5, 80)
NAMES = ["a_L1_L2[1,0]", "b_L1_L2[2]", "b_L2_L3[0]"]


@pytest.fixture(scope="module")
def fit() -> fx.FitResult:
    found = fx.Model((2, 4, 1), backend="numpy", seed=2).fit(X, Y, 0.5, prior=3.0)
    assert found.valid
    return found


@pytest.mark.parametrize("number", [1, 2, 3])
def test_profiled_errors_are_those_of_the_whole_fit(fit: fx.FitResult, number: int) -> None:
    m = fit.minuit_of(NAMES[:number])
    at = [fit.names.index(name) for name in NAMES[:number]]
    assert m.valid
    np.testing.assert_allclose(m.values, fit.parameters[at], rtol=1e-5)
    assert fit.covariance is not None
    np.testing.assert_allclose(m.covariance, fit.covariance[np.ix_(at, at)], rtol=1e-3)
    assert m.fval == pytest.approx(fit.fval, abs=1e-6)


def test_fixed_errors_are_conditional(fit: fx.FitResult) -> None:
    """The inverse of the block of the inverse covariance."""
    m = fit.minuit_of(NAMES, others="fixed")
    at = [fit.names.index(name) for name in NAMES]
    assert fit.covariance is not None
    conditional = np.linalg.inv(np.linalg.inv(fit.covariance)[np.ix_(at, at)])
    np.testing.assert_allclose(m.covariance, conditional, rtol=1e-3)


def test_the_profile_is_what_scipy_finds_with_one_parameter_held(fit: fx.FitResult) -> None:
    """Away from the minimum too, where S is no parabola."""
    cost = SubsetCost(fit.cost, fit.scaling, fit.standardised, [NAMES[2]], "profiled")
    for step in (-1.0, 0.5, 2.0):
        v = fit.parameters[-1] + step * fit.errors[-1]
        last = (v - fit.scaling.y_mean[0]) / fit.scaling.y_scale[0]

        def held(others: np.ndarray, last: float = last) -> tuple[float, np.ndarray]:
            value, g = fit.cost.value_and_gradient(np.append(others, last))
            return value, g[:-1]

        end = scipy.optimize.minimize(held, fit.standardised[:-1], jac=True, method="BFGS", options={"gtol": 1e-7})
        assert cost(v) == pytest.approx(end.fun, abs=1e-6)
        assert cost.parameters(np.array([v]))[-1] == pytest.approx(v, rel=1e-9)
        h = 1e-3 * fit.errors[-1]
        slope = (cost(v + h) - cost(v - h)) / (2 * h)
        assert float(cost.grad(v)[0]) == pytest.approx(slope, rel=1e-3)


def test_the_others_are_at_their_best_to_rounding(fit: fx.FitResult) -> None:
    """Their gradient, in units of their errors, is that of a minimum an EDM of 1e-9 has been taken to its square."""
    at = fit.names.index(NAMES[2])
    cost = SubsetCost(fit.cost, fit.scaling, fit.standardised, [NAMES[2]], "profiled")
    for step in (-1.0, 0.1, 0.5):
        raw = cost.parameters(fit.parameters[at : at + 1] + step * fit.errors[at])
        g = fit.scaling.inverse_transpose(fit.cost.value_and_gradient(fit.scaling.to_standard(raw))[1])
        assert np.max(np.abs(np.delete(g * fit.errors, at))) < 2e-6


def test_minos_of_one_parameter(fit: fx.FitResult) -> None:
    m = fit.minuit_of([NAMES[2]])
    m.minos()
    found = m.merrors[0]
    assert found.is_valid
    low, high = m.values[0] + found.lower, m.values[0] + found.upper
    for v in (low, high):
        assert m.fcn([v]) == pytest.approx(fit.fval + 1, abs=0.01)


def test_beyond_matrices() -> None:
    """The same on a fit that formed none."""
    model = fx.Model((2, 4, 1), backend="numpy", seed=2)
    fit = model.fit(X, Y, 0.5, prior=3.0, tuning=Tuning(matrix_limit=5))
    assert fit.certificate == "conjugate gradients"
    m = fit.minuit_of(["b_L2_L3[0]"])
    assert m.valid
    H = fit.cost.hessian(fit.standardised)
    row = fit.scaling.transpose(np.eye(len(H))[-1])
    assert m.errors[0] == pytest.approx(np.sqrt(2 * row @ np.linalg.solve(H, row)), rel=1e-3)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "one or more names"),
        ("b_L2_L3[0]", {}, "as a list"),
        (["b_L2_L3"], {}, r"did you mean 'b_L2_L3\[0\]'"),
        (["b_L2_L3[0]", "b_L2_L3[0]"], {}, "twice"),
        (["b_L2_L3[0]"], {"others": "free"}, "'fixed' or 'profiled'"),
    ],
)
def test_bad_input(fit: fx.FitResult, names: list[str], options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit.minuit_of(names, **options)  # type: ignore[arg-type]


def bent(fit: fx.FitResult, by: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the exact Hessian seem to have a negative eigenvalue along its weakest direction."""
    H = fit.cost.hessian(fit.standardised)
    w = np.linalg.eigh(H)[1][:, 0]
    product = fit.cost.hessian_product
    monkeypatch.setattr(
        fit.cost, "hessian_product", lambda theta, v: product(theta, v) - (w @ H @ w + by) * (w @ v) * w
    )


def test_the_bottom_of_a_valley_is_no_obstacle(fit: fx.FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where S curves down by a hair and is nowhere lower the fit is valid, and so is a profile."""
    bent(fit, 1e-3, monkeypatch)
    m = fit.minuit_of(NAMES[:2])
    at = [fit.names.index(name) for name in NAMES[:2]]
    G = fit.cost.gauss_newton(fit.standardised)
    move = fit.scaling.transpose(np.eye(len(G))[at])
    want = 2 * move @ np.linalg.solve(G, move.T)
    np.testing.assert_allclose(m.values, fit.parameters[at], rtol=1e-5)
    np.testing.assert_allclose(
        SubsetCost(fit.cost, fit.scaling, fit.standardised, NAMES[:2], "profiled").inverse_hessian * 2, want, rtol=1e-3
    )


def test_a_fall_that_is_not_worth_following_is_no_obstacle(fit: fx.FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """A little off the bottom, from where S falls by 2e-4; not by 4e-3."""
    values, vectors = np.linalg.eigh(fit.cost.hessian(fit.standardised))
    bent(fit, 1e-3, monkeypatch)
    for fall, allowed in ((2e-4, True), (4e-3, False)):
        off = fit.standardised + np.sqrt(2 * fall / values[0]) * vectors[:, 0]
        with nullcontext() if allowed else pytest.raises(ValueError, match="S falls along some direction"):
            SubsetCost(fit.cost, fit.scaling, off, NAMES[:2], "profiled")


def test_where_s_falls_there_is_no_profile(fit: fx.FitResult) -> None:
    """A saddle, found by going up from the minimum along the direction in which S bends down first."""
    rng = np.random.default_rng(1)
    for size in (0.3, 0.5, 1.0, 2.0):
        point = fit.standardised + size * rng.normal(size=len(fit.standardised))
        if np.linalg.eigvalsh(fit.cost.hessian(point))[0] < 0:
            break
    with pytest.raises(ValueError, match="S falls along some direction"):
        SubsetCost(fit.cost, fit.scaling, point, NAMES[:1], "profiled")
