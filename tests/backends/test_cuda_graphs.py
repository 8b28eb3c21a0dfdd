"""Kernels that are recorded once they are called often with the same events (a GPU's graphs, here a stand-in's)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend
from ffnn_xp.backends.cuda_graphs import GraphedKernel
from ffnn_xp.backends.torch import CudaGraph
from ffnn_xp.backends.tuning import BackendTuning
from ffnn_xp.objective.objective import Objective

torch = pytest.importorskip("torch")

FEW = BackendTuning(calls_before_graph=5, graphs_kept=4)


def kernel(theta: Any, x: Any, weights: Any) -> Any:
    return theta.sum() * x if weights is None else theta.sum() * x * weights


class Recordings:
    """What a graph does: events stay those that it was recorded with."""

    def __init__(self) -> None:
        self.made: list[tuple[int, ...]] = []
        self.replayed = 0

    def __call__(self, kernel: Any, moving: tuple[Any, ...], fixed: tuple[Any, ...]) -> Any:
        self.made.append(tuple(moving[0].shape))

        def replay(*moving: Any) -> Any:
            self.replayed += 1
            return kernel(*moving, *fixed)

        return replay


def ones(n: int) -> Any:
    return torch.ones(n, dtype=torch.float64)


def test_recorded_when_it_is_worth_it() -> None:
    recordings, x = Recordings(), torch.arange(3.0, dtype=torch.float64)
    f = GraphedKernel(kernel, 1, recordings, FEW)
    for i in range(2 * FEW.calls_before_graph):
        assert f(i * ones(2), x, None).tolist() == [0, 2 * i, 4 * i]
        assert len(recordings.made) == (i + 1 >= FEW.calls_before_graph)
    assert recordings.replayed == FEW.calls_before_graph + 1


def test_other_events_and_other_shapes_are_other_recordings() -> None:
    recordings, x, y = Recordings(), ones(3), 2 * ones(3)
    f = GraphedKernel(kernel, 1, recordings, FEW)
    for _ in range(FEW.calls_before_graph + 1):
        assert f(ones(2), x, None).tolist() == [2, 2, 2]
        assert f(ones(2), y, None).tolist() == [4, 4, 4]
        assert f(ones(5), y, None).tolist() == [10, 10, 10]
        assert f(ones(5), y[::2], None).tolist() == [10, 10]
    assert recordings.made == [(2,), (2,), (5,), (5,)]


def test_so_many_and_no_more() -> None:
    recordings = Recordings()
    f = GraphedKernel(kernel, 1, recordings, FEW)
    for r in range(FEW.graphs_kept + 3):
        for _ in range(FEW.calls_before_graph + 1):
            assert f(ones(r + 1), ones(1), ones(1)).tolist() == [r + 1]
    events = [ones(r + 1) for r in range(FEW.graphs_kept + 3)]
    for x in events:
        for _ in range(FEW.calls_before_graph + 1):
            assert f(ones(1), x, None).tolist() == x.tolist()
    assert len(recordings.made) == FEW.graphs_kept


def test_what_cannot_be_recorded_is_run() -> None:
    tried = []

    def fails(*arguments: Any) -> Any:
        tried.append(arguments)
        raise RuntimeError("operation not permitted when stream is capturing")

    f, x = GraphedKernel(kernel, 1, fails, FEW), ones(2)
    for i in range(3 * FEW.calls_before_graph):
        assert f(i * ones(1), x, None).tolist() == [i, i]
    assert len(tried) == 1


@pytest.mark.parametrize("name", ["value_and_gradient", "value", "gauss_newton", "hessian"])
def test_recordings_give_the_same_numbers(name: str, backend: Backend, rng: np.random.Generator) -> None:
    """On a GPU with PyTorch they are recordings; elsewhere the same calls."""
    x, y = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    model = fx.Model((3, 5, 2), backend=backend, seed=1)
    objective: Objective = fx.LeastSquares(x, y, 0.5, model).objective
    host = fx.LeastSquares(x, y, 0.5, fx.Model((3, 5, 2), backend="numpy", seed=1)).objective
    found = []
    for i in range(backend.tuning.calls_before_graph + 3):
        theta = np.random.default_rng(i).normal(size=model.n_parameters)
        found.append(getattr(objective, name)(backend.to_device(theta)))
        want = getattr(host, name)(theta)
        np.testing.assert_allclose(backend.to_host(found[-1]), want, rtol=1e-9, atol=1e-9 * np.abs(want).max())
    assert not np.array_equal(backend.to_host(found[-1]), backend.to_host(found[-2]))  # each its own array
    if backend.name == "torch" and backend.on_gpu:
        (graphed,) = objective._bound.values()
        assert [type(replay) for replay in graphed._graphs.values()] == [CudaGraph]
