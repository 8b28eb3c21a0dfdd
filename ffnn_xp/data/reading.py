"""The one reader of data: it makes checked data on the device, and their statistic, from `Measurements`.

Fits, replicas, costs, predictions and the command line all call `read`, so that an option means the same in each of
them. It selects the events to use, finds the statistic, checks shapes and values, and moves the arrays to the device.
Kinds of x other than arrays register in `data.points`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import array_api_compat
import numpy as np
from array_api_compat import device

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp._lib.validation import letter
from ffnn_xp.backends import Backend, host_floats, to_numpy
from ffnn_xp.data.bins import Bins
from ffnn_xp.data.dataset import Dataset
from ffnn_xp.data.measurements import Measurements
from ffnn_xp.data.points import Points, array_shape, points_of
from ffnn_xp.data.statistic import find_statistic
from ffnn_xp.data.tables import in_order, names_of_columns
from ffnn_xp.data.uhi import is_histogram
from ffnn_xp.data.validation import (
    CONTENT,
    COUNT,
    FINITE,
    LABEL,
    NO_OR_POSITIVE_ERROR,
    NUMBER_CLASSES,
    POSITIVE,
    POSITIVE_WEIGHT,
    SHARE,
    SUCCESSES,
    TRIALS,
    YES_OR_NO,
    check_resolved,
    check_unambiguous,
    floats,
    per_value,
)
from ffnn_xp.data.whitening import whitening_matrix
from ffnn_xp.losses import Loss
from ffnn_xp.network import ModelLike, augment

Indices = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class CheckedData:
    """Checked data on the device and their statistic.

    Attributes
    ----------
    data : Dataset
        The data; where the errors of y are unknown, its weights have mean 1, since only their ratios matter.
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
    loss: str | Loss = "least_squares",
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
    loss : str or Loss
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
        if not known and data.weights is not None:
            data = replace(data, weights=data.weights / backend.xp.mean(data.weights))
    data = replace(data, input_names=of_x, target_names=of_y if len(of_y or ()) == data.y.shape[0] else None)
    return CheckedData(data, statistic, known)


def events_in_use(measurements: Measurements, *, signed: bool = False) -> Measurements:
    """Return the measurements of the events to use: those of the mask and, if weights may be `signed`, of weight not 0.

    Raises
    ------
    ValueError
        If the mask is not boolean, or has not one value for each event.
    """
    m = measurements
    n = len(points_of(m.x)) if m.mask is not None or (signed and m.weights is not None) else 0
    if m.mask is not None:
        use = np.asarray(to_numpy(m.mask) if array_api_compat.is_array_api_obj(m.mask) else m.mask)
        if use.dtype != np.bool_ or use.ndim != 1:
            raise ValueError(
                f"`mask` must be boolean with shape (n,), True for events to use, got {use.dtype} {use.shape}"
            )
        if len(use) != n:
            raise ValueError(f"`mask` must have shape ({n},), one for each event of `x`, got {use.shape}")
        m, n = _selected(m, np.flatnonzero(use), n), int(np.sum(use))
    if signed and m.weights is not None:
        weights = host_floats(m.weights, "weights")
        if weights.shape == (n,) and 0 < np.count_nonzero(weights) < n:
            m = _selected(m, np.flatnonzero(weights), n)
    return m


def _selected(m: Measurements, at: Indices, n: int) -> Measurements:
    """Return the measurements of the events `at`, of n events.

    Arrays without a row for each event, such as one error for all, stay as they are. In sets of measurements y
    ``(r, n, k)`` the events are selected in each set.
    """
    points = points_of(m.x)
    if points.node_weights is None:
        x = _rows(points.x, at, n)
    else:
        q = points.node_weights.shape[1]
        x = Points(points.x.reshape(n, q, -1)[at].reshape(len(at) * q, -1), points.node_weights[at])

    def per_value(name: str, of: Any) -> Any:
        a, shape = getattr(m, name), () if of is None else array_shape(of)
        if a is not None and len(shape) > 1:
            check_unambiguous(tuple(array_shape(a)), n, shape[-1], name)
        return _rows(a, at, n)

    return replace(
        m,
        x=x,
        y=_rows(m.y, at, n, axis=1 if m.y is not None and len(array_shape(m.y)) == 3 else 0),
        y_err=per_value("y_err", m.y),
        weights=_rows(m.weights, at, n),
        mask=None,
        exposure=per_value("exposure", m.y),
        trials=per_value("trials", m.y),
        y_cov=None if m.y_cov is None else _covariance(m.y_cov, at, n),
        x_err=per_value("x_err", points.x),
    )


def _rows(a: Any, at: Indices, n: int, axis: int = 0) -> Any:
    """Return the rows `at` of an array with n rows; any other array is returned itself."""
    if a is None or len(array_shape(a)) <= axis:
        return a
    a = a if array_api_compat.is_array_api_obj(a) else np.asarray(a)
    if a.shape[axis] != n:
        return a
    xp = array_api_compat.array_namespace(a)
    return xp.take(a, xp.asarray(at, device=device(a)), axis=axis)


def _covariance(covariance: Any, at: Indices, n: int) -> Any:
    """Return the covariance of these events' values: rows and columns of ``(n k, n k)``, or blocks."""
    if len(array_shape(covariance)) == 3:
        return _rows(covariance, at, n)
    V = np.asanyarray(to_numpy(covariance) if _is_device_array(covariance) else covariance)
    k, rest = divmod(len(V), n)
    if V.ndim != 2 or V.shape[0] != V.shape[1] or rest:
        return V  # its shape does not fit: whitening refuses it
    values = (at[:, None] * k + np.arange(k)).ravel()
    return V[np.ix_(values, values)]


def _is_device_array(a: Any) -> bool:
    """Return True if `a` is an array of a library other than NumPy."""
    return array_api_compat.is_array_api_obj(a) and not isinstance(a, np.ndarray)


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
        _classes(backend, m.y, n, k, to_fit=to_fit)
        if loss.target_kind == "class"
        else _targets(backend, m.y, n, k, loss)
    )
    shape = n, int(targets.shape[1])
    inverse = _inverse_error(backend, m.y_err, shape, loss)
    auxiliary = _auxiliary(backend, m.auxiliaries.get(str(loss.auxiliary)), shape, loss)
    if loss.target_kind == "successes":
        _check_successes(backend, targets, auxiliary)
    measured = _as_columns(backend, targets)
    del targets
    weights = None if m.weights is None else _weights(backend, m.weights, n, signed=signed)
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


def _weights(backend: Backend, weights: Any, n: int, *, signed: bool) -> Array:
    """Return the weights of the events, ``(1, n)``."""
    factor = floats(backend, weights, "weights", FINITE if signed else POSITIVE_WEIGHT)
    if factor.shape != (n,):
        raise ValueError(f"`weights` must have shape ({n},), one per event, got {factor.shape}")
    if signed and not float(backend.to_host(backend.xp.sum(factor))) > 0:
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


def _targets(backend: Backend, y: Any, n: int, k: int | None, loss: Loss) -> tuple[Array, bool]:
    """Return measured values ``(n, m)`` for a network of k outputs; some losses need several outputs for each value."""
    if k is not None:
        each = loss.outputs(1)
        if k % each:
            raise ValueError(f"loss {loss.name!r} needs {each} outputs for each value of y, this network has {k}")
        k //= each
    counted = COUNT if loss.whole_counts else CONTENT
    a = floats(backend, y, "y", {"real": FINITE, "successes": SUCCESSES}.get(loss.target_kind, counted))
    was_column = a.ndim == 2 and a.shape[1] == 1
    if a.ndim == 0 and n == 1:
        a = backend.xp.reshape(a, (1, 1))
    elif a.ndim == 1 and a.shape[0] == n and (k in (None, 1) or n != 1):
        a = a[:, None]
    elif a.ndim == 1 and n == 1:
        a = a[None, :]
    if a.ndim != 2 or a.shape[0] != n:
        raise ValueError(f"`y` must have shape ({n}, {letter(k, 'k')}) to match the {n} events of `x`, got {a.shape}")
    if k is not None and a.shape[1] != k:
        raise ValueError(f"`y` must have shape ({n}, {k}) since the network has {k} outputs, got {a.shape}")
    return a, was_column


def _classes(backend: Backend, y: Any, n: int, k: int | None, *, to_fit: bool) -> tuple[Array, bool]:
    """Return counts of classes ``(n, k)``; labels from 0 to k-1 with shape (n,) become counts of 0 and 1."""
    labels = len(array_shape(y)) == 1 and k != 1
    a = floats(backend, y, "y", LABEL if labels else SHARE)
    xp = backend.xp
    if labels:
        k = _number_of_classes(np.unique(backend.to_host(a)), k, to_fit=to_fit)
        a = xp.astype(a[:, None] == xp.arange(k, dtype=a.dtype, device=device(a))[None, :], a.dtype)
    if a.ndim != 2 or a.shape[0] != n or a.shape[1] < 2 or (k is not None and a.shape[1] != k):
        raise ValueError(
            f"`y` must have shape ({n},), a label for each event, or ({n}, {letter(k, 'k')}), counts of classes, "
            f"got {tuple(a.shape)}"
        )
    _check_shares(backend, a)
    return a, False


def _number_of_classes(labels: HostArray, k: int | None, *, to_fit: bool) -> int:
    """Return the number of classes from the different labels, or check them for a network of k outputs.

    A class without events would get a probability from nowhere, so that a fit needs events of each.
    """
    held = ", ".join(f"{label:g}" for label in labels[:4]) + (", ..." if len(labels) > 4 else "")
    if k is not None and len(labels) and labels[-1] >= k:
        raise ValueError(
            f"`y` holds the label {labels[-1]:g}, but the network has {k} outputs, and labels go from 0 to {k - 1}: "
            f"{NUMBER_CLASSES}"
        )
    if to_fit and len(labels) < 2:
        raise ValueError("`y` holds one class only: a classifier needs at least two")
    if to_fit and len(labels) != (labels[-1] + 1 if k is None else k):
        upto = "" if k is None else f" up to {k - 1}"
        keep = "" if k is None else f"; to keep classes without events, give y as counts of classes, (n, {k})"
        raise ValueError(
            f"`y` must hold all labels 0, 1, 2, ...{upto} without gaps, got {held}: {NUMBER_CLASSES}{keep}"
        )
    return len(labels) if k is None else k


def check_sets(backend: Backend, sets: HostArray, loss: Loss, trials: Array | None) -> None:
    """Check the values of many sets of measurements ``(r, n, k)`` by the rules of one set.

    Raises
    ------
    ValueError
        For values that the statistic does not allow.
    """
    rule = {"real": FINITE, "class": SHARE}.get(loss.target_kind, COUNT)
    y = floats(backend, sets, "y", rule)
    if loss.target_kind == "class":
        _check_shares(backend, y)
    if loss.target_kind == "successes":
        _check_successes(backend, y, trials)


def _check_shares(backend: Backend, y: Array) -> None:
    """Check that each event is of some class."""
    if y.shape[-2] and float(backend.to_host(backend.xp.min(backend.xp.sum(y, axis=-1)))) <= 0:
        raise ValueError("`y` has an event that is of no class: leave it out")


def _check_successes(backend: Backend, k: Array, trials: Array | None) -> None:
    """Check that successes ``(..., n, k)`` are at most the trials ``(k, n)``, or 0 or 1 without trials."""
    xp = backend.xp
    too_many = xp.matrix_transpose(k) > (1 if trials is None else trials)
    if float(backend.to_host(xp.sum(xp.astype(too_many, k.dtype)))):
        what = "0 or 1 (or give `trials`)" if trials is None else "at most the number of `trials`"
        remedy = f": {YES_OR_NO}" if trials is None else ""
        at = tuple(np.argwhere(np.swapaxes(backend.to_host(too_many), -1, -2))[0])
        raise ValueError(f"`y` must be {what}, got {backend.to_host(k)[at]:g} in row {at[-2]}{remedy}")
