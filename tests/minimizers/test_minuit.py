"""MIGRAD's certificate of a point: its numbers, its calls, and the memory that it takes; and MIGRAD alone."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.minimizers import Budget, Migrad, Status, StopMinimization, at_minimum, is_certified
from ffnn_xp.minimizers.minuit import _Certifier

X = np.linspace(-2, 2, 50)
Y = 3 * X + 1


@pytest.fixture
def line() -> tuple[fx.LeastSquares, np.ndarray, np.ndarray]:
    """A cost, its minimum, and the inverse Hessian there."""
    model = fx.Model((1, 1), backend="numpy", seed=1)
    fit = model.fit(X, Y, 0.1, prior=None)
    cost = fx.LeastSquares(X, Y, 0.1, model)
    return cost, fit.parameters, np.linalg.inv(cost.hessian(fit.parameters))


class Ravine:
    """Narrow and bent, in forty dimensions: MIGRAD takes hundreds of calls from where it is asked."""

    errordef, npar, epsilon = 1.0, 40, 2.2e-16

    def __call__(self, *theta: Any) -> float:
        return self.value_and_gradient(np.array(theta[0] if len(theta) == 1 else theta))[0]

    def grad(self, *theta: Any) -> np.ndarray:
        return self.value_and_gradient(np.array(theta[0] if len(theta) == 1 else theta))[1]

    def value_and_gradient(self, t: np.ndarray) -> tuple[float, np.ndarray]:
        bend = t[1::2] - t[::2] ** 2
        g = np.empty_like(t)
        g[::2], g[1::2] = -400 * t[::2] * bend - 2 * (1 - t[::2]), 200 * bend
        return float(np.sum(100 * bend**2 + (1 - t[::2]) ** 2)), g

    def gauss_newton(self, t: np.ndarray) -> np.ndarray:
        """Residuals are 10 (y - x^2) and 1 - x."""
        G = np.diag(np.full(40, 200.0))
        for i in range(0, 40, 2):
            G[i, i] = 2 * (400 * t[i] ** 2 + 1)
            G[i, i + 1] = G[i + 1, i] = -400 * t[i]
        return G


START = np.tile([-1.2, 1.0], 20)


def test_it_is_what_a_live_minuit_says(line: tuple[fx.LeastSquares, np.ndarray, np.ndarray]) -> None:
    found, m = Migrad().certify(*line), at_minimum(*line)
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
def test_rounding_changes_no_covariance(seed: int) -> None:
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


def test_no_covariance_is_copied(line: tuple[fx.LeastSquares, np.ndarray, np.ndarray]) -> None:
    """Minuit would do that number by number in Python; whoever wants it live gets it."""
    assert at_minimum(*line).covariance is not None
    asked = _Certifier(line[0], line[1])
    assert asked.migrad().covariance is None


def test_calls_are_as_many_as_there_is_memory_for() -> None:
    problem, p = Ravine(), Ravine.npar
    whole = Migrad().certify(problem, START, np.eye(p) / 500)
    assert whole.certified
    assert whole.calls > 180
    some = Migrad(history_bytes=150 * 4 * p * p)  # 122 of the calls go into the first derivatives
    short = some.certify(problem, START, np.eye(p) / 500)
    assert short.cut_short
    assert not short.certified
    assert 150 <= short.calls < 160  # a step that has begun is ended
    assert whole.fval < short.fval < problem(START)
    none = Migrad(history_bytes=0)
    assert none.certify(problem, START, np.eye(p) / 500).calls >= none.min_calls


def test_no_more_calls_than_minuit_has_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    original = _Certifier.migrad

    def ask(self: _Certifier, **options: Any) -> Any:
        given.append(options["ncall"])
        return original(self, **options)

    monkeypatch.setattr(_Certifier, "migrad", ask)
    p = Ravine.npar
    Migrad().certify(Ravine(), START, np.eye(p) / 500)
    assert given == [200 + 100 * p + 5 * p * p]


@pytest.mark.slow
@pytest.mark.parametrize("worth", [True, False])
def test_what_minuit_has_kept_is_given_back(monkeypatch: pytest.MonkeyPatch, worth: bool) -> None:
    """At once, where it is much: a `Minuit` lives on in a cycle."""
    made: list[weakref.ref[_Certifier]] = []
    original = _Certifier.__init__

    def init(self: _Certifier, *args: Any) -> None:
        made.append(weakref.ref(self))
        original(self, *args)

    monkeypatch.setattr(_Certifier, "__init__", init)
    minimizer = Migrad(collect_bytes=2**16 if worth else 2**30)
    gc.collect()
    gc.disable()
    try:
        minimizer.certify(Ravine(), START, np.eye(Ravine.npar) / 500)
        assert (made[0]() is None) == worth
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, True),
        ({"edm": 1.9e-3}, True),  # MINUIT's own tolerance: ten times its goal
        ({"edm": 1.8e11}, False),  # what it hands back, as valid, where the preset was not positive definite for it
        ({"edm": np.nan}, False),
        ({"is_valid": False}, False),
        ({"has_made_posdef_covar": True}, False),
    ],
)
def test_that_migrad_calls_it_valid_is_not_enough(state: dict[str, object], expected: bool) -> None:
    fmin = SimpleNamespace(**{"is_valid": True, "edm": 1e-6, "has_made_posdef_covar": False, **state})
    assert is_certified(SimpleNamespace(fmin=fmin, tol=0.1, errordef=1.0)) is expected  # type: ignore[arg-type]


def test_migrad_alone_looks_at_the_clock() -> None:
    """At each call; without a deadline it goes on until it is done, or has taken all that it may."""
    with pytest.raises(StopMinimization):
        Migrad().run(Ravine(), START, Budget(deadline=0.0))
    assert Migrad(max_calls=20).run(Ravine(), START).status is Status.BUDGET_USED_UP
    whole = Migrad().run(Ravine(), START)
    assert whole.converged
    np.testing.assert_allclose(whole.theta, 1.0, atol=0.05)


def test_a_matrix_that_is_not_positive_definite_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """In raw units its elements span 48 orders of magnitude; MINUIT's messages are for those who call it themselves."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 3)) * [1e-12, 1.0, 1e12]
    fit = fx.Model((3, 1), backend="numpy", seed=1).fit(x, rng.normal(size=30), 0.1, prior=3.0)
    m = fit.minuit
    assert capfd.readouterr() == ("", "")
    assert m.print_level == 0
    np.testing.assert_allclose(m.values, fit.parameters, rtol=1e-6)
