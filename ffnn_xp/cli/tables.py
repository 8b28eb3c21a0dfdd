"""Reading and writing of tables in CSV, TSV and Parquet files, and reading of ROOT files; errors name row and column.

Rows are named as the file counts them, by the table's index: lines of text from 1, the header's included; rows of
Parquet files and entries of ROOT files from 0.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ffnn_xp._lib.atomic import check_readable, write_file
from ffnn_xp._lib.errors import nearest
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.typing import HostArray, PathLike
from ffnn_xp.cli.text_tables import DECOMPRESS, SEPARATORS, STDIN, content_of, read_text, standard_input
from ffnn_xp.data import read_tree, split_root

Frame = Any
"""A pandas DataFrame."""

METHODS = {ending: ending[1:] for ending in DECOMPRESS} | {".gz": "gzip"}  # of compression, as pandas names them
KNOWN = ".csv, .tsv (also .gz), .parquet"
ROOT = ".root"


def kind_of(path: PathLike, *, to_read: bool = False) -> str:
    """Return the ending of a file's name, which decides on its format; ROOT files can be read, not written.

    Examples
    --------
    >>> kind_of("run7/Data.CSV.gz"), kind_of("masses.parquet")
    ('.csv', '.parquet')

    Raises
    ------
    ValueError
        If it is not a known one.
    """
    suffixes = [s.lower() for s in Path(path).suffixes]
    kind = suffixes[-1] if suffixes else ""
    if kind in DECOMPRESS and len(suffixes) > 1 and suffixes[-2] in SEPARATORS:
        kind = suffixes[-2]
    kind = {".pq": ".parquet"}.get(kind, kind)
    if kind not in (*SEPARATORS, ".parquet", *([ROOT] if to_read else [])):
        known = f"{KNOWN}, .root:TREE" if to_read else KNOWN
        raise ValueError(f"{os.fspath(path)!r}: the ending of its name must tell the format of a table: {known}")
    return kind


def read_table(path: PathLike) -> Frame:
    r"""Read a table with named columns; of a ROOT file a tree, ``events.root:tree``; CSV from standard input for ``-``.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it holds no table, or one without rows.
    ImportError
        If pandas (or pyarrow, for Parquet, or uproot, for ROOT) is not installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n = Path(f"{folder}/data.csv").write_text("A,Z,mass\n4,2,3727.4\n12,6,11174.9\n")
    ...     table = read_table(f"{folder}/data.csv")
    >>> numbers(table, ["Z", "A"])
    array([[ 2.,  4.],
           [ 6., 12.]])
    """
    name = os.fspath(path)
    path, tree = split_root(path)
    kind = ".csv" if name == STDIN else kind_of(path, to_read=True)
    if name != STDIN:
        check_readable(path, "a table")
    require("pandas", "table", "reading tables")
    try:
        frame = _read(name, path, tree, kind)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # every reader and every compression has its own for damaged files
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{_shown(name)} cannot be read as a table: {first}") from error
    frame.columns = [str(c) for c in frame.columns]
    if not len(frame):
        raise ValueError(f"{_shown(name)} is empty: it has columns ({', '.join(frame.columns)}) but no rows")
    return frame


def _read(name: str, path: Path, tree: str | None, kind: str) -> Frame:
    """Read a table of a known kind; its index counts rows as the file does, and has the name of what it counts."""
    if kind in SEPARATORS:
        return read_text(standard_input() if name == STDIN else content_of(path), SEPARATORS[kind])
    frame = read_tree(path, tree) if kind == ROOT else _read_parquet(path)
    return frame.reset_index(drop=True).rename_axis(index="entry" if kind == ROOT else "row")


def _shown(name: str) -> str:
    return "standard input" if name == STDIN else repr(name)


def place(frame: Frame, i: int) -> str:
    """Name a row, or one of a column, as its file counts: line 3, row 1, entry 1."""
    return f"{frame.index.name or 'row'} {frame.index[i]}"


def write_table(frame: Frame, path: PathLike) -> None:
    """Write a table in the format of its name's ending, whole or not at all."""
    if kind_of(path) == ".parquet":
        require("pyarrow", "table", "writing Parquet")
        write_file(path, frame.to_parquet(index=False))
        return
    content = io.BytesIO()
    compression = {"method": METHODS.get(Path(path).suffix.lower())}
    if compression["method"] == "zip":
        compression["archive_name"] = Path(path).stem
    frame.to_csv(content, sep=SEPARATORS[kind_of(path)], index=False, compression=compression)
    write_file(path, content.getvalue())


def require_columns(frame: Frame, names: Sequence[str], what: str) -> None:
    """Raise a ValueError if the table lacks columns; the message names them, and the nearest known column."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        hint = nearest(missing[0], frame.columns)
        shown = ", ".join([repr(c) for c in frame.columns[:12]] + ["..."] * (len(frame.columns) > 12))
        listed = ", ".join(repr(name) for name in missing)
        raise ValueError(f"the table has no column {listed} ({what}): {hint}Its columns are {shown}")


def numeric_columns(frame: Frame, exclude: Iterable[str] = ()) -> tuple[list[str], dict[str, str]]:
    """Return the names of the columns that hold numbers, and of those that do not, with the reason.

    A column without a name is the index that pandas writes, and no measurement.
    """
    taken, left = [], {}
    for name in frame.columns:
        if name in exclude:
            continue
        if name.startswith("Unnamed: "):
            left[name] = "it has no name, as an index"
        elif not _is_numeric(frame[name]):
            left[name] = f"not numeric, {_first_text(frame[name])}"
        else:
            taken.append(name)
    return taken, left


def numbers(frame: Frame, names: Sequence[str]) -> HostArray:
    """Return these columns as float64 ``(n, len(names))``.

    Raises
    ------
    ValueError
        If one holds text, or a value that is missing or infinite.
    """
    for name in names:
        if not _is_numeric(frame[name]):
            raise ValueError(f"column {name!r} does not hold numbers: {_first_text(frame[name])}")
    a = np.column_stack([frame[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in names])
    _require(
        frame, a, np.isfinite(a), names, "a finite number", "repair such rows, take them out, or do without the column"
    )
    return a


def positive_numbers(frame: Frame, names: Sequence[str]) -> HostArray:
    """Return columns of errors as `numbers` does; raise a ValueError if one is not positive."""
    a = numbers(frame, names)
    _require(frame, a, a > 0, names, "a positive error", "give the true error of this value, or take the row out")
    return a


def _require(
    frame: Frame, a: HostArray, good: np.ndarray[Any, Any], names: Sequence[str], what: str, remedy: str
) -> None:
    bad = np.argwhere(~good)
    if len(bad):
        row, column = bad[0]
        value = "nothing" if np.isnan(a[row, column]) else repr(float(a[row, column]))
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise ValueError(
            f"column {names[column]!r} must have {what} in {place(frame, row)}, got {value}{more}: {remedy}"
        )


def _is_numeric(column: Any) -> bool:
    types = require("pandas.api.types", "table", "reading tables")
    return bool(types.is_numeric_dtype(column.dtype)) and not types.is_complex_dtype(column.dtype)


def _first_text(column: Any) -> str:
    """Describe the first value that keeps a column from being numeric."""
    pandas = require("pandas", "table", "reading tables")
    if column.dtype.kind not in "OSUT":
        return f"its type is {column.dtype}"
    several = [i for i, value in enumerate(column) if np.ndim(value)]
    if several:
        return f"several values, {column.iloc[several[0]]}, in {place(column, several[0])}"
    bad = (pandas.to_numeric(column, errors="coerce").isna() & column.notna()).to_numpy().nonzero()[0]
    return f"{column.iloc[bad[0]]!r} in {place(column, bad[0])}" if len(bad) else "numbers written as text"


def _read_parquet(path: PathLike) -> Frame:
    require("pyarrow", "table", "reading Parquet")
    pandas = require("pandas", "table", "reading tables")
    frame = pandas.read_parquet(path)
    return frame.reset_index() if any(name is not None for name in frame.index.names) else frame
