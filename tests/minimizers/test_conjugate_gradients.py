"""Bounds on EDM without a p x p matrix, against the same with matrices."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp.minimizers import ConjugateGradients, KroneckerCoordinates
from ffnn_xp.network.initialization import glorot

from .problems import network_cost


def spd(p: int, orders: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.normal(size=(p, p)))
    return (Q * np.logspace(-orders, 0, p)) @ Q.T, rng.normal(size=p)


@pytest.mark.parametrize("orders", [0.5, 2, 4])
def test_bounds_hold_the_true_edm(orders: float) -> None:
    """Wherever conjugate gradients are cut off."""
    H, g = spd(60, orders)
    true = 0.5 * g @ np.linalg.solve(H, g)
    before = 0.0
    for k in (5, 10, 20, 40, 60, 120):
        found = ConjugateGradients(tolerance=1e-12, max_iterations=k).bounds(lambda v: H @ v, g, lambda v: v)
        assert before <= found.lower <= true * (1 + 1e-9)
        before = found.lower
        if k >= 40 or orders < 1:  # the smallest Ritz value has come down
            assert found.upper >= true * (1 - 1e-9)
    assert found.upper == pytest.approx(true, rel=1e-4)
    if orders < 4:
        np.testing.assert_allclose(H @ found.step, g, atol=1e-4)


def test_a_direction_of_negative_curvature_is_reported() -> None:
    H, g = np.diag([1.0, 2.0, -3.0]), np.ones(3)
    found = ConjugateGradients().bounds(lambda v: H @ v, g, lambda v: v)
    assert found.negative_direction is not None
    assert found.negative_direction @ H @ found.negative_direction <= 0
    assert found.upper == np.inf


@pytest.mark.parametrize("factor", [1e-200, 1e200, np.inf])
def test_a_product_that_overflows_ends_it(factor: float) -> None:
    """The lower bound stays, and the upper one is not known."""
    H, calls = np.diag([1.0, 2.0, 3.0, 4.0]), []

    def product(v: np.ndarray) -> np.ndarray:
        calls.append(v)
        return H @ v * (1.0 if len(calls) < 3 else factor)

    g = np.ones(4)
    found = ConjugateGradients().bounds(product, g, lambda v: v)
    assert len(calls) == 3
    assert 0 < found.lower < 0.5 * g @ np.linalg.solve(H, g)
    assert np.all(np.isfinite(found.step))
    assert found.upper == np.inf


def test_no_gradient_is_no_edm() -> None:
    assert ConjugateGradients().bounds(lambda v: v, np.zeros(3), lambda v: v).lower == 0


def test_with_a_prior_the_upper_bound_holds_wherever_it_is_cut_off() -> None:
    """The prior says how small an eigenvalue can be that conjugate gradients have not met."""
    cost = network_cost()
    rng = np.random.default_rng(2)
    for seed in range(3):
        theta = glorot(cost.objective.network.layout, np.random.default_rng(seed))
        W, B = KroneckerCoordinates(cost.kronecker_factors(theta)), cost.gauss_newton(theta)
        V = np.stack([W.back(e) for e in np.eye(len(theta))], axis=1)
        assert 0 < W.least < np.linalg.eigvalsh(V.T @ B @ V)[0]
        g = rng.normal(size=len(theta))
        true = 0.5 * g @ np.linalg.solve(B, g)
        for k in (5, 10, 20, 50, 100):
            solver = ConjugateGradients(tolerance=1e-9, max_iterations=k)
            found = solver.bounds(lambda v, B=B: B @ v, g, W.precondition, least=W.least)
            assert found.lower <= true * (1 + 1e-9)
            assert found.upper >= true * (1 - 1e-9)
    assert KroneckerCoordinates(network_cost(tau=None).kronecker_factors(theta)).least == np.inf
