"""The command line: one plain line and an exit code for whatever goes wrong."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import cli

from .program import CliRunner, app, fit, run

pytest.importorskip("safetensors")


def test_wrong_options_are_usage_errors() -> None:
    result = CliRunner().invoke(app, ["fit", "data.csv", "--layer", "3"])
    assert result.exit_code == 2
    assert "No such option" in result.stderr
    result = CliRunner().invoke(app, ["fit", "data.csv"])
    assert result.exit_code == 2
    assert "--target" in result.stderr


BAD = {
    "missing file": (["no.csv", "-t", "U"], "there is no file 'no.csv'"),
    "folder": (["folder.csv", "-t", "U"], "'folder.csv' is a folder"),
    "unknown format": (["data.xlsx", "-t", "U"], "must tell the format of a table"),
    "empty": (["empty.csv", "-t", "U"], "'empty.csv' is empty"),
    "unknown target": (["data.csv", "-t", "Sigma"], r"no column 'Sigma' \(--target\): did you mean 'sigma'\?"),
    "target twice": (["data.csv", "-t", "U", "-t", "U"], "names a column twice"),
    "text target": (["data.csv", "-t", "name"], "column 'name' does not hold numbers: 'He' in line 2"),
    "unknown input": (["data.csv", "-t", "U", "-i", "t,q"], r"no column 'q' \(--inputs\)"),
    "text input": (["data.csv", "-t", "U", "-i", "t,name"], "column 'name' does not hold numbers"),
    "target as input": (["data.csv", "-t", "U", "-i", "t,U"], "column 'U' cannot be an input, it is a target"),
    "error as input": (["data.csv", "-t", "U", "-e", "sigma", "-i", "sigma"], "'sigma' cannot be an input, it is"),
    "input twice": (["data.csv", "-t", "U", "-i", "t,t"], "must name each column once"),
    "no inputs": (["data.csv", "-t", "U", "-i", ","], "must name each column once"),
    "nothing left": (["bad.csv", "-t", "U", "-t", "V", "-t", "t", "-e", "sigma"], "no numeric column besides"),
    "NaN": (["bad.csv", "-t", "U", "-i", "t"], "column 't' must have a finite number in line 5, got nothing"),
    "NaN target": (["bad.csv", "-t", "V", "-i", "U"], "column 'V' must have a finite number in line 4, got inf"),
    "zero error": (["bad.csv", "-t", "U", "-e", "sigma", "-i", "one"], r"'sigma' must have a positive error in line 6"),
    "unknown error": (
        ["data.csv", "-t", "U", "-e", "sigm"],
        r"no column 'sigm' \(--error, which is no number either\)",
    ),
    "negative error": (["data.csv", "-t", "U", "-e", "-0.1"], "--error must be positive and finite, got -0.1"),
    "infinite error": (["data.csv", "-t", "U", "-e", "inf"], "--error must be positive and finite"),
    "too many errors": (["data.csv", "-t", "U", "-e", "1", "-e", "2"], "--error must be given once"),
    "layers": (["data.csv", "-t", "U", "--layers", "8;7"], "--layers must be positive integers"),
    "zero layers": (["data.csv", "-t", "U", "--layers", "8,0"], "--layers must be positive integers"),
    "restarts": (["data.csv", "-t", "U", "--restarts", "0"], "--restarts must be auto or a positive integer"),
    "activation": (["data.csv", "-t", "U", "--activation", "tahn"], "did you mean 'tanh'"),
    "activations": (["data.csv", "-t", "U", "--activation", "tanh,relu"], "one per hidden layer"),
    "output": (["data.csv", "-t", "U", "--output", "expp"], "did you mean 'exp'"),
    "backend": (["data.csv", "-t", "U", "--backend", "numpi"], "did you mean 'numpy'"),
    "dtype": (["data.csv", "-t", "U", "--dtype", "float16"], "must be 'float64' or 'float32'"),
    "prior": (["data.csv", "-t", "U", "--prior", "0"], "`prior` must be a positive width"),
    "prior word": (
        ["data.csv", "-t", "U", "--prior", "strong"],
        "--prior must be auto, none or a positive width, got 'strong'",
    ),
    "seconds": (["data.csv", "-t", "U", "--max-seconds", "-1"], "`max_seconds` must be positive"),
    "save": (["data.csv", "-t", "U", "--save", "nowhere/net"], "the folder '.*nowhere' does not exist"),
    "plot": (["data.csv", "-t", "U", "--plot", "nowhere/fit.png"], "the folder '.*nowhere' does not exist"),
    "plot format": (["data.csv", "-t", "U", "--plot", "fit.docx"], "--plot fit.docx: the ending must be one of .*png"),
    "unknown loss": (["data.csv", "-t", "U", "--loss", "huberr"], "unknown loss 'huberr': did you mean 'huber'"),
    "loss": (
        ["data.csv", "-t", "U", "--loss", "poison"],
        "did you mean 'poisson'",
    ),
    "weight as input": (
        ["data.csv", "-t", "U", "--weights", "sigma", "-i", "sigma"],
        "'sigma' cannot be an input, it is a weight",
    ),
    "unknown weights": (
        ["data.csv", "-t", "U", "--weights", "w"],
        r"no column 'w' \(--weights, which is no number either\)",
    ),
    "errors of x": (["data.csv", "-t", "U", "-i", "t,p", *["--x-err", "0.1"] * 3], "--x-err must be given once"),
    "mask": (["data.csv", "-t", "U", "--mask", "p"], "--mask p: the column must hold 1 or true for rows to use"),
    "covariance": (["data.csv", "-t", "U", "--covariance", "sandwhich"], "did you mean 'sandwich'"),
    "too few events": (["short.csv", "-t", "U"], "the errors of y cannot be estimated from 3 values"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_to_fit(data: Any, arguments: list[str], message: str) -> None:
    Path("folder.csv").mkdir()
    Path("empty.csv").write_text("U,t\n")
    data[:3][["U", "t"]].to_csv("short.csv", index=False)
    bad = data.drop(columns="p")
    bad.loc[3, "t"], bad.loc[2, "V"], bad.loc[4, "sigma"] = np.nan, np.inf, 0
    bad.assign(one=1.0).to_csv("bad.csv", index=False)
    if arguments[-1] == "sigma":
        bad.to_csv("bad.csv", index=False)
    before = sorted(os.listdir())
    result = run("fit", *arguments, code=2)
    assert re.search(message, result.stderr), result.stderr
    assert sorted(os.listdir()) == before


def test_bad_input_to_predict(data: Any) -> None:
    fx.Model((2, 3, 1), seed=1).save("net", input_names=["p", "time"])
    error = run("predict", "net", "data.csv", code=2).stderr
    assert "the table has no column 'time' (an input of the network)" in error
    Path("foreign").write_text("no network")
    assert "is not a safetensors file" in run("predict", "foreign", "data.csv", code=2).stderr
    assert "there is no file 'none'" in run("predict", "none", "data.csv", code=2).stderr
    assert "is a folder" in run("predict", ".", "data.csv", code=2).stderr
    assert "there is no file 'none.csv'" in run("predict", "net", "none.csv", code=2).stderr
    assert "must tell the format" in run("predict", "net", "data.csv", "-o", "out", code=2).stderr
    assert "does not exist" in run("predict", "net", "data.csv", "-o", "nowhere/out.csv", code=2).stderr
    own = fx.Activation("mine", lambda xp, z: z, lambda xp, z, a: 1 + 0 * z, lambda xp, z, a: 0 * z)
    fx.Model((2, 3, 1), activation=own, seed=1).save("own")
    assert "your own activation 'mine'" in run("predict", "own", "data.csv", code=2).stderr
    fx.Model((1, 3, 1), seed=1).save("net", input_names=["t"])
    data.loc[7, "t"] = np.nan
    data.to_csv("data.csv", index=False)
    assert "column 't' must have a finite number in line 9" in run("predict", "net", "data.csv", code=2).stderr
    fx.Model((1, 3, 2), seed=1).save("net", input_names=["p"], target_names=["a", "a"])
    assert "one name twice" in run("predict", "net", "data.csv", code=2).stderr


def test_fallback_is_one_line_or_an_error(
    data: Any, monkeypatch: pytest.MonkeyPatch, hide: Callable[[str], None]
) -> None:
    hide("cupy")
    arguments = [
        "fit",
        "data.csv",
        "-t",
        "U",
        "-e",
        "sigma",
        "-i",
        "t",
        "--layers",
        "2",
        "--prior",
        "1",
        "--backend",
        "cupy",
    ]
    result = run(*arguments, "-q")
    first, *others = result.stderr.splitlines()
    assert first.startswith("ffnn-xp: warning: cupy: the package is not installed")
    assert [line.partition(".")[0] for line in others] == ["ffnn-xp: warning: the fit is valid, but take care"]
    monkeypatch.setenv("FFNN_XP_STRICT", "1")
    assert "the package is not installed" in run(*arguments, code=2).stderr


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("safetensors", ["fit", "data.csv", "-t", "U", "--save", "net"]),
        ("matplotlib", ["fit", "data.csv", "-t", "U", "--plot", "fit.png"]),
        ("pandas", ["fit", "data.csv", "-t", "U"]),
        ("safetensors", ["predict", "net", "data.csv"]),
    ],
)
def test_missing_extras(data: Any, monkeypatch: pytest.MonkeyPatch, missing: str, arguments: list[str]) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    result = run(*arguments, code=1)
    assert result.stderr == f"ffnn-xp: {missing} is not installed: pip install 'ffnn_xp[cli]'\n"


def test_missing_typer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == "ffnn-xp: typer is not installed: pip install 'ffnn_xp[cli]'\n"


@pytest.mark.parametrize(
    "error", [MemoryError(), PermissionError(13, "Permission denied", "a.csv"), KeyboardInterrupt()]
)
def test_what_the_operating_system_and_the_user_do(
    data: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(self: Any, *_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(fx.Model, "fit", fail)
    code, message = {
        MemoryError: (2, "not enough memory"),
        PermissionError: (2, "Permission denied: a.csv"),
        KeyboardInterrupt: (130, "interrupted"),
    }[type(error)]
    result = fit("data.csv", "-t", "U", "-q", code=code)
    assert result.stderr == f"ffnn-xp: {message}\n"
