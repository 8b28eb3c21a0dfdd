"""array-api-strict and its made-up devices."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from ffnn_xp import BackendUnavailableError, Model, get_backend, to_numpy

from ..oracles.loops import assert_close, make_case
from .test_base import cost_of

pytest.importorskip("array_api_strict")


def test_strict_has_several() -> None:
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


def test_strict_device2_computes_in_the_type_that_was_asked_for() -> None:
    """Its default is float32: whatever creates an array has to say which type."""
    backend = get_backend("array_api_strict", device="device2", fallback=False)
    case = make_case((3, 4, 2), "gelu", "elu", n=9)
    cost, plain = cost_of(case, backend), cost_of(case, get_backend("numpy"))
    assert_close(cost.grad(case.theta), plain.grad(case.theta), 1e-12)
    assert_close(cost.hessian(case.theta), plain.hessian(case.theta), 1e-12)
    assert cost.model(case.x).dtype == backend.real


def test_strict_without_float64_is_refused_with_a_reason() -> None:
    with pytest.raises(BackendUnavailableError, match="no_float64"):
        get_backend("array_api_strict", device="no_float64", fallback=False)
    assert get_backend("array_api_strict", device="no_float64", dtype="float32", fallback=False).dtype == "float32"


def test_a_copy_stays_on_its_device() -> None:
    backend = get_backend("array_api_strict", device="device1", fallback=False)
    assert copy.deepcopy(backend) == pickle.loads(pickle.dumps(backend)) == backend
