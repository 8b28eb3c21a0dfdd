"""The Poisson statistic in the mean and in its logarithm, at the ends of their ranges."""

from __future__ import annotations

import numpy as np

from ffnn_xp.losses import PoissonLogLoss, PoissonLoss


def test_large_counts_keep_their_digits() -> None:
    """S of a count of 1e12, met to one part in a million, is 1e-12 times that to nine digits."""
    count = np.array([[1e12]])
    data = PoissonLogLoss().columns(np, count, np.ones((1, 1)), np.zeros((1, 1)), np.ones((1, 1)))
    d = 1e-6
    got = PoissonLogLoss().value(np, np.log(count) + d, data)
    np.testing.assert_allclose(got, 2e12 * (d**2 / 2 + d**3 / 6), rtol=1e-8)


def test_a_poisson_mean_that_is_not_positive_is_infinitely_bad() -> None:
    poisson, one = PoissonLoss(), np.ones((1, 1))
    assert poisson.value(np, -one, (one, one)) == np.inf
    assert poisson.value(np, 0 * one, (one, one)) == np.inf
    assert poisson.value(np, 0 * one, (0 * one, one)) == 0


def test_the_output_decides_between_the_two() -> None:
    assert PoissonLoss().for_output("exp") == PoissonLogLoss()
    assert PoissonLogLoss().for_output("softplus") == PoissonLoss()
