"""The soft absolute value where squares overflow."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp import Backend, get_backend
from ffnn_xp.losses import SoftL1Loss


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_it_is_a_straight_line_also_where_the_square_overflows(backend: Backend, dtype: str) -> None:
    """A sum of zero there would be the deepest minimum of all."""
    backend = get_backend(backend.name, dtype=dtype)
    large = np.array([1e6, 1e10, 1e18, 1e25, 1e37] + [1e100, 1e154, 1e200, 1e307] * (dtype == "float64"))
    with np.errstate(over="ignore"):
        value, weight = SoftL1Loss().rho(backend.xp, backend.to_device(np.concatenate([large, -large])))
    np.testing.assert_allclose(backend.to_host(value), np.tile(2 * large, 2), rtol=3e-6)
    np.testing.assert_allclose(backend.to_host(weight), np.tile(2 / large, 2), rtol=3e-6)


def test_its_values() -> None:
    z = np.array([0.0, 1e-9, 0.5, -3.0, 1e3])
    value, weight = SoftL1Loss().rho(np, z)
    np.testing.assert_allclose(value, [0.0, 1e-18, 0.2360679775, 4.3245553203, 1998.0009999998], rtol=1e-9)
    np.testing.assert_allclose(weight, 2 / np.hypot(1, z), rtol=1e-15)
