"""Anything array-like as float64, or a message that names the value and its place."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ffnn_xp.backends import column_names, host_floats, place_of


@pytest.mark.parametrize("a", [[1, 2], (True, 2), np.array([1, 2], np.float32), np.array([1, 2], object), range(1, 3)])
def test_numbers_of_any_kind(a: Any) -> None:
    found = host_floats(a, "x")
    assert found.dtype == np.float64
    assert found.tolist() == [1, 2]


def test_what_is_float64_is_not_copied() -> None:
    a = np.ones(3)
    assert host_floats(a, "x") is a
    assert host_floats(np.ma.masked_array(a, [False] * 3), "x").tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("a", "error", "says"),
    [
        (None, TypeError, "`x` must be an array of numbers, got None"),
        ([1j], TypeError, "`x` must be real, got complex numbers"),
        (["1"], TypeError, "`x` must hold numbers, got dtype <U1: convert it first"),
        (
            np.array([[1, "2"]], object),
            TypeError,
            r"`x` must hold numbers, got '2' in row 0, column 1: convert it first$",
        ),
        (np.array("a", object), TypeError, "got 'a' in its only value"),
        ([[1], [1, 2]], ValueError, "`x` must be a rectangular array of numbers"),
        (np.ma.masked_array([1, 2], [True, False]), ValueError, "`x` has masked values: leave those events out"),
    ],
)
def test_what_is_no_number(a: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        host_floats(a, "x")


def test_places_by_row_and_column() -> None:
    assert place_of((3,), None) == "row 3"
    assert place_of((3, 1), ["pt", "eta"]) == "row 3, column 1 (eta)"
    assert column_names(SimpleNamespace(columns=["pt", 2])) == ["pt", "2"]
    assert column_names([1.0]) is None
