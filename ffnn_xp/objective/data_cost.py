"""`DataCost`: the cost of a network and data for MINUIT, the base class of the costs of all kinds of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ffnn_xp._lib.drawing import labels
from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.text import Pair, counted
from ffnn_xp._lib.typing import Array, HostArray, Mask
from ffnn_xp._lib.validation import column_names, vector
from ffnn_xp.data import Dataset
from ffnn_xp.losses import Loss
from ffnn_xp.network import ModelLike, evaluate
from ffnn_xp.objective.drawn import Drawn, half_width
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.objective.objective import Objective
from ffnn_xp.objective.prior import GaussianPrior
from ffnn_xp.objective.visualize import Curve, Names, draw_cost


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
    _used: Mask | None
    """True for those of the user's events that are in use, ``(n,)``; None where all are."""

    @classmethod
    def from_dataset(
        cls, data: Dataset, model: ModelLike, statistic: Loss, prior: GaussianPrior | None = None, verbose: int = 0
    ) -> DataCost:
        """Return the cost of data that are already checked and on the device."""
        cost = cls.__new__(cls)
        cost._init(data, model, statistic, prior, verbose)
        return cost

    @classmethod
    def of_objective(
        cls, objective: Objective, data: Any, model: ModelLike, statistic: Loss, prior: GaussianPrior | None
    ) -> DataCost:
        """Return the cost of an objective of events that are elsewhere."""
        cost = cls.__new__(cls)
        cost._init_with(objective, data, model, statistic, prior)
        return cost

    def _init(
        self,
        data: Dataset,
        model: ModelLike,
        statistic: Loss,
        prior: GaussianPrior | None,
        verbose: int,
        name: Sequence[str] | None = None,
        used: Mask | None = None,
    ) -> None:
        statistic = statistic.for_output(model.network.activations[-1].name)
        with model.backend.context():
            events = data.events(model.backend, statistic).ready_to_stream(model.backend)
        objective = Objective(model.network, statistic, events, model.backend)
        self._init_with(objective, data, model, statistic, prior, verbose, name, used)

    def _init_with(
        self,
        objective: Objective,
        data: Dataset,
        model: ModelLike,
        statistic: Loss,
        prior: GaussianPrior | None,
        verbose: int = 0,
        name: Sequence[str] | None = None,
        used: Mask | None = None,
    ) -> None:
        n_values = data.n * statistic.ndof_per_event(data.n_values)
        super().__init__(objective, n_values=n_values, prior=prior, verbose=verbose, name=name)
        self.model, self.data, self.statistic, self._used = model, data, statistic, used

    def _pairs(self) -> list[Pair]:
        data, loss = self.data, self.statistic
        d, k = data.n_inputs, data.n_values
        events = counted(data.n if self._used is None else len(self._used), "event")
        used = "" if self._used is None else f"{data.n} of "
        what = "" if data.nodes is None else " in bins"
        pairs = [
            ("data", f"{used}{events} of {counted(d, 'input')}{what} and {counted(k, 'measured value')}"),
            ("statistic", f"{loss.display_name} of {loss.name}"),
            *super()._pairs(),
        ]
        return pairs if self.prior is None else [*pairs, ("prior", "Gaussian, part of the cost")]

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

    def visualize(self, args: Sequence[float], model_points: int | Sequence[float] = 0) -> Any:
        """Draw data and prediction into the current axes of matplotlib.

        With one input it draws the curve and the points, and of bins the curve's mean over each as steps; with several
        inputs measured against predicted values. Yes or no, and classes, are drawn as shares of groups of events.
        Values are in units of the network's output.

        Parameters
        ----------
        args : array-like with shape (p,)
            Theta.
        model_points : int or array-like
            The number of points of the curve, or the points; 0 leaves the number to this function.

        Returns
        -------
        tuple
            The numbers that were drawn, ``((x, y, yerror), (x_model, y_model))``; yerror is None where none is drawn.
        """
        theta = vector((args,), self.npar)
        return draw_cost(self.drawn(theta), lambda x: self._curve(theta, x), model_points, self.column_labels())

    def drawn(self, args: Sequence[float] | HostArray) -> Drawn:
        """Return the numbers of a picture of the data in use and their predictions."""
        return self._drawn(self._loss_arguments(args))

    def standard_deviations(self, args: Sequence[float] | HostArray) -> HostArray:
        """Return the standard deviation of each measured value, in the shape of `y`, by its statistic at theta.

        They are those of `pulls`, weights included, and NaN for correlated values, whose pulls are combinations of
        several.
        """
        return self._squeeze(self._deviations(self._loss_arguments(args)))

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

    def _deviations(self, arguments: Array) -> HostArray:
        """Return standard deviations ``(n, k)`` by the arguments of the statistic."""
        if self.statistic.auxiliary == "y_cov":
            return np.full_like(self._rows(self.data.y), np.nan)
        with self.model.backend.context():
            step = 1 + self.model.backend.xp.abs(self.data.y)  # so that no digits are lost, whatever the units of y
            low, high = (self._pulls_of(arguments, self.data.y + add) for add in (0.0, step))
        with np.errstate(divide="ignore"):
            return np.asarray(self._rows(step) / (high - low))

    def _drawn(self, arguments: Array) -> Drawn:
        """Return the numbers of a picture by the arguments of the statistic."""
        data, unit, kind = self.data, self.unit(), self.statistic.target_kind
        y = self._rows(data.y)
        weight = np.ones(data.n) if data.weights is None else self._rows(data.weights)[:, 0]
        x = self._rows(data.measured_x(self.model.backend.xp))
        across: HostArray | None = None
        if x.shape[1] == 1 and data.nodes is not None:
            across = half_width(self._rows(data.x).reshape(data.n, -1), self._rows(data.nodes))
        elif x.shape[1] == 1 and data.x_error is not None:
            across = self._rows(data.x_error)[:, 0]
        return Drawn(
            x,
            across,
            y / unit,
            self._deviations(arguments) / unit,
            self._rows(arguments[: y.shape[1], :]) / self.volume(),
            self._pulls_of(arguments),
            weight if np.all(weight >= 0) else np.ones(data.n),
            grouped=kind in ("successes", "class") and bool(np.all((y == 0) | (y == 1))),
            bins=data.bins if x.shape[1] == 1 else None,
        )

    def _curve(self, theta: HostArray, x: HostArray) -> Curve:
        """Return the curve of a picture at inputs ``(m,)``."""
        rows = self._rows(self._outputs(theta, self.model.backend.to_device(x[None, :])))
        k = int(self.data.y.shape[0])
        return Curve(rows[:, :k], np.exp(rows[:, k:]) if self.statistic.predicts_width else None)

    def column_labels(
        self, input_names: Sequence[str] | None = None, target_names: Sequence[str] | None = None
    ) -> Names:
        """Return the labels of the axes of pictures: names that are given, those of columns of tables, or letters."""
        data = self.data
        d, k = int(data.x.shape[0]), int(data.y.shape[0])
        inputs = column_names(input_names, "input_names", d) or data.input_names
        values = column_names(target_names, "target_names", k) or data.target_names
        if values is None and data.bins is not None and not data.bins.average:
            values = ("contents / bin width" if d == 1 else "contents / bin volume",)
        return Names(labels(inputs, "x", d), labels(values, "y", k))

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
        """Return rows ``(n, k)`` of the events in use in the shape of y, with NaN for all others."""
        if self._used is not None:
            rows, some = np.full((len(self._used), rows.shape[1]), np.nan), rows
            rows[self._used] = some
        return self._in_shape_of_y(rows)

    def _in_shape_of_y(self, rows: HostArray) -> HostArray:
        return rows[:, 0] if rows.shape[1] == 1 and not self.data.y_was_column else rows
