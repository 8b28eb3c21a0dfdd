"""The prior is Gaussian in the standardised parameters, whatever the units of the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ffnn_xp as fx
from ffnn_xp import Backend, GaussianPrior, Model
from ffnn_xp.data.standardization import Scaling
from ffnn_xp.losses import get_loss
from ffnn_xp.network.layout import Layout
from ffnn_xp.objective.prior import layer_precision, network_precision

from ..oracles.loops import assert_close, central_gradient

LAYOUT = Layout((2, 3, 2))
P = LAYOUT.n_parameters
RNG = np.random.default_rng(7)
SCALING = Scaling(LAYOUT, RNG.normal(size=2), RNG.uniform(0.5, 3, 2), RNG.normal(size=2), RNG.uniform(0.5, 3, 2))
EITHER = pytest.mark.parametrize("scaling", [None, SCALING], ids=["standardised", "raw"])


@pytest.mark.parametrize("tau", [1e20, 1e200, 1e300, np.float64(1e300), np.float32(1e30)])
def test_a_prior_too_wide_to_matter_is_none(tau: float) -> None:
    x = np.linspace(-2, 2, 30)
    want = Model((1, 1), seed=1).fit(x, np.tanh(x), 0.1, prior=None)
    fit = Model((1, 1), seed=1).fit(x, np.tanh(x), 0.1, prior=tau)
    assert fit.valid
    np.testing.assert_allclose(fit.parameters, want.parameters, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fit.errors, want.errors, rtol=1e-6)


def test_the_narrowest_prior_leaves_the_mean() -> None:
    x = np.linspace(-2, 2, 30)
    y = 5 + np.sin(x)
    model = Model((1, 3, 1), seed=1)
    assert model.fit(x, y, 1.0, prior=1e-8).valid
    mean, std = model.predict(x, return_std=True)
    np.testing.assert_allclose(mean, np.mean(y), rtol=1e-6)
    np.testing.assert_allclose(std, 1 / np.sqrt(30), rtol=1e-6)


def test_in_literal_numbers() -> None:
    """precision = 1/tau^2: (1/1)^2 + (4/2)^2 = 5."""
    prior = GaussianPrior(np.array([1.0, 0.25]))
    assert prior.value(np.array([1.0, 4.0])) == 5.0
    assert prior.gradient(np.array([1.0, 4.0])).tolist() == [2.0, 2.0]
    assert prior.hessian().tolist() == [[2.0, 0.0], [0.0, 0.5]]
    assert prior.product(np.array([1.0, 2.0])).tolist() == [2.0, 1.0]


def test_in_raw_units_it_is_about_the_standardised_parameters() -> None:
    prior = GaussianPrior(RNG.uniform(0, 2, P), SCALING)
    phi = RNG.normal(size=P)
    assert prior.value(SCALING.to_raw(phi)) == pytest.approx(GaussianPrior(prior.precision).value(phi), rel=1e-12)


@EITHER
@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_derivatives_belong_to_the_value(scaling: Scaling | None, seed: int) -> None:
    """It is a quadratic: differences have no error from the series, only from rounding."""
    rng = np.random.default_rng(seed)
    prior = GaussianPrior(rng.uniform(0, 2, P), scaling)
    theta, v = rng.normal(size=(2, P))
    assert_close(prior.gradient(theta), central_gradient(prior.value, theta), 1e-7)
    assert_close(prior.hessian(), central_gradient(prior.gradient, theta), 1e-8)
    assert_close(prior.hessian(), prior.hessian().T, 1e-12)
    assert_close(prior.product(v), prior.hessian() @ v, 1e-12)


@EITHER
def test_it_has_its_minimum_where_the_standardised_parameters_are_zero(scaling: Scaling | None) -> None:
    prior = GaussianPrior(np.ones(P), scaling)
    at = np.zeros(P) if scaling is None else scaling.to_raw(np.zeros(P))
    assert prior.value(at) == pytest.approx(0, abs=1e-25)
    assert np.linalg.eigvalsh(prior.hessian())[0] > 0


def test_widths_of_the_default_prior() -> None:
    """(d, h, k) = (2, 3, 2), tau = 1/2: weights 1/tau^2 times the number of columns, biases 1/tau^2, the last free."""
    first, second = LAYOUT.matrices(np, layer_precision(LAYOUT, 0.5))
    assert first.tolist() == [[8, 8, 4]] * 3
    assert second.tolist() == [[12, 12, 12, 0]] * 2


@pytest.mark.parametrize("errordef", [1.0, 0.5])
def test_in_a_cost(backend: Backend, errordef: float) -> None:
    """S + errordef times the prior, in value, gradient, both matrices and both products, once each."""
    x, y = RNG.normal(size=(9, 2)), RNG.normal(size=(9, 2))
    model = Model((2, 3, 2), backend=backend, seed=1)
    prior = GaussianPrior(RNG.uniform(0, 2, P), SCALING)
    kind = type("Own", (fx.LeastSquares,), {"errordef": errordef})
    bare, held = kind(x, y, 0.5, model), kind(x, y, 0.5, model, prior=prior)
    theta, v = RNG.normal(size=(2, P))
    assert held(theta) - bare(theta) == pytest.approx(errordef * prior.value(theta), rel=1e-10)
    assert held.chi2(theta) == pytest.approx(bare(theta), rel=1e-12)
    assert_close(held.grad(theta) - bare.grad(theta), errordef * prior.gradient(theta), 1e-10)
    for matrix in ("hessian", "gauss_newton"):
        added = getattr(held, matrix)(theta) - getattr(bare, matrix)(theta)
        assert_close(added, errordef * prior.hessian(), 1e-9)
        product = getattr(held, f"{matrix}_product")(theta, v) - getattr(bare, f"{matrix}_product")(theta, v)
        assert_close(product, errordef * prior.hessian() @ v, 1e-9)


def test_a_prior_of_another_length_is_refused() -> None:
    model = Model((2, 3, 2), backend="numpy", seed=1)
    with pytest.raises(ValueError, match="prior"):
        fx.LeastSquares(np.ones((3, 2)), np.ones((3, 2)), 0.5, model, prior=GaussianPrior(np.ones(P - 1)))


@pytest.mark.parametrize("wrong", [0, -1.0, np.nan, np.inf, "1"])
def test_a_width_that_is_none(wrong: object) -> None:
    with pytest.raises((ValueError, TypeError), match="`prior` must be a positive width"):
        Model((2, 3, 2), backend="numpy").fit(np.ones((3, 2)), np.ones((3, 2)), 0.5, prior=wrong)


def test_a_strong_prior_holds_the_weights() -> None:
    """As the width goes to zero the standardised weights do: the fit is the mean of the targets."""
    x = np.linspace(-1, 1, 40)
    y = 5 + np.tanh(3 * x)
    model = Model((1, 4, 1), backend="numpy", seed=1)
    model.fit(x, y, 0.1, prior=1e-3, restarts=2)
    np.testing.assert_allclose(model.predict(x), np.mean(y), atol=1e-4)
    model.fit(x, y, 0.1, prior=10.0, restarts=2)
    np.testing.assert_allclose(model.predict(x), y, atol=0.1)


@pytest.mark.parametrize(
    ("output", "loss", "want"),
    [
        ("identity", "least_squares", 0.0),
        ("tanh", "least_squares", 0.0),
        ("exp", "least_squares", 0.0),
        ("exp", "poisson", 0.01),
        ("softplus", "poisson", 0.0),
        ("logistic", "binomial", 0.01),
        ("softmax", "multinomial", 0.01),
    ],
)
def test_biases_of_logarithms_and_logits_have_a_wide_prior(output: str, loss: str, want: float) -> None:
    network = Model((1, 2, 2), output=output).network
    P = network_precision(network, 3.0, get_loss(loss).for_output(output))
    assert network.layout.matrices(np, P)[-1][:, -1].tolist() == [want, want]
    assert (np.delete(P, [6, 9]) > 0).all()


def test_it_holds_a_rate_without_counts_and_leaves_others_alone() -> None:
    """At the minimum 2 n exp(b) balances 2 b / 100, b the logarithm of the rate less that of half a count over n."""
    n, x = 40, np.zeros((40, 1))
    fit = Model((1, 1), output="exp", backend="numpy", seed=1).fit(x, np.zeros(n), loss="poisson", prior=1.0)
    b = fit.parameters[1] - np.log(0.5 / n)
    assert n * np.exp(fit.parameters[1]) == pytest.approx(-b / 100, rel=1e-5)
    y = np.full(n, 100.0)
    fit = Model((1, 1), output="exp", backend="numpy", seed=1).fit(x, y, loss="poisson", prior=1.0)
    assert np.exp(fit.parameters[1]) == pytest.approx(100.0, rel=1e-9)
