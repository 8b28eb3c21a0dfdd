"""Each long study shows its progress, or does not, by the same switch."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.fitting import Tuning

pytest.importorskip("tqdm", reason="needs tqdm, the extra progress")

X = np.linspace(-2, 2, 40)
Y = np.tanh(2 * X) + 0.1 * np.cos(30 * X)


def a_fit(**options: Any) -> fx.FitResult:
    return fx.Model((1, 2, 1), backend="numpy", seed=1).fit(
        X, Y, 0.1, **{"prior": 3.0, "restarts": 1, "progress": False, **options}
    )


STUDIES: dict[str, tuple[str, Callable[[bool], Any]]] = {
    "fit": ("fit [", lambda on: a_fit(progress=on)),
    "prior by cross-validation": ("fit [", lambda on: a_fit(prior="auto", progress=on)),
    "replicas": (
        "fits of replicas",
        lambda on: a_fit().problem.model.fit_replicas(X, Y, 0.1, prior=3.0, number=5, progress=on),
    ),
    "linear band without matrices": (
        "errors of predictions",
        lambda on: a_fit(tuning=Tuning(matrix_limit=5)).band(X[:2], progress=on),
    ),
    "profile": ("profiles", lambda on: a_fit().band(X[:2], method="profile", progress=on)),
    "toys": ("fits of toys", lambda on: a_fit().band(X[:2], method="replicas", number=5, progress=on)),
    "mixture": ("minima of other starts", lambda on: a_fit().band(X[:2], method="mixture", number=2, progress=on)),
    "goodness": ("fits of toys", lambda on: a_fit().goodness(5, progress=on)),
    "coverage": ("coverage", lambda on: a_fit().coverage(X[:2], number=5, progress=on)),
    "errors of a subset": ("profiled errors", lambda on: a_fit().minuit_of(["b_L2_L3[0]"], progress=on)),
}


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_true_shows_the_bar_of_each_study_and_false_none(study: str) -> None:
    name, run = STUDIES[study]
    for on in (True, False):
        with redirect_stderr(io.StringIO()) as stream:
            run(on)
        assert (name in stream.getvalue()) is on
        assert bool(stream.getvalue()) is on


@pytest.mark.slow
def test_verbose_is_the_switch_of_the_estimators() -> None:
    pytest.importorskip("sklearn")
    from ffnn_xp.estimators import FFNNRegressor

    for verbose in (True, False):
        with redirect_stderr(io.StringIO()) as stream:
            FFNNRegressor((2,), prior=3.0, restarts=1, verbose=verbose, random_state=1).fit(X[:, None], Y)
        assert ("fit [" in stream.getvalue()) is verbose


def test_a_callback_is_called_beside_the_bar() -> None:
    states: list[fx.FitState] = []
    with redirect_stderr(io.StringIO()):
        a_fit(progress=True, callback=lambda state: states.append(state))
    assert states
    assert states[0].starts == 1
