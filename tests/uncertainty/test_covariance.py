"""Covariances: what the data determine, what they do not, and what is no minimum."""

from __future__ import annotations

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend, Model, to_numpy
from ffnn_xp.network.layout import Layout
from ffnn_xp.uncertainty.covariance import Spectrum, dead_units, sandwich

from ..oracles.loops import assert_close

ERRORDEFS = pytest.mark.parametrize("errordef", [1.0, 0.5])


def positive(p: int, rank: int | None = None) -> np.ndarray:
    J = np.random.default_rng(p).normal(size=(rank or p + 3, p)) * 10.0 ** np.linspace(-3, 3, p)
    return 2 * J.T @ J


@ERRORDEFS
def test_covariance_is_the_inverse(errordef: float) -> None:
    """Sigma = 2 e H^-1: of a chi-square (e = 1) with H = 2/sigma^2 that is sigma^2, of -log L with 1/sigma^2 too."""
    H = positive(6)
    c = Spectrum.of_hessian(H, errordef)
    want = 2 * errordef * np.linalg.inv(H)
    s = np.sqrt(np.diag(want))
    assert_close(c.covariance / np.outer(s, s), want / np.outer(s, s), 1e-9)
    np.testing.assert_allclose(c.errors, s, rtol=1e-9)
    assert (c.n_unidentified, c.n_negative) == (0, 0)
    assert c.negative_directions.shape == (6, 0)
    assert not c.unidentified_parameters.any()
    sigma = 0.3
    assert Spectrum.of_hessian(np.array([[2 * errordef / sigma**2]]), errordef).errors[0] == pytest.approx(sigma)


@ERRORDEFS
def test_inverse_hessian_for_migrad(errordef: float) -> None:
    H = positive(6)
    inverse = Spectrum.of_hessian(H, errordef).inverse_hessian(errordef)
    s = np.sqrt(np.diag(inverse))
    assert_close(inverse / np.outer(s, s), np.linalg.inv(H) / np.outer(s, s), 1e-9)


def test_units_of_parameters_do_not_matter() -> None:
    """H in other units of theta, here over 8 orders of magnitude: the errors change by just these."""
    H = positive(5)
    units = 10.0 ** np.array([4, 2, 0, -1, -4])
    plain, scaled = Spectrum.of_hessian(H, 1.0), Spectrum.of_hessian(H * np.outer(units, units), 1.0)
    np.testing.assert_allclose(scaled.errors * units, plain.errors, rtol=1e-9)
    assert scaled.n_unidentified == plain.n_unidentified == 0


def test_null_directions_are_counted_and_named() -> None:
    """theta_0 and theta_1 enter as their sum only; theta_3 not at all; theta_2 is alone."""
    a = np.array([1.0, 1.0, 0.0, 0.0])
    H = 2 * np.outer(a, a) + np.diag([0, 0, 8.0, 0])
    c = Spectrum.of_hessian(H, 1.0)
    assert (c.n_unidentified, c.n_negative) == (2, 0)
    assert c.unidentified_parameters.tolist() == [True, True, False, True]
    assert c.errors.tolist() == [np.inf, np.inf, 0.5, np.inf]
    along = np.array([1.0, 1.0, 0, 0])  # the sum is known: its variance is 1
    assert along @ c.covariance @ along == pytest.approx(1.0)
    inverse = c.inverse_hessian(1.0)
    assert np.linalg.eigvalsh(inverse)[0] > 0


def test_a_negative_direction_is_found() -> None:
    H = np.diag([2.0, 8.0, -4.0])
    c = Spectrum.of_hessian(H, 1.0)
    assert c.n_negative == 1
    assert c.n_unidentified == 0
    v = c.scale * c.negative_directions[:, 0]
    assert v @ H @ v < 0
    assert abs(v[2]) == pytest.approx(np.linalg.norm(v))


def test_several_are_in_order_the_steepest_first() -> None:
    H = np.array([[1.0, 3.0, 0, 0], [3, 1, 0, 0], [0, 0, 1, 2], [0, 0, 2, 1]])  # eigenvalues 4, -2, 3, -1
    c = Spectrum.of_hessian(H, 1.0)
    assert c.n_negative == 2
    assert [v @ H @ v for v in c.negative_directions.T] == pytest.approx([-2, -1])
    flat = c.with_negative_directions_unidentified()
    assert (flat.n_negative, flat.n_unidentified) == (0, 2)
    assert flat.unidentified_parameters.all()
    assert c.n_negative == 2


def test_a_matrix_that_is_symmetric_up_to_rounding() -> None:
    H = positive(6)
    noise = 1 + 1e-15 * np.random.default_rng(1).normal(size=H.shape)
    np.testing.assert_allclose(
        Spectrum.of_hessian(H * noise, 1.0).errors, Spectrum.of_hessian(H, 1.0).errors, rtol=1e-4
    )


def test_dead_units_are_named_as_in_the_parameters() -> None:
    layout = Layout((2, 3, 2))
    H = np.eye(layout.n_parameters)
    for i in (3, 4, 5):
        H[i, i] = 0
    assert layout.names[3:6] == ("a_L1_L2[1,0]", "a_L1_L2[1,1]", "b_L1_L2[1]")
    assert dead_units(layout, H) == ["unit 1 of layer L2"]
    H[4, 4] = 1
    assert dead_units(layout, H) == []


class TestAStraightLine:
    """One identity layer is linear regression: every number is known in closed form."""

    x = np.array([0.0, 1.0, 2.0, 5.0, 6.0])
    y = np.array([1.0, 3.2, 4.9, 11.1, 12.8])
    sigma = np.array([0.1, 0.2, 0.1, 0.3, 0.2])

    @property
    def covariance(self) -> np.ndarray:
        X = np.stack([self.x, np.ones(5)], axis=1) / self.sigma[:, None]
        return np.linalg.inv(X.T @ X)

    def fitted(self, backend: Backend) -> tuple[Model, fx.FitResult]:
        model = Model((1, 1), backend=backend, seed=1)
        return model, model.fit(self.x, self.y, self.sigma, restarts=1, prior=None)

    def test_parameters_and_covariance(self, backend: Backend) -> None:
        _, fit = self.fitted(backend)
        want = np.polyfit(self.x, self.y, 1, w=1 / self.sigma)
        assert_close(fit.parameters, want, 1e-7)
        assert_close(fit.covariance, self.covariance, 1e-9)
        np.testing.assert_allclose(fit.errors, np.sqrt(np.diag(self.covariance)), rtol=1e-9)
        assert fit.n_effective == pytest.approx(2)

    def test_band(self, backend: Backend) -> None:
        """sigma_y^2 = (x, 1) Sigma (x, 1)^T, inside and outside of the data."""
        model, _ = self.fitted(backend)
        x = np.array([-100.0, 0.0, 2.5, 6.0, 1000.0])
        mean, std = model.predict(x, return_std=True)
        assert backend.owns(mean)
        assert backend.owns(std)
        X = np.stack([x, np.ones(5)], axis=1)
        np.testing.assert_allclose(to_numpy(std), np.sqrt(np.einsum("ni,ij,nj->n", X, self.covariance, X)), rtol=1e-8)
        assert_close(to_numpy(mean), X @ np.polyfit(self.x, self.y, 1, w=1 / self.sigma), 1e-7)

    def test_errors_that_are_estimated(self, backend: Backend) -> None:
        """sigma^2 = RSS/(n - 2), and the covariance of unit errors times that."""
        model = Model((1, 1), backend=backend, seed=1)
        fit = model.fit(self.x, self.y, restarts=1, prior=None)
        line, covariance = np.polyfit(self.x, self.y, 1, cov=True)
        residual = self.y - np.polyval(line, self.x)
        assert fit.y_error[0] == pytest.approx(np.sqrt(residual @ residual / 3), rel=1e-6)
        assert_close(fit.covariance, covariance, 1e-6)

    def test_offsets_do_not_cost_digits(self) -> None:
        """The same data 1e6 away: errors of the slope and of predictions stay."""
        near, far = Model((1, 1), backend="numpy", seed=1), Model((1, 1), backend="numpy", seed=1)
        fit = near.fit(self.x, self.y, self.sigma, restarts=1, prior=None)
        moved = far.fit(self.x + 1e6, self.y - 1e5, self.sigma, restarts=1, prior=None)
        assert moved.errors[0] == pytest.approx(fit.errors[0], rel=1e-6)
        at = np.array([0.0, 3.0])
        np.testing.assert_allclose(
            far.predict(at + 1e6, return_std=True)[1], near.predict(at, return_std=True)[1], rtol=1e-6
        )


def test_directions_that_owe_their_curvature_to_a_part_of_the_data() -> None:
    """The part's direction is left out whole, also where it is oblique; the rest is the inverse of the rest."""
    rng = np.random.default_rng(3)
    rest = rng.normal(size=(40, 5))
    gone = rng.normal(size=5)
    rest -= np.outer(rest @ gone, gone) / (gone @ gone)  # says nothing along it
    tail = 1e-4 * np.outer(gone, gone)
    spectrum = Spectrum.of_hessian(2 * rest.T @ rest + tail, 1.0).without(tail, 1.0)
    assert spectrum.n_unidentified == 1
    direction = spectrum.scale * spectrum.unidentified[:, 0]
    np.testing.assert_allclose(abs(direction @ gone), np.linalg.norm(direction) * np.linalg.norm(gone), rtol=1e-9)
    np.testing.assert_allclose(spectrum.covariance, np.linalg.pinv(rest.T @ rest), rtol=1e-8, atol=1e-10)


def test_a_part_that_adds_little_takes_nothing_away() -> None:
    spectrum = Spectrum.of_hessian(np.diag([2.0, 8.0]), 1.0)
    assert spectrum.without(np.diag([0.9, 3.9]), 1.0) is spectrum
    assert spectrum.without(np.diag([2.0, 8.0]), 1.0).factor.shape == (2, 0)


def test_where_nothing_is_identified_there_is_nothing_to_replace() -> None:
    nothing = Spectrum.of_hessian(np.zeros((2, 2)), errordef=1.0)
    assert not nothing.factor.shape[1]
    assert sandwich(nothing, np.eye(2), 1.0, None) is nothing
    assert nothing.without(np.eye(2), 1.0) is nothing
