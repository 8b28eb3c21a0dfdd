"""Huber's statistic: its parameter, and where it turns."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp.losses import HuberLoss


def test_the_turning_point_is_positive() -> None:
    with pytest.raises(ValueError, match="`delta` must be positive"):
        HuberLoss(delta=0.0)


def test_value_and_slope_are_continuous_where_it_turns() -> None:
    loss, z = HuberLoss(delta=2.0), np.array([[2 - 1e-9, 2 + 1e-9]])
    value, first = loss.value_and_first(np, z, (np.zeros((1, 2)), np.ones((1, 2))))
    np.testing.assert_allclose(value, 4.0, rtol=1e-8)
    np.testing.assert_allclose(first, 4.0, rtol=1e-8)
