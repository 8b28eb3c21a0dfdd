"""Minimization and EDM without a p x p matrix, against the same with matrices."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp.minimizers import MatrixFree, Status, Tracker
from ffnn_xp.network.initialization import glorot

from .problems import Saddle, network_cost


@pytest.mark.parametrize("tau", [2.0, pytest.param(None, marks=pytest.mark.slow)])
def test_it_ends_where_matrices_say_that_the_minimum_is(tau: float | None) -> None:
    cost = network_cost(tau=tau)
    start = glorot(cost.objective.network.layout, np.random.default_rng(1))
    before = cost.value_and_gradient(start)[0]
    end = MatrixFree(edm_goal=1e-4).run(Tracker(cost), start)
    found = end.bounds
    assert found is not None
    g = cost.value_and_gradient(end.theta)[1]
    assert end.value == cost.value_and_gradient(end.theta)[0] < 0.1 * before
    assert end.saddles >= 0
    if tau is not None:
        assert end.converged
        H = cost.hessian(end.theta)
        true = 0.5 * g @ np.linalg.solve(H, g)
        assert np.linalg.eigvalsh(H)[0] > 0
        assert found.negative_direction is None
        assert found.lower <= true * (1 + 1e-6)
        assert true <= found.upper * (1 + 1e-6) < 1e-4


def test_by_gauss_newton_where_s_is_not_smooth() -> None:
    cost = network_cost()
    theta = glorot(cost.objective.network.layout, np.random.default_rng(1))
    g, B = cost.value_and_gradient(theta)[1], cost.gauss_newton(theta)
    found = MatrixFree(exact=False).edm_bounds(cost, theta)
    assert found.lower <= 0.5 * g @ np.linalg.solve(B, g) <= found.upper
    assert (
        MatrixFree().edm_bounds(cost, theta).negative_direction is not None
    )  # far from a minimum the exact one is indefinite


@pytest.mark.parametrize("start", [[0.02, 0.01], [0.0, 0.0], [0.0, 0.3]])
def test_saddles_are_escaped(start: list[float]) -> None:
    """Also from where the gradient has no part in the direction of negative curvature, or there is no gradient."""
    end = MatrixFree(edm_goal=1e-6).run(Tracker(Saddle()), np.array(start))
    assert end.converged
    assert end.value == pytest.approx(-0.25, abs=1e-6)
    assert end.bounds is not None
    assert end.bounds.negative_direction is None
    assert end.saddles == (start[0] == 0)


class Flat(Saddle):
    """The same, falling by 2.5e-5."""

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, g = super().value_and_gradient(theta)
        return 1e-4 * value, 1e-4 * g

    def hessian_product(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        return 1e-4 * super().hessian_product(theta, v)


@pytest.mark.parametrize(("start", "called_one"), [([1e-3, 0.0], True), ([0.0, 0.0], False)])
def test_a_fall_that_is_not_worth_following(start: list[float], called_one: bool) -> None:
    """A saddle where the gradient leads to it; weakly determined, as with matrices, where one has to look."""
    found = MatrixFree().edm_bounds(Flat(), np.array(start), enough=1e-6)
    assert (found.negative_direction is not None) is called_one
    assert (found.upper == np.inf) is called_one
    assert found.weakly_determined is not called_one


def test_a_saddle_that_is_not_worth_escaping_is_not_escaped() -> None:
    end = MatrixFree(edm_goal=1.0).run(Tracker(Flat()), np.array([1e-3, 0.0]))
    assert end.bounds is not None
    assert end.bounds.negative_direction is not None
    assert (end.saddles, end.status) == (0, Status.SADDLE_POINT)
    assert end.theta.tolist() == [1e-3, 0.0]
