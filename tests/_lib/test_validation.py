"""Arguments are taken as they are meant, or refused in words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from ffnn_xp._lib.validation import column_names, level, seed_numbers, vector, whole_number


@pytest.mark.parametrize(("value", "least", "words"), [
    (True, 0, "0 or a positive integer"), (0, 1, "a positive integer"), (1.5, 1, "a positive integer"),
    (1, 2, "an integer of at least 2"), (None, 1, "a positive integer"), ("3", 1, "a positive integer"),
    (float("inf"), 1, "a positive integer"), (2j, 1, "a positive integer"), ([3], 1, "a positive integer"),
])  # fmt: skip
def test_no_whole_number(value: Any, least: int, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"`number` must be {words}, got {value!r}")):
        whole_number(value, "number", least)


@pytest.mark.parametrize("cl", [0, 1, -0.5, float("nan"), "0.9", None, True, 0.5j])
def test_no_confidence_level(cl: Any) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        level(cl)


def test_seeds_draw_as_numpy_does() -> None:
    for seed in (0, 3, 2**70, np.int32(5), [1, 2], (3,), np.array([4, 5]), np.random.SeedSequence(7)):
        want = np.random.default_rng(seed).integers(2**40, size=3)
        np.testing.assert_array_equal(np.random.default_rng(seed_numbers(seed)).integers(2**40, size=3), want)
    assert seed_numbers(None) is None


def test_children_of_a_seed_sequence_differ() -> None:
    sequence = np.random.SeedSequence(7)
    assert (
        len({seed_numbers(child) for child in (sequence, *sequence.spawn(3), *np.random.SeedSequence([7]).spawn(0))})
        == 4
    )


@pytest.mark.parametrize("kind", [np.random.default_rng, np.random.PCG64, np.random.RandomState])
def test_a_generator_gives_its_next_number(kind: Any) -> None:
    one, two = kind(3), kind(3)
    first, second = seed_numbers(one), seed_numbers(one)
    assert first != second
    assert (seed_numbers(two), seed_numbers(two)) == (first, second)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "3", [], [1, -2], [1.0], [[1, 2]], object()])
def test_no_seed(seed: Any) -> None:
    with pytest.raises(ValueError, match="`random_state` must be 0 or a positive integer, or None, got"):
        seed_numbers(seed, "random_state")


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
