"""When a larger network is taken; whole fits are in test_prior_selection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.fitting.hidden_layers import _is_taken
from ffnn_xp.fitting.regularization_path import PathMinimizer


@dataclass(frozen=True)
class Tried:
    """A network with this S of held-out values."""

    problem: Any
    score: float


@pytest.mark.parametrize(
    ("smaller", "larger", "taken"),
    [(10.0, 9.79, True), (10.0, 9.81, False), (10.0, 10.1, False), (-10.0, -10.21, True), (-10.0, -10.19, False)],
)
def test_a_fiftieth_has_to_be_gained_in_the_time_that_there_is(smaller: float, larger: float, taken: bool) -> None:
    x = np.arange(9.0)
    problem = fx.Model((1, 1), backend="numpy", seed=1).fit(x, x, 1.0, prior=None).problem
    pair: Any = Tried(problem, larger), Tried(problem, smaller)
    assert _is_taken(*pair, PathMinimizer()) is taken
    assert not _is_taken(*pair, PathMinimizer(stopped="max_seconds was reached"))
