"""Records as tables: dicts of columns, structured arrays, `polars`, `pyarrow`, `xarray`, `awkward`, `uproot`.

None of these is imported. Records have a column for each name, each with its own type. `as_table` makes a `Table` of
them, which has the columns' names and is read as an array; so everything that takes a table takes records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from ffnn_xp.backends import DATES, first_line, refuse_gradient, to_numpy

Values = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Table:
    """Columns with names, in main memory.

    Attributes
    ----------
    columns : tuple
        The names.
    values : array with shape (n, d), or (d,) for one event
        The columns side by side; objects where some are no numbers, which are refused where they are read.
    """

    columns: tuple[Any, ...]
    values: Values

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values."""
        return tuple(self.values.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Values:
        return np.array(self.values, dtype, copy=copy)


def as_table(a: Any, what: str) -> Any:
    """Return records as a `Table`; anything else is returned itself.

    Parameters
    ----------
    a : Any
        A dict of columns, or of numbers for one event; a NumPy structured array; a table of `polars` or
        `pyarrow`; an `xarray.Dataset`; an array of records of `awkward`; a tree of `uproot`, which is read whole.
    what : str
        Name of the argument, for messages.

    Raises
    ------
    TypeError
        If columns hold dates, or the values are still to be computed.
    ValueError
        If columns differ in length, or do not have one value for each event.

    Examples
    --------
    >>> table = as_table({"t": [1, 2, 3], "U": [0.5, 1.5, 2.5]}, "x")
    >>> table.columns, table.shape, np.asarray(table)[0]
    (('t', 'U'), (3, 2), array([1. , 0.5]))
    """
    if callable(getattr(a, "collect_schema", None)) and callable(getattr(a, "collect", None)):
        raise TypeError(
            f"`{what}` is a {type(a).__name__}, whose values are still to be computed: give {what}.collect()"
        )
    arrays = getattr(a, "arrays", None)
    if isinstance(a, Mapping) and callable(arrays):  # a tree
        a = arrays()
    found = _columns(a)
    if not found:
        return a
    along = {values.dims for _, values in found if hasattr(values, "dims")}
    if len(along) > 1:
        raise ValueError(f"the columns of `{what}` must lie along one dimension, got {', '.join(map(str, along))}")
    columns = [(name, _column(values, name, what)) for name, values in found]
    if len({c.shape for _, c in columns}) > 1:
        lengths = ", ".join(f"{c.size} of {name!r}" for name, c in columns)
        raise ValueError(f"the columns of `{what}` must have the same length, got {lengths}")
    plain = all(c.dtype.kind in "biufc" for _, c in columns)
    values = np.stack([c if plain else c.astype(object) for _, c in columns], axis=-1)
    return Table(tuple(name for name, _ in columns), values)


def _columns(a: Any) -> list[tuple[Any, Any]]:
    """Return names and values of the columns of records; none for anything else."""
    if isinstance(a, Mapping):
        return list(a.items())
    if isinstance(a, np.ndarray | np.void):
        return [(name, a[name]) for name in a.dtype.names or ()]
    if callable(getattr(a, "get_columns", None)):  # polars
        return [(column.name, column) for column in a.get_columns()]
    if isinstance(getattr(a, "column_names", None), list):  # pyarrow
        return list(zip(a.column_names, a.columns, strict=True))
    return [(name, a[name]) for name in a.fields] if type(a).__module__.startswith("awkward.") else []


def _column(values: Any, name: Any, what: str) -> Values:
    """Return one value for each event, or a single value."""
    which = f"column {name!r} of `{what}`"
    refuse_gradient(values, f"{what}[{name!r}]")
    if inner := ", ".join(str(part) for part, _ in _columns(values)):
        raise ValueError(f"{which} holds records ({inner}): make columns of their fields")
    if np.ma.is_masked(values):
        raise ValueError(f"{which} has masked values: leave those events out before the fit")
    try:
        c = np.asarray(to_numpy(values) if array_api_compat.is_array_api_obj(values) else values)
    except ValueError as error:  # an awkward array, whose type says which values are missing or too many
        got = getattr(values, "type", first_line(error))
        raise ValueError(f"{which} must have one value for each event, got {got}: {_FLATTEN}") from error
    if c.ndim > 1 or (c.dtype.kind == "O" and any(np.ndim(value) for value in c.flat)):
        raise ValueError(f"{which} must have one value for each event, got several: {_FLATTEN}")
    if c.dtype.kind in "mM":
        raise TypeError(f"{which} holds dates or times, {c.dtype}: {DATES}")
    return c


_FLATTEN = (
    "of several choose one, such as the first or the largest (`awkward.firsts`, `awkward.max`), give each a column of "
    "its own, or make an event of each (`awkward.flatten`, `numpy.ravel`); leave events without a value out"
)
