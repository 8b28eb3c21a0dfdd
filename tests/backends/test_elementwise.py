"""What a library does in one pass is what the formula says; and the formula is what is left where it cannot."""

from __future__ import annotations

import types

import numpy as np
import pytest

from ffnn_xp import Activation, Backend
from ffnn_xp.backends import above_ones, compiles, elementwise, erf, multiplication, pairs, total, writable
from ffnn_xp.network.activations import relu, tanh


def test_tanh_and_its_step_back(backend: Backend, rng: np.random.Generator) -> None:
    z, delta = rng.normal(size=(2, 3, 7))
    a = elementwise.tanh(backend.xp, backend.to_device(z))
    np.testing.assert_allclose(backend.to_host(a), np.tanh(z), rtol=1e-12)
    found = elementwise.tanh_back(backend.xp, backend.to_device(delta), backend.to_device(z), a)
    np.testing.assert_allclose(backend.to_host(found), delta * (1 - np.tanh(z) ** 2), rtol=1e-11)


@pytest.mark.parametrize("replicas", [(), (3,)])
@pytest.mark.parametrize("activation", [relu, tanh])
def test_a_nonlinearity_leaves_the_ones_alone(
    backend: Backend, activation: Activation, replicas: tuple[int, ...], rng: np.random.Generator
) -> None:
    z = rng.normal(size=(*replicas, 2, 5))
    f = above_ones(backend.xp, activation.f, writes=activation.takes_out)
    a, augmented = map(backend.to_host, f(backend.to_device(z)))
    np.testing.assert_allclose(a, activation.f(np, z), rtol=1e-12)
    np.testing.assert_array_equal(augmented[..., :-1, :], a)
    np.testing.assert_array_equal(augmented[..., -1, :], np.ones((*replicas, 5)))


@pytest.mark.parametrize("h", [1, 4])
def test_each_pair_once(backend: Backend, h: int) -> None:
    a = backend.to_device(np.zeros((h, 1)))
    i, j, place = (np.asarray(backend.to_host(b), dtype=int) for b in pairs(backend.xp, h, a))
    assert list(zip(i, j, strict=True)) == [(i, j) for i in range(h) for j in range(i + 1)]
    np.testing.assert_array_equal(i[place].reshape(h, h), np.maximum.outer(range(h), range(h)))
    np.testing.assert_array_equal(j[place].reshape(h, h), np.minimum.outer(range(h), range(h)))


def test_products_cost_less_on_a_gpu(backend: Backend) -> None:
    found = multiplication(backend.xp, backend.to_device(np.zeros(1)))
    on_cpu, on_gpu = backend.tuning.multiplication_on_cpu, backend.tuning.multiplication_on_gpu
    assert found == (on_gpu if backend.on_gpu else on_cpu)
    assert on_gpu < on_cpu


def test_a_library_that_we_do_not_know_gets_the_formulas(rng: np.random.Generator) -> None:
    """One that says no more than the standard does; the error function it has to bring."""
    strict = pytest.importorskip("array_api_strict")
    xp = types.ModuleType("unknown")
    vars(xp).update(vars(strict), __name__="unknown")
    z, delta = rng.normal(size=(2, 2, 3))
    a = elementwise.tanh(xp, strict.asarray(z))
    back = elementwise.tanh_back(xp, strict.asarray(delta), strict.asarray(z), a)
    np.testing.assert_allclose(np.asarray(back), delta * (1 - np.tanh(z) ** 2), rtol=1e-11)
    assert above_ones(xp, elementwise.tanh)(strict.asarray(z))[1].shape == (3, 3)
    assert float(total(xp, a)) == pytest.approx(np.tanh(z).sum(), rel=1e-12)
    assert not writable(xp)
    assert not compiles(xp)
    with pytest.raises(NotImplementedError, match="unknown has no error function: write `erf` in the class"):
        erf(xp, a)


def test_the_choice_of_a_library_is_made_once(backend: Backend) -> None:
    """A layer calls the library's own tanh, with no look-up at each gradient."""
    own = type(backend)
    assert elementwise._own(backend.xp, elementwise.tanh) == own.tanh
    assert elementwise._own(backend.xp, elementwise.tanh_back) == own.tanh_back
    assert elementwise._own(backend.xp, relu.f) is relu.f
