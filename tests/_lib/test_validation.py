"""Arguments are taken as they are meant, or refused in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ffnn_xp._lib.validation import column_names, level, vector, whole_number


@pytest.mark.parametrize(("value", "least", "words"), [
    (True, 0, "0 or a positive integer"), (0, 1, "a positive integer"), (1.5, 1, "a positive integer"),
    (1, 2, "an integer of at least 2"),
])  # fmt: skip
def test_no_whole_number(value: Any, least: int, words: str) -> None:
    with pytest.raises(ValueError, match=f"`number` must be {words}, got {value!r}"):
        whole_number(value, "number", least)


@pytest.mark.parametrize("cl", [0, 1, -0.5, float("nan")])
def test_no_confidence_level(cl: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        level(cl)


def test_names_of_columns() -> None:
    assert column_names(None, "input_names", 2) is None
    assert column_names(["a", "b"], "input_names", 2) == ("a", "b")
    with pytest.raises(TypeError, match="`input_names` must be a sequence of names, got 'ab'"):
        column_names("ab", "input_names", 2)
    with pytest.raises(ValueError, match="`input_names` must have 1 names, one for each, got 2"):
        column_names(["a", "b"], "input_names", 1)


def test_parameters_as_one_vector_or_as_numbers() -> None:
    for args in (([1, 2],), (1, 2), (np.array([[1.0], [2.0]]),)):
        theta = vector(args, 2)
        assert theta.dtype == np.float64
        np.testing.assert_array_equal(theta, [1.0, 2.0])
    with pytest.raises(ValueError, match="expected 2 parameters, as one vector or as 2 numbers, got 3"):
        vector((1, 2, 3), 2)
