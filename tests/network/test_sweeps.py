"""Outputs and their derivatives agree with a loop over events and units, and with NumPy written out."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Activation, Backend
from ffnn_xp.data.events import Events
from ffnn_xp.losses import get_loss
from ffnn_xp.network.activations import identity, relu, tanh
from ffnn_xp.network.layout import Layout
from ffnn_xp.network.sweeps import Network, forward, jacobian, pull_back, push_forward, slopes
from ffnn_xp.objective.objective import Objective

from ..oracles import lesson
from ..oracles.loops import assert_close, central_gradient, make_case, twin_outputs

DEPTHS = pytest.mark.parametrize("widths", [(3, 2), (2, 4, 1), (3, 4, 3, 2), (1, 2, 3, 2, 2)])


def on(backend: Backend, case: object) -> tuple:
    """Namespace, network, theta and inputs as columns."""
    return backend.xp, case.network, backend.to_device(case.theta), backend.to_device(case.x.T)


class TestByHand:
    """A 2-2-1 network whose hidden units square, one event: everything is an integer.

    x = (1, 2), A_1 = ((1, 0, 1), (0, -1, 1)), A_2 = (1, 2, -1):  z_1 = (2, -1), a_1 = (4, 1), y = 4 + 2 - 1 = 5.
    t = 3, sigma = 1/2:  S = ((5 - 3)/(1/2))^2 = 16, dS/dy = 2 (5 - 3)/(1/4) = 16, d2S/dy2 = 2/(1/4) = 8.
    """

    theta = np.array([1.0, 0, 1, 0, -1, 1, 1, 2, -1])
    square = Activation("square", lambda xp, z: z * z, lambda xp, z, a: 2 * z, lambda xp, z, a: 0 * z + 2)
    network = Network(Layout((2, 2, 1)), (square, identity))
    # dy/dA_2 = (4, 1, 1); dy/dz_1 = (1, 2) * 2 z_1 = (4, -4), times (1, 2, 1)
    J = np.array([4.0, 8, 4, -4, -8, -4, 4, 1, 1])
    # d2y: W_2 f'' (x, 1)(x, 1)^T within a unit, with W_2 f'' = (2, 4); f' (x, 1) between a unit and its weight in A_2
    d2y = np.array(
        [
            [2, 4, 2, 0, 0, 0, 4, 0, 0],
            [4, 8, 4, 0, 0, 0, 8, 0, 0],
            [2, 4, 2, 0, 0, 0, 4, 0, 0],
            [0, 0, 0, 4, 8, 4, 0, -2, 0],
            [0, 0, 0, 8, 16, 8, 0, -4, 0],
            [0, 0, 0, 4, 8, 4, 0, -2, 0],
            [4, 8, 4, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, -2, -4, -2, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0, 0],
        ]
    )

    def objective(self, backend: Backend) -> Objective:
        to = backend.to_device
        events = Events(to(np.array([[1.0], [2.0]])), (to(np.array([[3.0]])), to(np.array([[2.0]]))))
        return Objective(self.network, get_loss("least_squares"), events, backend)

    def test_forward(self, backend: Backend) -> None:
        x = backend.to_device(np.array([[1.0], [2.0]]))
        trace = forward(self.network, backend.xp, backend.to_device(self.theta), x)
        assert [backend.to_host(z).ravel().tolist() for z in trace.z] == [[2, -1], [5]]
        assert [backend.to_host(a).ravel().tolist() for a in trace.inputs] == [[1, 2, 1], [4, 1, 1]]
        assert [backend.to_host(a).ravel().tolist() for a in trace.a] == [[4, 1], [5]]
        assert backend.to_host(trace.y).tolist() == [[5]]

    def test_jacobian(self, backend: Backend) -> None:
        x = backend.to_device(np.array([[1.0], [2.0]]))
        J = jacobian(self.network, backend.xp, backend.to_device(self.theta), x)
        assert backend.to_host(J).tolist() == [[self.J.tolist()]]

    def test_value_and_gradient(self, backend: Backend) -> None:
        packed = self.objective(backend).value_and_gradient(backend.to_device(self.theta))
        assert backend.to_host(packed).tolist() == [16, 64, 128, 64, -64, -128, -64, 64, 16, 16]

    def test_matrices(self, backend: Backend) -> None:
        S, theta = self.objective(backend), backend.to_device(self.theta)
        G = 8 * np.outer(self.J, self.J)
        assert backend.to_host(S.gauss_newton(theta)).tolist() == G.tolist()
        assert backend.to_host(S.hessian(theta)).tolist() == (G + 16 * self.d2y).tolist()

    def test_products(self, backend: Backend) -> None:
        S, theta = self.objective(backend), backend.to_device(self.theta)
        v = np.array([1.0, -1, 2, 0, 1, 3, -2, 1, 1])  # J v = 4 - 8 + 8 - 8 - 12 - 8 + 1 + 1 = -22
        device_v = backend.to_device(v)
        assert self.J @ v == -22
        assert backend.to_host(S.gauss_newton_product(theta, device_v)).tolist() == (-176 * self.J).tolist()
        expected = -176 * self.J + 16 * self.d2y @ v
        assert backend.to_host(S.hessian_product(theta, device_v)).tolist() == expected.tolist()


def test_the_lesson_in_three_lines_of_numpy(backend: Backend, rng: np.random.Generator) -> None:
    """Sums of at most ten products: no more than a few units in the last place of the largest term apart."""
    (a12, b12), (a23, b23), (a34, b34) = lesson.PAIRS
    model = fx.Model.from_matrices(lesson.PAIRS, activation="relu", output="relu", backend=backend)
    x = rng.normal(size=(100, 8))
    for event in x:
        layer2 = np.maximum(0, a12 @ event + b12)
        layer3 = np.maximum(0, a23 @ layer2 + b23)
        layer4 = np.maximum(0, a34 @ layer3 + b34)
        found = backend.to_host(model(event))
        largest = max(np.max(np.abs(a34) * layer3), 1.0)
        assert np.max(np.abs(found - layer4)) <= 8 * np.spacing(largest)
        assert np.array_equal(found == 0, layer4 == 0)


@DEPTHS
def test_outputs_and_jacobian_are_the_twins(backend: Backend, widths: tuple[int, ...]) -> None:
    case = make_case(widths, "tanh", "softplus")
    xp, network, theta, x = on(backend, case)
    y = backend.to_host(forward(network, xp, theta, x).y)
    J = backend.to_host(jacobian(network, xp, theta, x))
    assert y.shape == (widths[-1], case.n)
    for event in range(case.n):
        outputs, derivatives = twin_outputs(case, event)
        assert_close(y[:, event], outputs, 1e-12)
        assert_close(J[:, event], derivatives, 1e-12)


def test_jacobian_of_differences() -> None:
    case = make_case((2, 3, 2), "silu", "tanh")
    J = jacobian(case.network, np, case.theta, case.x.T)
    numeric = central_gradient(lambda theta: forward(case.network, np, theta, case.x.T).y, case.theta)
    assert_close(J, numeric, 1e-9)


@DEPTHS
def test_push_forward_and_pull_back_are_j_and_its_transpose(widths: tuple[int, ...], rng: np.random.Generator) -> None:
    case = make_case(widths, "tanh", "logistic")
    network, theta, x = case.network, case.theta, case.x.T
    trace = forward(network, np, theta, x)
    J = jacobian(network, np, theta, x)
    y_bar = rng.normal(size=trace.y.shape)
    z_dot, a_dot = push_forward(network, np, trace, slopes(network, np, trace), case.direction)
    assert_close(a_dot[-1], J @ case.direction, 1e-12)
    assert_close(pull_back(network, np, trace, y_bar), np.einsum("kn,knp->p", y_bar, J), 1e-12)
    assert [v.shape for v in z_dot] == [v.shape for v in trace.z]


@DEPTHS
def test_three_replicas_are_three_networks(backend: Backend, widths: tuple[int, ...], rng: np.random.Generator) -> None:
    case = make_case(widths, "tanh", "exp")
    xp, network, _, x = on(backend, case)
    three = rng.normal(0, 0.5, (3, len(case.theta)))
    y_bar = rng.normal(size=(3, widths[-1], case.n))
    together = backend.to_device(three)
    trace = forward(network, xp, together, x)
    y = backend.to_host(trace.y)
    g = backend.to_host(pull_back(network, xp, trace, backend.to_device(y_bar)))
    J = backend.to_host(jacobian(network, xp, together, x))
    assert y.shape == (3, widths[-1], case.n)
    for r in range(3):
        alone = forward(network, xp, backend.to_device(three[r]), x)
        assert_close(y[r], backend.to_host(alone.y), 1e-13)
        assert_close(g[r], backend.to_host(pull_back(network, xp, alone, backend.to_device(y_bar[r]))), 1e-12)
        assert_close(J[r], backend.to_host(jacobian(network, xp, backend.to_device(three[r]), x)), 1e-13)


def test_a_unit_that_is_exactly_at_the_kink_has_no_slope(backend: Backend) -> None:
    """w x + b = 0 exactly: relu counts as off, so nothing below it moves, and the output's bias is all that does."""
    network = Network(Layout((1, 1, 1)), (relu, identity))
    theta, x = backend.to_device(np.array([2.0, -2.0, 3.0, 0.5])), backend.to_device(np.array([[1.0]]))
    J = jacobian(network, backend.xp, theta, x)
    assert backend.to_host(J).tolist() == [[[0, 0, 0, 1]]]


def test_swapping_two_hidden_units_changes_nothing() -> None:
    case = make_case((2, 3, 2), "gelu")
    A, B = case.network.layout.matrices(np, case.theta)
    order, columns = [2, 0, 1], [2, 0, 1, 3]
    swapped = case.network.layout.flatten(np, [A[order], B[:, columns]])
    y = forward(case.network, np, case.theta, case.x.T).y
    assert_close(forward(case.network, np, swapped, case.x.T).y, y, 1e-14)


def test_flipping_the_signs_of_an_odd_unit_changes_nothing() -> None:
    case = make_case((2, 3, 2), "tanh")
    A, B = (M.copy() for M in case.network.layout.matrices(np, case.theta))
    A[1], B[:, 1] = -A[1], -B[:, 1]
    y = forward(case.network, np, case.theta, case.x.T).y
    assert_close(forward(case.network, np, case.network.layout.flatten(np, [A, B]), case.x.T).y, y, 1e-14)


def test_inputs_are_not_written_to() -> None:
    case = make_case((2, 3, 2), "relu", "relu")
    x, theta = case.x.T.copy(), case.theta.copy()
    x.flags.writeable = theta.flags.writeable = False
    trace = forward(case.network, np, theta, x)
    pull_back(case.network, np, trace, trace.y)
    jacobian(case.network, np, theta, x)
    assert np.array_equal(x, case.x.T)


def test_kinked() -> None:
    layout = Layout((1, 2, 1))
    assert not Network(layout, (relu, identity)).smooth
    assert not Network(layout, (tanh, relu)).smooth
    assert Network(layout, (tanh, identity)).smooth


def test_one_activation_for_each_layer() -> None:
    case = make_case((2, 3, 2))
    short = replace(case.network, activations=(tanh,))
    with pytest.raises(ValueError, match="zip"):
        forward(short, np, case.theta, case.x.T)


def test_a_network_that_was_used_is_pickled_as_it_is() -> None:
    """What it has looked up for a library stays here."""
    case = make_case((2, 3, 2), "tanh", "softplus")
    y = forward(case.network, np, case.theta, case.x.T).y
    other = pickle.loads(pickle.dumps(case.network))
    assert other == case.network
    np.testing.assert_array_equal(forward(other, np, case.theta, case.x.T).y, y)
