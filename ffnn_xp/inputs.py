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

from ._typing import Array, HostArray, Namespace
from .backends import Backend, describe_array, is_foreign_device_array, to_numpy
from .objective import Events


@dataclass(frozen=True)
class Dataset:
    """Checked data on the device, as columns, in raw units.

    Attributes
    ----------
    x : array with shape (d, n)
    y : array with shape (k, n)
    inverse_error : array with shape (k, n) or None
        None where the errors are unknown.
    weights : array with shape (1, n) or None
    y_was_column : bool
        Whether y came as ``(n, 1)``, so that predictions go back in that shape.
    """

    x: Array
    y: Array
    inverse_error: Array | None
    weights: Array | None
    y_was_column: bool = False

    @property
    def n(self) -> int:
        """Number of events."""
        return int(self.x.shape[-1])

    def events(self) -> Events:
        """What the objective takes, for least squares."""
        assert self.inverse_error is not None
        return Events(self.x, (self.y, self.inverse_error), self.weights)


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
POSITIVE_WEIGHT = Rule("positive and finite", POSITIVE_ERROR.holds, "leave events of no weight out of the fit")


def dataset(
    backend: Backend,
    x: Any,
    y: Any,
    y_err: Any = None,
    weights: Any = None,
    *,
    d: int | None = None,
    k: int | None = None,
) -> Dataset:
    """Check events, targets, errors and weights together and move them to the device.

    Raises
    ------
    TypeError
        For arrays on another device, text, complex numbers, dates.
    ValueError
        For shapes that do not fit, empty data, values that are not finite, errors or weights that are not positive.
    """
    rows, _ = input_rows(backend, x, d, look=True)
    n = rows.shape[0]
    if n == 0:
        raise ValueError("`x` holds no events: a fit needs at least one row")
    targets, was_column = _targets(backend, y, n, k)
    inverse = None
    if y_err is not None:
        errors = _per_value(backend, y_err, n, targets.shape[1])
        inverse = backend.xp.matrix_transpose(1 / errors)
    factor = None
    if weights is not None:
        factor = _floats(backend, weights, "weights", POSITIVE_WEIGHT)
        if factor.shape != (n,):
            raise ValueError(f"`weights` must have shape ({n},), one per event, got {factor.shape}")
        factor = factor[None, :]
    transpose = backend.xp.matrix_transpose
    return Dataset(
        backend.contiguous(transpose(rows)),
        backend.contiguous(transpose(targets)),
        None if inverse is None else backend.contiguous(inverse),
        factor,
        was_column,
    )


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


def _targets(backend: Backend, y: Any, n: int, k: int | None) -> tuple[Array, bool]:
    a = _floats(backend, y, "y", FINITE)
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


def _per_value(backend: Backend, errors: Any, n: int, k: int) -> Array:
    """A scalar, one per event (n,), one per value (n, k) or one per output (k,), as ``(n, k)``."""
    a = _floats(backend, errors, "y_err", POSITIVE_ERROR)
    if a.ndim == 0 or a.shape == (1,):
        a = backend.xp.reshape(a, (1, 1))
    elif a.shape == (n,) == (k,) and k > 1:
        raise ValueError(f"`y_err` of shape ({n},) could be one per event or one per output: give it as ({n}, {k})")
    elif a.shape == (n,):
        a = a[:, None]
    elif a.shape == (k,):
        a = a[None, :]
    elif a.shape not in ((n, k), (n, 1), (1, k)):
        raise ValueError(
            f"`y_err` must be one number, ({n},) for one per event, or ({n}, {k}) for one per value, got {a.shape}"
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
        host = host_floats(a, name).astype(backend.dtype)
    if not np.all(rule.holds(np, host)):
        _refuse(host, name, rule, _columns(a))
    return backend.to_device(host)


def host_floats(a: Any, name: str) -> HostArray:
    """Anything array-like in main memory as float64 NumPy, or a TypeError that says what stood in the way."""
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
        return raw.astype(np.float64)
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
