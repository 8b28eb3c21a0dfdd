"""Kronecker factors: they approximate the Gauss-Newton matrix, and S is nearly round in their coordinates."""

from __future__ import annotations

import numpy as np

from ffnn_xp import Backend
from ffnn_xp.data.events import Events
from ffnn_xp.minimizers import KroneckerCoordinates
from ffnn_xp.network.initialization import glorot
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.objective.objective import Objective

from ..oracles.loops import make_case, objective
from .problems import network_cost


def test_factors_of_a_single_layer_are_the_matrix(backend: Backend) -> None:
    """Where all events have the same second derivative, G (x) A / n is exact."""
    case = make_case((3, 2), "identity", "identity", n=9)
    S = objective(case, backend)
    weights = S.events.data[1]
    same = Events(S.events.x, (S.events.data[0], 0 * weights + 1.0))
    cost = NetworkCost(Objective(S.network, S.loss, same, backend), n_values=18)
    ((G, A, P),) = cost.kronecker_factors(case.theta)
    np.testing.assert_allclose(np.kron(G, A), cost.gauss_newton(case.theta), rtol=1e-10, atol=1e-10)
    assert not P.any()


def test_coordinates_make_the_approximation_round() -> None:
    """W^T M W = 1 for M = G (x) A / n + P, where P is the same in each row."""
    cost = network_cost()
    theta = glorot(cost.objective.network.layout, np.random.default_rng(1))
    factors = cost.kronecker_factors(theta)
    W = KroneckerCoordinates(factors)
    p = len(theta)
    M, at = np.zeros((p, p)), 0
    for G, A, P in factors:
        size, floor = P.size, 1e-6 * A.max() * np.linalg.eigvalsh(G)[-1]
        M[at : at + size, at : at + size] = np.kron(G, A) + np.diag(np.maximum(P, floor).ravel())
        at += size
    V = np.stack([W.back(e) for e in np.eye(p)], axis=1)
    np.testing.assert_allclose(V.T @ M @ V, np.eye(p), atol=1e-6)
    np.testing.assert_allclose(np.stack([W.forth(e) for e in np.eye(p)], axis=1), V.T, atol=1e-12)


def test_factors_that_overflow_are_no_scale() -> None:
    """They are taken as ones: coordinates stay finite, and so does the bound, P / (1 + P)."""
    A = np.array([[np.inf, 1.0], [1.0, 1.0]])
    W = KroneckerCoordinates([(np.eye(1), A, np.ones((1, 2)))])
    np.testing.assert_allclose(W.precondition(np.ones(2)), 0.5)
    assert W.least == 0.5
