"""`FFNNClassifier` against logistic regression by scikit-learn, and its probabilities against each other."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn, the extra sklearn")

from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression

import ffnn_xp as fx
from ffnn_xp.estimators import FFNNClassifier

from ..executors import AtOnce

LABELS = {
    "text": np.array(["pion", "kaon", "proton"]),
    "integers": np.array([211, -321, 2212]),
    "booleans": np.array([True, False]),
    "objects": np.array(["b", "a", "c"], dtype=object),
}


def overlapping(rng: np.random.Generator, classes: int, n: int = 150) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(size=(n, 2)) * [1, 50]
    return X, np.argmax(X / [1, 50] @ rng.normal(size=(2, classes)) + rng.gumbel(size=(n, classes)), axis=1)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_linear_function_is_logistic_regression(rng: np.random.Generator, classes: int, weighted: bool) -> None:
    X, y = overlapping(rng, classes)
    weights = rng.uniform(1, 3, len(y)) if weighted else None
    ours = FFNNClassifier((), prior=None, backend="numpy").fit(X, y, weights)
    theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000, solver="newton-cg").fit(X, y, weights)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    if classes == 2:
        np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours.coefs_[0].T, theirs.coef_, rtol=1e-4)


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind(rng: np.random.Generator, kind: str) -> None:
    X, codes = overlapping(rng, len(LABELS[kind]))
    y = LABELS[kind][codes]
    fitted = FFNNClassifier((), prior=3.0).fit(X, y)
    assert fitted.classes_.dtype == y.dtype
    np.testing.assert_array_equal(fitted.classes_, np.unique(y))
    assert fitted.predict(X).dtype == y.dtype
    by_number = FFNNClassifier((), prior=3.0).fit(X, codes)
    np.testing.assert_array_equal(fitted.predict(X), LABELS[kind][by_number.predict(X)])
    np.testing.assert_array_equal(fitted.classes_[np.argmax(fitted.predict_proba(X), axis=1)], fitted.predict(X))


@pytest.mark.parametrize(("classes", "output", "outputs"), [(2, "logistic", 1), (3, "softmax", 3)])
def test_probabilities_are_those_of_the_network(
    rng: np.random.Generator, classes: int, output: str, outputs: int
) -> None:
    X, y = overlapping(rng, classes)
    fitted = FFNNClassifier((3,), prior=1.0, restarts=2, random_state=1).fit(X, y)
    assert (fitted.out_activation_, fitted.n_outputs_) == (output, outputs)
    p = fitted.predict_proba(X)
    np.testing.assert_allclose(p[:, -1], fitted.model_(X).reshape(len(X), -1)[:, -1], rtol=1e-9)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X)), p)


def test_logarithms_of_tiny_probabilities() -> None:
    X = np.array([[-1.0], [0.0], [0.0], [1.0]])
    fitted = FFNNClassifier((), prior=1.0).fit(X, [0, 0, 1, 1])
    far = np.array([[-1e4], [1e4]])
    slope = fitted.decision_function([[1.0]]) - fitted.decision_function([[0.0]])
    np.testing.assert_allclose(np.min(fitted.predict_log_proba(far), axis=1), -1e4 * slope[0], rtol=1e-3)
    np.testing.assert_array_equal(fitted.predict_proba(far), [[1, 0], [0, 1]])


def test_two_classes_with_two_outputs(rng: np.random.Generator) -> None:
    X, y = overlapping(rng, 2)
    one, two = (FFNNClassifier((), prior=None, loss=loss).fit(X, y) for loss in (None, "multinomial"))
    assert two.n_outputs_ == 2
    np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), atol=1e-4)
    np.testing.assert_allclose(one.decision_function(X), two.decision_function(X), atol=1e-3)


def test_labels_that_are_measured_values_or_a_column(rng: np.random.Generator) -> None:
    X, y = overlapping(rng, 2)
    with pytest.raises(ValueError, match="continuous"):
        FFNNClassifier().fit(X, y + 0.5 * X[:, 0])
    with pytest.warns(DataConversionWarning, match="column-vector"):
        column = FFNNClassifier((), prior=1.0, random_state=1).fit(X, y[:, None])
    np.testing.assert_array_equal(column.predict(X), FFNNClassifier((), prior=1.0, random_state=1).fit(X, y).predict(X))


def test_one_class_and_losses_that_do_not_go_together(rng: np.random.Generator) -> None:
    X, y = overlapping(rng, 3)
    with pytest.raises(ValueError, match="one class only, 1"):
        FFNNClassifier().fit(X, np.ones(len(y)))
    with pytest.raises(ValueError, match="one class only, 2"):
        FFNNClassifier().fit(X, y, sample_weight=y == 2)
    with pytest.raises(ValueError, match="is for two classes, got 3"):
        FFNNClassifier(loss="binomial").fit(X, y)
    with pytest.raises(ValueError, match="use FFNNRegressor"):
        FFNNClassifier(loss="poisson").fit(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3])
def test_the_default_call(rng: np.random.Generator, classes: int) -> None:
    """A ring around a disk, which no linear function separates, and a ring around that."""
    X = rng.uniform(-2, 2, (240, 2))
    y = np.digitize(np.hypot(X[:, 0], X[:, 1]), [1.0, 1.8][: classes - 1])
    fitted = FFNNClassifier(random_state=1, backend="numpy").fit(X[:160], y[:160])
    assert fitted.score(X[160:], y[160:]) > 0.8
    twin: Any = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(twin.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3])
def test_after_auto_probabilities_are_the_mean_of_the_ensemble(
    rng: np.random.Generator, tmp_path: Path, classes: int
) -> None:
    """Everywhere: in the estimator, the model, its test of probabilities, its file and its exports."""
    X, y = overlapping(rng, classes, 60)
    fitted = FFNNClassifier((3,), random_state=1, backend="numpy").fit(X, y)
    model = fitted.model_
    assert len(model.ensemble_parameters) == len(fitted.fit_.recipe.members) > 1
    each = np.stack([model(X, theta).reshape(len(X), -1) for theta in model.ensemble_parameters])
    mean = each.mean(axis=0) if classes > 2 else np.concatenate([1 - each, each], axis=2).mean(axis=0)
    p = fitted.predict_proba(X)
    np.testing.assert_allclose(p, mean, rtol=1e-9)
    assert np.max(np.abs(p[:, -1] - model(X).reshape(len(X), -1)[:, -1])) > 1e-6  # the best network's are others
    np.testing.assert_array_equal(fitted.predict(X), p.argmax(axis=1))
    decided = fitted.decision_function(X)
    again = 1 / (1 + np.exp(-decided)) if classes == 2 else np.exp(decided)
    np.testing.assert_allclose(again, p[:, 1] if classes == 2 else p, rtol=1e-9)
    predicted, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(predicted.reshape(len(X), -1)[:, -1], p[:, -1], rtol=1e-9)
    between = each.std(axis=0, ddof=1).reshape(std.shape) / np.sqrt(len(each))
    assert np.all(std > between)
    np.testing.assert_allclose(model.classification(X, y).probabilities[-1], p[:, -1], rtol=1e-9)
    for ask in (lambda: model.interval(X), lambda: model.predict(X, return_std=True, kind="prediction")):
        with pytest.raises(fx.NotFittedError, match="no predictive density: the statistic has none"):
            ask()
    pytest.importorskip("safetensors")
    model.save(tmp_path / "net.safetensors")
    loaded = fx.load(tmp_path / "net.safetensors")
    np.testing.assert_allclose(loaded.predict(X), predicted, rtol=1e-12)
    np.testing.assert_allclose(loaded.predict(X, return_std=True)[1], std, rtol=1e-9)
    with pytest.raises(fx.NotFittedError, match="no predictive density: the statistic has none"):
        loaded.interval(X)
    source: dict[str, Any] = {}
    fx.export.to_python(model, tmp_path / "net.py", std=True)
    exec((tmp_path / "net.py").read_text(), source)
    np.testing.assert_allclose(np.asarray(source["predict"](X)).reshape(predicted.shape), predicted, rtol=1e-12)


def test_warm_start_with_other_classes_is_refused(rng: np.random.Generator) -> None:
    X, y = overlapping(rng, 3)
    warm = FFNNClassifier((2,), prior=1.0, restarts=1, random_state=1, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="set warm_start=False"):
        warm.fit(X, y > 0)


@pytest.mark.slow
def test_workers_of_an_executor_fit_the_same_network(rng: np.random.Generator) -> None:
    executor, (X, y) = AtOnce(), overlapping(rng, 3)
    there = FFNNClassifier((20, 20), prior=1.0, restarts=3, random_state=1).fit(X, y, executor=executor)
    here = FFNNClassifier((20, 20), prior=1.0, restarts=3, random_state=1).fit(X, y)
    assert len(executor.calls) == 3
    np.testing.assert_array_equal(here.predict_proba(X), there.predict_proba(X))
