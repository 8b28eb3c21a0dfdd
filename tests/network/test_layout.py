"""Parameters stand in one vector, row by row of the augmented matrices, and have their names."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffnn_xp import Backend
from ffnn_xp.network.layout import Layout, augment, back_through, bias, join, products, units, weights

from ..oracles import lesson

WIDTHS = st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple)


def test_the_lesson_has_195_parameters() -> None:
    layout = Layout((8, 7, 9, 6))
    assert layout.n_parameters == len(layout.names) == 195
    assert layout.shapes == ((7, 9), (9, 8), (6, 10))
    assert layout.sizes == (63, 72, 60)
    assert layout.offsets == (0, 63, 135, 195)
    assert layout.n_layers == 3


def test_names_stand_where_their_numbers_are() -> None:
    layout = Layout((8, 7, 9, 6))
    theta = np.concatenate([np.hstack([a, b[:, None]]).ravel() for a, b in lesson.PAIRS])
    at = layout.names.index
    assert at("a_L1_L2[3,2]") == 3 * 9 + 2
    assert at("b_L1_L2[3]") == 3 * 9 + 8
    assert at("a_L2_L3[0,0]") == 63
    assert at("b_L3_L4[5]") == 194
    for l, (a, b) in enumerate(lesson.PAIRS, start=1):
        for i, j in np.ndindex(a.shape):
            assert theta[at(f"a_L{l}_L{l + 1}[{i},{j}]")] == a[i, j]
        for i in range(len(b)):
            assert theta[at(f"b_L{l}_L{l + 1}[{i}]")] == b[i]


def test_names_are_unique() -> None:
    names = Layout((12, 3, 11, 1)).names
    assert len(set(names)) == len(names) == 13 * 3 + 4 * 11 + 12


@given(widths=WIDTHS, replicas=st.sampled_from([(), (1,), (3,), (2, 2)]))
@settings(deadline=None, max_examples=50)
def test_theta_and_matrices_round_trip(widths: tuple[int, ...], replicas: tuple[int, ...]) -> None:
    layout = Layout(widths)
    p = sum(h * (below + 1) for below, h in itertools.pairwise(widths))
    theta = np.arange(float(np.prod(replicas) * p)).reshape(*replicas, p)
    matrices = layout.matrices(np, theta)
    assert [A.shape for A in matrices] == [(*replicas, h, below + 1) for below, h in itertools.pairwise(widths)]
    np.testing.assert_array_equal(layout.flatten(np, matrices), theta)


def test_matrices_in_literal_numbers(backend: Backend) -> None:
    layout = Layout((2, 2, 1))
    theta = backend.to_device(np.arange(9.0))
    first, second = (backend.to_host(A) for A in layout.matrices(backend.xp, theta))
    assert first.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert second.tolist() == [[6, 7, 8]]
    flat = layout.flatten(backend.xp, layout.matrices(backend.xp, theta))
    assert backend.to_host(flat).tolist() == list(range(9))
    assert layout.names == (
        "a_L1_L2[0,0]",
        "a_L1_L2[0,1]",
        "b_L1_L2[0]",
        "a_L1_L2[1,0]",
        "a_L1_L2[1,1]",
        "b_L1_L2[1]",
        "a_L2_L3[0,0]",
        "a_L2_L3[0,1]",
        "b_L2_L3[0]",
    )


def test_the_bias_is_the_last_column(backend: Backend) -> None:
    xp = backend.xp
    A = backend.to_device(np.array([[1.0, 2.0, 10.0], [3.0, 4.0, 20.0]]))
    assert backend.to_host(weights(A)).tolist() == [[1, 2], [3, 4]]
    assert backend.to_host(bias(A)).tolist() == [[10], [20]]
    assert backend.to_host(join(xp, weights(A), bias(A))).tolist() == backend.to_host(A).tolist()


def test_the_augmented_vector_carries_the_bias(backend: Backend) -> None:
    xp = backend.xp
    A = backend.to_device(np.array([[1.0, 2.0, 10.0], [3.0, 4.0, 20.0]]))
    a = backend.to_device(np.array([[1.0, 0.0, 5.0], [1.0, -1.0, 6.0]]))
    whole = augment(xp, a)
    assert backend.to_host(whole).tolist() == [[1, 0, 5], [1, -1, 6], [1, 1, 1]]
    assert backend.to_host(units(whole)).tolist() == [[1, 0, 5], [1, -1, 6]]
    assert backend.to_host(A @ whole).tolist() == [[13, 8, 27], [27, 16, 59]]


@pytest.mark.parametrize("replicas", [(), (3,)])
def test_the_bias_goes_with_the_product(backend: Backend, replicas: tuple[int, ...], rng: np.random.Generator) -> None:
    """JAX has a way of its own."""
    (affine, outer), to = products(backend.xp), backend.to_device
    A, a = rng.normal(size=(*replicas, 4, 3)), rng.normal(size=(*replicas, 2, 5))
    whole = np.concatenate([a, np.ones((*replicas, 1, 5))], axis=-2)
    u = rng.normal(size=(*replicas, 4, 5))
    np.testing.assert_allclose(backend.to_host(affine(to(A), to(whole))), A @ whole, rtol=1e-12)
    found = backend.to_host(outer(to(u), to(whole)))
    np.testing.assert_allclose(found, u @ np.swapaxes(whole, -1, -2), rtol=1e-12)


@pytest.mark.parametrize("units_above", [1, 3])
@pytest.mark.parametrize("replicas", [(), (2,)])
def test_the_way_back_is_a_matrix_product(
    backend: Backend, rng: np.random.Generator, units_above: int, replicas: tuple[int, ...]
) -> None:
    """Also of a single unit, where it is computed without one."""
    A, delta = rng.normal(size=(*replicas, units_above, 5)), rng.normal(size=(*replicas, units_above, 7))
    found = backend.to_host(back_through(backend.to_device(A), backend.to_device(delta)))
    np.testing.assert_allclose(found, np.einsum("...ui,...un->...in", A[..., :-1], delta), rtol=1e-13, atol=1e-14)
