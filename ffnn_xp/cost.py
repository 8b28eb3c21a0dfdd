"""The contract of iminuit, and the one place where device arrays become host arrays.

Which cost to use: `LeastSquares` for measured values with errors. ``Minuit(cost, cost.start)`` needs no keywords:
value, gradient, Hessian, errordef, number of data and parameter names are found on the cost. Theta goes in as a float64
NumPy vector; value and gradient come out together, packed, in one copy, and each matrix in one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import iminuit.cost
import numpy as np

from ._typing import Array, HostArray
from .backends import Backend
from .cost_sum import CostSum, vector
from .inputs import Dataset, dataset
from .losses import LeastSquaresLoss
from .minuit_hessian import as_minuit_reads_it, calling_minuit
from .network import Network, forward, jacobian
from .objective import Objective
from .prior import GaussianPrior

WORTH_A_COPY = 10**5  # events times parameters from which on single precision is faster than double on a CPU
REMEMBERED = 4  # points whose value and gradient are kept: MIGRAD's line search asks for the gradient afterwards


class ModelLike(Protocol):
    """What a cost needs of a model."""

    @property
    def backend(self) -> Backend:
        """Where it computes."""

    @property
    def parameters(self) -> Array:
        """Theta on the device."""

    @property
    def network(self) -> Network:
        """Widths and activations."""

    def build(self, d: int, k: int) -> None:
        """Fill in widths that were left open."""

    def network_for(self, d: int, k: int) -> Network:
        """The network that this would be for so many inputs and outputs."""

    def shape_of_data(self) -> tuple[int | None, int | None]:
        """Inputs and outputs, None where the data decide."""


class NetworkCost(iminuit.cost.Cost):  # type: ignore[misc]
    """An objective, with an optional prior, as MINUIT wants to see it: host vectors in, host numbers out.

    Parameters
    ----------
    objective : Objective
        S on the device.
    prior : GaussianPrior, optional
        Added to it on the host, scaled by errordef.
    n_values : int
        Number of measured values.
    verbose : int
        1 prints every call.
    """

    has_hessian = True
    has_g2 = False  # MINUIT takes the Hessian's diagonal, and warns if it is offered both

    def __init__(
        self, objective: Objective, *, n_values: int, prior: GaussianPrior | None = None, verbose: int = 0
    ) -> None:
        p = objective.network.layout.n_parameters
        if prior is not None and prior.precision.shape != (p,):
            raise ValueError(f"`prior` must have a precision for each of {p} parameters, got {prior.precision.shape}")
        self.objective = objective
        self.prior = prior
        self._n_values = n_values
        self._sweeps: tuple[tuple[bytes, float, HostArray], ...] = ()
        self._matrices: dict[str, tuple[bytes, HostArray]] = {}
        super().__init__(dict.fromkeys(objective.network.layout.names), verbose)

    @property
    def precision(self) -> float | None:
        """Relative precision of the values, for MINUIT; None (its default) in float64."""
        return None if self.objective.backend.dtype == "float64" else 8 * self.epsilon

    @property
    def epsilon(self) -> float:
        """Relative precision of the numbers it computes with."""
        return self.objective.backend.epsilon

    def in_single_precision(self) -> NetworkCost | None:
        """A copy that computes in float32; None if that would be no faster: it does already, or would be compiled."""
        backend, events = self.objective.backend, self.objective.events.n
        if self.precision is not None or backend.compiles or events * self.npar < WORTH_A_COPY:
            return None
        with np.errstate(all="ignore"):  # what overflows becomes infinite, and that the walker sees
            objective = self.objective.in_single_precision()
        return NetworkCost(objective, n_values=self._n_values, prior=self.prior)

    def value_and_gradient(self, theta: HostArray) -> tuple[float, HostArray]:
        """S and dS/dtheta ``(p,)``; points seen lately are remembered.

        A fresh copy of the gradient each time, so that callers may write into it.
        """
        theta = np.ascontiguousarray(theta, dtype=np.float64)
        key = theta.tobytes()
        for seen, value, gradient in self._sweeps:
            if seen == key:
                return value, gradient.copy()
        packed = self._cross(self.objective.value_and_gradient, theta)
        value, gradient = float(packed[0]), packed[1:]
        if self.prior is not None:
            value += self.errordef * self.prior.value(theta)
            gradient = gradient + self.errordef * self.prior.gradient(theta)
        self._sweeps = ((key, value, gradient), *self._sweeps[: REMEMBERED - 1])  # replaced whole: threads may share it
        return value, gradient.copy()

    def chi2(self, theta: HostArray) -> float:
        """The data's part of S, without the prior."""
        theta = np.ascontiguousarray(theta, dtype=np.float64)
        value = self.value_and_gradient(theta)[0]
        return value if self.prior is None else value - self.errordef * self.prior.value(theta)

    def gauss_newton(self, *args: Any) -> HostArray:
        """The Gauss-Newton matrix J^T C J, prior included, ``(p, p)``: never negative."""
        return self.matrix("gauss_newton", vector(args, self.npar))

    def hessian(self, *args: Any) -> HostArray:
        """The exact second derivative of S, prior included, ``(p, p)``.

        Parameters
        ----------
        *args : array with shape (p,), or p floats
            Theta.

        Notes
        -----
        A `Minuit` object that asks gets the matrix arranged so that it reads the right elements also when parameters
        are fixed, and the Gauss-Newton matrix where the exact one has a negative diagonal (`minuit_hessian`).
        """
        theta = vector(args, self.npar)
        H = self.matrix("hessian", theta)
        minuit = calling_minuit()
        if minuit is None:
            return H
        return as_minuit_reads_it(H, lambda: self.gauss_newton(theta), minuit, theta, self.grad(theta))

    def g2(self, *args: Any) -> HostArray:
        """Diagonal of the Gauss-Newton matrix, ``(p,)``."""
        return np.diag(self.gauss_newton(*args)).copy()

    def matrix(self, name: str, theta: HostArray) -> HostArray:
        """The matrix called "hessian" or "gauss_newton", ``(p, p)``, whoever asks; the last of each is remembered."""
        key, H = self._matrices.get(name, (b"", np.empty(0)))
        if key != theta.tobytes():
            H = self._cross(getattr(self.objective, name), theta)
            if self.prior is not None:
                H = H + self.errordef * self.prior.hessian()
            self._matrices[name] = theta.tobytes(), H
        return H.copy()

    def hessian_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """The exact Hessian times v, ``(p,)``, without the matrix."""
        return self._product(self.objective.hessian_product, theta, v)

    def gauss_newton_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """The Gauss-Newton matrix times v, ``(p,)``, without the matrix."""
        return self._product(self.objective.gauss_newton_product, theta, v)

    def kronecker_factors(self, theta: HostArray) -> list[tuple[HostArray, HostArray, HostArray]]:
        """For each layer G ``(h, h)``, A / n ``(c, c)``, and the prior's part of the diagonal ``(h, c)``.

        The Kronecker product of G and A / n is nearly the Gauss-Newton matrix of the layer. Of a prior on other
        coordinates than theta's own nothing is said: the factors serve as coordinates, which may be rough.
        """
        flat = self._cross(self.objective.kronecker_factors, theta)
        layout, n = self.objective.network.layout, self.objective.events.n
        sizes = [h for h, _ in layout.shapes] + [c for _, c in layout.shapes]
        ends = np.cumsum([s * s for s in sizes])[:-1]
        squares = [a.reshape(s, s) for a, s in zip(np.split(flat, ends), sizes, strict=True)]
        own = np.zeros(layout.n_parameters)
        if self.prior is not None and self.prior.scaling is None:
            own = 2 * self.errordef * self.prior.precision
        L = layout.n_layers
        return [(squares[l], squares[L + l] / n, P) for l, P in enumerate(layout.matrices(np, own))]

    def output_derivatives(self, theta: HostArray, column: Array) -> HostArray:
        """Derivative of each output in theta ``(k, p)`` at one event ``(d, 1)`` of the device."""
        network, xp = self.objective.network, self.objective.backend.xp
        with self.objective.backend.context():
            return self._cross(lambda t: jacobian(network, xp, t, column)[:, 0, :], theta)

    def active_events(self, theta: HostArray) -> HostArray:
        """At how many events each hidden unit reacts, one layer after another."""
        return self._cross(self.objective.active_events, theta)

    def _product(self, f: Callable[[Array, Array], Array], theta: HostArray, v: HostArray) -> HostArray:
        product = self._cross(f, theta, v)
        return product if self.prior is None else product + self.errordef * self.prior.product(v)

    def _cross(self, f: Callable[..., Array], *vectors: HostArray) -> HostArray:
        """The crossing: host vectors to the device, one result back."""
        backend = self.objective.backend
        with np.errstate(all="ignore"):  # a trial step may overflow; the walker sees the infinity
            return backend.to_host(f(*(backend.argument(v) for v in vectors)))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("mask", "loss"):
            raise AttributeError(
                f"`{name}` cannot be set on this cost: make another one, of the selected events (x[mask], y[mask])"
            )
        super().__setattr__(name, value)

    def _value(self, args: Sequence[Any]) -> float:
        return self.value_and_gradient(vector(args, self.npar))[0]

    def _grad(self, args: Sequence[Any]) -> HostArray:
        return self.value_and_gradient(vector(args, self.npar))[1]

    def _has_grad(self) -> bool:
        return True

    def _errordef(self) -> float:
        return self.objective.loss.errordef

    def _ndata(self) -> int:
        return self._n_values

    def __add__(self, rhs: Any) -> CostSum:
        return CostSum(self, rhs)

    def __radd__(self, lhs: Any) -> CostSum:
        return CostSum(lhs, self)


class LeastSquares(NetworkCost):
    r"""Chi-square of a network and measured values, :math:`S = \sum_n \sum_k ((y_k(x_n) - t_{nk})/\sigma_{nk})^2`.

    The argument order is that of `iminuit.cost.LeastSquares`. In a sum put the network's cost first, ``cost + other``:
    then the sum knows the second derivatives, and keeps the order of the parameters.

    Parameters
    ----------
    x : array-like with shape (n, d), or (n,) for d = 1
        Inputs, events as rows.
    y : array-like with shape (n, k), or (n,) for k = 1
        Measured values.
    yerror : float or array-like with shape (n,), (n, k) or (k,)
        Their standard deviations, in units of y. Of shape (n,): one per event, shared by its outputs.
    model : Model
        The network; widths it left open are read from the data.
    weights : array-like with shape (n,), optional
        Factor on each event's term, as if its errors were smaller by the square root.
    prior : GaussianPrior, optional
        Added to S.
    verbose : int
        1 prints every call.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, values are not finite or errors not positive; the message names row and column.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> from iminuit import Minuit
    >>> model = fx.Model((1, 1), seed=1)
    >>> cost = fx.LeastSquares([0.0, 1.0, 2.0], [1.0, 3.0, 5.0], 0.1, model)
    >>> m = Minuit(cost, cost.start).migrad()
    >>> m.valid, [round(v, 6) for v in m.values]
    (True, [2.0, 1.0])
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        yerror: Any,
        model: ModelLike,
        *,
        weights: Any = None,
        prior: GaussianPrior | None = None,
        verbose: int = 0,
    ) -> None:
        d, k = model.shape_of_data()
        if yerror is None:
            raise ValueError("`yerror` is needed: a chi-square has no meaning without errors (Model.fit can estimate)")
        with model.backend.context():
            data = dataset(model.backend, x, y, yerror, weights, d=d, k=k)
        model.build(int(data.x.shape[0]), int(data.y.shape[0]))
        self._init(data, model, prior, verbose)

    @classmethod
    def from_dataset(cls, data: Dataset, model: ModelLike, prior: GaussianPrior | None = None) -> LeastSquares:
        """The same cost of data that are already checked and on the device."""
        cost = cls.__new__(cls)
        cost._init(data, model, prior, 0)
        return cost

    def _init(self, data: Dataset, model: ModelLike, prior: GaussianPrior | None, verbose: int) -> None:
        self.model = model
        self.data = data
        objective = Objective(model.network, LeastSquaresLoss(), data.events(), model.backend)
        super().__init__(objective, n_values=data.n * int(data.y.shape[0]), prior=prior, verbose=verbose)

    @property
    def start(self) -> HostArray:
        """The model's parameters now, ``(p,)`` on the host: where to start MINUIT."""
        return self.model.backend.to_host(self.model.parameters)

    @property
    def x(self) -> HostArray:
        """Inputs, ``(n, d)`` on the host."""
        return self._rows(self.data.x)

    @property
    def y(self) -> HostArray:
        """Measured values, ``(n,)`` or ``(n, k)`` on the host."""
        return self._squeeze(self._rows(self.data.y))

    @property
    def yerror(self) -> HostArray:
        """Errors, in the shape of `y`."""
        return self._squeeze(1 / self._rows(self.data.inverse_error))

    def prediction(self, args: Sequence[float]) -> HostArray:
        """The network's output at each event, in the shape of `y`, on the host."""
        theta = vector((args,), self.npar)
        return self._squeeze(self._rows(self._predict_columns(theta, self.data.x)))

    def pulls(self, args: Sequence[float]) -> HostArray:
        """(measured - predicted) / error, in the shape of `y`: standard normal if the model is right."""
        return np.asarray((self.y - self.prediction(args)) / self.yerror)

    def visualize(self, args: Sequence[float], model_points: int | Sequence[float] = 200) -> Any:
        """Draw data and prediction into the current matplotlib axes.

        For one input the curve through the points, else predicted against measured values.

        Parameters
        ----------
        args : array-like with shape (p,)
            Theta.
        model_points : int or array-like
            How many points of the curve, or which.

        Returns
        -------
        tuple
            ``((x, y, yerror), (x_model, y_model))`` of what was drawn.
        """
        from matplotlib import pyplot as plt

        x, y, error = self.x, self._rows(self.data.y), 1 / self._rows(self.data.inverse_error)
        if x.shape[1] > 1:
            drawn = self._rows(self._predict_columns(vector((args,), self.npar), self.data.x))
            for i in range(y.shape[1]):
                plt.errorbar(y[:, i], drawn[:, i], xerr=error[:, i], fmt="o", ms=3, alpha=0.6, label=f"output {i}")
            ends = [min(y.min(), drawn.min()), max(y.max(), drawn.max())]
            plt.plot(ends, ends, color="black", lw=1)
            plt.xlabel("measured")
            plt.ylabel("predicted")
            return (x, y, error), (x, drawn)
        if np.ndim(model_points) == 0:
            points = np.linspace(x.min(), x.max(), int(np.asarray(model_points)))
        else:
            points = np.asarray(model_points, dtype=np.float64)
        columns = self.model.backend.to_device(points[None, :])
        curve = self._rows(self._predict_columns(vector((args,), self.npar), columns))
        for i in range(y.shape[1]):
            line = plt.errorbar(x[:, 0], y[:, i], error[:, i], fmt="o", ms=3, alpha=0.6)
            plt.plot(points, curve[:, i], color=line[0].get_color() if y.shape[1] > 1 else "black", zorder=3)
        return (x[:, 0], self._squeeze(y), self._squeeze(error)), (points, self._squeeze(curve))

    def _predict_columns(self, theta: HostArray, columns: Array) -> Array:
        backend, network = self.objective.backend, self.objective.network
        with backend.context():
            return forward(network, backend.xp, backend.to_device(theta), columns).y

    def _rows(self, columns: Array) -> HostArray:
        return self.objective.backend.to_host(columns).T.copy()

    def _squeeze(self, rows: HostArray) -> HostArray:
        return rows[:, 0] if rows.shape[1] == 1 and not self.data.y_was_column else rows
