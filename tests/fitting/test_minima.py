"""Starts that came to the same minimum are recognised, whatever order and signs their units have."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.data.events import Events
from ffnn_xp.fitting.minima import number_minima
from ffnn_xp.losses import get_loss
from ffnn_xp.network.activations import ACTIVATIONS
from ffnn_xp.network.layout import Layout
from ffnn_xp.network.sweeps import Network, forward
from ffnn_xp.network.symmetries import aligned
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.objective.objective import Objective

from ..network.test_symmetries import disguised


@pytest.mark.parametrize("name", ["tanh", "logistic", "softplus", "relu"])
def test_aligned_takes_a_disguise_off(name: str, rng: np.random.Generator) -> None:
    network = Network(Layout((3, 5, 4, 2)), (ACTIVATIONS[name], ACTIVATIONS[name], ACTIVATIONS["identity"]))
    theta = rng.normal(size=network.layout.n_parameters)
    near = theta + 1e-6 * rng.normal(size=len(theta))
    np.testing.assert_allclose(aligned(network, disguised(network, near, rng), theta), theta, atol=1e-4)


def test_disguises_are_one_minimum_and_neighbours_are_not(rng: np.random.Generator) -> None:
    tanh, identity = ACTIVATIONS["tanh"], ACTIVATIONS["identity"]
    network = Network(Layout((2, 3, 1)), (tanh, identity))
    theta, x = rng.normal(size=network.layout.n_parameters), rng.normal(size=(2, 100))
    backend = fx.get_backend("numpy")
    data = forward(network, np, theta, x).y, np.full((1, 100), 10.0)
    cost = NetworkCost(Objective(network, get_loss("least_squares"), Events(x, data), backend), n_values=100)
    step = rng.normal(size=len(theta))
    step *= np.sqrt(2 / (step @ cost.hessian(theta) @ step))  # raises the parabola by 1
    ends = {
        3: (theta, 7.0),
        8: (disguised(network, theta, rng), 7.01),
        9: (disguised(network, theta + 0.1 * step, rng), 7.02),
        11: (theta + 3 * step, 7.03),
        12: (theta, 9.0),
        13: (disguised(network, theta + 3 * step, rng), 7.04),
    }
    assert number_minima(cost, ends, 1.0) == {3: 1, 8: 1, 9: 1, 11: 2, 13: 2, 12: 3}
    assert number_minima(cost, {}, 1.0) == {}


@pytest.mark.parametrize("known", [True, False])
def test_in_the_table_of_restarts(known: bool) -> None:
    rng = np.random.default_rng(1)
    x = np.linspace(-2, 2, 300)
    y = np.sin(3 * x) / (1 + x**2) + 0.05 * rng.normal(size=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        # errors that are too small let no start be good enough, so that all of them are tried
        fit = fx.Model((1, 3, 1), seed=1).fit(x, y, 0.02 if known else None, prior=2.0, restarts=100)
    best = [r for r in fit.restarts if r.minimum == 1]
    others = [r for r in fit.restarts if r.minimum > 1]
    assert len(best) >= 2
    assert min(fit.restarts, key=lambda r: r.fval).minimum == 1
    assert max(r.fval for r in best) - min(r.fval for r in best) < 0.5
    assert all(r.minimum == 0 for r in fit.restarts if r.status == "left early")
    if known:
        assert min(r.fval for r in others) > max(r.fval for r in best)
        assert fit.found >= len(best)
        assert f"{fit.found} of them at the best minimum" in repr(fit)
