"""Conversion of array-likes to float64 in main memory, with errors that name the value that is no number."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends.arrays import is_lazy, to_numpy

DATES = "count time from some moment as a number, such as (t - t[0]) / numpy.timedelta64(1, 's')"


def host_floats(a: Any, name: str, of_text: str = "convert it first") -> HostArray:
    """Return anything array-like as a float64 NumPy array, or raise an error that says why not.

    A float64 NumPy array is returned itself: do not write to the result.

    Parameters
    ----------
    a : array-like
        An array of any library and device; a table or a column of one; nested sequences of numbers.
    name : str
        Name of the argument, for the message.
    of_text : str
        What to do with text, for the message.

    Raises
    ------
    TypeError
        If it is None, complex, or holds text, dates or other objects.
    ValueError
        If its rows differ in length, or values are masked.
    """
    if a is None:
        raise TypeError(f"`{name}` must be an array of numbers, got None")
    if is_lazy(a):
        raise TypeError(
            f"`{name}` is a {type(a).__name__} of Dask, whose values are still to be computed: give {name}.compute(); "
            "Model.fit takes it as it is"
        )
    if isinstance(a, np.ma.MaskedArray):
        if np.ma.is_masked(a):
            raise ValueError(f"`{name}` has masked values: leave those events out before the fit")
        a = a.data
    try:
        raw = np.asarray(to_numpy(a)) if array_api_compat.is_array_api_obj(a) else np.asarray(a)
    except ValueError as error:
        raise ValueError(f"`{name}` must be a rectangular array of numbers: {first_line(error)}") from error
    if raw.dtype.kind == "c":
        raise TypeError(f"`{name}` must be real, got complex numbers")
    if raw.dtype.kind in "mMSUV":
        remedy = {"m": DATES, "M": DATES, "V": "convert it first"}.get(raw.dtype.kind, of_text)
        raise TypeError(f"`{name}` must hold numbers, got dtype {raw.dtype}: {remedy}")
    if raw.dtype.kind != "O":
        return raw.astype(np.float64, copy=False)
    try:
        if any(isinstance(value, str | bytes) for value in raw.flat):
            raise TypeError("text is no number, even if it looks like one")
        return raw.astype(np.float64)
    except (TypeError, ValueError) as error:
        what, remedy = _first_text(raw, column_names(a), of_text)
        raise TypeError(f"`{name}` must hold numbers, got {what}: {remedy}") from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without the place in compiled code that `awkward` adds."""
    return str(error).strip().partition("\n")[0].partition(" (in compiled code")[0]


def _first_text(raw: np.ndarray[Any, Any], columns: list[str] | None, of_text: str) -> tuple[str, str]:
    """Return the first value that is no number, with its place, and what to do."""
    for index in np.ndindex(raw.shape):
        try:
            if isinstance(raw[index], str | bytes):
                raise TypeError
            float(raw[index])
        except (TypeError, ValueError):
            remedy = DATES if hasattr(raw[index], "isoformat") else of_text
            return f"{raw[index]!r} in {place_of(index, columns)}", remedy
    return "objects of unequal length", of_text


def place_of(index: tuple[int, ...], columns: list[str] | None) -> str:
    """Name the place of a value by its row, and its column with the column's name."""
    if len(index) < 2:
        return f"row {index[0]}" if index else "its only value"
    column = f"column {index[1]}"
    if columns and index[1] < len(columns):
        column += f" ({columns[index[1]]})"
    return f"row {index[0]}, {column}"


def column_names(a: Any) -> list[str] | None:
    """Return the names of a table's columns, None if there are none."""
    labels = labels_of_columns(a)
    return None if labels is None else [str(label) for label in labels]


def labels_of_columns(a: Any) -> list[Any] | None:
    """Return what a table calls its columns, which may be no text; None if it is no table."""
    labels = getattr(a, "columns", None)
    return None if labels is None else list(labels)
