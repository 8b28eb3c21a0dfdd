"""`Dataset`: the data of a fit on the device, checked, as columns, in raw units."""

from __future__ import annotations

from dataclasses import dataclass

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends import Backend
from ffnn_xp.data.bins import Bins
from ffnn_xp.data.events import Events
from ffnn_xp.losses import Loss
from ffnn_xp.network import units


@dataclass(frozen=True)
class Dataset:
    """Checked data on the device, as columns, in raw units.

    Attributes
    ----------
    inputs : array with shape (d + 1, n)
        Inputs x, with a row of ones below them.
    y : array with shape (k, n)
    inverse_error : array with shape (k, n) or None
        None where the errors are unknown, or the statistic has none.
    auxiliary : array with shape (k, n) or None
        Exposures of counts or numbers of trials, if given; or the whitening matrix of correlated values.
    nodes : array with shape (q, n) or None
        Weights of the integral over each bin, for which x has q columns.
    x_error : array with shape (d, n) or None
        Errors of x, for which x has the shifted columns of `losses.EffectiveVarianceLoss`.
    weights : array with shape (1, n) or None
    y_was_column : bool
        Whether y came as ``(n, 1)``, so that predictions go back in that shape.
    input_names, target_names : tuple of str or None
        Names of the columns of x and y, if they came as tables.
    bins : Bins or None
        The bins that x were, also those that a mask left out.
    """

    inputs: Array
    y: Array
    inverse_error: Array | None
    weights: Array | None
    y_was_column: bool = False
    auxiliary: Array | None = None
    nodes: Array | None = None
    x_error: Array | None = None
    input_names: tuple[str, ...] | None = None
    target_names: tuple[str, ...] | None = None
    bins: Bins | None = None

    @property
    def x(self) -> Array:
        """The inputs, ``(d, n)``."""
        return units(self.inputs)

    @property
    def n(self) -> int:
        """The number of events."""
        return int(self.y.shape[-1])

    @property
    def n_inputs(self) -> int:
        """The number of inputs, d."""
        return int(self.inputs.shape[0]) - 1

    @property
    def n_values(self) -> int:
        """The number of measured values of each event, k."""
        return int(self.y.shape[0])

    @property
    def weighted(self) -> bool:
        """True if events have weights."""
        return self.weights is not None

    @property
    def columns_of_event(self) -> int:
        """The number of columns of x for each event."""
        return int(self.inputs.shape[-1]) // self.n

    def measured_x(self, xp: Namespace) -> Array:
        """Return the measured x of each event, ``(d, n)``, or the centre of its bin."""
        if self.nodes is None:
            return self.x[:, :: self.columns_of_event]
        return xp.mean(xp.reshape(self.x, (self.x.shape[0], self.n, -1)), axis=-1)

    def auxiliary_of(self, xp: Namespace, loss: Loss) -> Array:
        """Return the auxiliary values of a statistic (`Loss.columns`), ones where none were given."""
        if loss.target_kind == "class":
            return xp.sum(self.y, axis=-2, keepdims=True)
        given = self.inverse_error if loss.auxiliary == "y_err" else self.auxiliary
        if given is None:
            return xp.ones_like(self.y if loss.auxiliary is not None else self.y[..., :1, :1])
        return given

    def pulls(
        self, xp: Namespace, loss: Loss, arguments: Array, *, weighted: bool = True, measured: Array | None = None
    ) -> Array:
        """Return (measured - predicted) / standard deviation, ``(k, n)``, from the arguments of the statistic.

        The measured values are y, or others with the same errors. One of weight w has an error smaller by sqrt(w),
        unless the weights say nothing about the scatter (`weighted` is False).
        """
        pulls = loss.pulls(xp, arguments, self.y if measured is None else measured, self.auxiliary_of(xp, loss))
        if self.weights is None or not weighted or loss.target_kind != "real":
            return pulls
        return pulls * xp.sqrt(self.weights)

    def loss_arguments(self, xp: Namespace, loss: Loss, y: Array) -> Array:
        """Return the arguments of the statistic from raw outputs at all columns of x; the first rows predict y."""
        return y if self.columns_of_event == 1 and self.nodes is None else loss.linear_operator(xp, y, (self.nodes,))

    def events(self, backend: Backend, loss: Loss, shift: Array | None = None, scale: Array | None = None) -> Events:
        """Return the events for an objective, for an output that is standardised by `shift` and `scale` ``(k, 1)``."""
        xp, columns = backend.xp, backend.bind(loss.columns)
        auxiliary = self.auxiliary_of(xp, loss)
        if shift is None or scale is None:
            if self.nodes is None:
                return Events(self.inputs, loss.raw_columns(xp, self.y, auxiliary), self.weights, self.columns_of_event)
            scale = xp.ones_like(self.inputs[:1, :1])
            shift = 0 * scale
        if self.nodes is None:
            data = columns(self.y, auxiliary, shift, scale)
            return Events(self.inputs, data, self.weights, self.columns_of_event)
        content = self.y - shift * xp.sum(self.nodes, axis=0, keepdims=True)
        data = columns(content, auxiliary, 0 * shift, scale)
        return Events(self.inputs, (*data, self.nodes), self.weights, int(self.nodes.shape[0]))
