"""The entry of ``ffnn-xp``. The commands themselves are in `commands`, which needs typer."""

from __future__ import annotations

import sys

from ..extras import require
from .messages import INTERRUPTED, plain_errors


def main() -> None:
    """Run the command line."""
    try:
        with plain_errors():
            require("typer", "cli", "the command line")
        from .commands import app

        app(prog_name="ffnn-xp")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
