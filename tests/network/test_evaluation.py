"""Outputs of many events, and derivatives of outputs in raw units."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp import Backend
from ffnn_xp.network.activations import ACTIVATIONS, softmax
from ffnn_xp.network.evaluation import EvaluationTuning, evaluate, raw_jacobian
from ffnn_xp.network.layout import Layout
from ffnn_xp.network.sweeps import Network, forward

from ..oracles.loops import assert_close, central_gradient


def network(output: str) -> Network:
    return Network(Layout((2, 4, 3)), (ACTIVATIONS["tanh"], softmax if output == "softmax" else ACTIVATIONS[output]))


@pytest.mark.parametrize("events", [1, 3, 7, 100])
def test_the_size_of_chunks_changes_nothing(backend: Backend, rng: np.random.Generator, events: int) -> None:
    net = network("identity")
    theta, x = rng.normal(size=net.layout.n_parameters), rng.normal(size=(2, 7))
    found = evaluate(net, backend, *map(backend.to_device, (theta, x)), tuning=EvaluationTuning(cpu_events=events))
    assert_close(backend.to_host(found), forward(net, np, theta, x).y, 1e-13)


@pytest.mark.parametrize("output", ["identity", "exp", "softmax"])
def test_the_raw_jacobian_is_that_of_differences(rng: np.random.Generator, output: str) -> None:
    net = network(output)
    theta, x = rng.normal(size=net.layout.n_parameters), rng.normal(size=(2, 5))
    scale, shift = rng.uniform(0.5, 2, (3, 1)), rng.normal(size=(3, 1))

    def raw(t: np.ndarray) -> np.ndarray:
        z = scale * forward(net.before_output(), np, t, x).y + shift
        return net.activations[-1].f(np, z)

    assert_close(raw_jacobian(net, np, theta, x, scale, shift), central_gradient(raw, theta), 1e-8)
