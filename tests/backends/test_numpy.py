"""NumPy: which tanh it takes, and what it says of itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.backends import fast_tanh, streamed_through
from ffnn_xp.backends.numpy import NumpyBackend
from ffnn_xp.network.sweeps import Network, forward


@pytest.mark.parametrize("faster", [True, False])
def test_large_float64_arrays_get_the_table_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, faster: bool
) -> None:
    asked: list[tuple[int, ...]] = []
    original = fast_tanh.tanh

    def spy(z: np.ndarray, out: np.ndarray, chunk: int) -> np.ndarray:
        asked.append(z.shape)
        return original(z, out, chunk)

    monkeypatch.setattr(fast_tanh, "is_faster", lambda: faster)
    monkeypatch.setattr(fast_tanh, "tanh", spy)
    fewest = NumpyBackend.tuning.fast_tanh_from
    model = fx.Model((2, 5, 1), backend="numpy", seed=1)
    x = rng.normal(size=(2, fewest))
    network: Network = model.network
    y = forward(network, np, np.asarray(model.parameters), x).y
    assert asked == ([(5, fewest)] if faster else [])
    A, B = map(np.asarray, model.matrices)
    np.testing.assert_allclose(y, B[:, :-1] @ np.tanh(A[:, :-1] @ x + A[:, -1:]) + B[:, -1:], rtol=1e-13)
    asked.clear()
    NumpyBackend.tanh(np, x.astype(np.float32))
    NumpyBackend.tanh(np, x[:, :9])
    assert asked == []


def test_from_how_many_values_on_is_a_number_to_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(NumpyBackend):
        tuning = replace(NumpyBackend.tuning, fast_tanh_from=3)

    monkeypatch.setattr(fast_tanh, "is_faster", lambda: True)
    monkeypatch.setattr(fast_tanh, "tanh", lambda z, out, chunk: "table")
    assert Small.tanh(np, np.ones(3)) == "table"
    assert NumpyBackend.tanh(np, np.ones(3)) == pytest.approx(np.tanh(1))


def test_what_is_streamed_has_no_threads() -> None:
    backend = fx.get_backend("numpy", threads=2)
    streams = streamed_through(backend)
    assert backend.threads_help
    assert not streams.threads_help
    assert streams.computes is backend
    assert streams.threads == 2
    assert backend.in_single_precision().in_double_precision() == backend
    assert streams.in_single_precision().computes == backend.in_single_precision()
    assert backend.free_memory() is None
