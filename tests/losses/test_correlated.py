"""Toys of correlated values have their covariance."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp.losses import BlockCorrelatedLoss, CorrelatedLoss

ROOT = np.array([[1.0, 0.0], [0.8, 0.6]])
NUMBER = 20000


@pytest.mark.parametrize("blocks", [False, True])
def test_toys_have_the_covariance(blocks: bool) -> None:
    inverse = np.linalg.inv(ROOT)
    loss = BlockCorrelatedLoss() if blocks else CorrelatedLoss(2)
    predicted = np.broadcast_to(np.array([[1.0], [2.0]]), (NUMBER, 2, 1))
    toys = loss.sample(np.random.default_rng(1), predicted, inverse.reshape(4, 1) if blocks else inverse)[:, :, 0]
    np.testing.assert_allclose(toys.mean(axis=0), [1.0, 2.0], atol=4 / np.sqrt(NUMBER))
    np.testing.assert_allclose(np.cov(toys.T), ROOT @ ROOT.T, atol=0.05)
