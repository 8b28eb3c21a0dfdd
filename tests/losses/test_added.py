"""The statistic of a sum is that of the other, at the sum."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp.losses import AddedLoss, BlockCorrelatedLoss, HuberLoss, Loss, PoissonLoss


@pytest.mark.parametrize("inner", [HuberLoss(), PoissonLoss(), BlockCorrelatedLoss()])
def test_every_method_is_that_of_the_other(inner: Loss) -> None:
    rng = np.random.default_rng(1)
    y, added, t, own = (rng.uniform(1, 2, size=(size, 5)) for size in (2, 2, 2, 4 if inner.coupled_outputs else 2))
    wrapped = AddedLoss(inner)
    for method in ("value", "first", "second", "fisher", *(["root"] if inner.coupled_outputs else [])):
        got = getattr(wrapped, method)(np, y, (added, t, own))
        np.testing.assert_array_equal(got, getattr(inner, method)(np, y + added, (t, own)))
    assert (wrapped.name, wrapped.coupled_outputs, wrapped.auxiliary) == (
        inner.name,
        inner.coupled_outputs,
        inner.auxiliary,
    )
