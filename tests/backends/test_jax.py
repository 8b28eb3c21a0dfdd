"""JAX and its devices."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest

from ffnn_xp import BackendUnavailableError, get_backend
from ffnn_xp.backends.jax import KEPT, _compiled

jax = pytest.importorskip("jax")


@pytest.mark.parametrize("device", ["cpu", 0, "cpu:0", "its own"])
def test_jax_devices(device: object) -> None:
    device = jax.devices("cpu")[0] if device == "its own" else device
    backend = get_backend("jax", device=device, fallback=False)
    assert backend.device in [*jax.devices(), *jax.devices("cpu")]


def test_a_jax_cpu_beyond_the_last() -> None:
    with pytest.raises(BackendUnavailableError):
        get_backend("jax", device="cpu:99", fallback=False)


@pytest.mark.slow
def test_compiled_shapes_do_not_pile_up() -> None:
    """Data of ever other lengths: the last kernels stay, older ones are freed, the program's own functions stay."""
    backend, traced = get_backend("jax", fallback=False), []

    def own(a: Any) -> Any:
        traced.append(a.shape)
        return a + 1

    own = jax.jit(own)
    for n in range(1, 4):
        own(np.ones(n))
    total = backend.bind(_total)
    first = weakref.ref(_compiled(total.__closure__[0].cell_contents, (1,)))
    for n in range(1, 2 * KEPT):
        assert float(total(backend.to_device(np.ones(n)))) == n
    gc.collect()
    assert first() is None
    assert _compiled.cache_info().currsize == KEPT
    misses = _compiled.cache_info().misses
    total(backend.to_device(np.ones(2 * KEPT - 1)))
    assert _compiled.cache_info().misses == misses
    for n in range(1, 4):
        own(np.ones(n))
    assert traced == [(1,), (2,), (3,)]


def _total(xp: Any, a: Any) -> Any:
    return xp.sum(a)


@pytest.mark.slow
def test_switching_on_the_64_bit_mode_is_said_once() -> None:
    code = """
import warnings, jax, ffnn_xp as fx
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    fx.Model((1, 1), backend="jax", dtype="float32")
    assert not said and not jax.config.jax_enable_x64
    fx.Model((1, 1), backend="jax"); fx.Model((1, 1), backend="jax")
assert [str(w.message)[:38] for w in said] == ["JAX's 64-bit mode is now on in the who"], said
assert said[0].filename == "<string>"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_arrays_sharded_over_devices_are_read() -> None:
    code = """
import numpy as np, jax, ffnn_xp as fx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
jax.config.update("jax_enable_x64", True)
x = np.linspace(-1, 1, 40)
sharded = jax.device_put(x, NamedSharding(Mesh(np.array(jax.devices()), ("n",)), PartitionSpec("n")))
assert len(sharded.devices()) == 2
for library in ("jax", "numpy"):
    model = fx.Model((1, 1), backend=library, seed=1)
    fit = model.fit(sharded, 2 * sharded + 1, 0.1)
    assert np.allclose(fit.parameters, [2, 1])
    assert np.allclose(model(sharded), 2 * x + 1)
    assert np.allclose(fx.to_numpy(sharded), x)
"""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
