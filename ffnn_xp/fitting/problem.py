"""A fit that is about to begin: checked data, how to standardise them, and the costs of both sides.

The walk minimises the cost of standardised data in standardised theta; MINUIT sees the same cost in raw units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.network.activations import Activation
from ffnn_xp.backends import Backend
from ffnn_xp.data.bins import Bins
from ffnn_xp.objective.host import ModelLike, NetworkCost
from ffnn_xp.data.dataset import Dataset
from ffnn_xp.costs.base import DataCost
from ffnn_xp.data.events import Events
from ffnn_xp.network.layout import Layout, augment
from ffnn_xp.losses import BlockCorrelatedLoss, CorrelatedLoss, Loss
from ffnn_xp.losses import loss as find_loss
from ffnn_xp.minimizers import KroneckerCoordinates, Problem
from ffnn_xp.network.sweeps import Network
from ffnn_xp.objective.objective import Objective
from ffnn_xp.uncertainty.linear_band import evaluate
from ffnn_xp.objective.prior import GaussianPrior
from ffnn_xp.data.standardization import Scaling
from ffnn_xp.data.errors_in_x import UncertainInputs
from ffnn_xp.uncertainty.covariance import curvature, rank


@dataclass(frozen=True)
class Task:
    """A fit that is about to begin: checked data, their statistic and scaling, and the prior.

    Whether `errors_known`: given, or those of the statistic itself, as of counts. Whether the covariance is to be a
    `sandwich`.
    """

    model: ModelLike
    network: Network
    loss: Loss
    data: Dataset
    scaling: Scaling
    prior: GaussianPrior | None
    errors_known: bool
    sandwich: bool = False

    @property
    def layout(self) -> Layout:
        """Of the network."""
        return self.network.layout

    @property
    def n_values(self) -> int:
        """Number of measured values."""
        return self.data.n * self.loss.free(int(self.data.y.shape[0]))

    @property
    def absolute(self) -> bool:
        """Whether the size of S tells how good a fit is."""
        return self.errors_known and self.loss.absolute

    def cost(self, noise: HostArray) -> NetworkCost:
        """The cost in standardised units; `noise` are errors of the standardised outputs where none are given."""
        backend = self.model.backend
        objective = Objective(self.network, self.loss, self.events(noise).within_reach(backend), backend)
        return NetworkCost(objective, n_values=self.n_values, prior=self.prior)

    def events(self, noise: HostArray, y: Array | None = None) -> Events:
        """What the statistic sees, in standardised units; of other measurements y ``(..., k, n)`` if given."""
        backend, s = self.model.backend, self.scaling
        xp, to = backend.xp, backend.to_device
        data = self.with_errors(noise)
        with backend.context():
            x = (data.x - to(s.x_mean[:, None])) / to(s.x_scale[:, None])
            shift, scale = s.y_mean[:, None], s.y_scale[:, None]
            if (
                self.network.activations[-1].name == "exp" and self.loss.link is None
            ):  # what is added before it, factors
                shift, scale = 0 * shift, np.exp(shift)
            return replace(data, inputs=augment(xp, x), y=data.y if y is None else y).events(
                xp, self.loss, to(shift), to(scale)
            )

    def raw_cost(self, noise: HostArray) -> DataCost:
        """The same cost as MINUIT sees it, in raw units."""
        prior = None if self.prior is None else GaussianPrior(self.prior.precision, self.scaling)
        return DataCost.from_dataset(self.with_errors(noise), self.model, self.loss, prior)

    def with_errors(self, noise: HostArray) -> Dataset:
        """The data with errors, where the statistic wants some and none are given: `noise` of standardised outputs."""
        data, backend = self.data, self.model.backend
        if data.inverse_error is not None or self.loss.extra != "y_err":
            return data
        with backend.context():
            inverse = backend.xp.ones_like(data.y) / backend.to_device((noise * self.scaling.y_scale)[:, None])
        return replace(data, inverse_error=inverse)

    def expected(self, theta: HostArray) -> HostArray:
        """What the statistic sees at raw theta, on the host; its first rows ``(k, n)`` predict what was measured."""
        backend = self.model.backend
        with backend.context():
            y = evaluate(self.network, backend, backend.to_device(theta), self.data.x)
            return backend.to_host(self.data.combined(backend.xp, self.loss, y))

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


def find_statistic(
    loss: str | Loss, output: Activation, extras: Mapping[str, Any], x: Any = None, y: Any = None
) -> tuple[Loss, Any]:
    """The statistic for a network with this output, and what else belongs to each value, of what the user gave."""
    statistic = find_loss(loss)
    if extras.get("y_cov") is not None:
        statistic = _correlated(statistic, np.ndim(extras["y_cov"]), np.shape(y))
    of_inputs = isinstance(x, Bins | UncertainInputs)
    statistic = x.statistic(statistic) if of_inputs else statistic.through(output.name)
    for name, value in extras.items():
        if value is not None and name != statistic.extra:
            raise ValueError(f"`{name}` has no place in loss {statistic.name!r}")
    if output.mixes and statistic.link != output.name:
        raise ValueError(f"a softmax output needs loss='multinomial', got {statistic.name!r}")
    return statistic, extras.get(str(statistic.extra))


def _correlated(statistic: Loss, dimensions: int, shape: tuple[int, ...]) -> Loss:
    """Least squares with the covariance of all values, or of those of each event."""
    if statistic.name != "least_squares":
        raise ValueError(f"`y_cov` has no place in loss {statistic.name!r}")
    if dimensions == 3:
        return BlockCorrelatedLoss()
    return CorrelatedLoss(shape[1] if len(shape) == 2 else 1)


def standardisation(network: Network, backend: Backend, data: Dataset, loss: Loss) -> Scaling:
    """Mean and width of each input and, as far as the output's nonlinearity allows, of each target.

    Of a statistic that contains the nonlinearity, what stands before it gets the mean alone: the logarithm of the mean
    count, the logit of the mean probability. Logarithms of widths, where they are predicted, that of the width.
    """
    x_mean, x_width = _moments(backend, data.x, "x")
    with backend.context():
        rates = data.y if data.nodes is None else data.y / backend.xp.sum(data.nodes, axis=0, keepdims=True)
    y_mean, y_width = _moments(backend, rates, "y")
    output = network.activations[-1]
    if loss.link is not None or (loss.measured == "count" and output.name == "exp"):
        y_mean, y_width = _before_link(backend, data, loss.link or output.name), np.ones_like(y_width)
    elif output.name != "identity" or loss.measured != "real":
        y_width = np.sqrt(y_mean**2 + y_width**2) if output.homogeneous else np.ones_like(y_width)
        y_mean = np.zeros_like(y_mean)
    y_width = _or_one(y_width)
    if loss.outputs(1) == 2:
        y_mean, y_width = np.append(y_mean, np.log(y_width)), np.append(y_width, np.ones_like(y_width))
    return Scaling(network.layout, x_mean, _or_one(x_width), y_mean, y_width)


def _before_link(backend: Backend, data: Dataset, link: str) -> HostArray:
    """What a constant network would have before its output nonlinearity, ``(k,)``; half a count keeps it finite."""
    xp = backend.xp
    with backend.context():
        out_of = xp.ones_like(data.y) if data.extra is None else data.extra
        if data.nodes is not None:
            out_of = out_of * xp.sum(data.nodes, axis=0, keepdims=True)
        seen, possible = backend.to_host(xp.stack([xp.sum(data.y, axis=-1), xp.sum(out_of, axis=-1)]))
    at_least = np.maximum(seen, 0.5)
    if link == "logistic":
        return np.asarray(np.log(at_least / np.maximum(possible - seen, 0.5)))
    mean = np.log(at_least / possible)
    return np.asarray(mean - np.mean(mean) if link == "softmax" else mean)


def _moments(backend: Backend, columns: Array, name: str) -> tuple[HostArray, HostArray]:
    """Mean and standard deviation over events; of a constant column, zero."""
    with backend.context(), np.errstate(all="ignore"):
        both = backend.to_host(backend.bind(_mean_and_width)(columns))
    center, scale = both[:, 0], both[:, 1]
    if not np.all(np.isfinite(both)):
        raise ValueError(
            f"`{name}` cannot be standardised: the squares of its values overflow in {backend.dtype}; "
            "choose other units"
        )
    return center, np.where(scale > 4 * backend.epsilon * np.abs(center), scale, 0.0)


def _mean_and_width(xp: Namespace, columns: Array) -> Array:
    mean = xp.mean(columns, axis=-1, keepdims=True)
    return xp.concat([mean, xp.sqrt(xp.mean((columns - mean) ** 2, axis=-1, keepdims=True))], axis=-1)


def relative_weights(backend: Backend, data: Dataset) -> Dataset:
    """The same data with weights of mean 1."""
    with backend.context():
        weights = data.weights / backend.xp.mean(data.weights)
    return replace(data, weights=weights)


def _or_one(width: HostArray) -> HostArray:
    """A constant column cannot be brought to width 1, and is left as wide as it is."""
    return np.where(width > 0, width, 1.0)
