"""The command line ``ffnn-xp``.

- `commands`: the commands `backends`, `fit` and `predict`; it needs typer.
- `options`: the meaning of their options.
- `tables`: tables in CSV, TSV and Parquet files.
- `messages`: errors as one line and an exit code.
"""

from __future__ import annotations

import sys

from ffnn_xp._lib.optional import require
from ffnn_xp.cli.messages import INTERRUPTED, plain_errors

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        with plain_errors():
            require("typer", "cli", "the command line")
        from ffnn_xp.cli.commands import app

        app(prog_name="ffnn-xp")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
