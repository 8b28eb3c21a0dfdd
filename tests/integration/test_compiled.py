"""What JAX compiles, it compiles once: nothing new for other numbers in arrays of the same shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx

jax = pytest.importorskip("jax")


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """Names of events, one for each compilation."""
    seen: list[str] = []

    def listen(event: str, duration: float, **more: Any) -> None:
        if event.endswith("backend_compile_duration"):
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.clear_event_listeners()


def data(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-2, 2, n)
    return x, np.sin(2 * x) + np.random.default_rng(seed).normal(0, 0.1, n)


def model() -> fx.Model:
    return fx.Model((1, 3, 1), backend="jax", seed=1)


def fits(n: int) -> Callable[[int], Any]:
    return lambda i: model().fit(*data(n, i), 0.1, prior=3.0)


def halving(n: int) -> Callable[[int], Any]:
    """Starts that compete, ever fewer, first on a sample of the events."""
    return lambda i: fx.Model((1, 3, 1), backend="jax", seed=i).fit(*data(n, i), prior=3.0, restarts=30)


def replicas(n: int) -> Callable[[int], Any]:
    """Ever fewer of them are still on their way."""
    fitted = model()
    fitted.fit(*data(n), 0.1, prior=3.0)
    return lambda i: fitted.fit_replicas(*data(n), 0.1, prior=3.0, number=7, seed=i)


def profiles(n: int) -> Callable[[int], Any]:
    """Ends arrive one by one."""
    fit = model().fit(*data(n), 0.1, prior=3.0)
    return lambda i: fit.band([0.1 * i, 0.3, -0.5], method="profile")


def predictions(n: int) -> Callable[[int], Any]:
    fitted, (x, y) = model(), data(n)
    fit = fitted.fit(x, y, 0.1, prior=3.0)
    return lambda i: (fitted(x + i), fitted.predict(x + i, return_std=True), fit.band(x + i))


def matrices(n: int) -> Callable[[int], Any]:
    cost = fx.LeastSquares(*data(n), 0.1, model())
    return lambda i: (cost.gauss_newton(cost.start + i), cost.hessian(cost.start + i))


def with_a_function(n: int) -> Callable[[int], Any]:
    plain = fx.LeastSquares(*data(n), 0.1, model())
    cost = fx.PlusFunction(plain, lambda x, height: height * np.exp(-(x**2)), height=1.0)
    return lambda i: (cost.value_and_gradient(cost.start + i), cost.hessian(cost.start + i))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "n"),  # events that no other test has
    [
        (fits, 41),
        (replicas, 42),
        (profiles, 43),
        (predictions, 44),
        (matrices, 45),
        (with_a_function, 46),
        (halving, 407),
    ],
)
def test_nothing_new_is_compiled_the_second_time(
    what: Callable[[int], Callable[[int], Any]], n: int, compiled: list[str]
) -> None:
    again = what(n)
    again(1)
    assert compiled
    compiled.clear()
    again(2)
    again(3)
    assert not compiled
