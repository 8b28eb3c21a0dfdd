"""Hessian, Gauss-Newton matrix and products agree with automatic differentiation, however they are computed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from ffnn_xp import Backend, get_backend
from ffnn_xp.backends.tuning import BackendTuning
from ffnn_xp.network import hessian
from ffnn_xp.network.activations import ACTIVATIONS
from ffnn_xp.network.layout import Layout
from ffnn_xp.network.sweeps import forward

from ..oracles.autodiff import AUTODIFF
from ..oracles.loops import QUANTITIES, Case, assert_close, library, make_case


@cache
def remembered(case: Case, backend: Backend) -> dict[str, np.ndarray]:
    """One computation for both oracles."""
    return library(case, backend)


@pytest.mark.slow
@pytest.mark.parametrize("oracle", sorted(AUTODIFF))
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation_against_automatic_differentiation(backend: Backend, name: str, oracle: str) -> None:
    """Two hidden layers and an output, all with this nonlinearity, weighted events."""
    case = make_case((3, 4, 3, 2), name, name)
    want = AUTODIFF[oracle](case)
    found = remembered(case, backend)
    for quantity in QUANTITIES:
        assert_close(found[quantity], want[quantity], 1e-10, quantity)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("oracle", "widths"),
    [("torch", w) for w in [(2, 3), (1, 1), (3, 2, 1), (2, 3, 2, 4, 2), (1, 5, 1)]] + [("jax", (2, 3, 2, 4, 2))],
)
def test_every_depth_against_automatic_differentiation(backend: Backend, widths: tuple[int, ...], oracle: str) -> None:
    """From no hidden layer to three; widths that differ, so that no two axes can be confused."""
    case = make_case(widths, "tanh", "softplus", weighted=False)
    want = AUTODIFF[oracle](case)
    found = remembered(case, backend)
    for quantity in QUANTITIES:
        assert_close(found[quantity], want[quantity], 1e-10, quantity)


@pytest.mark.parametrize(("way", "widths"), [("by_rows", (3, 2, 4, 2)), ("by_units", (2, 4, 3, 2))])
def test_each_sum_over_outputs(
    backend: Backend, way: str, widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever is cheaper for a network; widths of their own, since a compiler remembers."""
    monkeypatch.setattr(hessian, "cheapest", lambda layout, k, cost: getattr(hessian, way))
    case = make_case(widths, "tanh", "softplus")
    found, want = library(case, backend, quantities=("gauss_newton",)), AUTODIFF["torch"](case)
    assert_close(found["gauss_newton"], want["gauss_newton"], 1e-10, way)


def test_the_cheapest_way_of_each_kind() -> None:
    """Measured (`benchmarks/objective.py --ways`): rows of small ones, units of wide ones, else the closed form."""
    kinds = [((1, 10, 1), hessian.by_rows), ((8, 50, 1), hessian.by_units), ((8, 20, 20, 6), None)]
    for widths, way in kinds:
        assert hessian.cheapest(Layout(widths), widths[-1], BackendTuning().multiplication_on_cpu) is way
    assert (
        hessian.cheapest(Layout((8, 50, 1)), 1, BackendTuning().multiplication_on_gpu) is hessian.by_rows
    )  # whose products cost next to nothing


@pytest.mark.parametrize("chunk", [1, 3])
def test_matrices_from_chunks_of_events(backend: Backend, chunk: int) -> None:
    case = make_case((2, 3, 2, 4, 2), "tanh", "softplus", weighted=False)
    matrices = ("gauss_newton", "hessian")
    found, whole = library(case, backend, chunk, matrices), library(case, backend, quantities=matrices)
    for quantity in matrices:
        assert_close(found[quantity], whole[quantity], 1e-13, quantity)


@pytest.mark.slow
def test_matrices_are_symmetric_and_gauss_newton_is_never_negative(backend: Backend) -> None:
    found = library(make_case((3, 4, 3, 2), "gelu", "tanh"), backend)
    for quantity in ("gauss_newton", "hessian"):
        assert_close(found[quantity], found[quantity].T, 1e-14, quantity)
    eigenvalues = np.linalg.eigvalsh(found["gauss_newton"])
    assert eigenvalues[0] > -1e-13 * eigenvalues[-1]
    assert np.linalg.eigvalsh(found["hessian"])[0] < -1e-3 * eigenvalues[-1]  # this point is no minimum


def test_products_are_those_of_the_matrices(backend: Backend) -> None:
    case = make_case((3, 4, 3, 2), "silu", "logistic")
    found = library(case, backend)
    for quantity in ("gauss_newton", "hessian"):
        assert_close(found[f"{quantity}_product"], found[quantity] @ case.direction, 1e-13, quantity)


def test_a_linear_model_has_no_other_curvature_than_gauss_newtons(backend: Backend) -> None:
    """One identity layer: S is a quadratic, whose matrix is the normal equations' X^T W X."""
    case = make_case((3, 2), output="identity")
    found = library(case, backend)
    assert_close(found["hessian"], found["gauss_newton"], 1e-15)
    X = np.hstack([case.x, np.ones((case.n, 1))])
    want = np.zeros((8, 8))
    for k in range(2):
        want[4 * k : 4 * k + 4, 4 * k : 4 * k + 4] = X.T @ (case.second[:, k, None] * X)
    assert_close(found["gauss_newton"], want, 1e-14)


def test_where_residuals_vanish_the_hessian_is_gauss_newtons() -> None:
    case = make_case((2, 3, 2), "tanh")
    numpy = get_backend("numpy")
    perfect = replace(case, y=forward(case.network, np, case.theta, case.x.T).y.T)
    found = library(perfect, numpy)
    assert found["value"] == 0
    assert_close(found["hessian"], found["gauss_newton"], 1e-14)
    assert_close(found["hessian_product"], found["gauss_newton_product"], 1e-14)
