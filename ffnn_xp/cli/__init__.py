"""The command line ``ffnn-xp``.

- `commands`, `examples`: the program and its commands, and examples for their help; it needs typer.
- `fit_command`, `fit_options`: the command `fit`, and its options as they are typed.
- `network_commands`, `study_commands`: commands that take a saved network, and those that take its data again.
- `arguments`: arguments and options that several commands have, headings, completion in the shell.
- `options`, `columns`, `categories`: what the options of a fit mean; columns by their roles; text as inputs.
- `card`: run cards, the options of a fit in a file.
- `saved`: saved networks with tables: inputs, predictions, the fit once more.
- `descriptions`: results as JSON, and the text of saved networks.
- `exports`: the formats of the command `export`.
- `outputs`: files to write, checked before the work.
- `tables`, `text_tables`, `root`: tables in CSV, TSV, Parquet and ROOT files, and standard input.
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
