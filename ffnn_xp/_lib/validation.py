"""TODO."""

from __future__ import annotations

from typing import Any


def letter(size: int | None, name: str = "d") -> str:
    """A size, or its letter while it is open."""
    return name if size is None else str(size)


def whole_number(value: Any, name: str, least: int) -> int:
    """An integer of at least so much.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(value, bool) or int(value) != value or value < least:
        what = {0: "0 or a positive integer", 1: "a positive integer"}.get(least, f"an integer of at least {least}")
        raise ValueError(f"`{name}` must be {what}, got {value!r}")
    return int(value)


def level(cl: float) -> float:
    """A confidence level.

    Raises
    ------
    ValueError
        If it does not lie between 0 and 1.
    """
    if not 0 < cl < 1:
        raise ValueError(f"`cl` must lie between 0 and 1, got {cl!r}")
    return float(cl)
