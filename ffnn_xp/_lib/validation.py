"""Checks of arguments that several packages take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import HostArray


def letter(size: int | None, name: str = "d") -> str:
    """Return a size as text, or its letter while the size is not known.

    Examples
    --------
    >>> letter(3), letter(None)
    ('3', 'd')
    """
    return name if size is None else str(size)


def whole_number(value: Any, name: str, least: int) -> int:
    """Return `value` as an integer that is not less than `least`.

    Raises
    ------
    ValueError
        If it is none; the message calls it `name`.

    Examples
    --------
    >>> whole_number(2.0, "number", 1)
    2
    """
    if isinstance(value, bool) or int(value) != value or value < least:
        what = {0: "0 or a positive integer", 1: "a positive integer"}.get(least, f"an integer of at least {least}")
        raise ValueError(f"`{name}` must be {what}, got {value!r}")
    return int(value)


def level(cl: float) -> float:
    """Return a confidence level as a float.

    Raises
    ------
    ValueError
        If it does not lie between 0 and 1.
    """
    if not 0 < cl < 1:
        raise ValueError(f"`cl` must lie between 0 and 1, got {cl!r}")
    return float(cl)


def column_names(names: Sequence[str] | None, argument: str, length: int) -> tuple[str, ...] | None:
    """Return the names of columns, one for each input or output, as a tuple.

    Raises
    ------
    TypeError
        If they are no sequence of text.
    ValueError
        If their number is not `length`.

    Examples
    --------
    >>> column_names(["t [s]", "U [V]"], "input_names", 2)
    ('t [s]', 'U [V]')
    """
    if names is None:
        return None
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"`{argument}` must be a sequence of names, got {names!r}")
    if len(names) != length:
        raise ValueError(f"`{argument}` must have {length} names, one for each, got {len(names)}")
    return tuple(names)


def vector(args: Sequence[Any], p: int) -> HostArray:
    """Return theta as one vector, from one vector or from p numbers, as MINUIT and users pass it.

    Parameters
    ----------
    args : sequence
        One array-like with shape (p,), or p floats.
    p : int
        The number of parameters.

    Raises
    ------
    ValueError
        If there are not p numbers.

    Examples
    --------
    >>> vector((1.0, 2.0), 2), vector(([1.0, 2.0],), 2)
    (array([1., 2.]), array([1., 2.]))
    """
    theta = np.asarray(args[0] if len(args) == 1 else args, dtype=np.float64).reshape(-1)
    if theta.shape != (p,):
        raise ValueError(f"expected {p} parameters, as one vector or as {p} numbers, got {theta.size}")
    return theta
