"""A fit that is about to begin: checked data, how to standardise them, and the costs of both sides.

The walk minimises the cost of standardised data in standardised theta; MINUIT sees the same cost in raw units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ._typing import Array, HostArray
from .backends import Backend
from .cost import LeastSquares, ModelLike, NetworkCost
from .inputs import Dataset
from .layout import Layout
from .losses import loss
from .minimizers import KroneckerCoordinates, Problem
from .network import Network
from .objective import Events, Objective
from .prior import GaussianPrior
from .scaling import Scaling
from .uncertainty import curvature, rank


@dataclass(frozen=True)
class Task:
    """A fit that is about to begin: checked data, their scaling, and the prior."""

    model: ModelLike
    network: Network
    data: Dataset
    scaling: Scaling
    prior: GaussianPrior | None
    errors_known: bool

    @property
    def layout(self) -> Layout:
        """Of the network."""
        return self.network.layout

    @property
    def n_values(self) -> int:
        """Number of measured values."""
        return self.data.n * int(self.data.y.shape[0])

    def cost(self, noise: HostArray) -> NetworkCost:
        """The cost in standardised units; `noise` are errors of the standardised outputs where none are given."""
        backend, s = self.model.backend, self.scaling
        xp, to = backend.xp, backend.to_device
        with backend.context():
            x = (self.data.x - to(s.x_mean[:, None])) / to(s.x_scale[:, None])
            y = (self.data.y - to(s.y_mean[:, None])) / to(s.y_scale[:, None])
            if self.data.inverse_error is None:
                inverse = xp.ones_like(y) / to(noise[:, None])
            else:
                inverse = self.data.inverse_error * to(s.y_scale[:, None])
        objective = Objective(self.network, loss("least_squares"), Events(x, (y, inverse), self.data.weights), backend)
        return NetworkCost(objective, n_values=self.n_values, prior=self.prior)

    def raw_cost(self, noise: HostArray) -> LeastSquares:
        """The same cost as MINUIT sees it, in raw units."""
        data = self.data
        if data.inverse_error is None:
            backend = self.model.backend
            with backend.context():
                inverse = backend.xp.ones_like(data.y) / backend.to_device((noise * self.scaling.y_scale)[:, None])
            data = replace(data, inverse_error=inverse)
        prior = None if self.prior is None else GaussianPrior(self.prior.precision, self.scaling)
        return LeastSquares.from_dataset(data, self.model, prior)

    def effective(self, cost: Problem, theta: HostArray, *, matrices: bool = True) -> float:
        """Number of parameters that the data determine.

        The rank of the Gauss-Newton matrix G; with a prior P, tr(G (G + P)^-1) (J. Moody, NIPS 1991): each direction
        counts as far as the data and not the prior hold it. (The exact Hessian has the residuals' own curvature in it,
        which holds directions that no data determine.) Without matrices it is that of their Kronecker factors.
        """
        if not matrices:
            return KroneckerCoordinates(cost.kronecker_factors(theta)).effective
        G = cost.gauss_newton(theta)
        if self.prior is None:
            return float(rank(G, cost.epsilon))
        held = curvature(G, cost.errordef, cost.epsilon).factor
        return float(held.shape[1]) - self.prior.share(held)

    def weight_moments(self) -> tuple[float, float]:
        """Mean of the weights and of their squares; 1 and 1 if there are none."""
        if self.data.weights is None:
            return 1.0, 1.0
        w = self.model.backend.to_host(self.data.weights)
        return float(np.mean(w)), float(np.mean(w * w))


def standardisation(network: Network, backend: Backend, data: Dataset) -> Scaling:
    """Mean and width of each input and, as far as the output's nonlinearity allows, of each target."""
    x_mean, x_width = _moments(backend, data.x, "x")
    y_mean, y_width = _moments(backend, data.y, "y")
    output = network.activations[-1]
    if output.name != "identity":
        y_width = np.sqrt(y_mean**2 + y_width**2) if output.homogeneous else np.ones_like(y_width)
        y_mean = np.zeros_like(y_mean)
    return Scaling(network.layout, x_mean, _or_one(x_width), y_mean, _or_one(y_width))


def _moments(backend: Backend, columns: Array, name: str) -> tuple[HostArray, HostArray]:
    """Mean and standard deviation over events; of a constant column, zero."""
    xp = backend.xp
    with backend.context(), np.errstate(all="ignore"):
        mean = xp.mean(columns, axis=-1, keepdims=True)
        width = xp.sqrt(xp.mean((columns - mean) ** 2, axis=-1, keepdims=True))
        both = backend.to_host(xp.concat([mean, width], axis=-1))
    center, scale = both[:, 0], both[:, 1]
    if not np.all(np.isfinite(both)):
        raise ValueError(
            f"`{name}` cannot be standardised: the squares of its values overflow in {backend.dtype}; "
            "choose other units"
        )
    return center, np.where(scale > 4 * backend.epsilon * np.abs(center), scale, 0.0)


def relative_weights(backend: Backend, data: Dataset) -> Dataset:
    """The same data with weights of mean 1."""
    with backend.context():
        weights = data.weights / backend.xp.mean(data.weights)
    return replace(data, weights=weights)


def _or_one(width: HostArray) -> HostArray:
    """A constant column cannot be brought to width 1, and is left as wide as it is."""
    return np.where(width > 0, width, 1.0)
