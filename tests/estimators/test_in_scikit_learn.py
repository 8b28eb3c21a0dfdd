"""Estimators in what scikit-learn makes of them: pipelines, searches, cross-validation, routing, names of columns."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn, the extra sklearn")

import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import _get_feature_names

from ffnn_xp.estimators import FFNNClassifier, FFNNRegressor

NAMES = ["mass", "charge"]


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.uniform(-1, 1, (60, 2))
    return X, np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] + 0.1 * rng.normal(size=60)


def small(**options: Any) -> FFNNRegressor:
    return FFNNRegressor(**{"hidden_layer_sizes": (2,), "prior": 1.0, "restarts": 1, "random_state": 1, **options})


def test_clones_are_unfitted_and_have_the_same_options(data: Any) -> None:
    fitted = small(backend="numpy").fit(*data)
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params()
    assert not hasattr(twin, "fit_")
    assert repr(twin) == repr(fitted)


def test_a_search_in_a_pipeline(data: Any) -> None:
    pipeline = make_pipeline(StandardScaler(), small())
    search = GridSearchCV(pipeline, {"ffnnregressor__prior": [1e-3, 1.0]}, cv=3).fit(*data)
    assert search.best_params_ == {"ffnnregressor__prior": 1.0}
    assert search.score(*data) > 0.9


@pytest.mark.slow
def test_predictions_in_two_processes_are_those_of_one(data: Any) -> None:
    one, two = (cross_val_predict(small(backend="numpy"), *data, cv=3, n_jobs=jobs) for jobs in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-9)
    labels = np.where(data[1] > 0, "up", "down")
    p = cross_val_predict(FFNNClassifier((2,), random_state=1), data[0], labels, cv=3, n_jobs=2, method="predict_proba")
    assert np.mean((p[:, 1] > 0.5) == (labels == "up")) > 0.85


def test_errors_and_weights_are_routed(data: Any) -> None:
    X, y = data
    y_err, weights = np.linspace(0.05, 0.2, 60), np.linspace(1, 2, 60)
    with sklearn.config_context(enable_metadata_routing=True):
        asking = small().set_fit_request(y_err=True, sample_weight=True).set_score_request(sample_weight=True)
        parts = cross_validate(
            asking,
            X,
            y,
            cv=3,
            params={"y_err": y_err, "sample_weight": weights},
            return_estimator=True,
            return_indices=True,
        )
    for fitted, rows in zip(parts["estimator"], parts["indices"]["train"], strict=True):
        seen = fitted.fit_.problem.data
        assert fitted.fit_.y_error is None
        np.testing.assert_allclose(np.sort(1 / seen.inverse_error[0]), np.sort(y_err[rows]))
        np.testing.assert_allclose(np.sort(seen.weights[0]), np.sort(weights[rows]))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_names_of_columns_reach_the_fit(data: Any, library: str) -> None:
    X, y = data
    table = pytest.importorskip(library).DataFrame(dict(zip(NAMES, X.T, strict=True)))
    if library == "polars" and _get_feature_names(table) is None:
        pytest.skip("this version of scikit-learn does not read the names of columns of polars")
    fitted = small().fit(table, y)
    assert fitted.feature_names_in_.tolist() == NAMES
    assert fitted.model_.input_names == tuple(NAMES)
    np.testing.assert_array_equal(fitted.predict(table), small().fit(X, y).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(table[NAMES[::-1]])


def test_names_come_through_a_pipeline(data: Any) -> None:
    X, y = data
    table = pytest.importorskip("pandas").DataFrame(X, columns=NAMES)
    pipeline = make_pipeline(StandardScaler(), small()).set_output(transform="pandas").fit(table, y)
    assert pipeline[-1].model_.input_names == tuple(NAMES)
    assert pipeline.score(table, y) > 0.8


@pytest.mark.parametrize("kind", ["object", "Int64", "float32"])
def test_columns_of_other_types(kind: str) -> None:
    table = pytest.importorskip("pandas").DataFrame({"a": [1, 2, 3, 4], "b": [2, 1, 0, 5]}).astype(kind)
    fitted = FFNNRegressor((), prior=None).fit(table, [1.0, 2.0, 3.0, 4.0], y_err=0.1)
    np.testing.assert_allclose(fitted.predict(table), [1, 2, 3, 4], rtol=1e-6)


def test_without_scikit_learn_the_message_says_how_to_get_it(
    hide: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide("sklearn")
    for name in [name for name in sys.modules if name.startswith("ffnn_xp.estimators")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=r"pip install 'ffnn_xp\[sklearn\]'"):
        importlib.import_module("ffnn_xp.estimators")
