"""From what users hold to columns on the device: shapes, types and values are checked once, here.

Lists, tuples, DataFrames, integer, float32, read-only and strided arrays are all welcome; what cannot be used gets an
error that says what was expected, what came, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import array_api_compat
import numpy as np
from array_api_compat import device

from ._typing import Array, HostArray, Namespace
from .backends import Backend, describe_array, is_foreign_device_array, to_numpy
from .bins import Bins
from .covariances import whitening
from .layout import augment, units
from .losses import EffectiveVarianceLoss, LeastSquaresLoss, Loss
from .losses.effective_variance import STEP
from .objective import Events
from .uncertain_inputs import UncertainInputs

DEFAULT = LeastSquaresLoss()


@dataclass(frozen=True)
class Dataset:
    """Checked data on the device, as columns, in raw units.

    Attributes
    ----------
    inputs : array with shape (d + 1, n)
        Inputs x, and a row of ones below them.
    y : array with shape (k, n)
    inverse_error : array with shape (k, n) or None
        None where the errors are unknown, or the statistic has none.
    extra : array with shape (k, n) or None
        Exposure of counts, or number of trials, if given; or what whitens correlated values.
    nodes : array with shape (q, n) or None
        Weights of the integral over each bin; then x has q columns for each.
    x_error : array with shape (d, n) or None
        Errors of x; then x has the columns for each event that `losses.EffectiveVarianceLoss` wants.
    weights : array with shape (1, n) or None
    y_was_column : bool
        Whether y came as ``(n, 1)``, so that predictions go back in that shape.
    """

    inputs: Array
    y: Array
    inverse_error: Array | None
    weights: Array | None
    y_was_column: bool = False
    extra: Array | None = None
    nodes: Array | None = None
    x_error: Array | None = None

    @property
    def x(self) -> Array:
        """Inputs, ``(d, n)``."""
        return units(self.inputs)

    @property
    def n(self) -> int:
        """Number of events."""
        return int(self.y.shape[-1])

    @property
    def columns_of_event(self) -> int:
        """How many columns of x belong to each event."""
        return int(self.inputs.shape[-1]) // self.n

    def measured_x(self, xp: Namespace) -> Array:
        """One column of x for each event, ``(d, n)``: where it was measured, or the middle of a bin."""
        if self.nodes is None:
            return self.x[:, :: self.columns_of_event]
        return xp.mean(xp.reshape(self.x, (self.x.shape[0], self.n, -1)), axis=-1)

    def combined(self, xp: Namespace, loss: Loss, y: Array) -> Array:
        """What the statistic sees of raw outputs y for all columns of x; first what is predicted for each value."""
        return y if self.columns_of_event == 1 and self.nodes is None else loss.combine(xp, y, (self.nodes,))

    def events(self, xp: Namespace, loss: Loss, shift: Array | None = None, scale: Array | None = None) -> Events:
        """What the objective takes, for a network whose output is standardised with `shift` and `scale` ``(k, 1)``."""
        extra = self.inverse_error if loss.extra == "y_err" else self.extra
        one = xp.ones_like(self.inputs[:1, :1])
        if shift is None or scale is None:
            if loss.as_measured and extra is not None and self.nodes is None:
                return Events(self.inputs, (self.y, extra), self.weights, self.columns_of_event)
            shift, scale = 0 * one, one
        if self.nodes is None:
            data = loss.columns(xp, self.y, extra, shift * one, scale * one)
            return Events(self.inputs, data, self.weights, self.columns_of_event)
        content = self.y - shift * xp.sum(self.nodes, axis=0, keepdims=True)
        data = loss.columns(xp, content, extra, 0 * shift * one, scale * one)
        return Events(self.inputs, (*data, self.nodes), self.weights, int(self.nodes.shape[0]))


@dataclass(frozen=True)
class Rule:
    """What every value of an array must be, and what to do where it is not."""

    what: str
    holds: Callable[[Namespace, Array], Array]
    remedy: str


FINITE = Rule("finite", lambda xp, a: xp.isfinite(a), "leave such events out or repair them")
POSITIVE_ERROR = Rule(
    "positive and finite",
    lambda xp, a: xp.isfinite(a) & (a > 0),
    "give the true error of this value, or leave the event out",
)
POSITIVE = Rule("positive and finite", POSITIVE_ERROR.holds, "leave such events out")
POSITIVE_WEIGHT = Rule(
    "positive and finite",
    POSITIVE_ERROR.holds,
    "leave events of no weight out of the fit; signed Monte-Carlo weights need covariance='sandwich'",
)
COUNT = Rule(
    "a count: 0, 1, 2, ...",
    lambda xp, a: xp.isfinite(a) & (a >= 0) & (xp.round(a) == a),
    "give the counts themselves, and what they were scaled by as `exposure`; weighted events go in one by one",
)
TRIALS = Rule("a number: 1, 2, ...", lambda xp, a: COUNT.holds(xp, a) & (a > 0), "leave events of no trial out")
SHARE = Rule("finite and not negative", lambda xp, a: xp.isfinite(a) & (a >= 0), "give counts of classes, or 0 and 1")
NO_OR_POSITIVE_ERROR = Rule(
    "finite and not negative", SHARE.holds, "give the error of this input, or zero if it has none"
)


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
    extra: Any = None,
    signed: bool = False,
) -> Dataset:
    """Check events, targets, errors and weights together and move them to the device.

    `x` may be `Bins` or `UncertainInputs`; `k` is the number of the network's outputs; `extra` what the loss calls so;
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
    targets, was_column = _classes(backend, y, n, k) if loss.measured == "class" else _targets(backend, y, n, k, loss)
    m = int(targets.shape[1])
    inverse, more, x_error = None, None, None
    if y_err is not None:
        if loss.extra != "y_err":
            raise ValueError(f"`y_err` has no place in loss {loss.name!r}: such values have the errors of their kind")
        inverse = columns(1 / _per_value(backend, y_err, n, m))
    if loss.extra == "y_cov":
        more = backend.contiguous(backend.to_device(whitening(extra, n, m)))
    elif extra is not None:
        name, rule = str(loss.extra), TRIALS if loss.measured == "part" else POSITIVE
        more = columns(_per_value(backend, extra, n, m, name, rule))
    if loss.measured == "part":
        _check_parts(backend, targets, more)
    measured = columns(targets)
    del targets
    factor = None
    if weights is not None:
        factor = _floats(backend, weights, "weights", FINITE if signed else POSITIVE_WEIGHT)
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
        error = _per_value(backend, uncertain.error, n, uncertain_rows.shape[1], "x_err", NO_OR_POSITIVE_ERROR)
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
    a = _floats(backend, x, "x", FINITE, look=look)
    if a.ndim > 2:
        raise ValueError(f"`x` must have shape (n, {_letter(d)}), events as rows, got {a.shape}")
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
    a = _floats(backend, y, "y", FINITE if loss.measured == "real" else COUNT)
    was_column = a.ndim == 2 and a.shape[1] == 1
    if a.ndim == 0 and n == 1:
        a = backend.xp.reshape(a, (1, 1))
    elif a.ndim == 1 and a.shape[0] == n and (k in (None, 1) or n != 1):
        a = a[:, None]
    elif a.ndim == 1 and n == 1:
        a = a[None, :]
    if a.ndim != 2 or a.shape[0] != n:
        raise ValueError(f"`y` must have shape ({n}, {_letter(k, 'k')}) to match the {n} events of `x`, got {a.shape}")
    if k is not None and a.shape[1] != k:
        raise ValueError(f"`y` must have shape ({n}, {k}) since the network has {k} outputs, got {a.shape}")
    return a, was_column


def _classes(backend: Backend, y: Any, n: int, k: int | None) -> tuple[Array, bool]:
    """Counts of classes ``(n, k)``; labels 0 ... k-1 of shape (n,) become 0 and 1."""
    a = _floats(backend, y, "y", SHARE)
    xp = backend.xp
    if a.ndim == 1 and k != 1:
        a = _floats(backend, y, "y", COUNT)
        top = int(backend.to_host(xp.max(a))) if a.shape[0] else 0
        k = top + 1 if k is None else k
        if top >= k:
            raise ValueError(f"`y` holds label {top}, but the network has {k} outputs: labels go from 0 to {k - 1}")
        if k < 2 or (a.shape[0] and int(backend.to_host(xp.min(a))) == top):
            raise ValueError("`y` holds one class only: there is nothing to tell apart")
        a = xp.astype(a[:, None] == xp.arange(k, dtype=a.dtype, device=device(a))[None, :], a.dtype)
    if a.ndim != 2 or a.shape[0] != n or a.shape[1] < 2 or (k is not None and a.shape[1] != k):
        raise ValueError(
            f"`y` must have shape ({n},), a label for each event, or ({n}, {_letter(k, 'k')}), counts of classes, "
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


def _per_value(
    backend: Backend, errors: Any, n: int, k: int, name: str = "y_err", rule: Rule = POSITIVE_ERROR
) -> Array:
    """A scalar, one per event (n,), one per value (n, k) or one per output (k,), as ``(n, k)``."""
    a = _floats(backend, errors, name, rule)
    if a.ndim == 0 or a.shape == (1,):
        a = backend.xp.reshape(a, (1, 1))
    elif a.shape == (n,) == (k,) and k > 1:
        raise ValueError(f"`{name}` of shape ({n},) could be one per event or one per output: give it as ({n}, {k})")
    elif a.shape == (n,):
        a = a[:, None]
    elif a.shape == (k,):
        a = a[None, :]
    elif a.shape not in ((n, k), (n, 1), (1, k)):
        raise ValueError(
            f"`{name}` must be one number, ({n},) for one per event, or ({n}, {k}) for one per value, got {a.shape}"
        )
    return backend.xp.broadcast_to(a, (n, k))


def _floats(backend: Backend, a: Any, name: str, rule: Rule, *, look: bool = True) -> Array:
    """An array of the backend in its dtype that keeps the rule; arrays that are there already only if asked to `look`.

    What comes from main memory is checked there, before it moves.
    """
    if backend.owns(a) and backend.name != "numpy":
        if backend.xp.isdtype(a.dtype, "complex floating"):
            raise TypeError(f"`{name}` must be real, got complex numbers")
        a = backend.adopt(a)
        if look and backend.to_host(backend.xp.sum(backend.xp.astype(~rule.holds(backend.xp, a), backend.real))):
            _refuse(backend.to_host(a), name, rule, None)
        return a
    if is_foreign_device_array(a):
        raise TypeError(
            f"`{name}` is {describe_array(a)}, but this model computes with {backend.name} on {backend.device}: "
            f"make the model with the array's backend and device, or pass ffnn_xp.to_numpy({name})"
        )
    with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, and is refused as such
        host = host_floats(a, name).astype(backend.dtype, copy=False)
    if not np.all(rule.holds(np, host)):
        _refuse(host, name, rule, _columns(a))
    return backend.to_device(host)


def host_floats(a: Any, name: str) -> HostArray:
    """Anything array-like in main memory as float64 NumPy, or a TypeError that says what stood in the way.

    What is that already is not copied: who gets it must not write to it.
    """
    if a is None:
        raise TypeError(f"`{name}` must be an array of numbers, got None")
    if isinstance(a, np.ma.MaskedArray):
        if np.ma.is_masked(a):
            raise ValueError(f"`{name}` has masked values: leave those events out before the fit")
        a = a.data
    try:
        raw = np.asarray(to_numpy(a)) if array_api_compat.is_array_api_obj(a) else np.asarray(a)
    except ValueError as error:
        raise ValueError(f"`{name}` must be a rectangular array of numbers: {error}") from error
    if raw.dtype.kind == "c":
        raise TypeError(f"`{name}` must be real, got complex numbers")
    if raw.dtype.kind in "mMSUV":
        raise TypeError(f"`{name}` must hold numbers, got dtype {raw.dtype}: convert it first")
    if raw.dtype.kind != "O":
        return raw.astype(np.float64, copy=False)
    try:
        if any(isinstance(value, str | bytes) for value in raw.flat):
            raise TypeError("text is no number, even if it looks like one")
        return raw.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must hold numbers, got {_first_text(raw, _columns(a))}") from error


def _first_text(raw: np.ndarray[Any, Any], columns: list[str] | None) -> str:
    for index in np.ndindex(raw.shape):
        try:
            if isinstance(raw[index], str | bytes):
                raise TypeError
            float(raw[index])
        except (TypeError, ValueError):
            return f"{raw[index]!r} in {_place(index, columns)}"
    return "objects of unequal length"


def _refuse(values: HostArray, name: str, rule: Rule, columns: list[str] | None) -> NoReturn:
    """Name the first value that breaks the rule."""
    broken = np.argwhere(~rule.holds(np, values))
    index = tuple(int(i) for i in broken[0])
    others = "" if len(broken) == 1 else f" (and {len(broken) - 1} more)"
    raise ValueError(
        f"`{name}` must be {rule.what}, got {values[index]} in {_place(index, columns)}{others}: {rule.remedy}"
    )


def _place(index: tuple[int, ...], columns: list[str] | None) -> str:
    if len(index) < 2:
        return f"row {index[0]}" if index else "its only value"
    column = f"column {index[1]}"
    if columns and index[1] < len(columns):
        column += f" ({columns[index[1]]})"
    return f"row {index[0]}, {column}"


def _columns(a: Any) -> list[str] | None:
    names = getattr(a, "columns", None)
    return None if names is None else [str(c) for c in names]


def _letter(size: int | None, letter: str = "d") -> str:
    return letter if size is None else str(size)
