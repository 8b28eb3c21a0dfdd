"""The functions of the compiled loop's C, against more digits; the arrays that a loop reads, and those it leaves."""

from __future__ import annotations

import ctypes
import math
import shutil
from typing import Any

import numpy as np
import pytest
import scipy.special

from ffnn_xp.backends import EventLoop, c_compiler

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

FUNCTIONS = ("exp", "expm1", "log", "log1p", "tanh", "sqrt", "floor", "sign", "abs", "sin", "cos", "tan", "sinh",
             "cosh", "asinh", "acosh", "atan", "atanh", "erf")  # fmt: skip
OF_TWO = ("maximum", "minimum", "pow")
EDGES = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 5e-324, 1e-310, 1e-300, -1e-300, 1e-17, -1e-17, 0.3466,
                  709.7, 709.79, -745.1, -746.0, 1e300, -1e300, 18.0, 22.0, -22.0, 38.0, 1.7e308])  # fmt: skip


def applied() -> Any:
    """All functions, one after another, applied to arrays of numbers."""
    text = EventLoop("@LOOP@", (1, 1), 0).inside("event_loop_cpu.c").partition("@LOOP@")[0]
    cases = [f"y = m_{name}(a);" for name in FUNCTIONS] + [f"y = m_{name}(a, b);" for name in OF_TWO]
    switch = " ".join(f"case {number}: {line} break;" for number, line in enumerate(cases))
    text += f"""
    void apply(INT which, INT n, const double *x, const double *z, double *out) {{
      for (INT k = 0; k < n; k += LANES) {{
        real a = m_load(x, k, n), b = m_load(z, k, n), y;
        switch (which) {{ {switch} }}
        for (int l = 0; l < LANES && k + l < n; l++) out[k + l] = y[l];
      }}
    }}"""
    function = c_compiler.compiled(text, "apply")
    function.restype = None
    return function


def by_the_loop(name: str, x: np.ndarray, z: np.ndarray | None = None) -> np.ndarray:
    z, out = x if z is None else z, np.empty_like(x)
    addresses = [ctypes.c_void_p(a.ctypes.data) for a in (x, z, out)]
    applied()(ctypes.c_longlong((*FUNCTIONS, *OF_TWO).index(name)), ctypes.c_longlong(len(x)), *addresses)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_nearly_all_digits(name: str, rng: np.random.Generator) -> None:
    """Two units in the last place and a half; where NumPy's long double has more digits than double."""
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("long double has no more digits")
    size = 10.0 ** rng.uniform(-12, 2.8, 50_000)
    x = np.concatenate(
        [size, -size, rng.uniform(-3, 3, 50_000), rng.normal(size=50_000), 1 + 1e-9 * rng.normal(size=9)]
    )
    with np.errstate(all="ignore"):
        exact = np.vectorize(math.erf)(x) if name == "erf" else getattr(np, name)(x.astype(np.longdouble))
    fine = np.isfinite(exact) & (np.abs(exact) > 1e-307)
    error = np.abs(by_the_loop(name, x)[fine] - exact[fine]) / np.spacing(np.abs(exact[fine]).astype(np.float64))
    assert error.max() < 2.5


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_edges_are_those_of_numpy(name: str) -> None:
    f = scipy.special.erf if name == "erf" else getattr(np, name)
    with np.errstate(all="ignore"):
        expected = f(EDGES)
    found = by_the_loop(name, EDGES)
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=5e-324)
    nonzero = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[nonzero]), np.signbit(expected[nonzero]))


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_TWO)
def test_functions_of_two_numbers(name: str) -> None:
    """Not a number stays not a number, in either place."""
    x, z = map(np.ravel, np.meshgrid([0.5, 2.0, np.inf, np.nan, -np.inf], [0.5, 2.0, 3.0, np.nan, np.inf]))
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(by_the_loop(name, x, z), getattr(np, name)(x, z), rtol=1e-15)


LOOP = EventLoop("", (2, 3, 1), 2)


def read(theta: tuple[int, ...], *arrays: np.ndarray | None) -> list[int] | None:
    return LOOP.events(theta, arrays, lambda a: a.ctypes.data, np.dtype(np.float64))


def test_events_are_described_by_numbers_and_addresses() -> None:
    p = 13
    x, y, w = np.ones((3, 7)), np.ones((5, 1, 7)), np.ones((1, 7))
    assert (LOOP.parameters, LOOP.rows) == (p, 3 + 4 + 3 + 1 + 1)
    found = read((5, p), x[:, 2:6], None, y[..., 2:6], y[..., 2:6])
    data = [y.ctypes.data + 16, 7, 7]
    assert found == [4, p, LOOP.rows, 2, 3, 1, x.ctypes.data + 16, 7, 0, 0, 0, 0, *data, *data]
    assert read((p,), x, w, w, w) is not None


@pytest.mark.parametrize(
    ("theta", "change"),
    [
        ((13,), {"x": np.ones((7, 3)).T}),  # events are not neighbours
        ((13,), {"x": np.ones((3, 7), dtype=[("x", "f8"), ("y", "f4")])["x"]}),
        ((13,), {"x": np.ones((3, 7), dtype=np.float32)}),
        ((13,), {"x": np.ones((3, 0))}),
        ((13,), {"y": np.ones((5, 1, 7))}),  # replicas of the data, one theta
        ((4, 13), {"y": np.ones((5, 1, 7))}),
        ((13,), {"y": np.ones((2, 7))}),
        ((13,), {"y": np.ones((1, 6))}),
        ((12,), {}),
        ((1, 2, 13), {}),
    ],
)
def test_other_arrays_are_left_to_the_library(theta: tuple[int, ...], change: dict[str, np.ndarray]) -> None:
    one = {"x": np.ones((3, 7)), "w": np.ones((1, 7)), "y": np.ones((1, 7)), "z": np.ones((1, 7)), **change}
    assert read(theta, *one.values()) is None
