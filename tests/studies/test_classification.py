"""Log-loss, ROC and calibration, against scikit-learn."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

import ffnn_xp as fx
from ffnn_xp.backends import Backend
from ffnn_xp.studies.classification import score_probabilities

RNG = np.random.default_rng(7)
X = RNG.normal(size=(600, 2))
P = 1 / (1 + np.exp(-2 * X[:, 0] + X[:, 1]))
YES = RNG.random(600) < P
LABELS = np.array([RNG.choice(3, p=[0.2, 0.8 * p, 0.8 * (1 - p)]) for p in P])


@pytest.fixture(scope="module")
def logistic() -> fx.Model:
    model = fx.Model((2, 1), output="logistic", backend="numpy", seed=1)
    model.fit(X[:300], YES[:300], loss="binomial", prior=None)
    return model


def test_yes_and_no_are_those_of_scikit_learn(logistic: fx.Model) -> None:
    p, y = logistic.predict(X[300:]), YES[300:]
    found = logistic.classification(X[300:], y)
    assert found.log_loss == pytest.approx(sklearn.metrics.log_loss(y, p), rel=1e-12)
    assert found.brier == pytest.approx(sklearn.metrics.brier_score_loss(y, p), rel=1e-12)
    assert found.auc[0] == pytest.approx(sklearn.metrics.roc_auc_score(y, p), rel=1e-12)
    no, yes, cuts = sklearn.metrics.roc_curve(y, p, drop_intermediate=False)
    np.testing.assert_allclose(found.roc[0], np.stack([cuts, no, yes], axis=1), rtol=1e-12)
    (table,) = found.calibration
    assert table[:, 3].sum() == 300
    assert np.average(table[:, 0], weights=table[:, 3]) == pytest.approx(p.mean())
    assert np.average(table[:, 1], weights=table[:, 3]) == pytest.approx(y.mean())
    assert "AUC" in str(found)


@pytest.mark.slow
def test_classes_are_those_of_scikit_learn(backend: Backend) -> None:
    model = fx.Model((2, 3), output="softmax", backend=backend, seed=1)
    model.fit(X[:300], LABELS[:300], loss="multinomial", prior=10.0)
    p = fx.to_numpy(model.predict(X[300:]))
    found = model.classification(X[300:], LABELS[300:])
    assert found.log_loss == pytest.approx(sklearn.metrics.log_loss(LABELS[300:], p), rel=1e-9)
    for i in range(3):
        assert found.auc[i] == pytest.approx(sklearn.metrics.roc_auc_score(LABELS[300:] == i, p[:, i]), rel=1e-9)
    assert np.all(found.p_values > 1e-3)
    one_hot = np.eye(3)[LABELS[300:]]
    assert model.classification(X[300:], one_hot).log_loss == pytest.approx(found.log_loss)


def test_equal_probabilities_go_together() -> None:
    p, t = np.array([[0.2, 0.2, 0.2, 0.7, 0.7]]), np.array([[0.0, 1.0, 0.0, 1.0, 0.0]])
    found = score_probabilities(p, t, exclusive=False)
    assert found.auc[0] == pytest.approx(sklearn.metrics.roc_auc_score(t[0], p[0]))
    np.testing.assert_allclose(found.roc[0], [[np.inf, 0, 0], [0.7, 1 / 3, 0.5], [0.2, 1, 1]])


@pytest.mark.slow
def test_z_is_standard_normal_of_true_probabilities_and_tells_of_others() -> None:
    rng = np.random.default_rng(1)
    p = rng.uniform(0.02, 0.98, (1, 300))

    def drawn() -> np.ndarray:
        return (rng.random((1, 300)) < p).astype(float)

    z = [score_probabilities(p, drawn(), exclusive=False).z[0] for _ in range(2000)]
    assert scipy.stats.kstest(z, "norm").pvalue > 1e-3
    bold = 1 / (1 + np.exp(-2 * np.log(p / (1 - p))))
    assert score_probabilities(bold, drawn(), exclusive=False).p_values[0] < 1e-3


def test_certain_and_wrong_is_finite() -> None:
    found = score_probabilities(np.array([[0.0, 1.0, 0.5]]), np.array([[1.0, 0.0, 1.0]]), exclusive=False)
    assert np.isfinite(found.log_loss)
    assert found.log_loss > 100


def test_events_of_one_class_have_scores(backend: Backend) -> None:
    """A test sample may lack classes, or hold a single one: log-loss and Brier score by hand."""
    model = fx.Model((2, 3), output="softmax", backend=backend, seed=1)
    for label in range(3):
        found = model.classification(X[:50], np.full(50, label))
        p = fx.to_numpy(model.predict(X[:50]))
        assert found.log_loss == pytest.approx(-np.mean(np.log(p[:, label])), rel=1e-12)
        assert found.brier == pytest.approx(np.mean(np.sum((p - np.eye(3)[label]) ** 2, axis=1)), rel=1e-12)
        assert np.all(np.isnan(found.auc))
        assert "AUC nan" in str(found)


def test_one_kind_alone_has_no_curve(logistic: fx.Model) -> None:
    found = logistic.classification(X[300:], np.ones(300))
    assert np.isnan(found.auc[0])
    assert np.all(np.isnan(found.roc[0][1:, 1]))
    assert found.roc[0][-1, 2] == 1
    assert "AUC nan" in str(found)


def test_curves_are_those_of_their_definition() -> None:
    """Cut by cut: of no and yes, the share whose probability is not below."""
    rng = np.random.default_rng(3)
    p = np.round(rng.uniform(size=(2, 200)), 2)
    t = (rng.random((2, 200)) < p).astype(float)
    found = score_probabilities(p, t, exclusive=False)
    for i in range(2):
        cuts = np.append(np.inf, np.unique(p[i])[::-1])
        above = p[i] >= cuts[:, None]
        no, yes = above @ (1 - t[i]) / np.sum(1 - t[i]), above @ t[i] / np.sum(t[i])
        np.testing.assert_allclose(found.roc[i], np.stack([cuts, no, yes], axis=1), rtol=1e-12)
        assert found.auc[i] == pytest.approx(np.trapezoid(yes, no), rel=1e-12)


def test_log_loss_and_calibration_need_no_scikit_learn(logistic: fx.Model, hide: Callable[[str], None]) -> None:
    whole = str(logistic.classification(X[300:], YES[300:]))
    hide("sklearn")
    found = logistic.classification(X[300:], YES[300:])
    for ask in (lambda: found.auc, lambda: found.roc):
        with pytest.raises(ImportError, match=r"the ROC curve needs sklearn: pip install 'ffnn_xp\[sklearn\]'"):
            ask()
    *lines, last = str(found).splitlines()
    assert last == "  the ROC curve needs sklearn: pip install 'ffnn_xp[sklearn]'"
    assert lines == [re.sub("AUC .*; ", "", line) for line in whole.splitlines()]


def test_what_is_refused(logistic: fx.Model) -> None:
    with pytest.raises(ValueError, match="only a logistic or a softmax output"):
        fx.Model((2, 1), seed=1).classification(X, YES)
    with pytest.raises(ValueError, match="0 or 1"):
        logistic.classification(X, 2 * YES)
    softmax = fx.Model((2, 3), output="softmax", seed=1)
    with pytest.raises(ValueError, match="counts have no ROC curve"):
        softmax.classification(X, np.full((600, 3), 2))
    with pytest.raises(ValueError, match="label 3"):
        softmax.classification(X, LABELS + 1)
    with pytest.raises(ValueError, match="`x` holds no events"):
        softmax.classification(X, LABELS, mask=np.zeros(600, dtype=bool))


def test_the_error_of_the_area_is_that_of_the_mean_over_pairs() -> None:
    p = np.round(RNG.uniform(size=60), 1)
    t = (RNG.random(60) < p).astype(float)
    found = score_probabilities(p[None], t[None], exclusive=False)
    pairs = np.heaviside(p[t == 1][:, None] - p[t == 0], 0.5)
    below, above = pairs.mean(axis=1), pairs.mean(axis=0)
    assert found.auc[0] == pytest.approx(pairs.mean())
    want = np.sqrt(below.var(ddof=1) / len(below) + above.var(ddof=1) / len(above))
    assert found.auc_error[0] == pytest.approx(want, rel=1e-9)
    assert np.isnan(score_probabilities(p[None, :3], np.array([[0.0, 0.0, 1.0]]), exclusive=False).auc_error[0])


@pytest.mark.slow
def test_areas_scatter_as_their_errors_say() -> None:
    t = np.repeat([0.0, 1.0], 100)
    p = 1 / (1 + np.exp(-RNG.normal(t, 1.0, (300, 200))))
    found = score_probabilities(p, np.broadcast_to(t, p.shape), exclusive=False)
    assert np.std(found.auc) == pytest.approx(np.mean(found.auc_error), rel=0.15)


def test_names_of_columns_are_those_of_the_classes() -> None:
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(np.eye(3)[LABELS], columns=["e", "mu", "tau"])
    model = fx.Model((2, 3), output="softmax", backend="numpy", seed=1)
    model.fit(X[:300], table[:300], loss="multinomial", prior=10.0)
    lines = str(model.classification(X[300:], table[300:])).splitlines()
    assert [line.split()[0] for line in lines[1::3]] == ["e", "mu", "tau"]
