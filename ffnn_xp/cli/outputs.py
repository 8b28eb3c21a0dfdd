"""Files that commands write: checked before the work, and never an input or another output."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ffnn_xp._lib.atomic import check_writable, is_same_file, write_file
from ffnn_xp._lib.optional import require
from ffnn_xp.cli.tables import ROOT
from ffnn_xp.cli.text_tables import DECOMPRESS, SEPARATORS, STDIN

STDOUT = STDIN
OF_OTHER_FILES = (*SEPARATORS, *DECOMPRESS, ROOT, ".parquet", ".pq", ".png", ".pdf", ".svg", ".toml")
"""Endings of tables, pictures and run cards, which no network has: it would replace one by mistake."""


def check_network(option: str, path: Path | None) -> None:
    """Check that a network can be saved: the library, and the ending of its name."""
    if path is None:
        return
    require("safetensors", "files", option)
    if path.suffix.lower() in OF_OTHER_FILES:
        raise ValueError(f"{option} {path}: this ending is not that of a network; call it {path.stem}.safetensors")


def check_picture(option: str, path: Path | None) -> None:
    """Check that a picture can be drawn: the library, and the format that the ending of its name tells."""
    if path is None:
        return
    trial, form = require("matplotlib.figure", "plot", option).Figure(), path.suffix[1:].lower()
    known = trial.canvas.get_supported_filetypes()
    if form not in known:
        raise ValueError(f"{option} {path}: the ending must be one of {', '.join(sorted(known))}")
    trial.text(0.5, 0.5, "x")
    try:
        trial.savefig(io.BytesIO(), format=form)
    except Exception as error:  # some formats and settings need programs beside matplotlib, such as LaTeX
        raise ValueError(f"{option} {path}: matplotlib cannot draw this here: {error}") from error


def check_outputs(inputs: Mapping[str, Path | None], outputs: Mapping[str, Path | None]) -> None:
    """Check that files can be written, and that none of them is an input or another output, by whatever path.

    Parameters
    ----------
    inputs, outputs : mapping of str to Path
        Files by what they are, as ``{"the table": ...}`` and ``{"--save": ...}``; ``-`` is standard input.

    Raises
    ------
    ValueError, OSError
        If that is not so; the message says why.
    """
    taken = {
        what: Path("/dev/stdin") if str(path) == STDIN else path for what, path in inputs.items() if path is not None
    }
    for option, path in outputs.items():
        if path is None:
            continue
        if str(path) == STDOUT:
            raise ValueError(f"{option} -: give the name of a file; standard output is for tables and text")
        for what, other in taken.items():
            if is_same_file(path, other):
                raise ValueError(f"{option} {path}: this is the file of {what}, {other}, and would replace it")
        check_writable(path)
        taken[option] = path


def place_of(path: Path, interrupted: bool) -> Path:
    """Return the path of a result: if its fit was interrupted, beside a file that exists, which may be a better one.

    Examples
    --------
    >>> str(place_of(Path("masses.safetensors"), interrupted=False))
    'masses.safetensors'
    """
    return path.with_name(f"{path.stem}.interrupted{path.suffix}") if interrupted and path.is_file() else path


def write_picture(path: Path, draw: Callable[[Any], object]) -> None:
    """Write what a function draws into an empty figure."""
    figure = require("matplotlib.figure", "plot", "pictures").Figure()
    draw(figure)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower(), dpi=150)
    write_file(path, content.getvalue())
