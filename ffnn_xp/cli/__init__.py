"""The command line ``ffnn-xp``.

- `commands`: the program and its commands; it needs typer.
- `fit_command`, `network_commands`: the command `fit`, and those that take a fitted network, `predict` and `export`.
- `arguments`: arguments and options that several commands have.
- `options`: the meaning of the options.
- `exports`: the formats of the command `export`.
- `tables`: tables in CSV, TSV and Parquet files.
- `messages`: errors as one line and an exit code.
"""

from __future__ import annotations

import io
import sys

from ffnn_xp._lib.optional import require
from ffnn_xp.cli.messages import plain_errors, plain_usage_errors

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal does not have is no error
            stream.reconfigure(errors="backslashreplace")
    with plain_errors(), plain_usage_errors():
        require("typer", "cli", "the command line")
        from ffnn_xp.cli.commands import app

        sys.exit(app(prog_name="ffnn-xp", standalone_mode=False))
