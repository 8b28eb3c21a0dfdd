"""JAX and its devices."""

from __future__ import annotations

import pytest

from ffnn_xp import BackendUnavailableError, get_backend

jax = pytest.importorskip("jax")


@pytest.mark.parametrize("device", ["cpu", 0, "cpu:0", "its own"])
def test_jax_devices(device: object) -> None:
    device = jax.devices("cpu")[0] if device == "its own" else device
    backend = get_backend("jax", device=device, fallback=False)
    assert backend.device in [*jax.devices(), *jax.devices("cpu")]


def test_a_jax_cpu_beyond_the_last() -> None:
    with pytest.raises(BackendUnavailableError):
        get_backend("jax", device="cpu:99", fallback=False)
