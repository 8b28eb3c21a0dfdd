"""The costs' own face: argument names, errors, and what they refuse. Values are tested with the losses."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import ffnn_xp as fx

X, Y = np.linspace(-1, 1, 12), np.linspace(1, 3, 12)


def line(output: str = "identity", k: int = 1) -> fx.Model:
    return fx.Model((1, k), output=output, backend="numpy", seed=1)


def test_measured_values_have_the_names_that_they_always_had() -> None:
    n, k = np.arange(12.0), np.arange(12.0) % 2
    assert fx.Poisson(x=X, n=n, model=line("exp")).ndata == 12
    assert fx.Binomial(x=X, k=k, model=line("logistic"), trials=2).ndata == 12
    assert fx.Multinomial(x=X, y=k, model=line("softmax", 2)).ndata == 12
    assert fx.Normal(x=X, y=Y, model=line(k=2)).ndata == 12
    assert fx.LeastSquares(x=X, y=Y, yerror=0.1, model=line()).ndata == 12


def test_correlated_values() -> None:
    rng = np.random.default_rng(1)
    A = rng.normal(size=(12, 12))
    V = A @ A.T + np.eye(12)
    cost = fx.LeastSquares(X, Y, None, line(), y_cov=V)
    residual = Y - np.polyval([0.5, 2.0], X)
    assert cost([0.5, 2.0]) == pytest.approx(residual @ np.linalg.solve(V, residual), rel=1e-10)
    assert cost.yerror is None
    with pytest.raises(ValueError, match="`y_cov` says all about the errors of y"):
        fx.LeastSquares(X, Y, 0.1, line(), y_cov=V)
    with pytest.raises(ValueError, match="`yerror` is needed"):
        fx.LeastSquares(X, Y, None, line())
    with pytest.raises(ValueError, match="points x, not to correlated values"):
        fx.PlusFunction(cost, lambda x, a: a * x, a=1.0)


def test_a_picture_of_correlated_values_has_no_error_bars() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.figure()
    (_, y, error), _ = fx.LeastSquares(X, Y, None, line(), y_cov=np.eye(12)).visualize([0.5, 2.0])
    pyplot.close()
    assert error is None
    np.testing.assert_array_equal(y, Y)


def test_copies_of_costs() -> None:
    cost = fx.Poisson(X, np.arange(12.0), line("exp"), exposure=2.0, mask=X > 0)
    for same in (copy.deepcopy(cost), pickle.loads(pickle.dumps(cost))):
        assert same([0.1, 0.2]) == cost([0.1, 0.2])


def test_a_prior_is_an_object_with_its_scaling() -> None:
    x = np.linspace(-1, 1, 30)
    model = fx.Model((1, 2, 1), backend="numpy", seed=1)
    fit = model.fit(x, np.tanh(x), 0.1, prior=3.0)
    with pytest.raises(TypeError, match=r"`prior` of a cost must be a GaussianPrior, .* got 3\.0: a width"):
        fx.LeastSquares(x, np.tanh(x), 0.1, model, prior=3.0)  # type: ignore[arg-type]
    cost = fx.LeastSquares(x, np.tanh(x), 0.1, model, prior=fit.raw_cost.prior)
    assert cost(*cost.start) == fit.fval
