"""CuPy's kernels of formulas, its devices, and what it says where there is no GPU."""

from __future__ import annotations

import sys
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ffnn_xp import Backend, BackendUnavailableError
from ffnn_xp.backends import in_one_pass
from ffnn_xp.backends.cupy import CupyBackend, _Fused


def test_where_no_kernel_can_be_made_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CuPy says of a formula that it cannot fuse; running out of memory is another matter."""
    tried = []

    def fuse(error: Exception) -> Any:
        def fails(*arrays: Any) -> Any:
            tried.append(arrays)
            raise error

        return lambda: lambda f: fails

    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(fuse=fuse(TypeError("unsupported"))))
    f = _Fused(lambda a, b: a + b)
    assert [f(1, 2), f(3, 4)] == [3, 7]
    assert len(tried) == 1
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(fuse=fuse(MemoryError())))
    with pytest.raises(MemoryError):
        _Fused(lambda a, b: a + b)(1, 2)


def test_the_kernels_of_cupy(backend: Backend, rng: np.random.Generator) -> None:
    if backend.name != "cupy":
        pytest.skip("only CuPy makes kernels of formulas")
    f = in_one_pass(backend.xp, _product)
    a, b = map(backend.to_device, rng.normal(size=(2, 3, 7)))
    np.testing.assert_allclose(backend.to_host(f(a, b)), backend.to_host(a * b + 1), rtol=1e-12)
    assert isinstance(f, _Fused)
    assert f.fused is not None


def _product(xp: Any, a: Any, b: Any) -> Any:
    return a * b + 1


@pytest.mark.parametrize("device", ["cpu", "nonsense", "cuda:one"])
def test_cupy_has_gpus_only(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first GPU for whatever name it does not understand."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cupy = pytest.importorskip("cupy")
    monkeypatch.setattr(cupy.cuda, "is_available", lambda: True)
    with pytest.raises(BackendUnavailableError, match=f"CuPy has no device '{device}', only GPUs"):
        CupyBackend.find(device, "float64")
    assert CupyBackend.find("cuda:1", "float64")[1] == cupy.cuda.Device(1)
    assert CupyBackend(*CupyBackend.find("cuda:1", "float64"), "float64").device_name == "1"


def test_its_arrays_are_on_a_gpu() -> None:
    class ndarray:  # noqa: N801, as CuPy writes it
        __module__ = "cupy"
        shape = (2,)

    assert CupyBackend.is_array(ndarray())
    assert not CupyBackend.in_main_memory(ndarray())
    assert CupyBackend.is_gpu(None)
