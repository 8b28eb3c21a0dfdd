"""Nothing that steers a terminal reaches it, and messages that nobody can read stop no work."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.cli.messages import say, show

from .program import FAST, pandas, run, start

pytest.importorskip("safetensors")

EVIL = "\x1b]0;title\x07\x1b[31m\x9b2J\u202e\x08x"


def harmless(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


def evil_table(name: str) -> None:
    t = np.linspace(-1, 1, 30)
    frame = pandas.DataFrame({EVIL: t, f"y{EVIL}": np.tanh(t), f"text{EVIL}": [EVIL] * 30})
    frame.to_csv(name, index=False)


def test_names_of_columns_and_files_do_not_steer_the_terminal() -> None:
    evil_table(f"{EVIL}.csv")
    target = f"y{EVIL}"
    for arguments, code in (
        (["fit", f"{EVIL}.csv", "-t", target, "-e", "0.1", *FAST, "--save", f"{EVIL}.net", "--plot", f"{EVIL}.svg"], 0),
        (["predict", f"{EVIL}.net", f"{EVIL}.csv"], 0),
        (["predict", f"{EVIL}.net", f"{EVIL}.csv", "--out", f"out{EVIL}.csv"], 0),
        (["predict", f"{EVIL}.net", f"{EVIL}.csv", "--out", f"{EVIL}/out.csv"], 2),
        (["fit", f"no{EVIL}.csv", "-t", "y"], 2),
        (["fit", f"{EVIL}.csv", "-t", "y"], 2),
        (["fit", f"{EVIL}.csv", "-t", f"text{EVIL}"], 2),
        (["fit", f"{EVIL}.csv", "-t", target, "-i", f"text{EVIL}"], 2),
        (["fit", f"{EVIL}.csv", "-t", target, "--layers", EVIL], 2),
        (["fit", f"{EVIL}.csv", "-t", target, "--save", f"{EVIL}.csv"], 2),
    ):
        result = run(*arguments, code=code)
        assert harmless(result.stdout + result.stderr), arguments
    assert target in pandas.read_csv(f"out{EVIL}.csv").columns  # files keep the names as they are


@pytest.mark.slow
def test_wrong_options_do_not_steer_the_terminal() -> None:
    for arguments in (["fit", f"--{EVIL}"], [EVIL], ["fit", "a.csv", EVIL, "-t", "y"]):
        process = start(*arguments)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert out == ""
        assert harmless(err)
        assert "Usage: ffnn-xp" in err
        assert "title" in err


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="standard streams of Unix")
def test_standard_streams_that_are_closed_or_know_few_characters(data: Any) -> None:
    data.rename(columns={"t": "Δt"}).to_csv("greek.csv", index=False)
    fx.Model((1, 2, 1), seed=1).save("net", input_names=["Δt"], target_names=["χ"])
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    out, err = start("predict", "net", "greek.csv", env=ascii_only).communicate(timeout=60)
    assert (out.splitlines()[0], err) == ("\\u03c7", "")
    f2py = subprocess.run(["sh", "-c", '"$0" -c "import numpy.f2py" 2>&-', sys.executable])
    for closed, code in ((">&-", 2), ("2>&-", 0)):
        if closed == "2>&-" and f2py.returncode:
            pytest.skip("this NumPy cannot be imported without a standard error")
        command = f'"$0" -m ffnn_xp predict net greek.csv {closed}'
        done = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True, text=True)
        assert done.returncode == code
        assert closed == "2>&-" or "cannot write the result to standard output: it is closed" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="limits of Unix")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_half_a_table_is_an_error(unbuffered: str) -> None:
    """A file that may not grow beyond some bytes, as on a disk that becomes full."""
    fx.Model((1, 2, 1), seed=1).save("net", input_names=["t"])
    pandas.DataFrame({"t": np.linspace(0, 1, 5000)}).to_csv("t.csv")
    command = f"ulimit -f 4; PYTHONUNBUFFERED={unbuffered} '{sys.executable}' -m ffnn_xp predict net t.csv > out.csv"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 2
    assert "cannot write the result to standard output: File too large" in done.stderr


class Failing(io.TextIOWrapper):
    """A stream that cannot be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__(io.BytesIO())
        self.error = error

    def flush(self) -> None:
        raise self.error


def test_streams_that_fail() -> None:
    for error in (BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device")):
        with redirect_stdout(Failing(error)), redirect_stderr(Failing(error)):
            say("anything")
            if isinstance(error, BrokenPipeError):
                show("anything")
            else:
                with pytest.raises(OSError, match="cannot write the result to standard output: No space left"):
                    show("anything")


def test_lines_of_a_result_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show("a\n  b\tc\n")
    say("a\n  b\tc\n")
    assert capsys.readouterr() == ("a\n  b\\tc\n", "ffnn-xp: a b c\n")


def test_the_names_in_a_file_are_the_user_s(data: Any) -> None:
    """A table on standard output shows them; a table in a file, and a network, hold them."""
    evil_table("t.csv")
    run("fit", "t.csv", "-t", f"y{EVIL}", "-e", "0.1", *FAST, "--save", "net")
    assert fx.io.load_state(Path("net")).input_names == (EVIL,)
