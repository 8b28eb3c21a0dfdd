"""Categories as inputs: a column of text or whole numbers becomes one input of 0 and 1 for each of its values.

The inputs are named ``COLUMN=VALUE``, as by ``pandas.get_dummies(table, columns=[COLUMN], prefix_sep="=")``, so that a
network which the command line fitted predicts from such tables in Python too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ffnn_xp._lib.errors import nearest
from ffnn_xp._lib.text import first_names
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.cli.tables import Frame, numbers, place, require_columns

Categories = Mapping[str, Sequence[str]]
"""The values of columns of categories, as text, in the order of their inputs."""

KEY = "ffnn-xp.categories"
"""Their place in the metadata of a network's file, as JSON."""


def find_categories(frame: Frame, columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the different values of each of these columns: numbers by size, text by the alphabet.

    Raises
    ------
    ValueError
        If a column is missing, holds anything else, lacks a value, or has one value only.
    """
    require_columns(frame, columns, "--categorical")
    found = {}
    for name in columns:
        values: list[Any] = sorted(set(_values(frame, name)))
        if len(values) < 2:
            raise ValueError(f"--categorical {name}: all rows have {values[0]!r}, of which a fit can learn nothing")
        found[name] = [str(value) for value in values]
    return found


def input_names(columns: Sequence[str], categories: Categories) -> list[str]:
    """Return the names of the inputs that these columns become.

    Examples
    --------
    >>> input_names(["Z", "shell"], {"shell": ["closed", "open"]})
    ['Z', 'shell=closed', 'shell=open']
    """
    names = [[f"{name}={value}" for value in categories[name]] if name in categories else [name] for name in columns]
    return [name for group in names for name in group]


def columns_of(names: Sequence[str], categories: Categories) -> list[str]:
    """Return the columns that inputs with these names come from, the reverse of `input_names`.

    Examples
    --------
    >>> columns_of(["Z", "shell=closed", "shell=open"], {"shell": ["closed", "open"]})
    ['Z', 'shell']
    """
    origin = {f"{name}={value}": name for name, values in categories.items() for value in values}
    return list(dict.fromkeys(origin.get(name, name) for name in names))


def inputs(frame: Frame, columns: Sequence[str], categories: Categories) -> HostArray:
    """Return the inputs that these columns become, ``(n, d)``.

    Raises
    ------
    ValueError
        If a column holds anything but numbers, or a value that is none of its categories; the message names the row.
    """
    parts = [
        _one_hot(frame, name, categories[name]) if name in categories else numbers(frame, [name]) for name in columns
    ]
    return np.concatenate(parts, axis=1) if parts else np.empty((len(frame), 0))


def to_metadata(categories: Categories) -> dict[str, str]:
    """Return the entry of a network's metadata that keeps categories; none where there are none."""
    return {KEY: json.dumps(categories)} if categories else {}


def of_metadata(metadata: Mapping[Any, Any]) -> dict[str, list[str]]:
    """Return the categories that `to_metadata` kept."""
    return dict(json.loads(metadata.get(KEY, "{}")))


def _one_hot(frame: Frame, name: str, known: Sequence[str]) -> HostArray:
    values = [str(value) for value in _values(frame, name)]
    index = {value: i for i, value in enumerate(known)}
    for row, value in enumerate(values):
        if value not in index:
            raise ValueError(
                f"column {name!r} has {value!r} in {place(frame, row)}, which is no category of the fit: "
                f"{nearest(value, known)}They are {first_names([repr(value) for value in known])}"
            )
    return np.eye(len(known))[[index[value] for value in values]]


def _values(frame: Frame, name: str) -> list[int] | list[str]:
    """Return the values of a column: integers, or text."""
    column = frame[name]
    missing = column.isna().to_numpy().nonzero()[0]
    if len(missing):
        raise ValueError(
            f"column {name!r} must have a category in {place(frame, missing[0])}, got nothing: give it one, such as "
            "'unknown', or take the row out"
        )
    if column.dtype.kind != "f":
        return [int(v) for v in column] if column.dtype.kind in "iu" else [str(v) for v in column]
    broken = (column != column.round()).to_numpy().nonzero()[0]
    if len(broken):
        raise ValueError(
            f"column {name!r} has {column.iloc[broken[0]]} in {place(frame, broken[0])}: categories are text or whole "
            "numbers; without --categorical the column is a number"
        )
    return [int(v) for v in column]
