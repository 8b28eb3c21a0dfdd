"""Linear bands of predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ffnn_xp import Backend, Model, NotFittedError, get_backend, to_numpy
from ffnn_xp.data.standardization import Scaling
from ffnn_xp.network.activations import identity
from ffnn_xp.network.layout import Layout
from ffnn_xp.network.sweeps import Network, jacobian
from ffnn_xp.uncertainty.covariance import Spectrum
from ffnn_xp.uncertainty.linear_band import LinearBand

RNG = np.random.default_rng(11)


@pytest.mark.slow
def test_a_networks_band_is_j_sigma_j(backend: Backend) -> None:
    """In raw units with the raw covariance: the same numbers as from the standardised network."""
    x = RNG.normal(50, 10, (80, 2))
    y = 1e3 * np.stack([np.tanh((x[:, 0] - 50) / 10), x[:, 0] / 50 + x[:, 1] / 50], axis=1)
    model = Model((2, 3, 2), backend=backend, seed=2)
    fit = model.fit(x, y, [20.0, 5.0], prior=1.0, restarts=3)
    assert fit.valid
    at = x[:5]
    std = to_numpy(model.predict(at, return_std=True)[1])
    J = jacobian(model.network, np, fit.parameters, at.T)
    want = np.sqrt(np.einsum("kni,ij,knj->nk", J, fit.covariance, J))
    np.testing.assert_allclose(std, want, rtol=1e-6)


def test_many_events_in_chunks() -> None:
    model = Model((1, 2, 1), backend="numpy", seed=1)
    x = np.linspace(-1, 1, 50)
    model.fit(x, np.tanh(x), 0.1, prior=1.0, restarts=1)
    whole = model.predict(x, return_std=True)[1]
    model._band = replace(model._band, jacobian_bytes=8 * 7 * 3)
    np.testing.assert_allclose(model.predict(x, return_std=True)[1], whole, rtol=1e-12)


def test_what_the_data_leave_open_is_infinite(backend: Backend) -> None:
    """The second input is constant: its weight and the bias are known as a sum only, and so is no other value of it."""
    x = np.stack([np.linspace(-1, 1, 20), np.full(20, 3.0)], axis=1)
    y = 2 * x[:, 0] + 1
    model = Model((2, 1), backend=backend, seed=1)
    fit = model.fit(x, y, 0.1, restarts=1, prior=None)
    assert fit.n_null == 1
    assert np.isfinite(fit.errors[0])
    assert np.isinf(fit.errors[1])
    assert np.isinf(fit.errors[2])
    std = to_numpy(model.predict([[0.0, 3.0], [0.5, 3.0], [0.0, 4.0]], return_std=True)[1])
    assert np.isfinite(std[:2]).all()
    assert np.isinf(std[2])
    assert std[0] == pytest.approx(0.1 / np.sqrt(20), rel=1e-6)


def test_a_null_direction_among_parameters_of_unequal_size(backend: Backend) -> None:
    """x_1 = x_0 / 10^4 always: theta_0 + theta_1 / 10^4 is known. A prediction that keeps to the rule is finite."""
    layout = Layout((2, 1))
    x = np.stack([np.linspace(-1, 1, 9), 1e-4 * np.linspace(-1, 1, 9)])
    X = np.vstack([x, np.ones(9)])
    one = Scaling(layout, np.zeros(2), np.ones(2), np.zeros(1), np.ones(1))
    shape = Spectrum.of_hessian(2 * X @ X.T, 1.0)
    assert shape.n_unidentified == 1
    band = LinearBand(np.zeros(3), one, shape)
    at = backend.to_device(np.array([[1.0, 0.5, 1.0], [1e-4, 0.5e-4, -1e-4]]))
    std = backend.to_host(band.std(Network(layout, (identity,)), backend, at))[0]
    assert np.isfinite(std[:2]).all()
    assert np.isinf(std[2])
    assert std[0] == pytest.approx(np.sqrt(1 / 9 + 1 / np.sum(x[0] ** 2)), rel=1e-6)


def test_no_fit_no_band() -> None:
    with pytest.raises(NotFittedError, match="no error band: the model has not been fitted"):
        Model((1, 1), backend="numpy").predict([1.0], return_std=True)


def _band_of(matrix: list[list[float]], output: str, unidentified: list[float]) -> tuple[Network, LinearBand]:
    """Return a network without hidden layers, and its band where one direction of its parameters is unidentified."""
    model = Model.from_matrices([matrix], output=output, backend="numpy")
    p = model.n_parameters
    U = np.array(unidentified, dtype=float)[:, None]
    spectrum = Spectrum(np.zeros((p, 0)), U / np.linalg.norm(U), np.ones(p), np.zeros((p, 0)))
    layout, (k, _) = model.network.layout, np.shape(matrix)
    scaling = Scaling(layout, np.zeros(1), np.ones(1), np.zeros(k), np.ones(k))
    return model.network, LinearBand(np.array(matrix, dtype=float).ravel(), scaling, spectrum)


@pytest.mark.parametrize("bias", [0.0, 50.0, 800.0, -800.0])
@pytest.mark.parametrize("output", ["logistic", "tanh"])
def test_a_probability_of_one_depends_on_the_direction_that_its_logit_depends_on(output: str, bias: float) -> None:
    """There its slope is zero up to rounding, and asked of itself it would depend on nothing."""
    network, band = _band_of([[0.0, bias]], output, [0.0, 1.0])
    assert np.isinf(band.std(network, get_backend("numpy"), np.zeros((1, 1)))).all()
    network, band = _band_of([[0.0, bias]], output, [1.0, 0.0])
    assert band.std(network, get_backend("numpy"), np.zeros((1, 1))).tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("biases", "direction", "infinite"),
    [
        ([0.0, 0.0, 0.0], [1, 1, 1], [False, False, False]),  # the common shift changes no probability
        ([0.0, 0.0, 0.0], [1, 0, 0], [True, True, True]),
        ([900.0, 0.0, 0.0], [1, 0, 0], [True, True, True]),  # 1, 0 and 0: the first is 1 less what is open
        ([-900.0, 0.0, 0.0], [1, 0, 0], [True, False, False]),  # the others share what the first does not take
        ([0.0, 0.0, -900.0], [0, 1, 0], [True, True, True]),
        ([900.0, 0.0, 0.0], [0, 1, -1], [False, True, True]),
    ],
)
def test_which_probabilities_depend_on_a_direction(
    biases: list[float], direction: list[int], infinite: list[bool]
) -> None:
    flat = np.column_stack([np.zeros(3), direction]).ravel().tolist()
    network, band = _band_of([[0.0, b] for b in biases], "softmax", flat)
    std = band.std(network, get_backend("numpy"), np.zeros((1, 1)))[:, 0]
    assert np.isinf(std).tolist() == infinite
    assert (std[~np.isinf(std)] == 0).all()


def test_where_derivatives_overflow_the_band_is_infinite(backend: Backend) -> None:
    """The prediction itself may be finite there: exp(-exp(1000)) is 0, its derivative 0 times infinity."""
    model = Model((1, 1, 1), activation="exp", output="exp", backend=backend, seed=1)
    x = np.linspace(-1, 1, 30)
    fit = model.fit(x, np.exp(-np.exp(x)), 0.01, prior=3.0, restarts=1, start=np.array([1.0, 0.0, -1.0, 0.0]))
    assert fit.valid
    mean, std = (to_numpy(a) for a in model.predict([0.0, 1e4], return_std=True))
    assert mean[1] == 0
    assert np.isfinite(std[0])
    assert std[1] == np.inf
    band = fit.band([0.0, 1e4])
    assert (band.low[1], band.high[1]) == (0, np.inf)
    assert list(band.status) == ["", "overflows"]


def test_a_prior_has_no_share_of_what_nothing_determines(backend: Backend) -> None:
    one = Scaling(Layout((1, 1)), np.zeros(1), np.ones(1), np.zeros(1), np.ones(1))
    band = LinearBand(np.zeros(2), one, Spectrum.of_hessian(np.zeros((2, 2)), 1.0))
    network, x = Network(Layout((1, 1)), (identity,)), backend.to_device(np.array([[1.0, 2.0]]))
    assert np.all(np.isinf(backend.to_host(band.std(network, backend, x))))
    assert np.all(np.isnan(backend.to_host(band.prior_share(network, backend, x, np.ones(2)))))
