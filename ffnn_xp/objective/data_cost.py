"""`DataCost`: the cost of a network and data for MINUIT, the base class of the costs of all kinds of data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp._lib.validation import vector
from ffnn_xp.data import Dataset, Measurements, host_resident_if_needed, in_order, measurements_of, read
from ffnn_xp.losses import Loss
from ffnn_xp.network import ModelLike, evaluate
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.objective.objective import Objective
from ffnn_xp.objective.prior import GaussianPrior


@quiet
class DataCost(NetworkCost):
    """The cost of a network and data in raw units, the base class of `LeastSquares`, `Poisson` and the others.

    Attributes
    ----------
    model : Model
        The network.
    data : Dataset
        The data on the device.
    statistic : Loss
        The statistic.
    """

    model: ModelLike
    data: Dataset
    statistic: Loss

    @classmethod
    def from_dataset(
        cls, data: Dataset, model: ModelLike, statistic: Loss, prior: GaussianPrior | None = None, verbose: int = 0
    ) -> DataCost:
        """Return the cost of data that are already checked and on the device."""
        cost = cls.__new__(cls)
        cost._init(data, model, statistic, prior, verbose)
        return cost

    def _init(
        self, data: Dataset, model: ModelLike, statistic: Loss, prior: GaussianPrior | None, verbose: int
    ) -> None:
        self.model, self.data = model, data
        self.statistic = statistic.for_output(model.network.activations[-1].name)
        with model.backend.context():
            events = data.events(model.backend, self.statistic).ready_to_stream(model.backend)
        objective = Objective(model.network, self.statistic, events, model.backend)
        n_values = data.n * self.statistic.ndof_per_event(int(data.y.shape[0]))
        super().__init__(objective, n_values=n_values, prior=prior, verbose=verbose)

    def _read(
        self,
        model: ModelLike,
        measurements: Measurements,
        loss: str | Loss,
        *,
        prior: GaussianPrior | None = None,
        verbose: int = 0,
    ) -> None:
        """Check the data, complete the model's widths, and build the cost."""
        measurements, loss = measurements_of(measurements, loss)
        measurements = replace(measurements, x=in_order(measurements.x, model.input_names))
        model = host_resident_if_needed(model, measurements)
        checked = read(model, measurements, loss)
        data = checked.data
        model.build(int(data.x.shape[0]), checked.loss.outputs(int(data.y.shape[0])))
        model.name_inputs(data.input_names)
        self._init(data, model, checked.loss, prior, verbose)

    @property
    def start(self) -> HostArray:
        """The model's parameters now, ``(p,)`` on the host, as start values for MINUIT."""
        return self.model.backend.to_host(self.model.parameters)

    @property
    def x(self) -> HostArray:
        """The inputs, ``(n, d)`` on the host, or the centres of bins."""
        return self._rows(self.data.measured_x(self.model.backend.xp))

    @property
    def xerror(self) -> HostArray | None:
        """The errors of the inputs, ``(n, d)`` on the host, if they have any."""
        return None if self.data.x_error is None else self._rows(self.data.x_error)

    @property
    def y(self) -> HostArray:
        """The measured values, ``(n,)`` or ``(n, k)`` on the host."""
        return self._squeeze(self._rows(self.data.y))

    def prediction(self, args: Sequence[float] | HostArray) -> HostArray:
        """Return the network's output at each event, ``(n,)`` or ``(n, k)`` on the host.

        Theta with shape (m, p) is that of m networks, whose mean predicts; this holds for `pulls` and
        `standard_deviations` too.
        """
        return self._squeeze(self._rows(self._loss_arguments(args)[: self.data.y.shape[0], :]))

    def pulls(self, args: Sequence[float] | HostArray) -> HostArray:
        """Return (measured - predicted) / standard deviation, in the shape of `y`.

        They are near standard normal if the model is right. For counts the deviation is that of the prediction
        (Pearson's residuals). A measured value of weight w counts with an error smaller by sqrt(w); weights of both
        signs do not change pulls.
        """
        return self._squeeze(self._pulls_of(self._loss_arguments(args)))

    def visualize(self, args: Sequence[float], model_points: int | Sequence[float] = 200) -> Any:
        """Draw data and prediction into the current matplotlib axes.

        With one input it draws the curve and the points, with several predicted against measured values.

        Parameters
        ----------
        args : array-like with shape (p,)
            Theta.
        model_points : int or array-like
            The number of points of the curve, or the points.

        Returns
        -------
        tuple
            The numbers that were drawn, ``((x, y, yerror), (x_model, y_model))``.
        """
        from matplotlib import pyplot as plt

        x, (y, error) = self.x, self._rates()
        if x.shape[1] > 1:
            drawn = self._rows(self._loss_arguments(args))[:, : y.shape[1]] / self.volume()
            for i in range(y.shape[1]):
                bar = None if error is None else error[:, i]
                plt.errorbar(y[:, i], drawn[:, i], xerr=bar, fmt="o", ms=3, alpha=0.6, label=f"output {i}")
            ends = [min(y.min(), drawn.min()), max(y.max(), drawn.max())]
            plt.plot(ends, ends, color="black", lw=1)
            plt.xlabel("measured")
            plt.ylabel("predicted")
            return (x, y, error), (x, drawn)
        if np.ndim(model_points) == 0:
            points = np.linspace(x.min(), x.max(), int(np.asarray(model_points)))
        else:
            points = np.asarray(model_points, dtype=np.float64)
        curve = self._rows(self._outputs(vector((args,), self.npar), self.model.backend.to_device(points[None, :])))
        for i in range(y.shape[1]):
            bar, across = None if error is None else error[:, i], self.xerror
            across = None if across is None else across[:, 0]
            line = plt.errorbar(x[:, 0], y[:, i], bar, across, fmt="o", ms=3, alpha=0.6)
            plt.plot(points, curve[:, i], color=line[0].get_color() if y.shape[1] > 1 else "black", zorder=3)
        shown = None if error is None else self._squeeze(error)
        return (x[:, 0], self._squeeze(y), shown), (points, self._squeeze(curve))

    def standard_deviations(self, args: Sequence[float] | HostArray) -> HostArray:
        """Return the standard deviation of each measured value, in the shape of `y`, by its statistic at theta.

        They are those of `pulls`, weights included, and NaN for correlated values, whose pulls are combinations of
        several.
        """
        if self.statistic.auxiliary == "y_cov":
            return np.full_like(self.y, np.nan)
        arguments = self._loss_arguments(args)
        with self.model.backend.context():
            step = 1 + self.model.backend.xp.abs(self.data.y)  # so that no digits are lost, whatever the units of y
            low, high = (self._pulls_of(arguments, self.data.y + add) for add in (0.0, step))
        with np.errstate(divide="ignore"):
            return self._squeeze(self._rows(step) / (high - low))

    def unit(self) -> HostArray:
        """Return the factor from outputs to expected values, ``(n, k)``: exposures, trials, volumes of bins, or 1."""
        if self.statistic.target_kind == "class":
            return np.asarray(self._rows(self.data.y).sum(axis=1, keepdims=True))
        scaled = self.data.auxiliary is not None and self.statistic.auxiliary != "y_cov"
        factor: HostArray = self._rows(self.data.auxiliary) if scaled else np.ones((1, 1))
        return np.asarray(factor * self.volume(), dtype=np.float64)

    def volume(self) -> HostArray | float:
        """Return the volume of bins, ``(n, 1)``; 1 for points."""
        return 1.0 if self.data.nodes is None else self._rows(self.data.nodes).sum(axis=1, keepdims=True)

    def _pulls_of(self, arguments: Array, measured: Array | None = None) -> HostArray:
        """Return pulls ``(n, k)`` by the arguments of the statistic, of the measured values or of others."""
        xp, data = self.model.backend.xp, self.data
        with self.model.backend.context():
            weighted = data.weights is None or bool(xp.all(data.weights >= 0))
            return self._rows(data.pulls(xp, self.statistic, arguments, weighted=weighted, measured=measured))

    def _rates(self) -> tuple[HostArray, HostArray | None]:
        """Return the measured values in units of the output, and their errors if they are known; ``(n, k)``."""
        y, inverse = self._rows(self.data.y) / self.unit(), self.data.inverse_error
        return y, None if inverse is None else 1 / self._rows(inverse) / self.volume()

    def _outputs(self, theta: HostArray, columns: Array) -> Array:
        backend = self.model.backend
        return evaluate(self.model.network, backend, backend.to_device(theta), columns)

    def _loss_arguments(self, args: Any) -> Array:
        """Return the arguments of the statistic at theta; the first rows predict the measured values."""
        networks = args if np.ndim(args) == 2 else (args,)
        with self.model.backend.context():
            outputs = [self._outputs(vector((theta,), self.npar), self.data.x) for theta in networks]
            return self.data.loss_arguments(self.model.backend.xp, self.statistic, sum(outputs) / len(outputs))

    def _rows(self, columns: Array) -> HostArray:
        return self.objective.backend.to_host(columns).T.copy()

    def _squeeze(self, rows: HostArray) -> HostArray:
        return rows[:, 0] if rows.shape[1] == 1 and not self.data.y_was_column else rows
