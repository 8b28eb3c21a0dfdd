"""Arguments and options that several commands have, the headings of options, and what a shell completes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from ffnn_xp.backends import BACKENDS
from ffnn_xp.cli.tables import read_table
from ffnn_xp.cli.text_tables import STDIN

DATA, NETWORK, FIT, COMPUTING, RESULTS = "Data", "Network", "Fit", "Computing", "Results"
"""Headings of options in the help of a command."""

JSON = "Print the result as a JSON object, for programs."


def names(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a completion of known names."""
    listed = list(known)
    return lambda incomplete: [name for name in listed if name.startswith(incomplete)]


def columns(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a column of the table, if it can be read."""
    # an option that still lacks its value ends the parsing, and leaves arguments where they are
    table = context.params.get("table") or next(iter(context.args), STDIN)
    if str(table) != STDIN:
        with suppress(Exception):  # a completion has no place for messages
            return [name for name in read_table(table).columns if name.startswith(incomplete)]
    return []


Table = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE",
        help="Table with named columns: .csv, .tsv (also .gz, .bz2, .xz, .zip), .parquet, events.root:TREE, or - for "
        "CSV on standard input.",
    ),
]
Network = Annotated[Path, typer.Argument(metavar="NET", help="Network that `ffnn-xp fit --save` or Model.save wrote.")]
TableAgain = Annotated[
    Path | None,
    typer.Argument(metavar="TABLE", help="The data of the fit; by default the table that the network was fitted to."),
]
BackendName = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="Array library: auto, numpy, cupy, torch, jax (see `ffnn-xp backends`).",
        rich_help_panel=COMPUTING,
        autocompletion=names(["auto", *BACKENDS]),
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="DEVICE", help="Where to compute, such as cuda:0 or cpu.", rich_help_panel=COMPUTING
    ),
]
MaxSeconds = Annotated[
    float | None,
    typer.Option(
        "--max-seconds",
        metavar="S",
        help="Stop after this many seconds, with the best so far.",
        rich_help_panel=COMPUTING,
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Keep what is done in this file, every few seconds: the same command goes on from there, after a crash or "
        "the end of a batch job.",
        rich_help_panel=COMPUTING,
    ),
]
Json = Annotated[bool, typer.Option("--json", help=JSON)]
