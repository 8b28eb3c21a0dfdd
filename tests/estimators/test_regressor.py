"""`FFNNRegressor` against least squares by scikit-learn, known truths, and the network written out in NumPy."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn, the extra sklearn")

from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression

from ffnn_xp.estimators import FFNNRegressor
from ffnn_xp.losses import get_loss

from ..executors import AtOnce


def truth(X: np.ndarray) -> np.ndarray:
    return np.sin(2 * X[:, 0]) + 0.5 * X[:, 1]


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.uniform(-1, 1, (80, 2))
    return X, truth(X) + 0.1 * rng.normal(size=80)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_linear_function_is_linear_regression(rng: np.random.Generator, weighted: bool, outputs: int) -> None:
    X = rng.normal(size=(50, 3)) * [1, 10, 100] + 5
    y = X @ rng.normal(size=(3, outputs)) + rng.normal(size=(50, outputs))
    y = y[:, 0] if outputs == 1 else y
    weights = rng.uniform(1, 3, 50) if weighted else None
    ours = FFNNRegressor((), prior=None, backend="numpy").fit(X, y, weights)
    theirs = LinearRegression().fit(X, y, weights)
    np.testing.assert_allclose(ours.coefs_[0].T, np.atleast_2d(theirs.coef_), rtol=1e-7)
    np.testing.assert_allclose(ours.intercepts_[0], np.atleast_1d(theirs.intercept_), rtol=1e-7)
    np.testing.assert_allclose(ours.score(X, y), theirs.score(X, y), rtol=1e-9)


@pytest.mark.parametrize("outputs", [1, 3])
def test_errors_belong_to_their_rows(rng: np.random.Generator, outputs: int) -> None:
    """Each output is a regression of its own, with weights 1 / y_err^2; some rows are there twice."""
    X = np.tile(rng.normal(size=(25, 2)), (2, 1))
    y, y_err = np.tile(rng.normal(size=(25, outputs)), (2, 1)), rng.uniform(0.1, 2, (50, outputs))
    y_err[30:] = y_err[5:25]
    ours = FFNNRegressor((), prior=None).fit(X, np.squeeze(y), y_err=np.squeeze(y_err))
    assert ours.fit_.n_data == 30 * outputs
    for k in range(outputs):
        theirs = LinearRegression().fit(X, y[:, k], 1 / y_err[:, k] ** 2)
        np.testing.assert_allclose(ours.coefs_[0][:, k], theirs.coef_, rtol=1e-6)
        np.testing.assert_allclose(ours.intercepts_[0][k], theirs.intercept_, rtol=1e-6)


def test_errors_of_a_line_are_those_of_the_textbook(rng: np.random.Generator) -> None:
    """Sigma^2 (X^T X)^-1, by rows and for a number."""
    X, y_err = rng.normal(size=(30, 1)), 0.3
    y = 2 * X[:, 0] + y_err * rng.normal(size=30)
    A = np.column_stack([X, np.ones(30)])
    expected = A @ np.linalg.inv(A.T @ A) @ A.T * y_err**2
    for errors in (y_err, np.full(30, y_err)):
        line = FFNNRegressor((), prior=None).fit(X, y, y_err=errors)
        mean, covariance = line.predict(X, return_cov=True)
        np.testing.assert_allclose(covariance, expected, rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(line.predict(X, return_std=True)[1], np.sqrt(np.diag(expected)), rtol=1e-6)
        np.testing.assert_array_equal(mean, line.predict(X))


def test_weights_and_biases_by_hand(data: Any) -> None:
    X, y = data
    fitted = FFNNRegressor((4, 3), "logistic", prior=1.0, restarts=1, random_state=1).fit(X, y)
    a = X
    for coefs, intercepts in zip(fitted.coefs_[:-1], fitted.intercepts_[:-1], strict=True):
        a = 1 / (1 + np.exp(-(a @ coefs + intercepts)))
    np.testing.assert_allclose(fitted.predict(X), (a @ fitted.coefs_[-1] + fitted.intercepts_[-1])[:, 0], rtol=1e-9)
    assert [c.shape for c in fitted.coefs_] == [(2, 4), (4, 3), (3, 1)]
    assert fitted.n_layers_ == 4
    assert fitted.loss_ == fitted.fit_.fval


def test_predict_has_the_arguments_of_a_gaussian_process() -> None:
    theirs = list(inspect.signature(GaussianProcessRegressor.predict).parameters.values())
    ours = list(inspect.signature(FFNNRegressor.predict).parameters.values())
    assert [(p.name, p.default, p.kind) for p in ours[: len(theirs)]] == [(p.name, p.default, p.kind) for p in theirs]


@pytest.mark.parametrize("columns", [None, 1, 2])
@pytest.mark.parametrize("loss", [None, "normal"])
def test_shapes_are_those_of_a_gaussian_process(data: Any, columns: int | None, loss: str | None) -> None:
    X, y = data
    y = y if columns is None else np.stack([y, 2 + 3 * y], axis=1)[:, :columns]
    ours = FFNNRegressor((2,), prior=1.0, loss=loss, restarts=1, random_state=1).fit(X, y)
    theirs = GaussianProcessRegressor(alpha=0.1).fit(X, y)
    if columns != 1:  # where a Gaussian process returns (n,)
        for at in ({}, {"return_std": True}, {"return_cov": True}):
            mine, its = ours.predict(X[:5], **at), theirs.predict(X[:5], **at)
            assert np.shape(mine) == np.shape(its) if not at else [a.shape for a in mine] == [a.shape for a in its]
    mean, std = ours.predict(X[:5], return_std=True, kind="prediction")
    assert mean.shape == std.shape == y[:5].shape
    np.testing.assert_allclose(mean, ours.predict(X[:5]))
    covariance = ours.predict(X[:5], return_cov=True)[1].reshape(5, 5, -1)
    np.testing.assert_allclose(
        np.sqrt(np.einsum("aai->ai", covariance)).reshape(y[:5].shape),
        ours.predict(X[:5], return_std=True)[1],
        rtol=1e-6,
    )
    with pytest.raises(RuntimeError, match="one of both"):
        ours.predict(X, return_std=True, return_cov=True)


@pytest.mark.parametrize("default", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_standard_deviations_cover_the_truth_and_new_measurements(rng: np.random.Generator, default: bool) -> None:
    options: dict[str, Any] = {} if default else {"prior": 2.0, "restarts": 2}
    inside, new = [], []
    for seed in range(20):
        X, test = rng.uniform(-1, 1, (2, 60, 2))
        y = truth(X) + 0.2 * rng.normal(size=60)
        fitted = FFNNRegressor((4,), random_state=seed, backend="numpy", **options).fit(X, y)
        mean, std = fitted.predict(test, return_std=True)
        inside.append(np.mean(np.abs(mean - truth(test)) < std))
        mean, std = fitted.predict(test, return_std=True, kind="prediction")
        new.append(np.mean(np.abs(mean - truth(test) - 0.2 * rng.normal(size=60)) < std))
    assert 0.58 < np.mean(inside) < 0.80
    assert 0.63 < np.mean(new) < 0.74


def test_counts(rng: np.random.Generator) -> None:
    X = rng.uniform(-1, 1, (200, 1))
    y = rng.poisson(np.exp(1 + X[:, 0]))
    by_name, fitted = (
        FFNNRegressor((), prior=None, loss=loss, random_state=1).fit(X, y) for loss in ("poisson", get_loss("poisson"))
    )
    assert fitted.out_activation_ == "exp"
    np.testing.assert_array_equal(fitted.predict(X), by_name.predict(X))
    tags = [one.__sklearn_tags__().target_tags for one in (by_name, fitted, FFNNRegressor())]
    assert [each.positive_only for each in tags] == [True, True, False]
    assert all(each.multi_output for each in tags)
    np.testing.assert_allclose(fitted.predict([[0.0], [1.0]]), np.exp([1, 2]), rtol=0.15)


@pytest.mark.parametrize("n", [2, 3, 9])
def test_few_rows_and_more_parameters_than_rows(rng: np.random.Generator, n: int) -> None:
    X = rng.normal(size=(n, 5))
    fitted = FFNNRegressor(random_state=1).fit(X, X[:, 0] + rng.normal(size=n))
    assert fitted.fit_.valid
    assert np.all(np.isfinite(fitted.predict(X, return_std=True)))


@pytest.mark.slow
def test_a_warm_start_goes_on_from_the_last_parameters(data: Any) -> None:
    warm = FFNNRegressor((4,), prior=1.0, restarts=4, random_state=1, warm_start=True).fit(*data, y_err=0.1)
    first, theta = warm.n_iter_, warm.model_.parameters
    warm.set_params(restarts="auto").fit(*data, y_err=0.1)
    assert warm.n_iter_ < first / 4
    np.testing.assert_allclose(warm.model_.parameters, theta, rtol=1e-6)
    warm.fit(data[0], data[1] + 1e-3, y_err=0.1)
    assert warm.n_iter_ < first / 4
    with pytest.raises(ValueError, match="set warm_start=False"):
        warm.set_params(hidden_layer_sizes=(5,)).fit(*data)
    with pytest.raises(ValueError, match="set warm_start=False"):
        warm.set_params(hidden_layer_sizes=(4,), activation="logistic").fit(*data)
    warm.set_params(hidden_layer_sizes=(5,))
    assert warm.set_params(warm_start=False).fit(*data).model_.layers == (2, 5, 1)


@pytest.mark.slow
def test_a_pickle_predicts_the_same(data: Any) -> None:
    fitted = FFNNRegressor((3,), random_state=1).fit(*data)
    assert fitted.n_iter_ > fitted.fit_.recipe.gradients > sum(start.calls for start in fitted.fit_.restarts)
    twin = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(twin.predict(data[0], return_std=True), fitted.predict(data[0], return_std=True))
    assert twin.fit_.valid


def test_another_backend_gives_host_arrays(data: Any) -> None:
    pytest.importorskip("array_api_strict")
    one, other = (
        FFNNRegressor((2,), prior=1.0, restarts=1, random_state=1, backend=backend).fit(*data)
        for backend in ("numpy", "array_api_strict")
    )
    assert (one.model_.backend.name, other.model_.backend.name) == ("numpy", "array_api_strict")
    mean, std = other.predict(data[0], return_std=True)
    assert type(mean) is type(std) is np.ndarray
    np.testing.assert_allclose(mean, one.predict(data[0]), rtol=1e-6)


def test_before_the_fit() -> None:
    with pytest.raises(NotFittedError, match="not fitted"):
        FFNNRegressor().predict([[0.0]])
    assert not hasattr(FFNNRegressor(), "coefs_")
    assert not hasattr(FFNNRegressor(), "partial_fit")


@pytest.mark.slow
def test_workers_of_an_executor_fit_the_same_network(data: Any) -> None:
    executor = AtOnce()
    there = FFNNRegressor((20, 20), prior=1.0, restarts=3, random_state=1).fit(*data, executor=executor)
    here = FFNNRegressor((20, 20), prior=1.0, restarts=3, random_state=1).fit(*data)
    assert len(executor.calls) == 3
    np.testing.assert_array_equal(here.predict(data[0]), there.predict(data[0]))
