"""`EventFiles`: events in Parquet and ROOT files, of which no more than a part is in memory at a time."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ffnn_xp._lib.atomic import check_readable
from ffnn_xp._lib.errors import nearest
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.typing import PathLike
from ffnn_xp.data import Measurements, opened_tree, split_root
from ffnn_xp.distributed.parts import Parts, Reader, Recipe
from ffnn_xp.distributed.streamed import StreamedParts

ARRAYS = ("y_err", "weights", "exposure", "trials", "x_err")


@dataclass(frozen=True)
class EventFiles:
    """Events in Parquet or ROOT files, with the names of the columns that a fit takes.

    Give it to `Model.fit` in place of x: ``model.fit(EventFiles("run*.parquet", x=["t", "U"], y="I", y_err="dI"))``.
    No more than a part of the events is in memory at a time; `client` says where that is.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        The files, ``.parquet`` or ``.root``, in order; ``*`` stands for any text, ``events.root:tree`` names a tree.
    x : str or sequence of str
        Columns of the inputs.
    y : str or sequence of str
        Columns of the measured values.
    y_err, x_err : str, sequence of str, or float, optional
        Columns of standard deviations, or a number for all.
    weights : str, optional
        Column of the events' weights.
    exposure, trials : str, sequence of str, or float, optional
        Columns of exposures, or of numbers of trials.
    client : dask.distributed.Client, optional
        A cluster whose workers read the files and hold the events, each its part, for which they need the extra
        ``dask`` and the files at the same paths. Without it the events are streamed from a scratch file by this
        process (`ffnn_xp.distributed.streamed`).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If pyarrow (extra ``table``), or uproot and awkward (extra ``root``) are not installed.
    ValueError
        If a file has no such column, or is neither of the two kinds.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> import ffnn_xp as fx
    >>> x = np.linspace(-2, 2, 100)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for i in range(2):
    ...         pd.DataFrame({"t": x[i::2], "I": np.tanh(2 * x[i::2])}).to_parquet(f"{folder}/run{i}.parquet")
    ...     files = fx.EventFiles(f"{folder}/run*.parquet", x="t", y="I", y_err=0.1)
    ...     fit = fx.Model((1, 2, 1), seed=1).fit(files, prior=3.0)
    >>> fit.valid, fit.n_data
    (True, 100)
    """

    paths: PathLike | Sequence[PathLike]
    x: str | Sequence[str] = field(kw_only=True)
    y: str | Sequence[str] = field(kw_only=True)
    y_err: str | Sequence[str] | float | None = field(default=None, kw_only=True)
    weights: str | None = field(default=None, kw_only=True)
    exposure: str | Sequence[str] | float | None = field(default=None, kw_only=True)
    trials: str | Sequence[str] | float | None = field(default=None, kw_only=True)
    x_err: str | Sequence[str] | float | None = field(default=None, kw_only=True)
    client: Any = field(default=None, kw_only=True, repr=False)
    holds_y: ClassVar[bool] = True
    """True: the measured values are in it."""

    def __post_init__(self) -> None:
        """Find the files."""
        given = [self.paths] if isinstance(self.paths, str | os.PathLike) else list(self.paths)
        object.__setattr__(self, "paths", tuple(found for path in given for found in _found(path)))

    def opened(self, reader: Reader) -> Parts:
        """Return the events as parts, in a scratch file or on the workers of the cluster."""
        recipes = self.recipes(reader.tuning.block_bytes)
        if self.client is None:
            return StreamedParts(recipes, reader)
        from ffnn_xp.distributed.dask_parts import DaskParts

        return DaskParts(self.client, list(recipes), reader)

    def recipes(self, block_bytes: int) -> Iterator[RowsOfFile]:
        """Yield the recipes of the parts: the row groups of Parquet files, and ranges of the entries of trees."""
        columns = {name: value for name in ("x", "y", *ARRAYS) if (value := getattr(self, name)) is not None}
        assert isinstance(self.paths, tuple)
        for path in self.paths:
            for part in _parts_of(path, columns, block_bytes):
                yield RowsOfFile(path, part, columns, block_bytes)


@dataclass(frozen=True)
class RowsOfFile(Recipe):
    """Some rows of a file.

    Parameters
    ----------
    path : str
        The file.
    part : tuple of int
        The number of a row group, or the first entry of a tree and the first that is not.
    columns : dict
        Names of columns, or a number, for each argument of `Measurements`.
    block_bytes : int
        Bytes of a piece.
    """

    path: str
    part: tuple[int, ...]
    columns: dict[str, Any]
    block_bytes: int

    @property
    def name(self) -> str:
        """The file, and which part of it."""
        part = f"row group {self.part[0]}" if len(self.part) == 1 else f"entries {self.part[0]} to {self.part[1] - 1}"
        return f"{self.path!r}, {part}"

    def read(self) -> Measurements:
        """Read the rows."""
        names = _names(self.columns)
        if len(self.part) == 1:
            with _parquet(self.path) as file:
                return self._measurements(file.read_row_group(self.part[0], columns=names))
        with opened_tree(*split_root(self.path)) as tree:
            start, stop = self.part
            return self._measurements(tree.arrays(names, entry_start=start, entry_stop=stop, library="np"))

    def pieces(self) -> Iterator[tuple[str, Measurements]]:
        """Yield a row group, which may be large, in smaller pieces."""
        if len(self.part) == 2:
            yield self.name, self.read()
            return
        names, start = _names(self.columns), 0
        size = max(1, self.block_bytes // (8 * len(names)))
        with _parquet(self.path) as file:
            for batch in file.iter_batches(size, [self.part[0]], names, use_threads=False):
                rows = f"rows {start} to {start + batch.num_rows - 1}"
                yield f"{self.name}, {rows}", self._measurements(batch)
                start += batch.num_rows

    def _measurements(self, table: Any) -> Measurements:
        """Return the measurements in a table of `pyarrow` or a dict of arrays."""
        found = {name: np.asarray(table[name]) for name in _names(self.columns)}

        def taken(argument: str, of: Any) -> Any:
            if isinstance(of, str):
                return {of: found[of]} if argument == "x" else found[of]
            return {name: found[name] for name in of} if isinstance(of, Sequence) else of

        return Measurements(**{argument: taken(argument, of) for argument, of in self.columns.items()})


def _found(path: PathLike) -> list[str]:
    """Return the files of a path, in the order of their names."""
    name = os.fspath(path)
    file, tree = split_root(name)
    more = "" if tree is None else f":{tree}"
    files = sorted(glob.glob(str(file))) if glob.has_magic(str(file)) else [str(file)]
    if not files:
        raise FileNotFoundError(f"there is no file {name!r}")
    for one in files:
        check_readable(one)
        if Path(one).suffix.lower() not in (".parquet", ".pq", ".root"):
            raise ValueError(f"{one!r}: events are read from files .parquet and .root, as the end of a name must tell")
    return [one + more for one in files]


def _names(columns: dict[str, Any]) -> list[str]:
    """Return the names of all columns that are needed, each once."""
    lists = [[of] if isinstance(of, str) else list(of) if isinstance(of, Sequence) else [] for of in columns.values()]
    return list(dict.fromkeys(name for some in lists for name in some))


@contextmanager
def _parquet(path: str) -> Iterator[Any]:
    parquet = require("pyarrow.parquet", "table", "reading Parquet files")
    try:
        file = parquet.ParquetFile(path)
    except require("pyarrow", "table", "reading Parquet files").ArrowInvalid as error:
        raise ValueError(f"{path!r} is no Parquet file: {error}") from error
    with file:
        yield file


def _parts_of(path: str, columns: dict[str, Any], block_bytes: int) -> Iterator[tuple[int, ...]]:
    """Yield the parts of a file: row groups, or ranges of entries; check that it has the columns."""
    names = _names(columns)
    if split_root(path)[0].suffix.lower() != ".root":
        with _parquet(path) as file:
            _check_columns(path, names, file.schema_arrow.names)
            number = file.metadata.num_row_groups
        yield from ((i,) for i in range(number))
        return
    with opened_tree(*split_root(path)) as tree:
        _check_columns(path, names, tree.keys())
        n = int(tree.num_entries)
    size = max(1, block_bytes // (8 * max(len(names), 1)))
    yield from ((start, min(start + size, n)) for start in range(0, n, size))


def _check_columns(path: str, names: list[str], there: list[str]) -> None:
    missing = [name for name in names if name not in there]
    if missing:
        hint = nearest(missing[0], there)
        raise ValueError(f"{path!r} has no column {missing[0]!r}: {hint}It has {', '.join(map(repr, there))}")
