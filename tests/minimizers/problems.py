"""Functions whose minima are known: enough of a `Problem` for every minimizer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import ffnn_xp as fx
from ffnn_xp.data.events import Events
from ffnn_xp.network.layout import Layout
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.objective.objective import Objective
from ffnn_xp.objective.prior import GaussianPrior, layer_precision


class Residuals:
    """S = sum of r(theta)^2 with a Jacobian by hand."""

    errordef = 1.0
    epsilon = float(np.finfo(float).eps)

    def __init__(self, r: Callable, J: Callable, second: Callable | None = None) -> None:
        self.r, self.J, self.second = r, J, second

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        r = self.r(theta)
        return float(r @ r), 2 * self.J(theta).T @ r

    def chi2(self, theta: np.ndarray) -> float:
        return self.value_and_gradient(theta)[0]

    def gauss_newton(self, theta: np.ndarray) -> np.ndarray:
        return 2 * self.J(theta).T @ self.J(theta)

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        return self.gauss_newton(theta) + (0 if self.second is None else self.second(theta))

    def gauss_newton_product(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.gauss_newton(theta) @ v

    def hessian_product(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.hessian(theta) @ v

    def kronecker_factors(self, theta: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """As if the Gauss-Newton matrix were the unit matrix."""
        return [(np.eye(1), np.eye(len(theta)), np.zeros((1, len(theta))))]


class Quadratic(Residuals):
    """S = theta^T H theta / 2 of any H: where it has negative eigenvalues, with a saddle at 0."""

    def __init__(self, H: np.ndarray) -> None:
        self.H = H

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        return float(theta @ self.H @ theta) / 2, self.H @ theta

    def gauss_newton(self, theta: np.ndarray) -> np.ndarray:
        return np.diag(np.maximum(np.diag(self.H), 0.0))

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        return self.H


A, B = 0.2, 50.0


class Bent(Residuals):
    """S = -a t^2/2 + b (u - t^2)^2 + c t^4: on a line it falls by 5e-5, along u = t^2 by a^2 / 16 c."""

    def __init__(self, c: float) -> None:
        self.c = c

    @property
    def depth(self) -> float:
        return A**2 / (16 * self.c)

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        t, u = theta
        off = u - t * t
        gradient = np.array([-A * t - 4 * B * off * t + 4 * self.c * t**3, 2 * B * off])
        return float(-A * t * t / 2 + B * off * off + self.c * t**4), gradient

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        t, u = theta
        tt = -A - 4 * B * (u - 3 * t * t) + 12 * self.c * t * t
        return np.array([[tt, -4 * B * t], [-4 * B * t, 2 * B]])

    def gauss_newton(self, theta: np.ndarray) -> np.ndarray:
        t = theta[0]
        return np.array([[8 * B * t * t + 0.1, -4 * B * t], [-4 * B * t, 2 * B]])


def rosenbrock() -> Residuals:
    """10 (y - x^2) and 1 - x: minimum 0 at (1, 1), behind a curved valley."""
    return Residuals(
        lambda t: np.array([10 * (t[1] - t[0] ** 2), 1 - t[0]]),
        lambda t: np.array([[-20 * t[0], 10.0], [-1.0, 0.0]]),
        lambda t: np.array([[-400 * (t[1] - t[0] ** 2), 0.0], [0.0, 0.0]]),
    )


def steep(p: int = 30, orders: float = 6) -> tuple[Residuals, np.ndarray]:
    """A quadratic whose curvatures span twice these orders of magnitude, turned so that no axis is special."""
    rng = np.random.default_rng(1)
    Q, _ = np.linalg.qr(rng.normal(size=(p, p)))
    A, at = np.diag(np.logspace(-orders / 2, orders / 2, p)) @ Q, rng.normal(size=p)
    return Residuals(lambda t: A @ (t - at), lambda t: A), at


class Saddle(Residuals):
    """S = -t^2/2 + t^4/4 + u^2/2: at t = 0 a saddle."""

    epsilon = 2.2e-16

    def __init__(self) -> None:
        pass

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        t, u = theta
        return float(-t * t / 2 + t**4 / 4 + u * u / 2), np.array([t**3 - t, u])

    def hessian_product(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.array([3 * theta[0] ** 2 - 1, 1.0]) * v


def network_cost(widths: tuple[int, ...] = (3, 8, 8, 2), tau: float | None = 2.0) -> NetworkCost:
    """A teacher's events, in units that need no standardisation."""
    rng = np.random.default_rng(4)
    teacher = fx.Model(widths, backend="numpy", seed=3)
    x = rng.normal(size=(300, widths[0]))
    y = teacher(x) + 0.1 * rng.normal(size=(300, widths[-1]))
    events = Events(x.T.copy(), (y.T.copy(), np.full((widths[-1], 300), 10.0)))
    prior = None if tau is None else GaussianPrior(layer_precision(Layout(widths), tau))
    S = Objective(teacher.network, fx.losses.get_loss("least_squares"), events, teacher.backend)
    return NetworkCost(S, n_values=600, prior=prior)
