"""The command `export`: the ending of the file tells the format, and no option is without effect."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import export

from .program import fit, run

pytest.importorskip("safetensors")


@pytest.fixture
def net(data: Any) -> fx.Model:
    """The model of a fit by the command line, which is in net.safetensors."""
    fit("data.csv", "-t", "U", "-e", "sigma", "-i", "t,p", "--save", "net.safetensors", "--restarts", "1", "-q")
    return fx.load("net.safetensors", backend="numpy")


@pytest.mark.parametrize(
    ("file", "write", "options"),
    [
        ("out.py", export.to_python, {}),
        ("out.py", export.to_python, {"std": True}),
        ("out.hpp", export.to_cpp, {"std": True}),
        ("out.hh", export.to_cpp, {}),
        ("out.h", export.to_cpp, {}),
        ("out.TEX", export.to_latex, {}),
    ],
)
def test_the_file_is_that_of_python(net: fx.Model, file: str, write: Any, options: dict[str, bool]) -> None:
    done = run("export", "net.safetensors", file, *(f"--{name}" for name in options))
    assert done.stdout == ""
    assert done.stderr == f"ffnn-xp: network written to {file}\n"
    written = Path(file).read_text(encoding="utf-8")
    assert written == write(net, file, **options)
    assert all(name in written for name in ("t", "p", "U"))


def test_onnx_with_all_options(net: fx.Model, data: Any) -> None:
    onnx = pytest.importorskip("onnx")
    data[["p", "t"]].to_csv("points.csv", index=False)
    options = ("--std", "--modes", "3", "--points", "points.csv", "--dtype", "float32")
    run("export", "net.safetensors", "out.onnx", *options)
    expected = export.to_onnx(net, std=True, modes=3, x=data[["t", "p"]].to_numpy(), dtype="float32")
    assert onnx.load("out.onnx") == expected
    run("export", "net.safetensors", "out.onnx")
    assert onnx.load("out.onnx") == export.to_onnx(net)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["net", "out.docx"], "the ending of its name must tell the format: .onnx, .hpp, .hh, .h, .py, .tex"),
        (["net", "out"], "the ending of its name must tell the format"),
        (["net", "out.tex", "--std"], "--std has no place in LaTeX: it is for .onnx, .hpp, .hh, .h, .py"),
        (["net", "out.py", "--dtype", "float32"], "--dtype has no place in Python source: it is for .onnx"),
        (["net", "out.hpp", "--modes", "2"], "--modes has no place in a C++ header: it is for .onnx"),
        (["net", "out.onnx", "--modes", "2"], "give --modes N and --points TABLE together"),
        (["net", "out.onnx", "--points", "data.csv"], "give --modes N and --points TABLE together"),
        (["missing", "out.py"], "there is no file 'missing'"),
        (["net", "missing/out.py"], "the folder '"),
        (["net", "folder.py"], "it is a folder; give the name of a file in it"),
        (["net.py", "net.py"], "this is the file of the network, net.py, and would replace it"),
        (["net", "out.py", "--std"], "no error band to export: the model has not been fitted"),
    ],
)
def test_what_cannot_be_is_refused(data: Any, arguments: list[str], why: str) -> None:
    model = fx.Model((2, 2, 1), seed=1)
    model.save("net")
    model.save("net.py")
    Path("folder.py").mkdir()
    before = sorted(os.listdir())
    assert why in run("export", *arguments, code=2).stderr
    assert sorted(os.listdir()) == before


def test_a_link_to_the_points_is_not_replaced(net: fx.Model) -> None:
    pytest.importorskip("onnx")
    before = Path("data.csv").read_text()
    Path("out.onnx").symlink_to("data.csv")
    refused = run("export", "net.safetensors", "out.onnx", "--modes", "1", "--points", "data.csv", code=2)
    assert "FILE out.onnx: this is the file of the table, data.csv, and would replace it" in refused.stderr
    assert Path("data.csv").read_text() == before


def test_a_fit_that_is_not_valid_is_told_of() -> None:
    x = np.linspace(-1, 1, 20)
    model = fx.Model((1, 2, 1), seed=1)
    with pytest.warns(fx.FitWarning):
        result = model.fit(x, np.sin(3 * x), 0.1, prior=1.0, callback=lambda _: True)
    model.save("bad.safetensors", fit=result)
    done = run("export", "bad.safetensors", "bad.py")
    assert done.stderr.splitlines()[0] == "ffnn-xp: warning: this network comes from a fit that was not valid"


def test_help_says_what_the_formats_are() -> None:
    assert "export" in run("--help").stdout
    text = run("export", "--help").stdout
    assert all(word in text for word in ("--std", "--modes", "--points", "--dtype", ".onnx", ".hpp", ".py", ".tex"))
