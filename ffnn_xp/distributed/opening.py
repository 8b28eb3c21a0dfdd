"""Measurements as parts: those in files, values of Dask, and arrays for whose copies there is no memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ffnn_xp._lib.memory import free_memory
from ffnn_xp.backends import is_lazy
from ffnn_xp.data import Measurements
from ffnn_xp.distributed.files import EventFiles
from ffnn_xp.distributed.parts import Parts, PartsTuning, Reader, Recipe
from ffnn_xp.distributed.streamed import StreamedParts

FOR_COLUMNS = ("y_err", "x_err", "exposure", "trials")  # arrays that may have a number for each column


def are_in_parts(measurements: Measurements, tuning: PartsTuning) -> bool:
    """Return True if measurements are files, values of Dask, or arrays for whose copies there is no memory."""
    return bool(_lazy(measurements)) or isinstance(measurements.x, EventFiles) or _are_too_large(measurements, tuning)


def _lazy(measurements: Measurements) -> dict[str, Any]:
    """Return those measurements that are values of Dask, by name."""
    return {f.name: a for f in fields(measurements) if is_lazy(a := getattr(measurements, f.name))}


def opened(measurements: Measurements, reader: Reader) -> Parts:
    """Read measurements, which are in parts.

    Raises
    ------
    ImportError
        If a library is not installed; the message names the extra.
    TypeError, ValueError
        If they cannot be used; the message names the part.
    """
    if measurements.y_cov is not None:
        raise ValueError("`y_cov` ties events together, and these are in parts: give y_err")
    if isinstance(measurements.x, EventFiles):
        if also := [f.name for f in fields(measurements)[1:] if getattr(measurements, f.name) is not None]:
            raise TypeError(
                f"`{also[0]}` has no place beside EventFiles: name its column there, EventFiles({also[0]}=...)"
            )
        return measurements.x.opened(reader)
    if lazy := _lazy(measurements):
        from ffnn_xp.distributed.dask_collections import opened_collections

        return opened_collections(measurements, lazy, reader)
    return StreamedParts(RowsOfArrays.cut(measurements, reader.tuning.block_bytes), reader)


def _are_too_large(measurements: Measurements, tuning: PartsTuning) -> bool:
    """Return True if there is no memory for the copies that a fit in memory needs."""
    arrays = [a for f in fields(measurements) if isinstance(a := getattr(measurements, f.name), np.ndarray)]
    if not isinstance(measurements.x, np.ndarray) or measurements.x.ndim == 0:
        return False
    return not tuning.has_room(sum(a.size for a in arrays), free_memory)


@dataclass(frozen=True, eq=False)
class RowsOfArrays(Recipe):
    """Rows of arrays, which may lie in a file, as those of `numpy.memmap`.

    Parameters
    ----------
    measurements : Measurements
        All rows.
    start, stop : int
        The first of them, and the first that is not.
    """

    measurements: Measurements
    start: int
    stop: int

    @classmethod
    def cut(cls, measurements: Measurements, block_bytes: int) -> Iterator[RowsOfArrays]:
        """Yield the rows in blocks."""
        x = measurements.x
        n, values = len(x), x[:1].size + 4
        size = max(1, block_bytes // (8 * values))
        for start in range(0, n, size):
            yield cls(measurements, start, min(start + size, n))

    @property
    def name(self) -> str:
        """The rows."""
        return f"rows {self.start} to {self.stop - 1}"

    def read(self) -> Measurements:
        """Return the rows, in memory."""
        m = self.measurements
        return replace(m, **{f.name: self._rows(getattr(m, f.name), f.name) for f in fields(m)})

    def _rows(self, a: Any, name: str) -> Any:
        n = len(self.measurements.x)
        if a is None or np.ndim(a) == 0 or (np.ndim(a) == 1 and len(a) != n and name in FOR_COLUMNS):
            return a
        if len(a) != n:
            raise ValueError(f"`{name}` must have {n} rows like `x`, got {len(a)}")
        return np.array(a[self.start : self.stop])
