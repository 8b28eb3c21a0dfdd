"""The multinomial statistic at logits of any size."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from ffnn_xp.losses import MultinomialLoss


@pytest.mark.parametrize("eta", [-1e3, -40.0, 0.0, 40.0, 1e3])
def test_logits_of_any_size(eta: float) -> None:
    three = np.array([[eta], [0.0], [-eta]])
    data = MultinomialLoss().columns(
        np, np.array([[1.0], [0.0], [0.0]]), np.ones((1, 1)), np.zeros((3, 1)), np.ones((3, 1))
    )
    want = -2 * scipy.special.log_softmax(three, axis=0)[0, 0]
    assert np.sum(MultinomialLoss().value(np, three, data)) == pytest.approx(want, rel=1e-14)
    assert np.all(np.isfinite(MultinomialLoss().second(np, three, data)))
