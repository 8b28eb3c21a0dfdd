"""What `fit.report()` says, on networks whose faults were built in by hand."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend
from ffnn_xp.data.events import Events
from ffnn_xp.fitting.tuning import Tuning
from ffnn_xp.losses import get_loss
from ffnn_xp.network.activations import identity, tanh
from ffnn_xp.network.layout import Layout
from ffnn_xp.network.sweeps import Network
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.objective.objective import Objective
from ffnn_xp.objective.prior import GaussianPrior, layer_precision
from ffnn_xp.studies.identifiability import Report, _decades, report


def point(
    backend: Backend, matrices: list[np.ndarray], x: np.ndarray, tau: float | None = None
) -> tuple[NetworkCost, np.ndarray]:
    """A cost with tanh inside, of events that need no standardisation, and theta of these matrices."""
    layout = Layout((matrices[0].shape[1] - 1, *(len(A) for A in matrices)))
    network = Network(layout, (*(tanh,) * (layout.n_layers - 1), identity))
    k, n = layout.widths[-1], x.shape[1]
    to = backend.to_device
    events = Events(to(x), (to(np.zeros((k, n))), to(np.ones((k, n)))))
    prior = None if tau is None else GaussianPrior(layer_precision(layout, tau))
    cost = NetworkCost(Objective(network, get_loss("least_squares"), events, backend), n_values=k * n, prior=prior)
    return cost, np.concatenate([A.ravel() for A in matrices])


def examine(backend: Backend, matrices: list[np.ndarray], x: np.ndarray) -> Report:
    return report(*point(backend, matrices, x), "test", matrices=True)


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(3, 200))


def healthy(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(size=(4, 4)), rng.normal(size=(2, 5))]


def test_a_healthy_network(backend: Backend, rng: np.random.Generator, x: np.ndarray) -> None:
    found = examine(backend, healthy(rng), x)
    assert found.dead == found.constant == found.saturated == found.copies == ()
    assert found.n_held == 26
    assert found.effective == pytest.approx((16.0, 10.0))
    assert found.ranks == ((4, 4), (5, 5))
    assert "26 of 26 are determined" in repr(found)


def test_faulty_units_are_named(backend: Backend, rng: np.random.Generator, x: np.ndarray) -> None:
    A, B = np.vstack([rng.normal(size=(2, 4)), np.zeros((4, 4))]), rng.normal(size=(2, 7))
    A[2] = -A[0]  # a copy in the mirror
    A[3] = [0.0, 0.0, 0.0, 1.0]  # the same at all events
    A[4] = rng.normal(size=4)
    B[:, 4] = 0.0  # goes nowhere
    A[5] = [1e6, 0.0, 0.0, 0.0]  # a step
    found = examine(backend, [A, B], x)
    assert found.copies == (("unit 0 of layer L2", "unit 2 of layer L2"),)
    assert found.constant == ("unit 3 of layer L2",)
    assert found.dead == ("unit 4 of layer L2",)
    assert found.saturated == ("unit 5 of layer L2",)
    assert found.ranks == ((4, 4), (5, 7))
    assert found.n_held is not None
    assert found.n_held < found.layout.n_parameters
    assert "unit 4 of layer L2" in repr(found)


def test_faulty_inputs_are_named(backend: Backend, rng: np.random.Generator, x: np.ndarray) -> None:
    columns = np.vstack([x[:1], np.zeros((1, 200)), 1 - 2 * x[:1]])
    found = examine(backend, healthy(rng), columns)
    assert found.constant == ("input 1",)
    assert found.copies == (("input 0", "input 2"),)
    assert found.ranks[0] == (2, 4)
    assert {name for name, part in found.undetermined if part > 0.99} == {f"a_L1_L2[{i},1]" for i in range(4)}


@pytest.mark.parametrize("tau", [1.0, 0.05])
def test_shares_and_effective_parameters_by_their_definition(
    rng: np.random.Generator, x: np.ndarray, tau: float
) -> None:
    cost, theta = point(fx.get_backend("numpy"), healthy(rng), x, tau)
    assert cost.prior is not None
    found = report(cost, theta, "test", matrices=True)
    H = cost.gauss_newton(theta)
    M = np.linalg.solve(H, H - np.diag(2 * cost.prior.precision))
    assert found.effective == pytest.approx((np.trace(M[:16, :16]), np.trace(M[16:, 16:])), rel=1e-9)
    assert found.shares is not None
    np.testing.assert_allclose(found.shares, np.sort(np.linalg.eigvals(M).real), rtol=1e-8, atol=1e-10)
    v = found.weakest[0]
    assert 0 < v.share < 1
    assert v.eigenvalue > 0
    assert len(v.parameters) > 0


@pytest.mark.slow
def test_effective_parameters_are_those_of_the_fit() -> None:
    rng = np.random.default_rng(5)
    x = rng.uniform(-2, 2, size=(150, 2))
    y = np.sin(x[:, 0]) * x[:, 1] + 0.1 * rng.normal(size=150)
    fit = fx.Model((2, 8, 1), seed=1).fit(x, y, 0.1, prior=1.0)
    assert sum(fit.report().effective) == pytest.approx(fit.n_effective, rel=1e-9)


@pytest.mark.slow
def test_without_matrices() -> None:
    rng = np.random.default_rng(5)
    x = rng.uniform(-2, 2, size=(150, 2))
    y = np.sin(x[:, 0]) * x[:, 1] + 0.1 * rng.normal(size=150)
    fit = fx.Model((2, 8, 1), seed=1).fit(x, y, 0.1, prior=1.0, tuning=Tuning(matrix_limit=0))
    found = fit.report()
    assert found.eigenvalues is None
    assert found.n_held is None
    assert sum(found.effective) == pytest.approx(fit.n_effective, rel=1e-9)
    assert "not formed" in repr(found)


def test_of_a_fit_that_is_not_valid_and_in_html() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        fit = fx.Model((2, 3, 1), seed=1).fit(x, x[:, 0], 0.1, max_seconds=1e-9, prior=None)
    assert not fit.valid
    assert "<table>" in fit.report()._repr_html_()


@pytest.mark.slow
@pytest.mark.parametrize("layers", [(2, 4), (2, 3, 4)])
@pytest.mark.parametrize("matrix_limit", [500, 1])
def test_where_s_overflows_a_report_says_so(layers: tuple[int, ...], matrix_limit: int) -> None:
    """Parameters so large that nothing is finite there."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 2)), 10 * rng.normal(size=(10, 2))
    model = fx.Model(layers, activation="relu", backend="numpy", seed=1)
    fit = model.fit(x, y, loss="normal", prior=1.0, tuning=Tuning(matrix_limit=matrix_limit))
    fit = replace(fit, standardised=1e200 * fit.standardised, spectrum=None)
    found = fit.report()
    assert "overflow at these parameters, which are no minimum" in repr(found)
    assert found.eigenvalues is None
    assert np.all(np.isnan(found.effective))
    with pytest.raises(ValueError, match="there is no minimum here"):
        fit.minuit_of([fit.names[0]])


@pytest.mark.slow
def test_a_matrix_may_overflow_where_its_factors_do_not() -> None:
    """Units of 1e151 whose weights are zero, and measurements that are known to a millionth."""
    x = np.random.default_rng(0).normal(size=(30, 2))
    fit = fx.Model((2, 3, 1), activation="relu", backend="numpy", seed=1).fit(x, x[:, 0], 1e-6, prior=1.0)
    far = np.where(np.arange(13) < 9, 1e151, 0.0)
    assert all(np.all(np.isfinite(M)) for factor in fit.cost.kronecker_factors(far) for M in factor)
    found = replace(fit, standardised=far, spectrum=None).report()
    assert "overflow at these parameters" in repr(found)
    assert np.all(np.isnan(found.effective))


def test_negative_eigenvalues_are_in_no_decade() -> None:
    """With weights of both signs the Gauss-Newton matrix has some."""
    with np.errstate(all="raise"):
        assert _decades(np.array([-9e15, -0.03, 0.1, 5.0]), 3) == "1 in 1e+0, 1 in 1e-1, 2 zero"
        assert _decades(np.array([-2.0, -1.0]), 2) == "all zero"


def test_parameters_whose_information_underflows_are_undetermined(
    backend: Backend, rng: np.random.Generator, x: np.ndarray
) -> None:
    """A unit that hardly leads on: its row of the matrix is of order 1e-310, where numbers have few digits."""
    found = examine(backend, [rng.normal(size=(2, 4)), np.array([[1.0, 1e-155, 0.0]])], x)
    assert found.n_held == 7
    assert len(found.weakest) == 4
    assert all(direction.share == pytest.approx(1) for direction in found.weakest)


def test_a_point_far_from_any_minimum_where_curvatures_vanish() -> None:
    """Weights of both signs have no minimum here: S falls to -1e307, and the curvature has no inverse."""
    model = fx.Model((None, None), output="exp", dtype="float32", backend="numpy", seed=4)
    with pytest.warns(fx.FitWarning, match="not valid"):
        fit = model.fit(
            np.array([-0.001, 0.0, 0.001, -0.001, -0.002]),
            np.array([375.0, 430.0, 432.0, 370.0, 361.0]),
            loss="poisson",
            exposure=1e-6,
            weights=np.array([1.0, 0.0, -1.0, 1.0, 1.0]),
            covariance="sandwich",
            prior=0.1,
            restarts=2,
        )
    found = fit.report()
    assert "overflow at these parameters, which are no minimum" in repr(found)
    assert not found.weakest
