"""`FitProblem`: checked data with their statistic, scaling and prior, and the costs that are made of them.

Minimizers work on the cost of standardised data in standardised theta; users' `Minuit` objects have the same cost in
raw units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.data import Dataset, Events, Measurements, Moments, Scaling, moments_of, read, scaling_of
from ffnn_xp.fitting.local_search import LocalSearch
from ffnn_xp.fitting.options import StatisticalOptions
from ffnn_xp.fitting.tuning import DEFAULT_TUNING, Tuning
from ffnn_xp.losses import Loss
from ffnn_xp.minimizers import KroneckerCoordinates, Minimizer, Problem
from ffnn_xp.network import Layout, ModelLike, Network, augment, evaluate, units
from ffnn_xp.objective import DataCost, GaussianPrior, NetworkCost, Objective, network_precision
from ffnn_xp.uncertainty import Spectrum, rank, sandwich

Result = TypeVar("Result")
Problems = TypeVar("Problems", bound="FitProblem")


@dataclass(frozen=True)
class FitProblem:
    """All that a fit needs to know: checked data, their statistic and scaling, the network, the prior, the numbers.

    Attributes
    ----------
    model : ModelLike
        The model, whose backend computes.
    network : Network
        Its network, widths complete.
    loss : Loss
        The statistic.
    data : Dataset
        The data in raw units.
    scaling : Scaling
        The map between raw and standardised units.
    prior : GaussianPrior or None
        The prior of the standardised parameters.
    y_error : array with shape (k,)
        Errors of the standardised outputs, where the user gave none.
    errors_known : bool
        Whether errors of y were given, or are those of the statistic itself, as of counts.
    unsettled : str
        Why errors of y, estimated or predicted by the network, are none, and what to do; empty if they are some.
    sandwich : bool
        Whether the covariance is to be a sandwich.
    tuning : Tuning
        The tuned numbers.
    minimizer : Minimizer or None
        The user's own.
    relative_error : array with shape (k, n) or None
        Errors of the values, which the user did not give, in units of `y_error`, where they are not all the same.
    """

    model: ModelLike
    network: Network
    loss: Loss
    data: Dataset
    scaling: Scaling
    prior: GaussianPrior | None
    y_error: HostArray
    errors_known: bool
    unsettled: str = ""
    sandwich: bool = False
    tuning: Tuning = DEFAULT_TUNING
    minimizer: Minimizer | None = None
    relative_error: HostArray | None = None

    @property
    def in_parts(self) -> bool:
        """True if events are in parts, so that none of them is at hand."""
        return False

    @property
    def with_matrices(self) -> bool:
        """True if p x p matrices may be formed; otherwise products and Kronecker factors replace them."""
        return self.layout.n_parameters <= self.tuning.matrix_limit

    def with_network(self, network: Network) -> FitProblem:
        """Return the problem, which has no prior yet, with a network of other hidden layers."""
        return replace(self, network=network, scaling=replace(self.scaling, layout=network.layout))

    def with_y_error(self, y_error: HostArray) -> FitProblem:
        """Return the problem with these errors ``(k,)`` of the standardised outputs, where the user gave none."""
        return replace(self, y_error=y_error)

    @property
    def root_mean_square_error(self) -> HostArray:
        """Errors of the standardised outputs, ``(k,)``; their root mean squares where these are not all the same."""
        relative = self.relative_error
        return self.y_error if relative is None else self.y_error * np.sqrt(np.mean(relative**2, axis=1))

    @property
    def layout(self) -> Layout:
        """The layout of theta in the network."""
        return self.network.layout

    @property
    def n_values(self) -> int:
        """The number of measured values."""
        return self.data.n * self.loss.ndof_per_event(self.data.n_values)

    @property
    def is_chi_square(self) -> bool:
        """True if S is a chi-square with known errors, so that its size says how good a fit is."""
        return self.errors_known and self.loss.is_chi_square

    def each(self, task: Callable[..., Result], *args: Any) -> list[Result]:
        """Return the results of a function of this problem and arguments for each part of its events: here for all."""
        return [task(self, *args)]

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the problem without its objective, which is made again where it is needed."""
        return {k: v for k, v in self.__dict__.items() if k != "objective"}

    @cached_property
    def objective(self) -> Objective:
        """The objective in standardised units."""
        backend = self.model.backend
        return Objective(self.network, self.loss, self.events().ready_to_stream(backend), backend)

    def cost(self) -> NetworkCost:
        """Return the cost in standardised units."""
        return NetworkCost(self.objective, n_values=self.n_values, prior=self.prior)

    def local_search(self, cost: NetworkCost) -> LocalSearch:
        """Make the local search for this cost."""
        return LocalSearch(
            cost,
            self.network.smooth,
            self.with_matrices,
            tuning=self.tuning.local_search,
            minimizer=self.minimizer,
        )

    def events(self, y: Array | None = None) -> Events:
        """Return the events in standardised units, with other measurements y ``(..., k, n)`` if given."""
        backend, s = self.model.backend, self.scaling
        to, data = backend.to_device, self.data_with_errors()
        with backend.context():
            x = backend.bind(_standardized)(data.inputs, to(s.x_mean[:, None]), to(s.x_scale[:, None]))
            shift, scale = s.y_mean[:, None], s.y_scale[:, None]
            output = self.network.activations[-1]
            if output.multiplicative and self.loss.link is None:  # a shift before it is a factor behind it
                shift, scale = 0 * shift, np.exp(shift)
            return replace(data, inputs=x, y=data.y if y is None else y).events(
                backend, self.loss, to(shift), to(scale)
            )

    def raw_cost(self) -> DataCost:
        """Return the cost in raw units."""
        prior = None if self.prior is None else GaussianPrior(self.prior.precision, self.scaling)
        return DataCost.from_dataset(self.data_with_errors(), self.model, self.loss, prior)

    def data_with_errors(self) -> Dataset:
        """Return the data with errors, those of `y_error` where the statistic needs some and the user gave none."""
        data, backend = self.data, self.model.backend
        if data.inverse_error is not None or self.loss.auxiliary != "y_err":
            return data
        with backend.context():
            error = (self.y_error * self.scaling.y_scale)[:, None]
            error = error if self.relative_error is None else error * self.relative_error
            inverse = backend.xp.ones_like(data.y) / backend.to_device(error)
        return replace(data, inverse_error=inverse)

    def expected(self, theta: HostArray) -> HostArray:
        """Return the arguments of the statistic at raw theta, on the host; the first rows ``(k, n)`` predict y."""
        backend = self.model.backend
        with backend.context():
            y = evaluate(self.network, backend, backend.to_device(theta), self.data.x)
            return backend.to_host(self.data.loss_arguments(backend.xp, self.loss, y))

    def effective(self, cost: Problem, theta: HostArray) -> float:
        """Return the effective number of parameters, those that the data determine.

        It is the rank of the Gauss-Newton matrix G; with a prior P, tr(G (G + P)^-1) (J. Moody, NIPS 1991): each
        direction counts by the share of its precision that comes from the data. (The exact Hessian includes the
        residuals' own curvature, also along directions that no data determine.) Without matrices it is computed from
        Kronecker factors.
        """
        if not self.with_matrices:
            return KroneckerCoordinates(cost.kronecker_factors(theta)).effective
        G = cost.gauss_newton(theta)
        if self.prior is None:
            return float(rank(G, cost.epsilon))
        return effective_number(G, cost.errordef, self.prior, cost.epsilon)

    def covariance_of(self, cost: NetworkCost, theta: HostArray, spectrum: Spectrum) -> Spectrum:
        """Return the spectrum of the Hessian at a minimum, or the sandwich of it where the covariance is to be one."""
        if not self.sandwich:
            return spectrum
        precision = None if self.prior is None else self.prior.precision
        return sandwich(spectrum, cost.scores(theta), cost.errordef, precision)

    def weight_moments(self) -> tuple[float, float]:
        """Return the mean of the weights and of their squares; 1 and 1 if there are none."""
        if not self.data.weighted:
            return 1.0, 1.0
        moments = np.sum(self.each(_sums_of_weights), axis=0) / self.data.n
        return float(moments[0]), float(moments[1])


def effective_number(G: HostArray, errordef: float, prior: GaussianPrior, epsilon: float = 2.2e-16) -> float:
    """Return the effective number of parameters, from the Gauss-Newton matrix ``(p, p)`` that includes the prior."""
    held = Spectrum.of_hessian(G, errordef, epsilon).factor
    return float(held.shape[1]) - prior.share(held)


def read_problem(model: ModelLike, measurements: Measurements, options: StatisticalOptions) -> FitProblem:
    """Read and standardise the measurements, and add the prior; the model stays as it is.

    Raises
    ------
    TypeError, ValueError
        If data cannot be used, or options do not go together.
    """
    checked = read(model, measurements, options.loss, signed=options.signed_weights)
    data, loss = checked.data, checked.loss
    moments = moments_of(model.network_for(data.n_inputs, loss.outputs(data.n_values)), model.backend, data, loss)
    return problem_of(FitProblem, model, loss, data, moments, errors_known=checked.errors_known, options=options)


def problem_of(
    make: Callable[..., Problems],
    model: ModelLike,
    loss: Loss,
    data: Any,
    moments: Moments,
    *,
    errors_known: bool,
    options: StatisticalOptions,
) -> Problems:
    """Make the problem of checked data, with the class `make` or a function that returns an object of it.

    Raises
    ------
    ValueError
        If options do not go together.
    """
    if options.covariance == "sandwich" and not loss.separable:
        raise ValueError("a sandwich needs independent events, and `y_cov` makes all of them one")
    network = model.network_for(data.n_inputs, loss.outputs(data.n_values))
    p, limit = network.layout.n_parameters, options.tuning.matrix_limit
    if options.covariance == "sandwich" and p > limit:
        raise ValueError(
            f"covariance='sandwich' is made of matrices of {p} x {p}, and none are formed above {limit} parameters: "
            "use covariance='hessian', a smaller network, or tuning=Tuning(matrix_limit=...)"
        )
    return make(
        model,
        network,
        loss,
        data,
        scaling_of(network, model.backend, moments, loss),
        None if options.prior_width is None else GaussianPrior(network_precision(network, options.prior_width, loss)),
        np.ones(data.n_values),
        errors_known=errors_known,
        sandwich=options.covariance == "sandwich",
        tuning=options.tuning,
        minimizer=options.own_minimizer,
    )


def check_degrees_of_freedom(problem: FitProblem) -> None:
    """Raise a ValueError where errors of y would be estimated from fewer values than parameters."""
    p, values = problem.layout.n_parameters, problem.n_values
    if not problem.errors_known and problem.prior is None and p >= values:
        raise ValueError(
            f"the errors of y cannot be estimated from {values} values with {p} parameters: "
            "give y_err, or a prior, or a smaller network"
        )


def _sums_of_weights(problem: FitProblem) -> HostArray:
    """Sum the weights, and their squares."""
    w = problem.model.backend.to_host(problem.data.weights)
    return np.array([np.sum(w), np.sum(w * w)])


def _standardized(xp: Namespace, inputs: Array, mean: Array, scale: Array) -> Array:
    """Return ``(x, 1)`` of standardised inputs x, from ``(x, 1)`` of raw ones."""
    return augment(xp, (units(inputs) - mean) / scale)
