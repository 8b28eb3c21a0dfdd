"""The binomial statistic at logits of any size."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from ffnn_xp.losses import BinomialLoss


@pytest.mark.parametrize("eta", [-1e3, -40.0, 0.0, 40.0, 1e3])
def test_logits_of_any_size(eta: float) -> None:
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    y = eta * one
    for k in (0.0, 4.0):
        data = BinomialLoss().columns(np, k * one, 4 * one, zero, one)
        value, first = BinomialLoss().value_and_first(np, y, data)
        sign = -1 if k == 0 else 1
        np.testing.assert_allclose(value, 8 * np.logaddexp(0, -sign * y), rtol=1e-14)
        np.testing.assert_allclose(first, -8 * sign * scipy.special.expit(-sign * y), rtol=1e-14)
