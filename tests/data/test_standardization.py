"""The affine map between raw and standardised theta: what it says about outputs, and its algebra."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ffnn_xp as fx
from ffnn_xp import Model, get_backend
from ffnn_xp.data import Measurements, Scaling, moments_of, read, scaling_of
from ffnn_xp.network.activations import ACTIVATIONS
from ffnn_xp.network.layout import Layout
from ffnn_xp.network.sweeps import Network, forward

from ..oracles.loops import assert_close

NUMPY = get_backend("numpy")


@st.composite
def scalings(draw: st.DrawFn) -> tuple[Scaling, np.random.Generator]:
    """Any widths from one layer to three, means and scales over some orders of magnitude."""
    widths = tuple(draw(st.lists(st.integers(1, 4), min_size=2, max_size=4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    d, k = widths[0], widths[-1]
    return (
        Scaling(
            Layout(widths),
            x_mean=rng.normal(0, 10, d),
            x_scale=10 ** rng.uniform(-2, 2, d),
            y_mean=rng.normal(0, 10, k),
            y_scale=10 ** rng.uniform(-2, 2, k),
        ),
        rng,
    )


@pytest.mark.slow
@given(scalings(), st.sampled_from([(), (3,)]))
@settings(deadline=None, max_examples=60)
def test_there_and_back(drawn: tuple[Scaling, np.random.Generator], replicas: tuple[int, ...]) -> None:
    s, rng = drawn
    theta = rng.normal(size=(*replicas, s.layout.n_parameters))
    assert_close(s.to_standard(s.to_raw(theta)), theta, 1e-9)
    raw = s.to_raw(theta)
    assert_close(s.to_raw(s.to_standard(raw)), raw, 1e-9)


@given(scalings())
@settings(deadline=None, max_examples=60)
def test_adjoints(drawn: tuple[Scaling, np.random.Generator]) -> None:
    """<M v, g> = <v, M^T g>, and M^-T undoes M^T."""
    s, rng = drawn
    v, g = rng.normal(size=(2, s.layout.n_parameters))
    size = np.linalg.norm(s.linear(v)) * np.linalg.norm(g)
    assert abs(s.linear(v) @ g - v @ s.transpose(g)) <= 1e-12 * size
    assert_close(s.inverse_transpose(s.transpose(g)), g, 1e-9)
    assert_close(s.transpose(s.inverse_transpose(g)), g, 1e-9)


@given(scalings())
@settings(deadline=None, max_examples=60)
def test_linear_is_the_linear_part(drawn: tuple[Scaling, np.random.Generator]) -> None:
    s, rng = drawn
    theta, v = rng.normal(size=(2, s.layout.n_parameters))
    assert_close(s.to_raw(theta + v) - s.to_raw(theta), s.linear(v), 1e-8)
    assert np.array_equal(s.linear(np.zeros_like(v)), np.zeros_like(v))


@given(scalings())
@settings(deadline=None, max_examples=60)
def test_the_raw_network_is_the_standardised_one(drawn: tuple[Scaling, np.random.Generator]) -> None:
    """y(x; theta_raw) = s_y y_std((x - m_x)/s_x; theta_std) + m_y: exact, and so is what follows from it."""
    s, rng = drawn
    names = ["tanh"] * (s.layout.n_layers - 1) + ["identity"]
    network = Network(s.layout, tuple(ACTIVATIONS[name] for name in names))
    theta = rng.normal(size=s.layout.n_parameters)
    z = rng.normal(size=(s.layout.widths[0], 5))
    x = z * s.x_scale[:, None] + s.x_mean[:, None]
    y_std = forward(network, np, theta, z).y
    y = forward(network, np, s.to_raw(theta), x).y
    want = y_std * s.y_scale[:, None] + s.y_mean[:, None]
    size = np.max(np.abs(want)) + np.max(np.abs(s.y_scale * (1 + np.abs(y_std).T)))
    assert np.max(np.abs(y - want)) <= 1e-8 * size


def test_in_literal_numbers() -> None:
    """y_std = 1 x_std + 2, x_std = (x - 3)/2, y = 10 y_std + 5: y = 5 x + 10."""
    s = Scaling(Layout((1, 1)), np.array([3.0]), np.array([2.0]), np.array([5.0]), np.array([10.0]))
    assert s.to_raw(np.array([1.0, 2.0])).tolist() == [5, 10]
    assert s.to_standard(np.array([5.0, 10.0])).tolist() == [1, 2]
    assert s.linear(np.array([1.0, 2.0])).tolist() == [5, 5]
    # M = ((5, 0), (-15, 10)), so M^T (1, 2) = (5 - 30, 20) and M^-T = ((1/5, 3/10), (0, 1/10))
    assert s.transpose(np.array([1.0, 2.0])).tolist() == [-25, 20]
    np.testing.assert_allclose(s.inverse_transpose(np.array([1.0, 2.0])), [0.8, 0.2], rtol=1e-14)


def test_a_covariance_goes_along() -> None:
    """Sigma_raw = M Sigma M^T, row by row of its factor; checked against the matrix M itself."""
    rng = np.random.default_rng(1)
    s = Scaling(Layout((2, 3, 2)), rng.normal(size=2), rng.uniform(1, 9, 2), rng.normal(size=2), rng.uniform(1, 9, 2))
    F = rng.normal(size=(17, 17))
    M = s.linear(np.eye(17)).T
    half = s.linear(F @ F.T)
    assert_close(s.linear(half.T), M @ F @ F.T @ M.T, 1e-12)
    assert_close(s.transpose(np.eye(17)), M, 1e-15)


def of(output: str, x: Any, y: Any) -> Scaling:
    checked = read(Model((None, None), output=output, backend=NUMPY), Measurements(x, y))
    network = Network(Layout((int(checked.data.x.shape[0]), int(checked.data.y.shape[0]))), (ACTIVATIONS[output],))
    return scaling_of(network, NUMPY, moments_of(network, NUMPY, checked.data, checked.loss), checked.loss)


X = np.array([[1.0, 100.0], [3.0, 100.0], [5.0, 100.0]])
Y = np.array([[2.0, -4.0], [4.0, -4.0], [6.0, -4.0]])
WIDTH = np.sqrt(8 / 3)


def test_inputs_to_mean_zero_and_width_one() -> None:
    """A constant column has no width and keeps its own."""
    s = of("identity", X, Y)
    np.testing.assert_allclose(s.x_mean, [3, 100], rtol=1e-15)
    np.testing.assert_allclose(s.x_scale, [WIDTH, 1], rtol=1e-15)


@pytest.mark.parametrize(
    ("output", "mean", "scale"),
    [
        ("identity", [4, -4], [WIDTH, 1]),
        ("relu", [0, 0], [np.sqrt(16 + 8 / 3), 4]),
        ("leaky_relu", [0, 0], [np.sqrt(16 + 8 / 3), 4]),
        ("softplus", [0, 0], [1, 1]),
        ("tanh", [0, 0], [1, 1]),
        ("exp", [0, 0], [1, 1]),
    ],
)
def test_targets_as_far_as_the_output_allows(output: str, mean: list[float], scale: list[float]) -> None:
    s = of(output, X, Y)
    np.testing.assert_allclose(s.y_mean, mean, rtol=1e-15)
    np.testing.assert_allclose(s.y_scale, scale, rtol=1e-14)


def test_targets_that_are_zero_have_scale_one() -> None:
    assert of("relu", X, np.zeros(3)).y_scale.tolist() == [1]
    assert of("identity", X, np.zeros(3)).y_scale.tolist() == [1]


def test_a_column_that_is_constant_up_to_rounding_is_constant() -> None:
    """1e8 + (0, 1, 2) ulp: its width is noise of the last digit."""
    x = 1e8 + np.spacing(1e8) * np.array([0, 1, 0.0])
    assert of("identity", x, np.arange(3.0)).x_scale.tolist() == [1]


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1e-140, 1e-100, 1e-20, 1e20, 1e100, 1e140])
@pytest.mark.parametrize("what", ["x", "y"])
def test_units_do_not_matter(what: str, unit: float) -> None:
    """Values far from one are no more constant than others: a fit in any units is the same."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, 60)
    y = np.tanh(2 * x) + 0.1 * rng.normal(size=60)
    want = fx.Model((1, 2, 1), seed=1).fit(x, y, 0.1, prior=3.0)
    sx, sy = (unit, 1.0) if what == "x" else (1.0, unit)
    model = fx.Model((1, 2, 1), seed=1)
    fit = model.fit(sx * x, sy * y, sy * 0.1, prior=3.0)
    assert fit.valid
    assert fit.chi2 == pytest.approx(want.chi2, rel=1e-4)
    std = model.predict(sx * x[:5], return_std=True, kind="prediction")[1] / sy
    np.testing.assert_array_less(0.1, std)
    np.testing.assert_array_less(std, 0.15)


@pytest.mark.parametrize("unit", [5e-324, 1e-310, 1e-300, 1e-165, 1e-160, 1e160, 1e165, 1e300, 8e307])
@pytest.mark.parametrize("what", ["x", "y"])
def test_units_whose_squares_are_no_numbers_are_refused(what: str, unit: float) -> None:
    x = np.arange(-10.0, 10.0) / 10
    sx, sy = (unit, 1.0) if what == "x" else (1.0, unit)
    with pytest.raises(ValueError, match=f"`{what}` cannot be standardised: .* overflow or underflow .* other units"):
        fx.Model((1, 2, 1), seed=1).fit(sx * x, sy * x, sy, prior=None)


def test_one_tiny_value_is_no_constant() -> None:
    with pytest.raises(ValueError, match="`x` cannot be standardised"):
        fx.Model((1, 1), seed=1).fit(np.append(np.zeros(9), 1e-200), np.arange(10.0), 1.0, prior=None)


@pytest.mark.parametrize("unit", [1e153, 1e160])
def test_values_on_both_sides_of_zero_whose_squares_overflow_are_refused(unit: float) -> None:
    with pytest.raises(ValueError, match="`x` cannot be standardised"):
        of("identity", unit * np.array([-1.0, 1.0, -1.0, 1.0]), np.arange(4.0))
