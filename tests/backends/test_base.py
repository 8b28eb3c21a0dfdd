"""Every backend: in and out, types, copies, and the same numbers as NumPy."""

from __future__ import annotations

import copy
import importlib
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend, Model, get_backend, to_numpy
from ffnn_xp.backends import BACKENDS
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


def test_a_host_function_is_computed_without_warnings_and_bookkeeping(backend: Backend) -> None:
    """A trial step may overflow; what goes to the host needs no derivatives from PyTorch."""
    seen = []

    def square(xp: Any, a: Any) -> Any:
        if backend.name == "torch":
            seen.append(importlib.import_module("torch").is_inference_mode_enabled())
        return a * a

    assert backend.host_function(backend.bind(square))(np.full(2, 1e300)).tolist() == [np.inf, np.inf]
    assert seen == [not backend.on_gpu] * (backend.name == "torch")


def test_backends_are_equal_by_value(backend: Backend) -> None:
    assert get_backend(backend.name) == backend
    assert replace(backend, dtype="float32") != backend


def test_pickle_and_copy(backend: Backend) -> None:
    for b in (backend, get_backend(backend.name, dtype="float32")):
        assert copy.deepcopy(b) == copy.copy(b) == pickle.loads(pickle.dumps(b)) == b
