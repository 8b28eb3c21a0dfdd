"""Tables in text: CSV and TSV, plain or compressed, from a file or standard input; rows are named by their lines.

Blank lines, and lines that begin with ``#``, are left out. If no line of names follows such comments, the last of them
has the names, as `numpy.savetxt` writes it.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ffnn_xp._lib.optional import require
from ffnn_xp.cli import messages

STDIN = "-"
SEPARATORS = {".csv": ",", ".tsv": "\t"}


def _only_member(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if len(names) != 1:
            raise ValueError(f"the archive must hold one table, it holds {len(names)} files")
        return archive.read(names[0])


DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zip": _only_member,
}
"""Kinds of compression, by the endings of files."""


def content_of(path: Path) -> bytes:
    """Return what a file holds, without its compression."""
    return DECOMPRESS.get(path.suffix.lower(), bytes)(path.read_bytes())


def standard_input() -> bytes:
    """Return all of the standard input; a person who types is told that the program waits."""
    if sys.stdin is None:
        raise ValueError("it is closed; name the file of the table instead of -")
    if sys.stdin.isatty():
        messages.say("reading a table from standard input; Ctrl-D ends it")
    return sys.stdin.buffer.read()


def read_text(content: bytes, separator: str) -> Any:
    r"""Return a table in text as a DataFrame, whose index is the number of the line that each row begins in.

    Where a table with commas has one column only, semicolons or tabs separate.

    Examples
    --------
    >>> frame = read_text(b"# run 7\n\nt,U\n1,2\n\n3,4\n", ",")
    >>> frame.index.name, list(frame.index), frame.U.tolist()
    ('line', [4, 6], [2, 4])

    Raises
    ------
    ValueError
        If the names of the columns are missing, or rows have more fields than there are names.
    """
    pandas = require("pandas", "table", "reading tables")
    lines, header = _without_comments(content.removeprefix(codecs.BOM_UTF8).splitlines())
    if separator == "," and "," not in header:
        separator = next((s for s in ";\t" if s in header), separator)
    if (cells := _numbers(header)) and not any(
        cell.strip().isdigit() for cell in cells
    ):  # names such as 0, 1, 2 may be
        raise ValueError("its first line must hold the names of the columns, and seems to be a row of numbers")
    options: dict[str, Any] = {"encoding": "utf-8", "index_col": False, "skipinitialspace": True}
    if tuple(int(part) for part in pandas.__version__.split(".")[:2]) < (3, 1):
        options["float_precision"] = "round_trip"  # later the default, and deprecated
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)  # it announces that columns were dropped
        try:
            frame = pandas.read_csv(io.BytesIO(b"\n".join(lines)), sep=separator, **options)
        except pandas.errors.ParserWarning as error:
            raise ValueError("its rows have more fields than its header has names") from error
    lines_of_rows = _line_numbers(lines, len(frame), separator)
    frame.index = pandas.RangeIndex(len(frame), name="row") if lines_of_rows is None else lines_of_rows
    return frame if lines_of_rows is None else frame.rename_axis(index="line")


def _without_comments(lines: list[bytes]) -> tuple[list[bytes], str]:
    """Return the lines with comments made blank, so that each keeps its number, and the line of names."""
    bare = [b"" if line.startswith(b"#") else line for line in lines]
    first = next((i for i, line in enumerate(bare) if line.strip()), None)
    if first is None:
        return bare, ""
    header, above = bare[first].decode("utf-8", "replace"), lines[first - 1] if first else b""
    names = above.decode("utf-8", "replace").lstrip("# ")
    if (
        above.startswith(b"#")
        and _numbers(header)
        and len(_SEPARATOR.findall(names)) == len(_SEPARATOR.findall(header))
    ):
        bare[first - 1] = names.encode()
        return bare, names
    return bare, header


def _line_numbers(lines: Sequence[bytes], n: int, separator: str) -> list[int] | None:
    """Return the number of the line in which each of the n rows begins, counted from 1; None if that is not clear."""
    begins = [i for i, line in enumerate(lines, start=1) if line.strip()]
    if len(begins) != n + 1:  # quoted values hold ends of lines
        with suppress(csv.Error):
            text = [line.decode("utf-8", "replace") for line in lines]
            begins = [i for i, cells in _cells(text, separator) if len(cells) > 1 or "".join(cells).strip()]
    return begins[1:] if len(begins) == n + 1 else None


def _cells(lines: Sequence[str], separator: str) -> list[tuple[int, list[str]]]:
    """Return the number of the first line of each record, and its cells."""
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=separator, skipinitialspace=True)
    records, before = [], 0
    for cells in reader:
        records.append((before + 1, cells))
        before = reader.line_num
    return records


def _numbers(line: str) -> list[str]:
    """Return the fields of a line if all of them are numbers; else none."""
    cells = _SEPARATOR.split(line)
    try:
        _ = [float(cell) for cell in cells]
    except ValueError:
        return []
    return cells


_SEPARATOR = re.compile("[,;\t]")
