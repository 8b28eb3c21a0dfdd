"""The one reader of data: it makes checked data on the device, and their statistic, from `Measurements`.

Fits, replicas, costs, predictions and the command line all call `read`, so that an option means the same in each of
them. It selects the events to use, finds the statistic, checks shapes and values, and moves the arrays to the device.
Kinds of x other than arrays register in `data.points`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp._lib.validation import letter
from ffnn_xp.backends import Backend
from ffnn_xp.data.bins import Bins
from ffnn_xp.data.dataset import Dataset
from ffnn_xp.data.measurements import Measurements
from ffnn_xp.data.points import Points, points_of
from ffnn_xp.data.selection import events_in_use
from ffnn_xp.data.statistic import find_statistic
from ffnn_xp.data.tables import in_order, names_of_columns
from ffnn_xp.data.targets import check_successes, counts_of_classes, measured_values
from ffnn_xp.data.uhi import is_histogram
from ffnn_xp.data.validation import (
    FINITE,
    NO_OR_POSITIVE_ERROR,
    POSITIVE,
    POSITIVE_WEIGHT,
    TRIALS,
    check_resolved,
    floats,
    per_value,
)
from ffnn_xp.data.whitening import whitening_matrix
from ffnn_xp.losses import Loss, LossLike
from ffnn_xp.network import ModelLike, augment


@dataclass(frozen=True)
class CheckedData:
    """Checked data on the device and their statistic.

    Attributes
    ----------
    data : Dataset
        The data; where the errors of y are unknown, weights to be fitted have mean 1, since only their ratios matter.
    loss : Loss
        The statistic, for the network's output.
    errors_known : bool
        Whether the errors of y were given, or are those of the statistic itself, as of counts.
    """

    data: Dataset
    loss: Loss
    errors_known: bool


def read(
    model: ModelLike,
    measurements: Measurements,
    loss: LossLike = "least_squares",
    *,
    signed: bool = False,
    to_fit: bool = True,
) -> CheckedData:
    """Select the events to use, find their statistic, check everything together and move it to the model's device.

    Parameters
    ----------
    model : ModelLike
        The model, whose backend, output and widths are used.
    measurements : Measurements
        The user's arrays.
    loss : str, Loss or callable
        The statistic as the user names it.
    signed : bool
        Whether weights may be negative or zero. Events of weight zero are left out.
    to_fit : bool
        Whether the data are to be fitted; else there may be no events, and no event of some classes.

    Raises
    ------
    TypeError
        For arrays on another device, text, complex numbers, dates.
    ValueError
        For shapes that do not fit, empty data, values that are not finite, errors or weights that are not positive,
        and arrays that the statistic does not use.
    """
    of_x, of_y = names_of_columns(measurements.x), names_of_columns(measurements.y)
    as_named = {name: of_y for name in ("y_err", "exposure", "trials")} | {"x_err": of_x}
    in_their_order = {a: in_order(getattr(measurements, a), of, a, strict=False) for a, of in as_named.items()}
    m = events_in_use(replace(measurements, **in_their_order), signed=signed)
    points = points_of(m.x)
    statistic = find_statistic(loss, model.activations[-1], m, points)
    if m.y_cov is not None and (m.y_err is not None or m.weights is not None):
        raise ValueError("`y_cov` says all about the errors of y: leave y_err and weights out")
    if points.node_weights is not None and m.y_err is None and statistic.auxiliary == "y_err":
        raise ValueError("the contents of bins need `y_err`, or loss='poisson'")
    backend = model.backend
    known = m.y_err is not None or statistic.auxiliary != "y_err"
    with backend.context():
        data = _dataset(model, m, points, statistic, signed=signed, to_fit=to_fit)
        if not known and data.weights is not None and to_fit:
            data = replace(data, weights=data.weights / backend.xp.mean(data.weights))
    of_y = of_y if len(of_y or ()) == data.y.shape[0] else None
    bins = measurements.x if isinstance(measurements.x, Bins) else None
    data = replace(data, input_names=of_x, target_names=of_y, bins=bins)
    return CheckedData(data, statistic, known)


def _dataset(model: ModelLike, m: Measurements, points: Points, loss: Loss, *, signed: bool, to_fit: bool) -> Dataset:
    """Check inputs, targets, errors and weights together and move them to the device."""
    backend, (d, k) = model.backend, model.shape_of_data()
    rows, _ = input_rows(backend, points.x, d, look=True)
    if to_fit:
        check_resolved(backend, points.x, "x")
        check_resolved(backend, m.y, "y")
    n = int(rows.shape[0]) if points.node_weights is None else len(points)
    if n == 0 and to_fit:
        raise ValueError("`x` holds no events: a fit needs at least one row")
    inputs = backend.bind(_columns_above_ones)(rows)
    uncertain: Array = rows if loss.uncertain_inputs else None
    del rows  # with large data each copy counts
    targets, was_column = (
        counts_of_classes(backend, m.y, n, k, to_fit=to_fit)
        if loss.target_kind == "class"
        else measured_values(backend, m.y, n, k, loss)
    )
    shape = n, int(targets.shape[1])
    inverse = _inverse_error(backend, m.y_err, shape, loss)
    auxiliary = _auxiliary(backend, m.auxiliaries.get(str(loss.auxiliary)), shape, loss)
    if loss.target_kind == "successes":
        check_successes(backend, targets, auxiliary)
    measured = _as_columns(backend, targets)
    del targets
    weights = None if m.weights is None else _weights(backend, m.weights, n, signed=signed, to_fit=to_fit)
    x_error = None
    if loss.uncertain_inputs:
        if inverse is None:
            raise ValueError("`x_err` needs `y_err`: the scatter of y from x cannot be separated from y's own errors")
        x_error, inputs = _inputs_with_errors(backend, uncertain, m.x_err, loss)
    nodes = None if points.node_weights is None else backend.to_device(points.node_weights.T.copy())
    return Dataset(inputs, measured, inverse, weights, was_column, auxiliary, nodes, x_error)


def _as_columns(backend: Backend, a: Array) -> Array:
    return backend.contiguous(backend.bind(_columns)(a))


def _columns(xp: Namespace, rows: Array) -> Array:
    return xp.matrix_transpose(rows)


def _columns_above_ones(xp: Namespace, rows: Array) -> Array:
    return augment(xp, xp.matrix_transpose(rows))


def _inverse_columns(xp: Namespace, rows: Array) -> Array:
    return xp.matrix_transpose(1 / rows)


def _inverse_error(backend: Backend, y_err: Any, shape: tuple[int, int], loss: Loss) -> Array | None:
    """Return 1 / sigma of each value, ``(k, n)``."""
    if y_err is None:
        return None
    if loss.auxiliary != "y_err":
        raise ValueError(f"`y_err` has no place in loss {loss.name!r}: such values have the errors of their kind")
    return backend.contiguous(backend.bind(_inverse_columns)(per_value(backend, y_err, *shape)))


def _auxiliary(backend: Backend, auxiliary: Any, shape: tuple[int, int], loss: Loss) -> Array | None:
    """Return the loss's auxiliary values: exposures, numbers of trials, or the whitening matrix."""
    if auxiliary is None:
        return None
    if loss.auxiliary == "y_cov":
        return backend.contiguous(backend.to_device(whitening_matrix(auxiliary, *shape)))
    name, rule = str(loss.auxiliary), TRIALS if loss.target_kind == "successes" else POSITIVE
    return _as_columns(backend, per_value(backend, auxiliary, *shape, name, rule))


def _weights(backend: Backend, weights: Any, n: int, *, signed: bool, to_fit: bool) -> Array:
    """Return the weights of the events, ``(1, n)``."""
    factor = floats(backend, weights, "weights", FINITE if signed else POSITIVE_WEIGHT)
    if factor.shape != (n,):
        raise ValueError(f"`weights` must have shape ({n},), one per event, got {factor.shape}")
    if signed and to_fit and not float(backend.to_host(backend.xp.sum(factor))) > 0:
        raise ValueError("`weights` must have a positive sum: otherwise there is no minimum")
    return factor[None, :]


def _inputs_with_errors(backend: Backend, rows: Array, x_err: Any, loss: Loss) -> tuple[Array, Array]:
    """Return the errors of x as columns, and x with the shifted points from which slopes are computed."""
    if backend.dtype != "float64":
        raise ValueError(f"`x_err` needs a model with dtype='float64', got {backend.dtype!r}: slopes are differences")
    error = per_value(backend, x_err, rows.shape[0], rows.shape[1], "x_err", NO_OR_POSITIVE_ERROR)
    shifted = loss.with_shifted(backend.xp, rows, error)
    return _as_columns(backend, error), augment(backend.xp, backend.xp.matrix_transpose(shifted))


def input_rows(backend: Backend, x: Any, d: int | None, *, look: bool = False) -> tuple[Array, str]:
    """Return inputs as ``(n, d)`` on the device, and their kind: "table", "column" (n,) or "event" (d,).

    Values that are on the device already are checked only if `look` is True: that costs a device-to-host transfer.
    """
    if isinstance(x, Bins) or is_histogram(x):
        raise TypeError(
            f"`x` must be points here, got {type(x).__name__}: fits, costs and predictions take bins; elsewhere give "
            "points, such as Bins(edges).centers"
        )
    a = floats(backend, x, "x", FINITE, look=look)
    if a.ndim > 2:
        raise ValueError(f"`x` must have shape (n, {letter(d)}), events as rows, got {a.shape}")
    if a.ndim == 0:
        a = backend.xp.reshape(a, (1,))
        kind = "event"
    else:
        kind = {1: "column", 2: "table"}[a.ndim]
    if a.ndim == 1:
        if d in (None, 1):
            a = a[:, None]
        elif a.shape[0] == d:
            a, kind = a[None, :], "event"
        else:
            raise ValueError(
                f"`x` must have shape (n, {d}), or ({d},) for one event, got {a.shape}: this network has {d} inputs"
            )
    if d is not None and a.shape[1] != d:
        hint = " (events are rows here: did you mean x.T?)" if a.shape[0] == d else ""
        raise ValueError(f"`x` must have shape (n, {d}), got {a.shape}{hint}")
    if a.shape[1] == 0:
        raise ValueError(f"`x` must have at least one column, got shape {a.shape}")
    return a, kind
