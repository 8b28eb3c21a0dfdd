"""Student's t: its parameter, and errors by the median of its residuals."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp.losses import StudentTLoss


@pytest.mark.parametrize("nu", [0, -1.0, float("inf")])
def test_degrees_of_freedom_are_positive_and_finite(nu: float) -> None:
    with pytest.raises(ValueError, match="`nu` must be positive"):
        StudentTLoss(nu=nu)


def test_the_median_of_its_pulls() -> None:
    toys = StudentTLoss(nu=3).sample(np.random.default_rng(1), np.zeros((1, 10001)), np.ones((1, 1)))
    assert np.median(np.abs(toys)) == pytest.approx(StudentTLoss(nu=3).median_pull(), rel=0.05)
