"""From what users hold to a `Dataset` on the device: shapes that fit together, and values that a statistic can use."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np
from array_api_compat import device

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp._lib.validation import letter
from ffnn_xp.backends import Backend, to_numpy
from ffnn_xp.data.bins import Bins
from ffnn_xp.data.dataset import Dataset
from ffnn_xp.data.errors_in_x import UncertainInputs
from ffnn_xp.data.validation import (
    COUNT,
    FINITE,
    NO_OR_POSITIVE_ERROR,
    POSITIVE,
    POSITIVE_WEIGHT,
    SHARE,
    TRIALS,
    floats,
    per_value,
)
from ffnn_xp.data.whitening import whitening
from ffnn_xp.losses import EffectiveVarianceLoss, LeastSquaresLoss, Loss
from ffnn_xp.losses.effective_variance import STEP
from ffnn_xp.network import augment

DEFAULT = LeastSquaresLoss()


def dataset(
    backend: Backend,
    x: Any,
    y: Any,
    y_err: Any = None,
    weights: Any = None,
    *,
    d: int | None = None,
    k: int | None = None,
    loss: Loss = DEFAULT,
    auxiliary: Any = None,
    signed: bool = False,
) -> Dataset:
    """Check events, targets, errors and weights together and move them to the device.

    `x` may be `Bins` or `UncertainInputs`; `k` is the number of the network's outputs; `auxiliary` what the loss calls so;
    `signed` weights may be negative.

    Raises
    ------
    TypeError
        For arrays on another device, text, complex numbers, dates.
    ValueError
        For shapes that do not fit, empty data, values that are not finite, errors or weights that are not positive.
    """
    bins = x if isinstance(x, Bins) else None
    uncertain = x if isinstance(x, UncertainInputs) else None
    points = bins or uncertain
    rows, _ = input_rows(backend, x if points is None else points.x, d, look=True)
    n = rows.shape[0] if bins is None else bins.n
    if n == 0:
        raise ValueError("`x` holds no events: a fit needs at least one row")

    def columns(a: Array) -> Array:
        return backend.contiguous(backend.xp.matrix_transpose(a))

    inputs = augment(backend.xp, backend.xp.matrix_transpose(rows))
    uncertain_rows: Array = None if uncertain is None else rows
    del rows  # of large data each copy counts
    targets, was_column = (
        _classes(backend, y, n, k) if loss.target_kind == "class" else _targets(backend, y, n, k, loss)
    )
    m = int(targets.shape[1])
    inverse, more, x_error = None, None, None
    if y_err is not None:
        if loss.auxiliary != "y_err":
            raise ValueError(f"`y_err` has no place in loss {loss.name!r}: such values have the errors of their kind")
        inverse = columns(1 / per_value(backend, y_err, n, m))
    if loss.auxiliary == "y_cov":
        more = backend.contiguous(backend.to_device(whitening(auxiliary, n, m)))
    elif auxiliary is not None:
        name, rule = str(loss.auxiliary), TRIALS if loss.target_kind == "part" else POSITIVE
        more = columns(per_value(backend, auxiliary, n, m, name, rule))
    if loss.target_kind == "part":
        _check_parts(backend, targets, more)
    measured = columns(targets)
    del targets
    factor = None
    if weights is not None:
        factor = floats(backend, weights, "weights", FINITE if signed else POSITIVE_WEIGHT)
        if factor.shape != (n,):
            raise ValueError(f"`weights` must have shape ({n},), one per event, got {factor.shape}")
        if signed and not float(backend.to_host(backend.xp.sum(factor))) > 0:
            raise ValueError("`weights` must have a positive sum: with less there is no minimum to look for")
        factor = factor[None, :]
    if uncertain is not None:
        if not isinstance(loss, EffectiveVarianceLoss) or inverse is None:
            raise ValueError(
                "`x_err` needs `y_err`: what x adds to the scatter of y cannot be told from y's own errors"
            )
        if backend.dtype != "float64":
            raise ValueError(
                f"`x_err` needs a model with dtype='float64', got {backend.dtype!r}: slopes are differences"
            )
        error = per_value(backend, uncertain.error, n, uncertain_rows.shape[1], "x_err", NO_OR_POSITIVE_ERROR)
        shifted = _with_shifted(backend.xp, uncertain_rows, error, loss)
        x_error, inputs = columns(error), augment(backend.xp, backend.xp.matrix_transpose(shifted))
    nodes = None if bins is None else backend.to_device(bins.weights.T.copy())
    return Dataset(inputs, measured, inverse, factor, was_column, more, nodes, x_error)


def _with_shifted(xp: Namespace, rows: Array, error: Array, loss: EffectiveVarianceLoss) -> Array:
    """Each row of ``(n, d)``, followed by itself moved up and down in each input that has errors."""
    points = [rows]
    for j in loss.inputs:
        one = xp.arange(rows.shape[1], device=device(rows)) == j
        step = STEP * xp.where(one[None, :], error, xp.zeros_like(error))
        points += [rows + step, rows - step]
    return xp.reshape(xp.stack(points, axis=1), (-1, rows.shape[1]))


def selected(mask: Any, *arrays: Any) -> tuple[Any, ...]:
    """The arrays' rows where `mask` ``(n,)`` is true; what has no row for each event stays.

    Raises
    ------
    ValueError
        If the mask is not boolean, or not as long as the first array.
    """
    at = np.asarray(to_numpy(mask) if array_api_compat.is_array_api_obj(mask) else mask)
    if at.dtype != np.bool_ or at.ndim != 1:
        raise ValueError(f"`mask` must be boolean with shape (n,), True for events to use, got {at.dtype} {at.shape}")

    def rows(a: Any) -> Any:
        if a is None or np.ndim(a if not hasattr(a, "shape") else np.empty(a.shape[:1])) == 0:
            return a
        a = a if array_api_compat.is_array_api_obj(a) else np.asarray(a)
        return a[np.flatnonzero(at).tolist()] if len(a) == len(at) else a

    first = rows(arrays[0])
    if len(arrays[0]) != len(at):
        raise ValueError(f"`mask` must have shape ({len(arrays[0])},), one for each event of `x`, got {at.shape}")
    return (first, *map(rows, arrays[1:]))


def input_rows(backend: Backend, x: Any, d: int | None, *, look: bool = False) -> tuple[Array, str]:
    """Inputs as ``(n, d)`` on the device, and what they were: "table", "column" (n,) or "event" (d,).

    Values that are on the device already are looked at only on demand: it would cost a crossing.
    """
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
    """Measured values ``(n, m)`` for a network of k outputs, which some losses have more of than values."""
    if k is not None:
        each = loss.outputs(1)
        if k % each:
            raise ValueError(f"loss {loss.name!r} needs {each} outputs for each value of y, this network has {k}")
        k //= each
    a = floats(backend, y, "y", FINITE if loss.target_kind == "real" else COUNT)
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


def _classes(backend: Backend, y: Any, n: int, k: int | None) -> tuple[Array, bool]:
    """Counts of classes ``(n, k)``; labels 0 ... k-1 of shape (n,) become 0 and 1."""
    a = floats(backend, y, "y", SHARE)
    xp = backend.xp
    if a.ndim == 1 and k != 1:
        a = floats(backend, y, "y", COUNT)
        top = int(backend.to_host(xp.max(a))) if a.shape[0] else 0
        k = top + 1 if k is None else k
        if top >= k:
            raise ValueError(f"`y` holds label {top}, but the network has {k} outputs: labels go from 0 to {k - 1}")
        if k < 2 or (a.shape[0] and int(backend.to_host(xp.min(a))) == top):
            raise ValueError("`y` holds one class only: there is nothing to tell apart")
        a = xp.astype(a[:, None] == xp.arange(k, dtype=a.dtype, device=device(a))[None, :], a.dtype)
    if a.ndim != 2 or a.shape[0] != n or a.shape[1] < 2 or (k is not None and a.shape[1] != k):
        raise ValueError(
            f"`y` must have shape ({n},), a label for each event, or ({n}, {letter(k, 'k')}), counts of classes, "
            f"got {tuple(a.shape)}"
        )
    if float(backend.to_host(xp.min(xp.sum(a, axis=-1)))) <= 0:
        raise ValueError("`y` has an event that is of no class: leave it out")
    return a, False


def _check_parts(backend: Backend, k: Array, trials: Array | None) -> None:
    """k of N, and without N 0 or 1."""
    xp = backend.xp
    too_many = xp.matrix_transpose(k) > (1 if trials is None else trials)
    if float(backend.to_host(xp.sum(xp.astype(too_many, k.dtype)))):
        what = "0 or 1 (or give `trials`)" if trials is None else "at most the number of `trials`"
        at = np.argwhere(backend.to_host(too_many).T)[0]
        raise ValueError(f"`y` must be {what}, got {backend.to_host(k)[at[0], at[1]]:g} in row {at[0]}")
