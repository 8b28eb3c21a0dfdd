"""Networks in disguise, with units in another order or with other signs, have one form."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from ffnn_xp.network.activations import ACTIVATIONS, Activation, identity
from ffnn_xp.network.layout import Layout
from ffnn_xp.network.sweeps import Network, forward
from ffnn_xp.network.symmetries import aligned, canonical

from ..model.test_copies import square, square_curvature, square_slope

EVERY = pytest.mark.parametrize("name", ACTIVATIONS)
SEEDS = pytest.mark.parametrize("seed", range(5))


def net(name: str) -> Network:
    return Network(Layout((3, 5, 4, 2)), (ACTIVATIONS[name], ACTIVATIONS[name], identity))


def disguised(network: Network, theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same function with units permuted, turned over and rescaled, written out unit by unit."""
    M = [A.copy() for A in network.layout.matrices(np, theta)]
    for l, f in enumerate(network.activations[:-1]):
        order = rng.permutation(len(M[l]))
        M[l], M[l + 1] = M[l][order], M[l + 1][:, [*order, -1]]
        for i in range(len(M[l])):
            if f.mirror is not None and rng.random() < 0.5:
                s, c = f.mirror
                M[l][i] *= -1
                M[l + 1][:, -1] += c * M[l + 1][:, i]
                M[l + 1][:, i] *= s
            if f.homogeneous:
                factor = rng.uniform(0.2, 5)
                M[l][i] *= factor
                M[l + 1][:, i] /= factor
    return network.layout.flatten(np, M)


def same_minimum(network: Network, theta: np.ndarray, other: np.ndarray) -> bool:
    """Every matrix, once its units are aligned, agrees within 1e-4 of its largest element."""
    pairs = zip(*(network.layout.matrices(np, t) for t in (aligned(network, other, theta), theta)), strict=True)
    return all(np.max(np.abs(A - B)) <= 1e-4 * max(np.max(np.abs(A)), np.max(np.abs(B))) for A, B in pairs)


@EVERY
def test_a_mirror_is_one(name: str) -> None:
    f, z = ACTIVATIONS[name], np.linspace(-6, 6, 101)
    if f.mirror is not None:
        np.testing.assert_allclose(f.f(np, -z), f.mirror[0] * f.f(np, z) + f.mirror[1], atol=1e-15)


@EVERY
@SEEDS
def test_same_function_and_one_form(name: str, seed: int) -> None:
    rng, network = np.random.default_rng(seed), net(name)
    theta = rng.normal(size=network.layout.n_parameters)
    other, form = disguised(network, theta, rng), canonical(network, theta)
    x = rng.normal(size=(3, 20))
    y = forward(network, np, theta, x).y
    for same in (other, form):
        np.testing.assert_allclose(forward(network, np, same, x).y, y, rtol=1e-10, atol=1e-10 * np.abs(y).max())
    np.testing.assert_allclose(canonical(network, form), form, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(canonical(network, other), form, rtol=1e-9, atol=1e-10)
    assert same_minimum(network, theta, other)
    assert same_minimum(network, theta, other * (1 + 1e-6 * rng.normal(size=theta.shape)))
    assert not same_minimum(network, theta, rng.normal(size=theta.shape))


def test_ones_own_activation_keeps_its_mirror() -> None:
    own = Activation("square", square, square_slope, square_curvature, mirror=(1.0, 0.0))
    assert pickle.loads(pickle.dumps(own)).mirror == (1.0, 0.0)
    assert Activation("square", square, square_slope, square_curvature).mirror is None


def test_zero_rows_and_one_layer_are_left_alone() -> None:
    assert canonical(net("relu"), np.zeros(54)).tolist() == [0.0] * 54
    line = Network(Layout((2, 1)), (identity,))
    assert canonical(line, np.array([-1.0, 2, 3])).tolist() == [-1, 2, 3]
