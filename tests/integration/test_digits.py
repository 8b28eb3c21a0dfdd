"""Bits repeat in one process, and where only the last digits differ, the result does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx

Data = tuple[np.ndarray, np.ndarray, Any]


def curve() -> Data:
    rng = np.random.default_rng(1)
    x, y_err = rng.uniform(0, 1, 100), rng.uniform(0.05, 0.15, 100)
    return x, np.sin(5 * x) / (0.5 + x) + y_err * rng.normal(size=100), y_err


def surface() -> Data:
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (150, 2))
    return x, np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.normal(size=150), None


def counts() -> Data:
    x = np.linspace(0.05, 3.95, 40)
    return x, np.random.default_rng(3).poisson(50 * np.exp(-x)), None


KINDS: dict[str, tuple[Callable[[], Data], dict[str, Any], dict[str, Any]]] = {
    "known errors": (curve, {"layers": (1, 4, 1)}, {"prior": 3.0}),
    "unknown errors": (surface, {"layers": (2, 3, 1)}, {"prior": 1.0}),
    "relu": (curve, {"layers": (1, 4, 1), "activation": "relu"}, {"prior": 1.0}),  # ways along kinks are chaotic
    "single precision": (surface, {"layers": (2, 3, 1), "dtype": "float32"}, {"prior": 1.0}),
    "counts": (counts, {"layers": (1, 2, 1), "output": "exp"}, {"loss": "poisson", "prior": 3.0}),
    "prior auto": (surface, {"layers": (2, 3, 1)}, {"prior": "auto"}),
}
IN_ANY_ORDER = [kind for kind in KINDS if kind != "prior auto"]  # its folds are taken from the order of the events

pytestmark = pytest.mark.slow


def fitted(kind: str, change: Callable[[Data], Data] = lambda data: data, **model: Any) -> fx.FitResult:
    data, network, options = KINDS[kind]
    return fx.Model(backend="numpy", seed=1, **network, **model).fit(*change(data()), **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::ffnn_xp.FitWarning")
def test_the_same_fit_has_the_same_bits_whatever_ran_before(kind: str) -> None:
    """What a process remembers (buffers, chunk sizes, numbers of threads, coordinates) leaves no trace in a fit."""
    once = fitted(kind)
    fitted("unknown errors" if kind == "counts" else "counts")
    again = fitted(kind)
    for name in ("parameters", "errors"):
        np.testing.assert_array_equal(getattr(again, name), getattr(once, name))
    assert (again.fval, again.edm, again.message) == (once.fval, once.edm, once.message)
    assert [(row.fval, row.calls) for row in again.restarts] == [(row.fval, row.calls) for row in once.restarts]


def other_order(data: Data) -> Data:
    x, y, y_err = data
    return x[::-1], y[::-1], None if y_err is None else y_err[::-1]


def other_last_digits(data: Data) -> Data:
    x, y, y_err = data
    return x * (1 + 2e-16 * np.random.default_rng(4).normal(size=x.shape)), y, y_err


@pytest.mark.parametrize("kind", IN_ANY_ORDER)
@pytest.mark.parametrize("change", [other_order, other_last_digits])
@pytest.mark.filterwarnings("ignore::ffnn_xp.FitWarning")
def test_rounding_decides_nothing(kind: str, change: Callable[[Data], Data]) -> None:
    """Sums in another order, inputs with other last digits: the same minimum and the same certificate."""
    one, other = fitted(kind), fitted(kind, change)
    assert other.valid == one.valid
    assert other.fval == pytest.approx(one.fval, rel=1e-6)
    assert other.n_null == one.n_null
    assert len(other.restarts) == len(one.restarts)
