"""Bins: their contents are integrals of the network."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from scipy.integrate import quad

import ffnn_xp as fx
from ffnn_xp import Backend
from ffnn_xp.losses import BinomialLoss, IntegratedLoss, LeastSquaresLoss, PoissonLoss, StudentTLoss

from ..oracles.loops import assert_close, central_gradient

BINS = fx.Bins(np.linspace(-1, 1, 4), np.array([0.0, 0.5, 2.0]), nodes=3)
CONTENTS = np.random.default_rng(7).poisson(4.0, (BINS.n, 1)).astype(float)


def test_bins_are_integrals() -> None:
    model = fx.Model((1, 3, 1), output="exp", seed=1)
    edges = np.array([0.0, 1.0, 1.5, 3.0])
    cost = fx.Poisson(fx.Bins(edges, nodes=8), [3, 0, 5], model)
    want = [quad(lambda t: float(model(np.array([t]))[0]), a, b)[0] for a, b in pairwise(edges)]
    np.testing.assert_allclose(cost.prediction(cost.start), want, rtol=1e-9)
    t, law = np.array([3.0, 0, 5]), scipy.stats.poisson.logpmf
    deviance = -2 * np.sum(law(t, want) - law(t, t))
    assert cost(cost.start) == pytest.approx(deviance, rel=1e-9)


def test_contents_of_a_straight_line_are_fitted_by_its_integrals() -> None:
    """Bins differ in width, so that a shift of the line changes each content by another amount."""
    edges = np.array([0.0, 1.0, 1.5, 3.0, 7.0])
    width, middle = np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    y, error = np.array([20.0, 9.0, 45.0, 170.0]), np.array([1.0, 2.0, 1.0, 3.0])
    M = (width * np.stack([middle, np.ones(4)])).T / error[:, None]
    fit = fx.Model((1, 1), seed=1).fit(fx.Bins(edges), y, error, prior=None)
    np.testing.assert_allclose(fit.parameters, np.linalg.lstsq(M, y / error, rcond=None)[0], rtol=1e-9)
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(M.T @ M), rtol=1e-9)


def test_bins_of_two_dimensions_and_their_derivatives(backend: Backend) -> None:
    model = fx.Model((2, 3, 1), output="exp", backend=backend, seed=1)
    cost = fx.Poisson(BINS, CONTENTS[:, 0], model)
    theta = cost.start
    np.testing.assert_allclose(BINS.volume, np.outer([2 / 3] * 3, [0.5, 1.5]).ravel())
    np.testing.assert_allclose(BINS.centers[1], [-2 / 3, 1.25])
    if backend.name in ("numpy", "jax"):
        assert_close(cost.grad(theta), central_gradient(cost, theta), 1e-8)
        assert_close(cost.hessian(theta), central_gradient(cost.grad, theta), 1e-8)
        v = np.ones_like(theta)
        assert_close(cost.hessian_product(theta, v), cost.hessian(theta) @ v, 1e-12)
    assert np.linalg.eigvalsh(cost.gauss_newton(theta))[0] > -1e-10


def test_it_is_described_as_the_statistic_of_the_contents() -> None:
    """All properties are those of the inner statistic but the linear operator, in copies too."""
    for inner in (PoissonLoss(), LeastSquaresLoss(), StudentTLoss(nu=3)):
        wrapped = pickle.loads(pickle.dumps(IntegratedLoss(inner)))
        assert wrapped == IntegratedLoss(inner)
        assert wrapped.has_linear_operator
        for name in ("name", "display_name", "errordef", "target_kind", "auxiliary", "is_chi_square", "bounded_below"):
            assert getattr(wrapped, name) == getattr(inner, name)
        assert wrapped.median_pull() == inner.median_pull()


def test_contents_have_no_link() -> None:
    with pytest.raises(ValueError, match="independent bins"):
        IntegratedLoss(BinomialLoss())
