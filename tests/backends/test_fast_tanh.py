"""Tanh from a table: right to its last places, wherever the value lies and however the arrays do."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp.backends import BackendTuning, fast_tanh

EPSILON = 2.0**-52
CHUNK = BackendTuning().fast_tanh_chunk


def exact(z: np.ndarray) -> np.ndarray:
    """In 64 bits of mantissa, where the machine has them."""
    return np.tanh(z.astype(np.longdouble))


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e-3, 2.0**-9, 0.01, 0.3, 1.0, 5.0, 30.0, 1e300])
def test_every_digit_but_the_last(rng: np.random.Generator, scale: float) -> None:
    z = scale * rng.normal(size=(3, 20_000))
    found = fast_tanh.tanh(z, np.empty_like(z), CHUNK)
    assert np.max(np.abs(found - exact(z)) / np.abs(exact(z))) < 3 * EPSILON
    assert np.max(np.abs(found)) <= 1


def test_halfway_between_the_points_of_the_table() -> None:
    k = np.arange(-20 * 2**fast_tanh.BITS, 20 * 2**fast_tanh.BITS)
    z = (k + 0.5) / 2**fast_tanh.BITS
    found = fast_tanh.tanh(z, np.empty_like(z), CHUNK)
    np.testing.assert_allclose(found, exact(z).astype(float), rtol=3 * EPSILON)


def test_the_ends_of_the_number_line() -> None:
    z = np.array([np.inf, -np.inf, np.nan, 0.0, 5e-324, -1.7e308, 20.0, -20.0])
    with np.errstate(all="raise", under="ignore"):
        found = fast_tanh.tanh(z, np.empty_like(z), CHUNK)
    np.testing.assert_array_equal(found, [1, -1, np.nan, 0, 5e-324, -1, 1, -1])


@pytest.mark.parametrize("shape", [(CHUNK + 1,), (7, 5000), (2, 3, 4001), (40_000, 2), (3, 0)])
@pytest.mark.parametrize("chunk", [CHUNK, 1000, 1])
def test_any_shape_in_pieces(rng: np.random.Generator, shape: tuple[int, ...], chunk: int) -> None:
    if chunk == 1:
        shape = tuple(min(size, 5) for size in shape)
    z = rng.normal(size=shape)
    np.testing.assert_allclose(fast_tanh.tanh(z, np.empty(shape), chunk), np.tanh(z), rtol=4 * EPSILON)


def test_views_are_read_and_written(rng: np.random.Generator) -> None:
    """As the sandwich does: above a row of ones."""
    z, whole = rng.normal(size=(2, 9, 3000))[:, ::2, ::3], np.full((2, 6, 1000), 7.0)
    before = z.copy()
    fast_tanh.tanh(z, whole[:, :-1, :], CHUNK)
    np.testing.assert_allclose(whole[:, :-1, :], np.tanh(z), rtol=4 * EPSILON)
    assert np.all(whole[:, -1, :] == 7)
    np.testing.assert_array_equal(z, before)


@pytest.mark.parametrize(
    ("kernel", "faster"),
    [("X86_V3", True), ("FMA3__AVX2", True), ("X86_V4", False), ("AVX512_SKX", False), ("NEON_VFPV4", False)],
)
def test_it_is_taken_in_place_of_the_kernel_for_avx2(kernel: str, faster: bool) -> None:
    """By NumPy's names for its kernels; a processor for which it names none keeps NumPy's tanh."""
    for answer, expected in (({"tanh": {"dd": {"current": kernel, "available": "X86_V3"}}}, faster), ({}, False)):
        assert fast_tanh.names_slow_kernel(answer) is expected
    mine = np.lib.introspect.opt_func_info(func_name="^tanh$", signature="float64")
    assert fast_tanh.is_faster() is fast_tanh.names_slow_kernel(mine)
