"""Tables and sources of code go through pipes: stdout has them alone, and messages go to stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import export

from .program import FAST, CliRunner, app, fit, pandas, run

pytest.importorskip("safetensors")

PROGRAM = f"'{sys.executable}' -m ffnn_xp"
needs_sh = pytest.mark.skipif(os.name == "nt", reason="pipes of Unix")


def shell(command: str, code: int = 0) -> tuple[str, str]:
    """Run a line in a shell, where ``ffnn-xp`` is this Python's."""
    done = subprocess.run(
        ["sh", "-c", command.replace("ffnn-xp", PROGRAM)], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@pytest.mark.slow
@needs_sh
def test_a_table_from_a_pipe_and_predictions_into_one(data: Any) -> None:
    options = f"-t U -e sigma -i t,p {' '.join(FAST)}"
    out, err = shell(f"cat data.csv | ffnn-xp fit - {options} --json --save net")
    assert json.loads(out)["fit"]["valid"] is True
    assert "60 events; U as a function of t, p" in err
    fit("data.csv", "-t", "U", "-e", "sigma", "-i", "t,p", "--save", "same")
    assert (fx.load("net").parameters == fx.load("same").parameters).all()
    out, err = shell("head -n 4 data.csv | ffnn-xp predict net - --out -")
    assert err == ""
    names, *rows = out.splitlines()
    assert names == "U,U_std"
    expected = np.stack(fx.load("net").predict(data[["t", "p"]].to_numpy()[:3], return_std=True), axis=1)
    np.testing.assert_allclose([[float(cell) for cell in row.split(",")] for row in rows], expected, rtol=1e-9)


@pytest.mark.slow
@needs_sh
def test_errors_of_a_pipe(data: Any) -> None:
    fx.Model((1, 2, 1), seed=1).save("net", input_names=["t"])
    _, err = shell("printf 't\\n1\\n\\nx\\n' | ffnn-xp predict net -", code=2)
    assert err == "ffnn-xp: column 't' does not hold numbers: 'x' in line 4\n"
    before = Path("data.csv").read_bytes()
    _, err = shell("ffnn-xp predict net - --out data.csv < data.csv", code=2)
    assert "--out data.csv: this is the file of the table" in err
    assert Path("data.csv").read_bytes() == before


@pytest.mark.slow
@needs_sh
def test_exports_into_a_pipe(data: Any) -> None:
    fit("data.csv", "-t", "U", "-e", "sigma", "-i", "t,p", "--save", "net", "--restarts", "1")
    model = fx.load("net", backend="numpy")
    out, err = shell("ffnn-xp export net - --format py --std")
    assert (out, err) == (export.to_python(model, std=True), "")
    onnx = pytest.importorskip("onnx")
    shell("ffnn-xp export net - --format onnx > net.onnx")
    assert onnx.load("net.onnx") == export.to_onnx(model)


def test_formats_by_name() -> None:
    fx.Model((1, 2, 1), seed=1).save("net")
    run("export", "net", "source.txt", "--format", "TEX")
    assert Path("source.txt").read_text() == export.to_latex(fx.load("net", backend="numpy"))
    assert "did you mean 'hpp'" in run("export", "net", "-", "--format", "hp", code=2).stderr
    assert "or give --format" in run("export", "net", "-", code=2).stderr
    assert "--std has no place in LaTeX" in run("export", "net", "-", "--format", "tex", "--std", code=2).stderr


def test_what_is_no_text_is_not_written_to_standard_output(data: Any) -> None:
    for option in ("--save", "--write-card"):
        text = fit("data.csv", "-t", "U", option, "-", code=2).stderr
        assert f"{option} -: give the name of a file; standard output is for tables and text" in text
    assert "--plot -: the ending must be one of" in fit("data.csv", "-t", "U", "--plot", "-", code=2).stderr


@pytest.mark.parametrize(
    ("words", "at", "expected"),
    [
        ("ffnn-xp co", 1, ["coverage"]),
        ("ffnn-xp fit --loss po", 3, ["poisson"]),
        ("ffnn-xp fit data.csv --target s", 4, ["sigma"]),
        ("ffnn-xp fit data.csv -t U --error s", 6, ["sigma"]),
        ("ffnn-xp fit missing.csv --target s", 4, []),
        ("ffnn-xp plot net --kind p", 4, ["pulls"]),
    ],
)
def test_completion(data: Any, words: str, at: int, expected: list[str]) -> None:
    pandas.DataFrame({"s": [1]}).to_csv("other.csv")
    asked = {"_FFNN_XP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    done = CliRunner().invoke(app, [], env=asked, prog_name="ffnn-xp")
    assert (done.stdout.split(), done.stderr) == (expected, "")
