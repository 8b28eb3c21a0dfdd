from __future__ import annotations

import contextlib
import copy
import importlib
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend, BackendFallbackWarning, BackendUnavailableError, Model, get_backend, to_numpy
from ffnn_xp.backends import BACKENDS, backend_status
from ffnn_xp.network.activations import ACTIVATIONS

from ..oracles.loops import assert_close, make_case


def cost_of(case: object, backend: Backend) -> fx.LeastSquares:
    model = Model(case.widths, activation=list(case.names[:-1]), output=case.names[-1], backend=backend)
    return fx.LeastSquares(case.x, case.y, case.error, model, weights=case.weights)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_the_same_numbers_everywhere(backend: Backend, name: str) -> None:
    """Value and gradient to 1e-12 of NumPy's; in single precision to some hundred units in the last place."""
    case = make_case((3, 5, 4, 2), name, name, n=50)
    value, gradient = cost_of(case, get_backend("numpy")).value_and_gradient(case.theta)
    for b, precision in ((backend, 1e-12), (get_backend(backend.name, dtype="float32"), 3e-5)):
        found = cost_of(case, b).value_and_gradient(case.theta)
        assert_close(found[0], value, precision)
        assert_close(found[1], gradient, precision)


def test_a_seed_is_the_same_network_everywhere(backend: Backend) -> None:
    here, numpy = (Model((8, 7, 9, 6), seed=3, backend=b) for b in (backend, "numpy"))
    np.testing.assert_array_equal(to_numpy(here.parameters), numpy.parameters)
    assert not np.array_equal(numpy.parameters, Model((8, 7, 9, 6), seed=4, backend="numpy").parameters)
    single = Model((8, 7, 9, 6), seed=3, backend=get_backend(backend.name, dtype="float32"))
    np.testing.assert_array_equal(to_numpy(single.parameters), numpy.parameters.astype(np.float32))


def test_global_random_state_is_not_touched(backend: Backend) -> None:
    np.random.seed(0)  # noqa: NPY002, the state that must not move
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = Model((2, 3, 1), backend=backend), Model((2, 3, 1), backend=backend)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    assert not np.array_equal(to_numpy(first.parameters), to_numpy(second.parameters))


def test_in_and_out(backend: Backend) -> None:
    """A copy each way: nothing done on one side shows on the other."""
    host = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    device = backend.to_device(host)
    assert backend.owns(device)
    assert not backend.owns([1.0])
    host[:] = -1
    back = backend.to_host(device)
    assert back.dtype == np.float64
    assert type(back) is np.ndarray
    assert back.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert to_numpy(device).tolist() == back.tolist()


def test_single_precision_comes_back_as_double(backend: Backend) -> None:
    single = get_backend(backend.name, dtype="float32")
    device = single.to_device(np.array([0.1]))
    assert str(device.dtype).endswith("float32")
    assert to_numpy(device).dtype == np.float32
    assert single.to_host(device).dtype == np.float64
    assert single.epsilon == 2.0**-23
    assert backend.epsilon == 2.0**-52


def test_double_is_double(backend: Backend) -> None:
    """JAX makes float32 of float64 in silence unless told otherwise."""
    device = backend.to_device(np.array([1 + 2.0**-50]))
    assert backend.to_host(device)[0] == 1 + 2.0**-50
    assert str((device @ device).dtype).endswith("float64")


def test_what_it_says(backend: Backend) -> None:
    assert backend.name in BACKENDS
    assert backend.reason == ""
    assert backend.name in str(backend)
    assert "float64" in str(backend)
    assert "reason=''" in repr(backend)


@pytest.mark.parametrize("name", ["numpy", "array-api-strict", "array_api_strict"])
def test_names(name: str) -> None:
    assert get_backend(name).name == name.replace("-", "_")


@pytest.mark.parametrize("wrong", ["cuppy", "pytorch", "Torch ", "", "tensorflow", 3, None])
def test_wrong_names(wrong: object) -> None:
    with pytest.raises(ValueError, match="nown are 'auto', 'numpy', 'cupy', 'torch', 'jax', 'array_api_strict'"):
        get_backend(wrong)


def test_a_slip_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"unknown backend 'cuppy': did you mean 'cupy'\?"):
        Model((1, 1), backend="cuppy")


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), "torch.float32"])
def test_dtypes_by_any_name(dtype: object) -> None:
    backend = get_backend("numpy", dtype=dtype)
    assert backend.dtype == "float32"
    assert type(backend.dtype) is str
    assert backend.real == np.float32


@pytest.mark.parametrize("dtype", ["float16", "int64", np.complex128, "double precision", None, 64])
def test_other_dtypes(dtype: object) -> None:
    with pytest.raises(ValueError, match="`dtype` must be 'float64' or 'float32', got"):
        get_backend("numpy", dtype=dtype)


def test_a_backend_is_taken_as_it_is(backend: Backend) -> None:
    assert get_backend(backend) is backend
    assert Model((1, 1), backend=backend).backend is backend


def test_a_backend_and_another_dtype_do_not_go_together() -> None:
    """Either float32 or an error, but not float64 without a word."""
    single = get_backend("numpy", dtype="float32")
    assert get_backend(single, dtype=np.float32) is single
    dtype = "refused"
    with contextlib.suppress(TypeError, ValueError):
        dtype = Model((1, 1), backend=get_backend("numpy"), dtype="float32").backend.dtype
    assert dtype in ("refused", "float32")


def test_the_environment_chooses_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFNN_XP_BACKEND", "array-api-strict")
    assert get_backend().name == "array_api_strict"
    assert Model((1, 1)).backend.name == "array_api_strict"
    assert get_backend("numpy").name == "numpy"
    monkeypatch.setenv("FFNN_XP_BACKEND", "")
    assert get_backend().name in BACKENDS
    monkeypatch.setenv("FFNN_XP_BACKEND", "abacus")
    with pytest.raises(ValueError, match="abacus"):
        get_backend()


class TestDevices:
    def test_strict_has_several(self) -> None:
        pytest.importorskip("array_api_strict")
        cpu, one = (get_backend("array_api_strict", device=d, fallback=False) for d in (None, "device1"))
        assert cpu.device != one.device
        a = one.to_device(np.ones(3))
        assert one.owns(a)
        assert not cpu.owns(a)
        model = Model((2, 3, 1), backend="array_api_strict", device="device1", seed=1)
        assert one.owns(model(np.ones((4, 2))))
        np.testing.assert_array_equal(
            to_numpy(model(np.ones((4, 2)))), Model((2, 3, 1), backend="numpy", seed=1)(np.ones((4, 2)))
        )

    def test_strict_device2_computes_in_the_type_that_was_asked_for(self) -> None:
        """Its default is float32: whatever creates an array has to say which type."""
        pytest.importorskip("array_api_strict")
        backend = get_backend("array_api_strict", device="device2", fallback=False)
        case = make_case((3, 4, 2), "gelu", "elu", n=9)
        cost, plain = cost_of(case, backend), cost_of(case, get_backend("numpy"))
        assert_close(cost.grad(case.theta), plain.grad(case.theta), 1e-12)
        assert_close(cost.hessian(case.theta), plain.hessian(case.theta), 1e-12)
        assert cost.model(case.x).dtype == backend.real

    def test_strict_without_float64_is_refused_with_a_reason(self) -> None:
        pytest.importorskip("array_api_strict")
        with pytest.raises(BackendUnavailableError, match="no_float64"):
            get_backend("array_api_strict", device="no_float64", fallback=False)
        assert get_backend("array_api_strict", device="no_float64", dtype="float32", fallback=False).dtype == "float32"

    @pytest.mark.parametrize("library", ["torch", "jax"])
    def test_the_cpu_by_name(self, library: str) -> None:
        pytest.importorskip(library)
        backend = get_backend(library, device="cpu", fallback=False)
        assert not backend.on_gpu
        assert "cpu" in str(backend.device).lower()

    @pytest.mark.parametrize("device", ["cpu", 0, "cpu:0", "its own"])
    def test_jax_devices(self, device: object) -> None:
        jax = pytest.importorskip("jax")
        device = jax.devices("cpu")[0] if device == "its own" else device
        backend = get_backend("jax", device=device, fallback=False)
        assert backend.device in [*jax.devices(), *jax.devices("cpu")]

    @pytest.mark.parametrize("device", ["cuda:99", "cuda:0", "nonsense", 77])
    @pytest.mark.parametrize("library", ["numpy", "torch", "jax", "array_api_strict"])
    def test_a_device_that_is_not_there(self, library: str, device: object) -> None:
        if library not in ("numpy", "array_api_strict"):
            pytest.importorskip(library)
        if device == "cuda:0" and library in ("torch", "jax") and _has_gpu(library):
            pytest.skip("it is there")
        with pytest.raises(BackendUnavailableError, match=r"."):
            get_backend(library, device=device, fallback=False)
        with pytest.warns(BackendFallbackWarning, match=f"^{library}: "):
            assert get_backend(library, device=device).name == "numpy"

    def test_a_jax_cpu_beyond_the_last(self) -> None:
        pytest.importorskip("jax")
        with pytest.raises(BackendUnavailableError):
            get_backend("jax", device="cpu:99", fallback=False)

    def test_auto_does_not_swallow_a_device(self) -> None:
        """Who asks for a GPU by name and gets none is told."""
        with pytest.warns(BackendFallbackWarning, match="cuda:99"):
            get_backend("auto", device="cuda:99")


def _has_gpu(library: str) -> bool:
    return get_backend(library).on_gpu


def test_backends_are_equal_by_value(backend: Backend) -> None:
    assert get_backend(backend.name) == backend
    assert replace(backend, dtype="float32") != backend


def test_pickle_and_copy(backend: Backend) -> None:
    for b in (backend, get_backend(backend.name, dtype="float32")):
        assert copy.deepcopy(b) == copy.copy(b) == pickle.loads(pickle.dumps(b)) == b


def test_a_copy_stays_on_its_device() -> None:
    pytest.importorskip("array_api_strict")
    backend = get_backend("array_api_strict", device="device1", fallback=False)
    assert copy.deepcopy(backend) == pickle.loads(pickle.dumps(backend)) == backend


def test_status_has_a_line_for_each_library() -> None:
    status = {s.name: s for s in backend_status()}
    assert tuple(status) == BACKENDS
    assert status["numpy"].usable
    assert status["numpy"].version == np.__version__
    for s in status.values():
        assert s.usable == bool(s.devices) == (not s.reason)


def test_a_library_that_is_absent_says_how_to_install_it(hide: Callable[[str], None]) -> None:
    for name in ("torch", "jax", "array_api_strict", "cupy"):
        hide(name)
        with pytest.raises(BackendUnavailableError, match=r"the package is not installed; pip install"):
            get_backend(name, fallback=False)
    assert [s.usable for s in backend_status()] == [True, False, False, False, False]


def test_what_crosses_is_computed_without_warnings_and_bookkeeping(backend: Backend) -> None:
    """A trial step may overflow; what goes to the host needs no derivatives from PyTorch."""
    seen = []

    def square(xp: Any, a: Any) -> Any:
        if backend.name == "torch":
            seen.append(importlib.import_module("torch").is_inference_mode_enabled())
        return a * a

    assert backend.crossing(backend.bind(square))(np.full(2, 1e300)).tolist() == [np.inf, np.inf]
    assert seen == [not backend.on_gpu] * (backend.name == "torch")
