"""Tuned numbers: fields of frozen dataclasses, each with a line on what larger and smaller values trade.

A benchmark (`benchmarks/tuning.py`) finds them all, varies each number, and records how fits change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, fields, is_dataclass
from typing import Any

TRADES = "trades"


def tuned(default: Any, trades: str) -> Any:
    """Declare a field of a dataclass as a tuned number.

    Parameters
    ----------
    default : int, float or tuple of them
        The value that fits use.
    trades : str
        What a larger and a smaller value trade, in one line.

    Examples
    --------
    >>> from dataclasses import dataclass, replace
    >>> @dataclass(frozen=True)
    ... class Steps:
    ...     memory: int = tuned(20, "more steps remembered: fewer gradients, more time for each")
    >>> Steps().memory, replace(Steps(), memory=5).memory
    (20, 5)
    """
    return field(default=default, metadata={TRADES: trades})


def tuned_numbers(tuning: Any, path: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield path, value and trade-off of each tuned number of a dataclass and of those in its fields.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Steps:
    ...     memory: int = tuned(20, "more steps remembered: fewer gradients, more time for each")
    >>> next(tuned_numbers(Steps()))[:2]
    ('memory', 20)
    """
    for f in fields(tuning):
        value, name = getattr(tuning, f.name), f"{path}{f.name}"
        if TRADES in f.metadata:
            yield name, value, f.metadata[TRADES]
        elif is_dataclass(value):
            yield from tuned_numbers(value, f"{name}.")
