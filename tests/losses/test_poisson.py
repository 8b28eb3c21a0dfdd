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


def test_the_square_of_a_rate_may_underflow() -> None:
    """Without counts it has no curvature and a finite expectation of one; with counts it is large, and a number."""
    poisson, one = PoissonLoss(), np.ones((1, 1))
    for rate in (0.0, 1e-310, 1e-200):
        assert poisson.second(np, rate * one, (0 * one, one)) == 0
        assert 0 < poisson.fisher(np, rate * one, (one, one)) < np.inf
        assert 0 < poisson.second(np, rate * one, (one, one)) < np.inf
    assert poisson.second(np, 1e-100 * one, (one, one)) == 2e200
