"""Keyword arguments of scikit-learn's networks: scripts run with the import changed, and nothing is ignored."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn, the extra sklearn")

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

import ffnn_xp as fx
from ffnn_xp.estimators import FFNNClassifier, FFNNRegressor, FitConvergenceWarning
from ffnn_xp.estimators.options import LIMITS, REFUSED, minimizer_of
from ffnn_xp.fitting import DEFAULT_TUNING
from ffnn_xp.minimizers import MINIMIZERS, LevenbergMarquardt, ScipyLBFGS, get_minimizer

PAIRS = [(FFNNRegressor, MLPRegressor), (FFNNClassifier, MLPClassifier)]

REGRESSION = """
from sklearn.datasets import make_regression
from sklearn.neural_network import MLPRegressor
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

X, y = make_regression(n_samples=120, n_features=3, noise=1.0, random_state=1)
X_train, X_test, y_train, y_test = train_test_split(X, y / y.std(), random_state=1)
scaler = StandardScaler().fit(X_train)
regr = MLPRegressor(
    hidden_layer_sizes=(5,), activation="tanh", solver="lbfgs", alpha=0.1, max_iter=2000, random_state=1
)
regr.fit(scaler.transform(X_train), y_train)
first = regr.predict(scaler.transform(X_test[:2]))
score = regr.score(scaler.transform(X_test), y_test)
shapes = [a.shape for a in regr.coefs_ + regr.intercepts_]
kinds = (regr.n_layers_, regr.n_outputs_, regr.out_activation_, regr.n_features_in_)
assert score > 0.95 and regr.n_iter_ >= 1 and regr.loss_ > 0
"""

CLASSIFICATION = """
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier

X, y = make_classification(n_samples=100, n_features=4, n_classes=2, class_sep=2.0, random_state=1)
search = GridSearchCV(
    MLPClassifier(random_state=1, max_iter=1000, solver="lbfgs"),
    {"alpha": [1.0, 0.1], "hidden_layer_sizes": [(2,), (3,)]}, cv=2,
)
search.fit(X, y)
clf = search.best_estimator_
score = clf.score(X, y)
shapes = [clf.predict_proba(X).shape, clf.predict_log_proba(X).shape, clf.predict(X[:5, :]).shape]
kinds = (clf.n_layers_, clf.n_outputs_, clf.out_activation_, clf.classes_.tolist())
assert score > 0.9
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", [REGRESSION, CLASSIFICATION])
def test_a_script_runs_with_the_import_changed(script: str) -> None:
    theirs: dict[str, Any] = {}
    ours: dict[str, Any] = {}
    exec(script, theirs)
    exec(script.replace("sklearn.neural_network", "ffnn_xp.estimators").replace("MLP", "FFNN"), ours)
    assert ours["shapes"] == theirs["shapes"]
    assert ours["kinds"] == theirs["kinds"]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_each_argument_is_taken_or_refused_with_a_reason(ours: Any, theirs: Any) -> None:
    own = set(inspect.signature(ours).parameters)
    for name in set(inspect.signature(theirs).parameters) - own:
        with pytest.raises(TypeError, match=rf"{ours.__name__} has no option `{name}`: .*leave it out"):
            ours(**{name: 1})
    assert not own & set(REFUSED)


def test_an_unknown_argument() -> None:
    with pytest.raises(TypeError, match="hidden_layers"):
        FFNNRegressor(hidden_layers=3)  # type: ignore[call-arg]


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(size=(60, 2))
    return X, np.sin(2 * X[:, 0]) + 0.2 * rng.normal(size=60)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"solver": "adam"}, "stochastic gradient descent.* leave `solver` out"),
        ({"solver": "lbgfs"}, "did you mean 'lbfgs'"),
        ({"solver": "lbfgs", "max_iter": 1.5}, "`max_iter` must be a positive integer"),
        ({"alpha": float("inf")}, "`alpha` must be 0 or positive, and finite"),
        ({"alpha": 1.0, "prior": 1.0}, "`prior` or `alpha`, not both"),
        ({"alpha": -1.0}, "`alpha` must be 0 or positive"),
        ({"max_iter": 0}, "`max_iter` must be a positive integer"),
        ({"prior": "automatic"}, "`prior` must be"),
        ({"activation": "tnah"}, "did you mean 'tanh'"),
        ({"hidden_layer_sizes": (0,)}, "at least 1"),
        ({"loss": "binomial"}, "use FFNNClassifier"),
        ({"restarts": 0}, "`restarts` must be"),
        ({"max_seconds": -1}, "`max_seconds` must be positive"),
        ({"random_state": -1}, "seed"),
        ({"backend": "pytorch"}, "unknown backend"),
    ],
)
def test_options_that_cannot_be_used(data: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FFNNRegressor(**options).fit(*data)


def test_alpha_is_the_prior(data: Any) -> None:
    penalty, prior = (
        FFNNRegressor((3,), random_state=1, restarts=2, **options).fit(*data)
        for options in ({"alpha": 0.25}, {"prior": 2.0})
    )
    np.testing.assert_array_equal(penalty.predict(data[0]), prior.predict(data[0]))
    none = FFNNRegressor((1,), random_state=1, alpha=0, restarts=2).fit(*data)
    assert none.fit_.problem.prior is None


def test_solver_and_limits_reach_the_fit(data: Any) -> None:
    plain, short, other = (
        FFNNRegressor((3,), prior=1.0, random_state=1, restarts=1, **options).fit(*data)
        for options in ({}, {"max_iter": 2}, {"solver": "levenberg_marquardt"})
    )
    assert len({plain.n_iter_, short.n_iter_, other.n_iter_}) == 3
    assert plain.n_iter_ == plain.fit_.restarts[0].calls
    with pytest.warns(ConvergenceWarning, match="the fit is not valid") as caught:
        FFNNRegressor((3,), random_state=1, max_seconds=1e-6).fit(*data)
    assert issubclass(caught[0].category, fx.FitWarning)
    assert caught[0].category is FitConvergenceWarning
    assert caught[0].filename == __file__


def limits(numbers: Any) -> Iterator[tuple[str, float]]:
    """Yield the limits of steps in a dataclass and in all dataclasses in it."""
    for f in dataclasses.fields(numbers):
        value = getattr(numbers, f.name)
        if dataclasses.is_dataclass(value):
            yield from ((f"{f.name}.{name}", most) for name, most in limits(value))
        elif f.name in LIMITS:
            yield f.name, value


@pytest.mark.parametrize("solver", [*MINIMIZERS, LevenbergMarquardt(damping=0.1)], ids=str)
def test_max_iter_limits_each_solver(solver: Any) -> None:
    found = dict(limits(minimizer_of(solver, 2)))
    bounds = {name: most for name, most in found.items() if "conjugate_gradients" in name}
    assert set(found) > set(bounds)
    assert {most for name, most in found.items() if name not in bounds} == {2}
    assert set(bounds.values()) <= {300}  # they compute bounds on EDM where a minimization ends
    assert minimizer_of(solver, None) == get_minimizer(solver)
    most = dict(limits(get_minimizer(solver)))
    assert dict(limits(minimizer_of(solver, 50))) == {n: v if n in bounds else min(v, 50) for n, v in most.items()}


def test_max_iter_limits_the_minimizations_of_the_fit_and_not_those_of_its_studies(data: Any) -> None:
    tuning = FFNNRegressor((2,), prior=1.0, restarts=1, random_state=1, max_iter=3).fit(*data).fit_.problem.tuning
    searches = dict(limits(tuning.local_search)) | dict(limits(tuning.path))
    assert {most for name, most in searches.items() if "matrix_free" not in name} == {3}
    assert tuning.halving.minimizer.max_iterations == 3
    assert tuning.refit == DEFAULT_TUNING.refit
    assert tuning.local_search.matrix_free.conjugate_gradients.max_iterations == 300


def test_max_iter_reaches_the_solver(data: Any) -> None:
    steps: list[int] = []

    class Noted(ScipyLBFGS):
        def run(self, *arguments: Any) -> Any:
            steps.append(self.max_iterations)
            return super().run(*arguments)

    for options, expected in (({}, 3000), ({"max_iter": 2}, 2)):
        steps.clear()
        FFNNRegressor((3,), prior=1.0, random_state=1, restarts=1, solver=Noted(), **options).fit(*data)
        assert set(steps) == {expected}

    class Own:
        def run(self, problem: Any, theta: Any, budget: Any = None) -> Any:
            raise NotImplementedError

    with pytest.raises(ValueError, match=r"`max_iter` cannot limit the steps of .*Own.*: leave it out"):
        FFNNRegressor(solver=Own(), max_iter=2).fit(*data)


@pytest.mark.parametrize(
    ("rows", "hidden", "prior"),
    [(9, (2,), 1.0), (10, (2,), "auto"), (9, (), None), (4, (), None), (3, (), 1.0)],
)
def test_the_default_prior_of_few_rows(rng: np.random.Generator, rows: int, hidden: Any, prior: Any) -> None:
    """It is of width 1 where the rows do not determine the parameters, and none can be held out."""
    X, y = rng.normal(size=(2, rows, 2))
    ours, same = (
        FFNNRegressor(hidden, prior=width, random_state=1).fit(X, y[:, 0], y_err=0.5) for width in ("auto", prior)
    )
    np.testing.assert_array_equal(ours.model_.parameters, same.model_.parameters)
    assert (ours.fit_.problem.prior is None) is (prior is None)
    assert (ours.fit_.recipe is None) is (prior != "auto")


def test_restarts_and_loss_reach_the_fit(data: Any) -> None:
    three = FFNNRegressor((3,), prior=1.0, random_state=1, restarts=3).fit(*data)
    assert len(three.fit_.restarts) == 3
    X, y = data
    robust = FFNNRegressor((), prior=None, loss="student_t", random_state=1).fit(X, y, y_err=0.2)
    assert robust.fit_.statistic.name == "student_t"


def test_a_random_state_gives_its_next_number(data: Any) -> None:
    state = np.random.RandomState(1)
    estimator = FFNNRegressor((3,), prior=1.0, restarts=1, random_state=state)
    first = estimator.fit(*data).fit_.restarts[0].calls
    again = estimator.fit(*data).fit_.restarts[0].calls
    estimator.set_params(random_state=np.random.RandomState(1)).fit(*data)
    assert first == estimator.fit_.restarts[0].calls
    assert first != again
