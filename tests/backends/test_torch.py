"""PyTorch: what it keeps for derivatives is left out, and its copies beside computations are right."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp import get_backend
from ffnn_xp.backends.cuda_graphs import GraphedKernel
from ffnn_xp.backends.torch import TorchBackend, _CopyStream

torch = pytest.importorskip("torch")


@pytest.fixture
def cpu() -> TorchBackend:
    found = get_backend("torch", device="cpu", fallback=False)
    assert isinstance(found, TorchBackend)
    return found


def test_arrays_stay_in_their_graph_of_derivatives_until_they_are_copied_to_the_host(cpu: TorchBackend) -> None:
    a = torch.ones(3, dtype=torch.float32, requires_grad=True)
    assert cpu.asarray(a).requires_grad
    assert cpu.needs_gradient(a)
    with torch.no_grad():
        assert not cpu.needs_gradient(a)
    assert cpu.asarray(a).dtype == torch.float64
    assert cpu.to_host(2 * a).tolist() == [2, 2, 2]


def test_rows_are_copied_one_by_one(cpu: TorchBackend, rng: np.random.Generator) -> None:
    """The part of a copy beside a computation that needs no GPU."""
    stream = _CopyStream.__new__(_CopyStream)
    stream.backend, stream.module = cpu, torch
    a = rng.normal(size=(2, 3, 10))[..., 2:7]
    np.testing.assert_array_equal(stream.copy(a).numpy(), a)
    np.testing.assert_array_equal(stream.copy(a[0, 0]).numpy(), a[0, 0])


def test_graphs_and_streams_are_for_gpus(cpu: TorchBackend) -> None:
    def double(xp: object, a: float) -> float:
        return 2 * a

    assert cpu.copy_stream() is None
    assert not isinstance(cpu.bind(double, moving=1), GraphedKernel)

    class Gpu(TorchBackend):
        on_gpu = True

    gpu = Gpu(cpu.xp, cpu.device, cpu.dtype)
    assert isinstance(gpu.bind(double, moving=1), GraphedKernel)
    assert gpu.bind(double)(3) == 6
    assert gpu.free_memory() is None  # of a device that is not CUDA's
    assert TorchBackend.is_gpu(torch.device("meta"))
    assert not TorchBackend.has_double(cpu.xp, torch.device("mps"))
