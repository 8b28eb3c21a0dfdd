"""Arrays of one library handed to a model of another: those in main memory are welcome, others get a clear refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend, Model

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
Y = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])


def model_22(backend: Any = "numpy") -> Model:
    return Model((2, 3, 2), backend=backend, seed=1)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_torch_on_the_cpu_is_welcome(backend: Backend, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor([[0, 1], [1, 1]], dtype=getattr(torch, dtype))
    y = model_22(backend)(x)
    assert backend.owns(y)
    np.testing.assert_array_equal(fx.to_numpy(y), fx.to_numpy(model_22(backend)([[0.0, 1.0], [1.0, 1.0]])))


def test_torch_with_a_gradient() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones((3, 2), requires_grad=True)
    with pytest.raises(TypeError, match=r"`x` needs a gradient, which is not passed on here.*give x.detach\(\)"):
        model_22()(x)
    np.testing.assert_array_equal(model_22()(x.detach()), model_22()(np.ones((3, 2))))
    assert model_22("torch")(x).requires_grad


def test_jax_is_welcome(backend: Backend) -> None:
    jax = pytest.importorskip("jax")
    x = jax.device_put(np.ones((3, 2)), jax.devices("cpu")[0])
    np.testing.assert_array_equal(fx.to_numpy(model_22(backend)(x)), fx.to_numpy(model_22(backend)(np.ones((3, 2)))))


def test_strict_on_its_cpu_is_welcome(backend: Backend) -> None:
    strict = pytest.importorskip("array_api_strict")
    x = strict.ones((3, 2))
    np.testing.assert_array_equal(fx.to_numpy(model_22(backend)(x)), fx.to_numpy(model_22(backend)(np.ones((3, 2)))))


def test_another_device_is_a_clear_type_error(backend: Backend) -> None:
    strict = pytest.importorskip("array_api_strict")
    x = strict.ones((3, 2), device=strict.Device("device1"))
    message = rf"`x` is an? array_api_strict array on .*device1.*, but this model computes with {backend.name} on"
    with pytest.raises(TypeError, match=message):
        model_22(backend)(x)
    with pytest.raises(TypeError, match=message + r".*: .*to_numpy\(x\)"):
        fx.LeastSquares(x, Y, 0.1, model_22(backend))
    assert fx.to_numpy(model_22(backend)(fx.to_numpy(x))).shape == (3, 2)


def test_complex_on_the_device(backend: Backend) -> None:
    if backend.name == "numpy":
        pytest.skip("covered above")
    x = backend.xp.astype(backend.to_device(X), backend.xp.complex128)
    with pytest.raises(TypeError, match="`x` must be real, got complex numbers"):
        model_22(backend)(x)


def test_integers_on_the_device(backend: Backend) -> None:
    x = backend.xp.astype(backend.to_device(X), backend.xp.int64)
    np.testing.assert_array_equal(fx.to_numpy(model_22(backend)(x)), fx.to_numpy(model_22(backend)(X)))
