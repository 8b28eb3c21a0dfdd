"""Ctrl-C at any moment of a fit and of each study: a script stops, a session gets what there is, and that says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.objective import Replicas

RNG = np.random.default_rng(5)
X = RNG.uniform(-2, 2, 60)
Y = np.tanh(2 * X) + 0.1 * RNG.normal(size=60)
AT = np.array([-1.0, 0.0, 0.5])
WHOLE = 10**9  # an evaluation that none comes to


def network() -> fx.Model:
    return fx.Model((1, 3, 1), backend="numpy", seed=1)


@pytest.fixture(scope="module")
def fitted() -> tuple[fx.Model, fx.FitResult]:
    model = network()
    return model, model.fit(X, Y, 0.1, prior=3.0, restarts=1)


Study = Callable[[fx.Model, fx.FitResult], Any]

FITS: dict[str, Study] = {
    "known errors": lambda *_: network().fit(X, Y, 0.1, prior=3.0, restarts=3),
    "unknown errors": lambda *_: network().fit(X, Y, prior=3.0, restarts=3),
    "successive halving": lambda *_: network().fit(X, Y, prior=3.0, restarts=20),
    "migrad alone": lambda *_: network().fit(X, Y, 0.1, prior=3.0, minimizer="migrad"),
    "no matrices": lambda *_: network().fit(X, Y, 0.1, prior=3.0, restarts=1, minimizer="matrix_free"),
    "prior chosen": lambda *_: network().fit(X, Y, prior="auto"),
}
STUDIES: dict[str, Study] = {
    "replicas": lambda model, _: model.fit_replicas(X, Y, 0.1, prior=3.0, number=40, seed=1),
    "band by profiles": lambda _, fit: fit.band(AT, method="profile"),
    "band by toys": lambda _, fit: fit.band(AT, method="replicas", number=40, seed=1),
    "band by minima": lambda _, fit: fit._fitted.minima.clear() or fit.band(AT, method="mixture", number=5, seed=1),
    "coverage": lambda _, fit: fit.coverage(AT, number=40, seed=1),
    "goodness": lambda _, fit: fit.goodness(40, seed=1),
}
NAMED = [pytest.param(study, id=name) for name, study in {**FITS, **STUDIES}.items()]


class Evaluations:
    """Counts evaluations of any objective, and has Ctrl-C pressed in some of them."""

    def __init__(self, before_each: Callable[..., None]) -> None:
        self.number, self.pressed_in = 0, (WHOLE,)
        before_each(self._count)

    def _count(self, *_: object) -> None:
        self.number += 1
        for _ in range(self.pressed_in.count(self.number)):
            signal.raise_signal(signal.SIGINT)

    def press(self, *numbers: int) -> None:
        self.number, self.pressed_in = 0, numbers

    def moments(self, run: Callable[[], Any], presses: int = 1) -> Iterator[int]:
        """Yield the first and the last evaluation of a run, and some at random between them; Ctrl-C is for each."""
        self.press()
        run()
        whole = self.number
        for moment in {1, whole, *np.random.default_rng(whole).integers(1, whole + 1, 4).tolist()}:
            self.press(*presses * [moment])
            yield moment


@pytest.fixture
def evaluations(before_each: Callable[..., None]) -> Evaluations:
    return Evaluations(before_each)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be an interactive session, in which a few toys are a lot."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    monkeypatch.setattr(Replicas, "together", 4)


def says_so(result: Any) -> bool:
    stopped = result.message if isinstance(result, fx.FitResult) else result.stopped
    return "interrupted by the user" in stopped and "interrupted by the user" in repr(result)


@pytest.mark.slow
@pytest.mark.parametrize("study", NAMED)
def test_a_script_stops(study: Study, fitted: tuple[fx.Model, fx.FitResult], evaluations: Evaluations) -> None:
    """At the next evaluation or a few later, those of the point that is kept."""
    for moment in evaluations.moments(lambda: study(*fitted)):
        with pytest.raises(KeyboardInterrupt):
            study(*fitted)
        assert evaluations.number <= moment + 12
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ffnn_xp.FitWarning")
@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("study", NAMED)
def test_a_session_gets_what_there_is(
    study: Study, fitted: tuple[fx.Model, fx.FitResult], evaluations: Evaluations
) -> None:
    kept = 0
    for moment in evaluations.moments(lambda: study(*fitted)):
        try:
            result = study(*fitted)
        except KeyboardInterrupt:  # there are too few toys for any result, or all of it was done
            assert study not in FITS.values() or moment >= evaluations.number - 1
            continue
        kept += 1
        assert says_so(result)
        if isinstance(result, fx.FitResult):
            assert not result.valid
            assert result.covariance is None
            assert np.isfinite(result.parameters).all()
    assert kept >= 2


@pytest.mark.slow
@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("study", NAMED)
def test_the_second_ctrl_c_stops_at_once(
    study: Study, fitted: tuple[fx.Model, fx.FitResult], evaluations: Evaluations
) -> None:
    """In a session too."""
    for moment in evaluations.moments(lambda: study(*fitted), presses=2):
        with pytest.raises(KeyboardInterrupt):
            study(*fitted)
        assert evaluations.number == moment


def test_the_best_so_far_is_in_the_model(evaluations: Evaluations) -> None:
    model, seen = network(), []
    before = model.parameters.copy()
    evaluations.press(40)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, 0.1, prior=3.0, callback=lambda state: seen.append(state.best))
    evaluations.press()
    assert not np.array_equal(model.parameters, before)
    cost = fx.LeastSquares(X, Y, 0.1, model)
    assert cost(model.parameters) < seen[0]
    with pytest.raises(fx.NotFittedError, match="interrupted by the user"):
        model.predict(X, return_std=True)


def raised_by_its_callback(state: fx.FitState) -> None:
    if state.calls >= 5:
        raise KeyboardInterrupt


@pytest.mark.parametrize("options", [{}, {"minimizer": "lbfgs"}, {"prior": "auto"}])
def test_a_callback_may_interrupt(options: dict[str, Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        network().fit(X, Y, 0.1, callback=raised_by_its_callback, **options)


def test_it_works_in_another_thread() -> None:
    """Python sends it no Ctrl-C, and lets it set no handler."""
    results: list[Any] = []

    def run(**options: Any) -> None:
        try:
            results.append(network().fit(X, Y, 0.1, prior=3.0, restarts=1, **options))
        except KeyboardInterrupt as stop:
            results.append(stop)

    for options in ({}, {"callback": raised_by_its_callback}):
        thread = threading.Thread(target=run, kwargs=options)
        thread.start()
        thread.join()
    assert results[0].valid
    assert isinstance(results[1], KeyboardInterrupt)


def test_a_choice_of_the_prior_that_was_cut_short_is_not_valid() -> None:
    """Nor certified: the prior might be another one. The callback takes part in it."""
    seen: list[fx.FitState] = []

    def enough(state: fx.FitState) -> bool:
        seen.append(state)
        return len(seen) == 60

    with pytest.warns(fx.FitWarning, match="the callback returned True"):
        fit = network().fit(X, Y, prior="auto", callback=enough)
    assert len(seen) == 60
    assert {(state.start, state.starts) for state in seen} == {(0, 0)}
    assert [state.best for state in seen] == np.minimum.accumulate([state.fval for state in seen]).tolist()
    assert not fit.valid
    assert fit.recipe is not None
    assert fit.recipe.stopped == "the callback returned True"


SCRIPT = """
import os, signal, sys, threading, time
import numpy as np
from tests.integration.test_interrupts import FITS, STUDIES, X, Y, network

model = network()
fit = model.fit(X, Y, 0.1, prior=3.0, restarts=1)
rng = np.random.default_rng(int(sys.argv[1]))
for name, study in {**FITS, **STUDIES}.items():
    study(model, fit)  # imports what it needs
    began = time.monotonic()
    study(model, fit)
    seconds = time.monotonic() - began
    for share in rng.uniform(0, 1, 4):
        timer = threading.Timer(share * seconds, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            study(model, fit)
            timer.join()  # it was pressed after the end, in this process's own time
            time.sleep(0.01)
            print(f"{name}: Ctrl-C after {share:.2f} of {seconds:.2f} s did nothing")
        except KeyboardInterrupt:
            timer.join()
print("done")
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize("seed", [1, 2])
def test_no_ctrl_c_is_lost_at_any_moment(seed: int) -> None:
    path = [os.getcwd(), os.environ.get("PYTHONPATH", "")]
    end = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(seed)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )
    assert end.stdout == "done\n", end.stderr
