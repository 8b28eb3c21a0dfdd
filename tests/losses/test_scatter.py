"""Tests of the statistic of residuals whose width is predicted."""

import numpy as np
import pytest
from scipy import stats

from ffnn_xp.losses import LOSSES, ScatterLoss


def test_value_is_minus_two_log_likelihood_of_students_t_by_scipy():
    y, t = np.array([[-1.0, 0.3, 2.0]]), np.array([[0.2, -3.0, 5.0]])
    for nu in (1.0, 4.0, 30.0):
        expected = -2 * stats.t.logpdf(t, nu, scale=np.exp(y)) + 2 * stats.t.logpdf(0, nu)
        np.testing.assert_allclose(ScatterLoss(nu).value(np, y, (t,)), expected, rtol=1e-13)


def test_derivatives_are_those_of_the_value():
    loss, h = ScatterLoss(3.0), 1e-5
    y, data = np.linspace(-2, 2, 9)[None], (np.array([[0.0, 1e-3, 0.1, -1.0, 2.0, 5.0, -20.0, 300.0, 1e4]]),)
    up, down = (loss.value_and_first(np, y + e, data) for e in (h, -h))
    np.testing.assert_allclose(loss.first(np, y, data), (up[0] - down[0]) / (2 * h), atol=1e-8)
    np.testing.assert_allclose(loss.second(np, y, data), (up[1] - down[1]) / (2 * h), atol=1e-8)
    assert np.all(loss.second(np, y, data) >= 0)
    np.testing.assert_allclose(loss.fisher(np, y, data), loss.second(np, y, data))


def test_its_data_are_residuals_in_units_of_the_shift():
    t, one = np.array([[1.0, 2.0]]), np.ones((1, 1))
    (data,) = ScatterLoss().columns(np, t, one, np.log(2.0) * one, one)
    np.testing.assert_allclose(data, t / 2)


def test_draws_scatter_with_the_predicted_width_and_have_such_pulls():
    loss, y = ScatterLoss(), np.full((1, 20_000), np.log(3.0))
    t = loss.sample(np.random.default_rng(1), y, np.ones((1, 1)))
    assert stats.kstest(loss.pulls(np, y, t, np.ones((1, 1)))[0], stats.t(4).cdf).pvalue > 0.01


def test_users_cannot_name_it_by_mistake():
    assert "scatter" not in LOSSES


def test_it_has_no_lower_bound():
    """A residual of nothing has a width of nothing."""
    assert not ScatterLoss.bounded_below
    assert ScatterLoss().value(np, np.full((1, 1), -300.0), (np.zeros((1, 1)),)) == -600


@pytest.mark.parametrize("t", [0.0, 1e200])
def test_extreme_residuals_have_finite_derivatives(t):
    with np.errstate(over="ignore"):
        value, first = ScatterLoss().value_and_first(np, np.zeros((1, 1)), (np.array([[t]]),))
    assert not np.any(np.isnan(value))
    assert np.all(np.isfinite(first))
