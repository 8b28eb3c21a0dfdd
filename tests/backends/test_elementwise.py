"""What a library does in one pass is what the formula says; and the formula is what is left where it cannot."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ffnn_xp import Activation, Backend
from ffnn_xp.backends import elementwise as passes
from ffnn_xp.network.activations import relu, tanh


def test_tanh_and_its_step_back(backend: Backend, rng: np.random.Generator) -> None:
    z, delta = rng.normal(size=(2, 3, 7))
    a = passes.tanh(backend.xp, backend.to_device(z))
    np.testing.assert_allclose(backend.to_host(a), np.tanh(z), rtol=1e-12)
    found = passes.tanh_back(backend.xp, backend.to_device(delta), backend.to_device(z), a)
    np.testing.assert_allclose(backend.to_host(found), delta * (1 - np.tanh(z) ** 2), rtol=1e-11)


@pytest.mark.parametrize("replicas", [(), (3,)])
@pytest.mark.parametrize("activation", [relu, tanh])
def test_a_nonlinearity_leaves_the_ones_alone(
    backend: Backend, activation: Activation, replicas: tuple[int, ...], rng: np.random.Generator
) -> None:
    z = rng.normal(size=(*replicas, 2, 5))
    f = passes.above_ones(backend.xp, activation.f, writes=activation.takes_out)
    a, augmented = map(backend.to_host, f(backend.to_device(z)))
    np.testing.assert_allclose(a, activation.f(np, z), rtol=1e-12)
    np.testing.assert_array_equal(augmented[..., :-1, :], a)
    np.testing.assert_array_equal(augmented[..., -1, :], np.ones((*replicas, 5)))


@pytest.mark.parametrize("h", [1, 4])
def test_each_pair_once(backend: Backend, h: int) -> None:
    a = backend.to_device(np.zeros((h, 1)))
    i, j, place = (np.asarray(backend.to_host(b), dtype=int) for b in passes.pairs(backend.xp, h, a))
    assert list(zip(i, j, strict=True)) == [(i, j) for i in range(h) for j in range(i + 1)]
    np.testing.assert_array_equal(i[place].reshape(h, h), np.maximum.outer(range(h), range(h)))
    np.testing.assert_array_equal(j[place].reshape(h, h), np.minimum.outer(range(h), range(h)))


def test_products_cost_less_on_a_gpu(backend: Backend) -> None:
    found = passes.multiplication(backend.xp, backend.to_device(np.zeros(1)))
    assert found == (passes.ON_GPU if backend.on_gpu else passes.ON_CPU)
    assert passes.ON_GPU < passes.ON_CPU


def test_where_no_kernel_can_be_made_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CuPy says of a formula that it cannot fuse; running out of memory is another matter."""
    tried = []

    def fuse(error: Exception) -> Any:
        def fails(*arrays: Any) -> Any:
            tried.append(arrays)
            raise error

        return lambda: lambda f: fails

    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(fuse=fuse(TypeError("unsupported"))))
    f = passes._Fused(lambda a, b: a + b)
    assert [f(1, 2), f(3, 4)] == [3, 7]
    assert len(tried) == 1
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(fuse=fuse(MemoryError())))
    with pytest.raises(MemoryError):
        passes._Fused(lambda a, b: a + b)(1, 2)


def test_the_kernels_of_cupy(backend: Backend, rng: np.random.Generator) -> None:
    if backend.name != "cupy":
        pytest.skip("only CuPy makes kernels of formulas")
    f = passes.in_one_pass(backend.xp, _product)
    a, b = map(backend.to_device, rng.normal(size=(2, 3, 7)))
    np.testing.assert_allclose(backend.to_host(f(a, b)), backend.to_host(a * b + 1), rtol=1e-12)
    assert isinstance(f, passes._Fused)
    assert f.fused is not None


def _product(xp: Any, a: Any, b: Any) -> Any:
    return a * b + 1
