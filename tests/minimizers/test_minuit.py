"""MIGRAD's word on a point: its numbers, its calls, and the memory that it takes."""

from __future__ import annotations

import gc
import warnings
import weakref
from dataclasses import replace
from typing import Any

import ffnn_xp.model.fit
import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.minimizers import Certificate, at_minimum, certify, is_certified
from ffnn_xp.minimizers import minuit as migrad
from ffnn_xp.minimizers.minuit import _Certifier

X = np.linspace(-2, 2, 50)
Y = 3 * X + 1


@pytest.fixture
def line() -> tuple[fx.LeastSquares, np.ndarray, np.ndarray]:
    """A cost, its minimum, and the inverse Hessian there."""
    model = fx.Model((1, 1), backend="numpy", seed=1)
    fit = model.fit(X, Y, 0.1)
    cost = fx.LeastSquares(X, Y, 0.1, model)
    return cost, fit.parameters, np.linalg.inv(cost.hessian(fit.parameters))


class Ravine:
    """Narrow and bent, in forty dimensions: MIGRAD takes hundreds of calls from where it is asked."""

    errordef, npar = 1.0, 40

    def __call__(self, *theta: Any) -> float:
        return self.value_and_gradient(np.array(theta[0] if len(theta) == 1 else theta))[0]

    def grad(self, *theta: Any) -> np.ndarray:
        return self.value_and_gradient(np.array(theta[0] if len(theta) == 1 else theta))[1]

    def value_and_gradient(self, t: np.ndarray) -> tuple[float, np.ndarray]:
        bend = t[1::2] - t[::2] ** 2
        g = np.empty_like(t)
        g[::2], g[1::2] = -400 * t[::2] * bend - 2 * (1 - t[::2]), 200 * bend
        return float(np.sum(100 * bend**2 + (1 - t[::2]) ** 2)), g


START = np.tile([-1.2, 1.0], 20)


def test_it_is_what_a_live_minuit_says(line: tuple[fx.LeastSquares, np.ndarray, np.ndarray]) -> None:
    found, m = certify(*line), at_minimum(*line)
    assert found.certified
    assert found.certified == is_certified(m)
    assert not found.cut_short
    np.testing.assert_array_equal(found.values, m.values)
    assert (found.fval, found.edm, found.calls) == (m.fval, m.fmin.edm, m.nfcn)


class Rounded(Ravine):
    """The last digits are another's: values and gradients as after a long sum."""

    def value_and_gradient(self, t: np.ndarray) -> tuple[float, np.ndarray]:
        value, g = super().value_and_gradient(t)
        rounding_error = np.random.default_rng(np.frombuffer(t.tobytes(), dtype=np.uint32)).uniform(-1, 1, 1 + len(t))
        return 100 + value + 1e-12 * rounding_error[0], g + 1e-10 * rounding_error[1:]

    def g2(self, *theta: Any) -> np.ndarray:
        return np.tile([802.0, 200.0], self.npar // 2)


def _near_the_end(errors: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A point so many standard deviations from the ravine's minimum, and the inverse Hessian."""
    pair = np.array([[802.0, -400.0], [-400.0, 200.0]])  # of each two parameters, at ones
    inverse = np.kron(np.eye(Ravine.npar // 2), np.linalg.inv(pair))
    u = np.random.default_rng(seed).normal(size=Ravine.npar)
    return np.ones(Ravine.npar) + errors * np.linalg.cholesky(2 * inverse) @ (u / np.linalg.norm(u)), inverse


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_learnt_from_rounding(seed: int) -> None:
    at, inverse = _near_the_end(1e-9, seed)
    m = at_minimum(Rounded(), at, inverse)
    assert m.valid
    assert m.accurate
    assert is_certified(m)
    assert m.fmin.algorithm == "Migrad"
    assert m.precision is None
    np.testing.assert_array_equal(m.values, at)
    np.testing.assert_allclose(m.covariance, 2 * inverse, rtol=1e-10, atol=1e-15)


def test_where_there_is_something_to_gain_it_goes_on() -> None:
    for errors in (1e-4, 0.01):
        at, inverse = _near_the_end(errors, 1)
        m = at_minimum(Rounded(), at, inverse)
        assert m.valid
        assert m.fval - 100 < 0.01 * errors**2


def test_the_precision_of_a_rough_cost_is_kept() -> None:
    at, inverse = _near_the_end(1e-9, 1)
    cost = Rounded()
    cost.precision = 1e-6
    assert at_minimum(cost, at, inverse).precision == 1e-6


@pytest.mark.parametrize("prior", [None, 3.0])
def test_a_fit_and_its_live_minuit_have_the_same_errors(prior: float | None) -> None:
    rng = np.random.default_rng(5)
    x = rng.uniform(-2, 2, 200)
    y = np.sin(2 * x) + rng.normal(0, 0.1, 200)
    fit = fx.Model((1, 4, 1), backend="numpy", seed=5).fit(x, y, 0.1, prior=prior)
    assert fit.edm_newton < 1e-12
    m = fit.minuit
    np.testing.assert_allclose(m.values, fit.parameters, rtol=1e-12)
    np.testing.assert_allclose(m.covariance, fit.covariance, rtol=1e-9)
    assert m.accurate


def test_the_point_that_is_reported_is_the_one_that_migrad_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Certificate] = []

    def moved(cost: Any, theta: np.ndarray, inverse: np.ndarray) -> Certificate:
        run = certify(cost, theta, inverse)
        seen.append(replace(run, values=run.values * (1 + 1e-9)))
        return seen[-1]

    monkeypatch.setattr(ffnn_xp.model.fit, "certify", moved)
    fit = fx.Model((1, 2, 1), backend="numpy", seed=1).fit(X, np.tanh(X), 0.1, prior=3.0)
    np.testing.assert_array_equal(fit.standardised, seen[-1].values)
    assert fit.edm == seen[-1].edm


def test_no_covariance_is_copied(line: tuple[fx.LeastSquares, np.ndarray, np.ndarray]) -> None:
    """Minuit would do that number by number in Python; whoever wants it live gets it."""
    assert at_minimum(*line).covariance is not None
    asked = _Certifier(line[0], line[1])
    assert asked.migrad().covariance is None


def test_calls_are_as_many_as_there_is_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, p = Ravine(), Ravine.npar
    whole = certify(problem, START, np.eye(p) / 500)
    assert whole.certified
    assert whole.calls > 180
    monkeypatch.setattr(migrad, "HISTORY", 150 * 4 * p * p)  # 122 of them go into the first derivatives
    short = certify(problem, START, np.eye(p) / 500)
    assert short.cut_short
    assert not short.certified
    assert 150 <= short.calls < 160  # a step that has begun is ended
    assert whole.fval < short.fval < problem(START)
    monkeypatch.setattr(migrad, "HISTORY", 0)
    assert certify(problem, START, np.eye(p) / 500).calls >= migrad.LEAST_CALLS


def test_no_more_calls_than_minuit_has_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    original = _Certifier.migrad

    def ask(self: _Certifier, **options: Any) -> Any:
        given.append(options["ncall"])
        return original(self, **options)

    monkeypatch.setattr(_Certifier, "migrad", ask)
    p = Ravine.npar
    certify(Ravine(), START, np.eye(p) / 500)
    assert given == [200 + 100 * p + 5 * p * p]


@pytest.mark.parametrize("worth", [True, False])
def test_what_minuit_has_kept_is_given_back(monkeypatch: pytest.MonkeyPatch, worth: bool) -> None:
    """At once, where it is much: a `Minuit` lives on in a cycle."""
    made: list[weakref.ref[_Certifier]] = []
    original = _Certifier.__init__

    def init(self: _Certifier, *args: Any) -> None:
        made.append(weakref.ref(self))
        original(self, *args)

    monkeypatch.setattr(_Certifier, "__init__", init)
    monkeypatch.setattr(migrad, "COLLECTED", 2**16 if worth else 2**30)
    gc.collect()
    gc.disable()
    try:
        certify(Ravine(), START, np.eye(Ravine.npar) / 500)
        assert (made[0]() is None) == worth
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("seen", "gains", "runs"),
    [
        ([(False, True), None], [1.0], 2),  # cut short: the walk goes on from there
        ([(False, False), None], [1.0], 2),  # gone astray on its way: once more, with the curvature there
        ([(False, False)] * 9, [1.0, 2.0, 3.0, 4.0], 4),  # but not for ever
        ([(False, False)] * 9, [1.0, 2.0, 2.0], 3),  # nor without getting on
        ([(False, False)] * 9, [0.0], 1),
    ],
)
def test_migrad_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, seen: list[tuple[bool, bool] | None], gains: list[float], runs: int
) -> None:
    """Where it went down to no minimum; `seen` are (certified, cut short), and `gains`, in place of its own."""
    asked: list[Certificate] = []

    def certified(*args: Any) -> Certificate:
        found = certify(*args)
        asked.append(found)
        told = seen[len(asked) - 1]
        if told is None:
            return found
        fval, values = found.fval - gains[len(asked) - 1], found.values + 1e-5
        return replace(found, certified=told[0], cut_short=told[1], fval=fval, values=values)

    monkeypatch.setattr(ffnn_xp.model.fit, "certify", certified)
    model = fx.Model((1, 2, 1), backend="numpy", seed=1)
    y = np.tanh(2 * X) - 0.5 * np.tanh(3 * X - 2) + 0.1 * np.random.default_rng(1).normal(size=50)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", fx.FitWarning)
        fit = model.fit(X, y, 0.1, prior=3.0, restarts=1)
    assert len(asked) == runs
    assert fit.valid == (seen[runs - 1] is None) == (not warned)
    np.testing.assert_allclose(fit.standardised, asked[0].values, atol=1e-4)


def test_at_kinks_migrad_is_asked_no_oftener(monkeypatch: pytest.MonkeyPatch) -> None:
    """There each run has its own tries, with a new covariance each; those are all."""
    asked: list[Certificate] = []

    def never(*args: Any) -> Certificate:
        asked.append(certify(*args))
        last = asked[-1]
        return replace(last, certified=False, fval=last.fval - len(asked), values=last.values + 1e-5)

    monkeypatch.setattr(ffnn_xp.model.fit, "certify", never)
    with pytest.warns(fx.FitWarning):
        fx.Model((1, 2, 1), activation="relu", backend="numpy", seed=1).fit(X, np.abs(X), 0.1, prior=3.0, restarts=1)
    assert len(asked) == ffnn_xp.model.fit.AT_KINKS


@pytest.mark.parametrize("seed", [1, 2])
def test_the_walk_reaches_the_end_of_a_valley(seed: int) -> None:
    """More units than the data need: only the exact Hessian knows a curvature there, and MIGRAD has little left to do.

    With the Gauss-Newton matrix it took 300 and 800 calls, and EDM by Newton's step was 0.01 and 0.15.
    """
    rng, teacher = np.random.default_rng(seed), fx.Model((4, 10, 10, 2), backend="numpy", seed=seed)
    x = rng.normal(size=(400, 4))
    y = teacher(x) + 0.1 * rng.normal(size=(400, 2))
    fit = fx.Model((4, 10, 10, 2), backend="numpy", seed=seed + 1000).fit(x, y, 0.1)
    assert fit.valid
    assert fit.minuit_calls < 60
    assert fit.edm_newton < 0.1
