"""A fit that is about to begin: checked data, how to standardise them, and the costs of both sides.

The walk minimises the cost of standardised data in standardised theta; MINUIT sees the same cost in raw units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.costs.base import DataCost
from ffnn_xp.data.dataset import Dataset
from ffnn_xp.data.events import Events
from ffnn_xp.data.standardization import Scaling
from ffnn_xp.losses import Loss
from ffnn_xp.minimizers import KroneckerCoordinates, Problem
from ffnn_xp.network.evaluation import evaluate
from ffnn_xp.network.layout import Layout, augment
from ffnn_xp.network.protocol import ModelLike
from ffnn_xp.network.sweeps import Network
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.objective.objective import Objective
from ffnn_xp.objective.prior import GaussianPrior
from ffnn_xp.uncertainty.covariance import curvature, rank


@dataclass(frozen=True)
class FitProblem:
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
        return self.data.n * self.loss.ndof_per_event(int(self.data.y.shape[0]))

    @property
    def is_chi_square(self) -> bool:
        """Whether the size of S tells how good a fit is."""
        return self.errors_known and self.loss.is_chi_square

    def cost(self, y_error: HostArray) -> NetworkCost:
        """The cost in standardised units; `y_error` are errors of the standardised outputs where none are given."""
        backend = self.model.backend
        objective = Objective(self.network, self.loss, self.events(y_error).loadable(backend), backend)
        return NetworkCost(objective, n_values=self.n_values, prior=self.prior)

    def events(self, y_error: HostArray, y: Array | None = None) -> Events:
        """What the statistic sees, in standardised units; of other measurements y ``(..., k, n)`` if given."""
        backend, s = self.model.backend, self.scaling
        xp, to = backend.xp, backend.to_device
        data = self.with_errors(y_error)
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

    def raw_cost(self, y_error: HostArray) -> DataCost:
        """The same cost as MINUIT sees it, in raw units."""
        prior = None if self.prior is None else GaussianPrior(self.prior.precision, self.scaling)
        return DataCost.from_dataset(self.with_errors(y_error), self.model, self.loss, prior)

    def with_errors(self, y_error: HostArray) -> Dataset:
        """The data with errors, where the statistic wants some and none are given: `y_error` of standardised outputs."""
        data, backend = self.data, self.model.backend
        if data.inverse_error is not None or self.loss.auxiliary != "y_err":
            return data
        with backend.context():
            inverse = backend.xp.ones_like(data.y) / backend.to_device((y_error * self.scaling.y_scale)[:, None])
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
