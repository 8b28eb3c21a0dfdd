"""Slow and independent ways to the same numbers: loops over events and units, finite differences.

A `Case` is a network with data; `objective` computes it with the library, `twin` in pure Python with derivatives
taken forward, parameter by parameter (the library goes backward). Automatic differentiation is in `autodiff`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ffnn_xp import Backend
from ffnn_xp.data.events import Events
from ffnn_xp.losses import get_loss
from ffnn_xp.network.activations import ACTIVATIONS
from ffnn_xp.network.layout import Layout
from ffnn_xp.network.sweeps import Network, jacobian
from ffnn_xp.objective.objective import Objective

Scalar = Callable[[float], float]

QUANTITIES = (
    "value",
    "gradient",
    "gauss_newton",
    "hessian",
    "gauss_newton_product",
    "hessian_product",
    "jacobian",
)


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def _phi(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _capital_phi(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


SCALARS: dict[str, tuple[Scalar, Scalar]] = {
    "identity": (lambda z: z, lambda z: 1.0),
    "relu": (lambda z: z if z > 0 else 0.0, lambda z: 1.0 if z > 0 else 0.0),
    "leaky_relu": (lambda z: z if z > 0 else 0.01 * z, lambda z: 1.0 if z > 0 else 0.01),
    "tanh": (math.tanh, lambda z: 1 / math.cosh(z) ** 2),
    "logistic": (_sigmoid, lambda z: _sigmoid(z) * _sigmoid(-z)),
    "softplus": (lambda z: math.log(1 + math.exp(z)), _sigmoid),
    "silu": (lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) + z * _sigmoid(z) * _sigmoid(-z)),
    "gelu": (lambda z: z * _capital_phi(z), lambda z: _capital_phi(z) + z * _phi(z)),
    "elu": (lambda z: z if z > 0 else math.exp(z) - 1, lambda z: 1.0 if z > 0 else math.exp(z)),
    "sine": (math.sin, math.cos),
    "exp": (math.exp, math.exp),
}
"""f and f' of one number, as written in textbooks."""


@dataclass(frozen=True, eq=False)
class Case:
    """A network with parameters and data, all on the host, events as rows. One object is equal to itself alone."""

    widths: tuple[int, ...]
    names: tuple[str, ...]
    theta: np.ndarray
    direction: np.ndarray
    x: np.ndarray
    y: np.ndarray
    error: np.ndarray
    weights: np.ndarray | None

    @property
    def network(self) -> Network:
        return Network(Layout(self.widths), tuple(ACTIVATIONS[name] for name in self.names))

    @property
    def n(self) -> int:
        return len(self.x)

    @property
    def second(self) -> np.ndarray:
        """Second derivative of S in each output, ``(n, k)``."""
        weights = np.ones(self.n) if self.weights is None else self.weights
        return 2 * weights[:, None] / self.error**2


@cache
def make_case(
    widths: tuple[int, ...], hidden: str = "tanh", output: str = "identity", *, n: int = 7, weighted: bool = True
) -> Case:
    """Random numbers of order one, none of them on a kink; smaller parameters where exp stands upon exp."""
    rng = np.random.default_rng([n, *widths])
    p = Layout(widths).n_parameters
    size = 0.2 if hidden == "exp" else 0.6
    return Case(
        widths=widths,
        names=(hidden,) * (len(widths) - 2) + (output,),
        theta=rng.normal(0, size, p),
        direction=rng.normal(size=p),
        x=rng.normal(size=(n, widths[0])),
        y=rng.normal(size=(n, widths[-1])),
        error=rng.uniform(0.5, 2.0, (n, widths[-1])),
        weights=rng.uniform(0.5, 2.0, n) if weighted else None,
    )


def objective(case: Case, backend: Backend, chunk_size: int | None = None) -> Objective:
    """The library's objective for this case."""
    to = backend.to_device
    weights = None if case.weights is None else to(case.weights[None, :])
    events = Events(to(case.x.T), (to(case.y.T), to(1 / case.error.T)), weights)
    return Objective(case.network, get_loss("least_squares"), events, backend, chunk_size=chunk_size)


def library(
    case: Case,
    backend: Backend,
    chunk_size: int | None = None,
    quantities: Sequence[str] = QUANTITIES,
    *,
    S: Objective | None = None,
) -> dict[str, np.ndarray]:
    """What the library says, on the host. `case.theta` and `case.direction` may have a leading replica axis.

    An objective `S` with the same data may be given: then JAX need not compile it again.
    """
    S = S or objective(case, backend, chunk_size)
    theta, v = backend.to_device(case.theta), backend.to_device(case.direction)

    def compute(quantity: str) -> Any:
        if quantity == "gradient":
            return S.value_and_gradient(theta)[..., 1:]
        if quantity.endswith("product"):
            return getattr(S, quantity)(theta, v)
        if quantity == "jacobian":
            return jacobian(case.network, backend.xp, theta, S.events.x)
        return getattr(S, quantity)(theta)

    return {quantity: backend.to_host(compute(quantity)) for quantity in quantities}


def twin_outputs(case: Case, event: int) -> tuple[list[float], list[list[float]]]:
    """y_k of one event, and dy_k/dtheta_j: each derivative is carried through the layers beside the value."""
    p = len(case.theta)
    values = [float(v) for v in case.x[event]]
    derivatives = [[0.0] * p for _ in values]
    at = 0
    for below, h, name in zip(case.widths, case.widths[1:], case.names, strict=False):
        f, df = SCALARS[name]
        inputs, input_derivatives = [*values, 1.0], [*derivatives, [0.0] * p]
        values, derivatives = [], []
        for _ in range(h):
            z, dz = 0.0, [0.0] * p
            for j in range(below + 1):
                parameter = float(case.theta[at])
                z += parameter * inputs[j]
                dz[at] += inputs[j]
                for q in range(p):
                    dz[q] += parameter * input_derivatives[j][q]
                at += 1
            values.append(f(z))
            derivatives.append([df(z) * d for d in dz])
    return values, derivatives


def twin(case: Case) -> tuple[float, np.ndarray, np.ndarray]:
    """S, its gradient and its Gauss-Newton matrix, event by event and unit by unit."""
    p = len(case.theta)
    S, g, G = 0.0, np.zeros(p), np.zeros((p, p))
    for n in range(case.n):
        weight = 1.0 if case.weights is None else float(case.weights[n])
        outputs, derivatives = twin_outputs(case, n)
        for k, (y, row) in enumerate(zip(outputs, derivatives, strict=True)):
            sigma = float(case.error[n, k])
            residual = y - float(case.y[n, k])
            S += weight * (residual / sigma) ** 2
            for i in range(p):
                g[i] += weight * 2 * residual / sigma**2 * row[i]
                for j in range(p):
                    G[i, j] += weight * 2 / sigma**2 * row[i] * row[j]
    return S, g, G


def central_gradient(f: Callable[[np.ndarray], Any], theta: np.ndarray) -> np.ndarray:
    """df/dtheta_j, stacked on the last axis, from (f(theta + h) - f(theta - h)) / 2h.

    Its error is h^2 f'''/6 from the series and about eps |f| / h from rounding. Both are equal near
    h = (3 eps)^(1/3) = 9e-6 for f and f''' of order one, which leaves eps^(2/3) = 4e-11, relative to |f|.
    """
    h = np.cbrt(3 * np.finfo(float).eps)
    columns = []
    for j in range(len(theta)):
        step = np.zeros(len(theta))
        step[j] = h * max(1.0, abs(theta[j]))
        up, down = theta + step, theta - step
        columns.append((np.asarray(f(up)) - np.asarray(f(down))) / (up[j] - down[j]))
    return np.stack(columns, axis=-1)


def assert_close(got: Any, want: Any, rel: float, name: str = "") -> None:
    """Same shape, and no element differs by more than `rel` times the largest."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{name}: shape {got.shape}, expected {want.shape}"
    scale = np.max(np.abs(want), initial=0.0)
    worst = np.max(np.abs(got - want), initial=0.0)
    assert worst <= rel * max(scale, 1e-300), f"{name}: differs by {worst / max(scale, 1e-300):.2e} of the largest"
