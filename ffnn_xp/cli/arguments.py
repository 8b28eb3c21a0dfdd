"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Table = Annotated[
    Path, typer.Argument(metavar="TABLE", help="Table with named columns: .csv, .tsv, .parquet or events.root:TREE.")
]
BackendName = Annotated[
    str,
    typer.Option(
        "--backend", metavar="NAME", help="Array library: auto, numpy, cupy, torch, jax (see `ffnn-xp backends`)."
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="DEVICE", help="Where to compute, such as cuda:0 or cpu.")
]
