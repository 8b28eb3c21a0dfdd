"""A fit that is about to begin: checked data, how to standardise them, and the costs of both sides.

The walk minimises the cost of standardised data in standardised theta; MINUIT sees the same cost in raw units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.data.bins import Bins
from ffnn_xp.data.dataset import Dataset
from ffnn_xp.data.errors_in_x import with_errors
from ffnn_xp.data.events import Events
from ffnn_xp.data.reading import dataset, selected
from ffnn_xp.data.standardization import Scaling, relative_weights, standardization
from ffnn_xp.data.statistic import find_statistic
from ffnn_xp.losses import Loss
from ffnn_xp.minimizers import KroneckerCoordinates, Problem
from ffnn_xp.network import Layout, ModelLike, Network, augment, evaluate
from ffnn_xp.objective import DataCost, GaussianPrior, NetworkCost, Objective, network_precision
from ffnn_xp.uncertainty import Spectrum, rank


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
    y_error: HostArray
    errors_known: bool
    sandwich: bool = False

    def with_y_error(self, y_error: HostArray) -> FitProblem:
        """Return the problem with these errors ``(k,)`` of the standardised outputs, where the user gave none."""
        return replace(self, y_error=y_error)

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

    def cost(self) -> NetworkCost:
        """The cost in standardised units."""
        backend = self.model.backend
        objective = Objective(self.network, self.loss, self.events().loadable(backend), backend)
        return NetworkCost(objective, n_values=self.n_values, prior=self.prior)

    def events(self, y: Array | None = None) -> Events:
        """What the statistic sees, in standardised units; of other measurements y ``(..., k, n)`` if given."""
        backend, s = self.model.backend, self.scaling
        xp, to = backend.xp, backend.to_device
        data = self.data_with_errors()
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

    def raw_cost(self) -> DataCost:
        """The same cost as MINUIT sees it, in raw units."""
        prior = None if self.prior is None else GaussianPrior(self.prior.precision, self.scaling)
        return DataCost.from_dataset(self.data_with_errors(), self.model, self.loss, prior)

    def data_with_errors(self) -> Dataset:
        """Return the data with errors: `y_error` where the statistic wants some and the user gave none."""
        data, backend = self.data, self.model.backend
        if data.inverse_error is not None or self.loss.auxiliary != "y_err":
            return data
        with backend.context():
            inverse = backend.xp.ones_like(data.y) / backend.to_device((self.y_error * self.scaling.y_scale)[:, None])
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
        held = Spectrum.of_hessian(G, cost.errordef, cost.epsilon).factor
        return float(held.shape[1]) - self.prior.share(held)

    def weight_moments(self) -> tuple[float, float]:
        """Mean of the weights and of their squares; 1 and 1 if there are none."""
        if self.data.weights is None:
            return 1.0, 1.0
        w = self.model.backend.to_host(self.data.weights)
        return float(np.mean(w)), float(np.mean(w * w))


def read_problem(
    model: ModelLike,
    x: Any,
    y: Any,
    y_err: Any,
    loss: str | Loss,
    weights: Any,
    mask: Any,
    x_err: Any,
    extras: Mapping[str, Any],
    covariance: str,
    prior: float | str | None,
) -> FitProblem:
    """Checked data, their statistic and scaling, and the prior."""
    if mask is not None and not isinstance(x, Bins) and extras["y_cov"] is None:
        x, y, y_err, weights, x_err, *others = selected(mask, x, y, y_err, weights, x_err, *extras.values())
        extras = dict(zip(extras, others, strict=True))
    x = with_errors(x, x_err)
    statistic, auxiliary = find_statistic(loss, model.activations[-1], extras, x, y)
    if extras["y_cov"] is not None and (y_err is not None or weights is not None or mask is not None):
        raise ValueError("`y_cov` says all about the errors of y: leave y_err, weights and mask out")
    if isinstance(x, Bins) and (mask is not None or (y_err is None and statistic.auxiliary == "y_err")):
        raise ValueError("the contents of bins need `y_err`, or loss='poisson'; and no `mask`: give the bins to use")
    if covariance == "sandwich" and not statistic.separable:
        raise ValueError("a sandwich needs independent events, and `y_cov` makes all of them one")
    d, k = model.shape_of_data()
    backend = model.backend
    with backend.context():
        data = dataset(
            backend,
            x,
            y,
            y_err,
            weights,
            d=d,
            k=k,
            loss=statistic,
            auxiliary=auxiliary,
            signed=covariance == "sandwich",
        )
    network = model.network_for(int(data.x.shape[0]), statistic.outputs(int(data.y.shape[0])))
    known = y_err is not None or statistic.auxiliary != "y_err"
    if not known and weights is not None:  # then only their ratios matter
        data = relative_weights(backend, data)
    return FitProblem(
        model,
        network,
        statistic,
        data,
        standardization(network, backend, data, statistic),
        None if not isinstance(prior, int | float | np.number) else GaussianPrior(network_precision(network, prior)),
        np.ones(data.y.shape[0]),
        errors_known=known,
        sandwich=covariance == "sandwich",
    )


def check_degrees_of_freedom(task: FitProblem, *, auto: bool) -> None:
    p, values = task.layout.n_parameters, task.n_values
    if not task.errors_known and task.prior is None and not auto and p >= values:
        raise ValueError(
            f"the errors of y cannot be estimated from {values} values with {p} parameters: "
            "give y_err, or a prior, or a smaller network"
        )
