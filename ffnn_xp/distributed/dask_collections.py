"""Arrays and tables of Dask as parts: each partition is one."""

from __future__ import annotations

import importlib
from dataclasses import fields, replace
from typing import Any

import numpy as np

from ffnn_xp._lib.optional import require
from ffnn_xp.data import Measurements
from ffnn_xp.distributed.dask_parts import PURPOSE, DaskParts, Partition
from ffnn_xp.distributed.parts import Parts, Reader
from ffnn_xp.distributed.streamed import StreamedParts


def opened_collections(measurements: Measurements, lazy: dict[str, Any], reader: Reader) -> Parts:
    """Return measurements some of which are values of Dask as parts: on the cluster of the current client, if any.

    Parameters
    ----------
    measurements : Measurements
        The user's arrays.
    lazy : dict
        Those that are values of Dask.
    reader : Reader
        Reads and checks them.

    Raises
    ------
    TypeError, ValueError
        If the collections are of other kinds, or their partitions do not go together.
    """
    arrays = _alike(measurements, lazy).items()
    # An optimizer may join partitions of one column and not those of another.
    delayed = {name: a.to_delayed(optimize_graph=False) for name, a in arrays}
    partitions = {name: list(np.ravel(np.asarray(parts, dtype=object))) for name, parts in delayed.items()}
    numbers = {name: len(parts) for name, parts in partitions.items()}
    if len(set(numbers.values())) > 1:
        listed = ", ".join(f"{number} of `{name}`" for name, number in numbers.items())
        raise ValueError(f"all arrays must have the same partitions, got {listed}: repartition them alike")
    whole = replace(measurements, **dict.fromkeys(partitions))
    each = (dict(zip(partitions, parts, strict=True)) for parts in zip(*partitions.values(), strict=True))
    recipes = [Partition(i, whole, given) for i, given in enumerate(each)]
    client = _current_client()
    return StreamedParts(recipes, reader) if client is None else DaskParts(client, recipes, reader)


def _alike(measurements: Measurements, lazy: dict[str, Any]) -> dict[str, Any]:
    """Return the values of Dask, arrays cut like x and along events alone, with those of NumPy that have its rows."""
    da, first = require("dask.array", "dask", PURPOSE), next(iter(lazy))
    for name, a in lazy.items():
        if not hasattr(a, "to_delayed"):
            raise TypeError(
                f"`{name}` is a {type(a).__name__} that holds arrays of Dask: give those arrays, or a table"
            )
    rows = lazy[first].chunks[0] if hasattr(lazy[first], "chunks") else (np.nan,)
    n, found = sum(rows), {}  # NaN where Dask does not know it
    for name in (f.name for f in fields(measurements)):
        a = getattr(measurements, name)
        if name in lazy and hasattr(a, "chunks"):
            whole = {axis: -1 for axis in range(1, a.ndim)}
            same = sum(a.chunks[0]) == n
            found[name] = a.rechunk({0: rows, **whole} if same else whole) if a.ndim > 1 or same else a
        elif name in lazy:
            found[name] = a
        elif np.ndim(a) and (name in ("x", "y", "weights", "mask") or len(a) == n):
            if len(a) != n:
                raise ValueError(
                    f"`{name}` must be a value of Dask with the partitions of `{first}`, or have as many rows as that, "
                    f"got {type(a).__name__} of shape {np.shape(a)}"
                )
            found[name] = da.from_array(np.asarray(a), chunks={0: rows})
    return found


def _current_client() -> Any:
    """Return the client that Dask would use here; None if there is none."""
    try:
        return importlib.import_module("distributed.client").default_client()
    except (ImportError, ValueError):
        return None
