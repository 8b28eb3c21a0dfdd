"""MINUIT on some parameters of a fit: against the whole covariance, MINUIT's own scan, and fits with one value held."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize

import ffnn_xp as fx
from ffnn_xp.fitting.tuning import Tuning
from ffnn_xp.studies.other_parameters import DEFAULT
from ffnn_xp.studies.profile_cost import SubsetCost, _is_positive, _positions

X = np.stack([np.linspace(-2, 2, 80) * 3 + 10, np.cos(np.arange(80.0))], axis=1)
Y = 5 * np.sin(0.6 * X[:, 0]) + X[:, 1] + np.random.default_rng(1).normal(0, 0.5, 80)
NAMES = ["a_L1_L2[1,0]", "b_L1_L2[2]", "b_L2_L3[0]"]


@pytest.fixture(scope="module")
def fit() -> fx.FitResult:
    found = fx.Model((2, 4, 1), backend="numpy", seed=2).fit(X, Y, 0.5, prior=3.0, restarts=1)
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


@pytest.mark.slow
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


@pytest.fixture(scope="module")
def loose() -> fx.FitResult:
    """A fit with three times as many parameters as the data determine: the minima of the others bend and split."""
    rng = np.random.default_rng(1)
    x, y_err = rng.uniform(0, 1, 200), rng.uniform(0.05, 0.15, 200)
    y = np.sin(5 * x) / (0.5 + x) + y_err * rng.normal(size=200)
    found = fx.Model(seed=1, backend="numpy").fit(x, y, y_err, prior=3.0)
    assert found.valid
    return found


def least_with_one_held(fit: fx.FitResult, start: np.ndarray) -> float:
    """The lowest S that SciPy finds with the last parameter held, from a standardised start."""

    def held(others: np.ndarray) -> tuple[float, np.ndarray]:
        value, g = fit.cost.value_and_gradient(np.append(others, start[-1]))
        return value, g[:-1]

    return float(scipy.optimize.minimize(held, start[:-1], jac=True, method="BFGS", options={"gtol": 1e-6}).fun)


@pytest.mark.slow
def test_the_profile_is_a_function_of_its_argument(loose: fx.FitResult) -> None:
    """The same numbers in any order, after MINOS, and from another object; smooth, and zero at the minimum."""
    name = loose.names[-1]
    m = loose.minuit_of([name])
    grid = m.cost.start[0] + m.errors[0] * np.linspace(-2, 2, 17)
    first = np.array([m.fcn([v]) for v in grid]) - loose.fval
    shuffled = np.random.default_rng(2).permutation(len(grid))
    m.minos()
    again = np.array([m.fcn([v]) for v in grid[shuffled]]) - loose.fval
    other = np.array([loose.minuit_of([name]).fcn([v]) for v in grid]) - loose.fval
    np.testing.assert_array_equal(first[shuffled], again)
    np.testing.assert_array_equal(first, other)
    assert m.parameters == (name,)
    assert abs(first[8]) < 1e-6
    assert np.all(first > -1e-6)
    assert np.all(np.diff(first[8:]) > 0)
    assert np.all(np.diff(first[8::-1]) > 0)
    assert np.max(np.abs(np.diff(first, n=3))) < 0.1  # no jumps
    merror = m.merrors[0]
    assert merror.is_valid
    for v in (m.values[0] + merror.lower, m.values[0] + merror.upper):
        assert m.fcn([v]) == pytest.approx(loose.fval + 1, abs=0.01)


@pytest.mark.slow
def test_the_others_of_a_loose_fit_cannot_be_improved(loose: fx.FitResult) -> None:
    m = loose.minuit_of([loose.names[-1]])
    rng = np.random.default_rng(3)
    for step in (-1.5, -0.5, 0.3, 1.0):
        v = m.cost.start + step * m.errors[0]
        there = loose.scaling.to_standard(m.cost.parameters(v))
        for size in (0.0, 1e-3):
            start = there + size * rng.normal(size=len(there)) * (np.arange(len(there)) < len(there) - 1)
            assert least_with_one_held(loose, start) > m.fcn(v) - 1e-4


@pytest.mark.slow
def test_products_and_matrices_lead_to_the_same_profile(fit: fx.FitResult) -> None:
    arguments = fit.cost, fit.scaling, fit.standardised, NAMES[:2], "profiled"
    matrices, products = (SubsetCost(*arguments, replace(DEFAULT, matrix_limit=limit)) for limit in (500, 1))
    errors = np.sqrt(2 * np.diag(matrices.inverse_hessian))
    for steps in ((0.5, -0.5), (-2.0, 0.3), (3.0, 1.0)):
        v = matrices.start + np.array(steps) * errors
        assert products(v) == pytest.approx(matrices(v), abs=1e-6)
        np.testing.assert_allclose(products.grad(v), matrices.grad(v), rtol=1e-3, atol=1e-3 / errors.max())


CURVE = np.linspace(-2, 2, 60)
BENT = np.tanh(2 * CURVE) + 0.5 * CURVE**2 + 0.05 * np.random.default_rng(3).normal(size=60)
PLANE = np.stack([CURVE, np.cos(5 * CURVE)], axis=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "x", "y", "prior"),
    [
        ((1, 1), CURVE, BENT, None),
        ((1, 2, 1), CURVE, BENT, 3.0),
        ((2, 2, 1), PLANE, np.tanh(CURVE) + PLANE[:, 1], 3.0),
        ((1, 2, 1), CURVE, np.tanh(4 * CURVE + 4) - 1.5 * np.tanh(3 * CURVE - 3) + 0.1 * BENT, None),
    ],
)
def test_minos_is_that_of_plain_iminuit(
    layers: tuple[int, ...], x: np.ndarray, y: np.ndarray, prior: float | None
) -> None:
    """Where MINOS of all parameters together ends well, that of each alone gives the same interval."""
    fit = fx.Model(layers, seed=1, backend="numpy").fit(x, y, 0.05, prior=prior)
    plain, compared = fit.minuit, 0
    plain.tol = 1e-3  # MINOS stops its minimizations by this
    for name in fit.names:
        plain.minos(name)
        want = plain.merrors[name]
        if want.is_valid:
            m = fit.minuit_of([name])
            found = m.minos().merrors[name]
            assert found.is_valid
            assert (found.lower, found.upper) == pytest.approx((want.lower, want.upper), rel=2e-3)
            compared += 1
    assert compared >= len(fit.names) - 1


def test_minos_of_two_parameters_is_that_of_one(fit: fx.FitResult) -> None:
    two, one = fit.minuit_of(NAMES[1:]), fit.minuit_of(NAMES[2:])
    found, want = two.minos(NAMES[2]).merrors[NAMES[2]], one.minos().merrors[NAMES[2]]
    assert two.parameters == tuple(NAMES[1:])
    assert (found.lower, found.upper) == pytest.approx((want.lower, want.upper), rel=1e-2)


def test_a_deeper_minimum_is_told(fit: fx.FitResult) -> None:
    x = CURVE
    y = np.sin(3 * x) + 0.1 * np.random.default_rng(3).normal(size=60)
    found = fx.Model((1, 3, 1), seed=0, backend="numpy").fit(x, y, 0.1, prior=2.0, restarts=1)
    m = found.minuit_of(["a_L2_L3[0,1]"])
    assert m.cost.deeper is None
    v = m.cost.start + 10 * m.errors[0]
    with pytest.warns(fx.FitWarning, match=r"S is lower by .* at a_L2_L3\[0,1\] = .*start=minuit\.cost\.deeper"):
        low = m.fcn(v)
    assert low < found.fval - 10
    assert found.cost.value_and_gradient(found.scaling.to_standard(m.cost.deeper))[0] == pytest.approx(low)
    assert m.cost.deeper[found.names.index("a_L2_L3[0,1]")] == pytest.approx(v[0])
    first, more = m.cost.deeper, [m.fcn(m.cost.start + sigmas * m.errors[0]) for sigmas in (9.9, 10.1)]
    assert min(more) < low
    assert np.any(m.cost.deeper != first)  # it is told once, and the deepest is kept


@pytest.mark.slow
def test_a_refit_that_fails_says_where(fit: fx.FitResult) -> None:
    few = replace(DEFAULT, max_steps=1)
    cost = SubsetCost(fit.cost, fit.scaling, fit.standardised, NAMES[2:], "profiled", few)
    with pytest.raises(RuntimeError, match=r"no profile at b_L2_L3\[0\] = .*did not converge in 1 steps"):
        cost(cost.start + 3 * fit.errors[-1])
    with pytest.raises(ValueError, match="must be finite"):
        cost(np.array([np.nan]))
    cost = SubsetCost(fit.cost, fit.scaling, fit.standardised, NAMES[2:], "profiled")
    for far in (1e80, 1e300):
        with pytest.raises(RuntimeError, match=r"no profile at b_L2_L3\[0\] = "), np.errstate(all="ignore"):
            cost(np.array([far]))


def test_what_the_data_leave_open_has_no_profile() -> None:
    """A relu unit that is off everywhere: S does not depend on its parameters, whatever the others do."""
    model = fx.Model.from_matrices([([[1.0], [1.0]], [3.0, -9.0]), ([[1.0, 1.0]], [0.0])], activation="relu")
    fit = model.fit(CURVE, CURVE, 0.1, minimizer="migrad", prior=None)
    for others in ("profiled", "fixed"):
        with pytest.raises(ValueError, match=r"b_L1_L2\[1\].*a prior, or fewer units"):
            fit.minuit_of(["b_L1_L2[1]"], others)


def bent(fit: fx.FitResult, by: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the exact Hessian seem to have a negative eigenvalue along its weakest direction."""
    H = fit.cost.hessian(fit.standardised)
    w = np.linalg.eigh(H)[1][:, 0]
    matrix, lower = fit.cost.matrix, (w @ H @ w + by) * np.outer(w, w)
    monkeypatch.setattr(fit.cost, "matrix", lambda name, theta: matrix(name, theta) - (name == "hessian") * lower)


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


def test_a_subset_that_is_too_large_for_minuit() -> None:
    names = [f"w{i}" for i in range(501)]
    assert _positions(names, names[1:]) == list(range(1, 501))
    with pytest.raises(ValueError, match="at most 500 parameters, got 501"):
        _positions(names, names)


@pytest.mark.parametrize(
    ("matrix", "positive"),
    [
        (np.diag([1e-20, 1e20]), True),  # units are no matter
        (np.array([[1.0, 0.999], [0.999, 1.0]]), True),
        (np.array([[1e20, 1.0], [1.0, 1e-20]]), False),  # singular up to rounding
        (np.array([[1.0, 2.0], [2.0, 1.0]]), False),
        (np.diag([1.0, 0.0]), False),
        (np.diag([1.0, np.nan]), False),
    ],
)
def test_positive_matrices(matrix: np.ndarray, positive: bool) -> None:
    assert _is_positive(matrix) is positive
