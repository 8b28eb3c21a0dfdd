"""The command line as tests run it: in this process or as a program of its own, on one small table."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

CliRunner = pytest.importorskip("typer.testing").CliRunner
pandas = pytest.importorskip("pandas")
app = pytest.importorskip("ffnn_xp.cli.commands").app

FAST = ["--layers", "2", "--prior", "1.0", "--backend", "numpy"]


def make_table() -> Any:
    """Text, two inputs, two targets, and their error."""
    rng = np.random.default_rng(5)
    frame = pandas.DataFrame({"name": ["He"] * 60, "t": rng.uniform(-2, 2, 60), "p": rng.normal(size=60)})
    frame["U"] = np.tanh(frame.t) + 0.3 * frame.p + rng.normal(0, 0.1, 60)
    frame["V"] = frame.t - frame.p + rng.normal(0, 0.1, 60)
    frame["sigma"] = 0.1
    return frame


def run(*arguments: object, code: int = 0, stdin: bytes | None = None) -> Any:
    """Run a command; an error leaves stdout empty and says one thing, on the last line of stderr."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert all(line.startswith("ffnn-xp: ") for line in result.stderr.splitlines())
    if code == 2:
        assert result.stdout == ""
        assert not [
            line for line in result.stderr.splitlines()[:-1] if "left out:" not in line and "events;" not in line
        ]
    return result


def fit(*arguments: object, code: int = 0) -> Any:
    """Run ``fit`` with a small network."""
    return run("fit", *arguments, *FAST, code=code)


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start the program as a terminal would: what a shell runs in its background inherits a deaf ear to Ctrl-C."""
    command = [sys.executable, "-m", "ffnn_xp", *arguments]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        )
    finally:
        signal.signal(signal.SIGINT, before)
