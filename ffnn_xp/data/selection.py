"""The events to use: those of the mask, and those whose weight is not zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import array_api_compat
import numpy as np
from array_api_compat import device

from ffnn_xp.backends import host_floats, to_numpy
from ffnn_xp.data.measurements import Measurements
from ffnn_xp.data.points import Points, array_shape, points_of
from ffnn_xp.data.validation import check_unambiguous

Indices = np.ndarray[Any, np.dtype[np.intp]]


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
        d = points.n_inputs
        x = Points(points.x.reshape(n, q, d)[at].reshape(len(at) * q, d), points.node_weights[at])

    def per_value(name: str, of: Any) -> Any:
        a, shape = getattr(m, name), () if of is None else array_shape(of)
        k = shape[-1] if len(shape) > 1 else 1
        if a is not None and k > 1:
            check_unambiguous(tuple(array_shape(a)), n, k, name)
        return a if a is not None and tuple(array_shape(a)) in ((k,), (1,), (1, k)) else per_event(name)

    def per_event(name: str, axis: int = 0) -> Any:
        a = getattr(m, name)
        shape = () if a is None else array_shape(a)
        if len(shape) > axis and shape[axis] != n:
            raise ValueError(f"`{name}` must have {n} rows like `x`, before the mask, got {shape[axis]}")
        return _rows(a, at, n, axis=axis)

    return replace(
        m,
        x=x,
        y=per_event("y", axis=1 if m.y is not None and len(array_shape(m.y)) == 3 else 0),
        y_err=per_value("y_err", m.y),
        weights=per_event("weights"),
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
    k, rest = divmod(len(V), max(n, 1))
    if V.ndim != 2 or V.shape[0] != V.shape[1] or rest:
        return V  # its shape does not fit: whitening refuses it
    values = (at[:, None] * k + np.arange(k)).ravel()
    return V[np.ix_(values, values)]


def _is_device_array(a: Any) -> bool:
    """Return True if `a` is an array of a library other than NumPy."""
    return array_api_compat.is_array_api_obj(a) and not isinstance(a, np.ndarray)
