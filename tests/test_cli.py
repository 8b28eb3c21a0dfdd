"""The command line: what it prints, what it writes, and one plain line with an exit code for whatever goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import backends, cli
from ffnn_xp.files import read_header

for needed in ("typer", "pandas", "safetensors"):
    pytest.importorskip(needed)

import pandas
from typer.testing import CliRunner

from ffnn_xp.commands import app

FAST = ["--layers", "2", "--prior", "1.0", "--backend", "numpy"]


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()], "a temporary file was left behind"


@pytest.fixture
def data() -> pandas.DataFrame:
    """A table with an index, text, two inputs, a target, and its error."""
    rng = np.random.default_rng(5)
    frame = pandas.DataFrame({"name": ["He"] * 60, "t": rng.uniform(-2, 2, 60), "p": rng.normal(size=60)})
    frame["U"] = np.tanh(frame.t) + 0.3 * frame.p + rng.normal(0, 0.1, 60)
    frame["V"] = frame.t - frame.p + rng.normal(0, 0.1, 60)
    frame["sigma"] = 0.1
    frame.to_csv("data.csv")
    return frame


def run(*arguments: object, code: int = 0) -> Any:
    """Run a command; whatever it does, there must be no traceback, and an error is one or two lines."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    assert isinstance(result.exception, SystemExit | None.__class__), result.exception
    if code == 2:
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) <= 2
        assert result.stderr.startswith("ffnn-xp: ")
    return result


def fit(*arguments: object, code: int = 0) -> Any:
    return run("fit", *arguments, *FAST, code=code)


def test_version_and_help() -> None:
    assert run("--version").stdout == f"ffnn-xp {fx.__version__}\n"
    text = run("--help").stdout
    assert all(command in text for command in ("backends", "fit", "predict"))
    text = run("fit", "--help").stdout
    options = "--target --error --inputs --layers --activation --output --prior --restarts --seed --backend --device"
    for option in [*options.split(), "--dtype", "--max-seconds", "--save", "--plot", "--quiet"]:
        assert option in text
    assert "--no-std" in run("predict", "--help").stdout


def test_wrong_options_are_usage_errors() -> None:
    result = CliRunner().invoke(app, ["fit", "data.csv", "--layer", "3"])
    assert result.exit_code == 2
    assert "No such option" in result.stderr
    result = CliRunner().invoke(app, ["fit", "data.csv"])
    assert result.exit_code == 2
    assert "--target" in result.stderr


def test_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [
        backends.BackendStatus("numpy", "2.4.6", ("cpu",), True, ""),
        backends.BackendStatus("cupy", "", (), False, "the package is not installed; pip install it"),
    ]
    monkeypatch.setattr(backends, "backend_status", lambda: iter(table))
    header, numpy, cupy = run("backends").stdout.splitlines()
    column = header.index("devices")
    assert numpy.split() == ["numpy", "2.4.6", "yes", "cpu"]
    assert cupy[column:] == "the package is not installed; pip install it"
    assert cupy.split()[:3] == ["cupy", "-", "no"]


def test_fit_prints_the_result_and_what_it_took(data: pandas.DataFrame) -> None:
    result = fit("data.csv", "--target", "U", "--error", "sigma")
    assert result.stdout.startswith("FitResult: valid minimum of 3-2-1, tanh, identity")
    assert "errors of y  as given" in result.stdout
    assert "60 events; U as a function of t, p, V" in result.stderr
    assert "left out: Unnamed: 0 (it has no name, as an index), name (not numeric, 'He' in row 0)" in result.stderr
    assert "the network was not kept: add --save net.safetensors" in result.stderr
    assert sorted(os.listdir()) == ["data.csv"]


def test_the_command_line_fits_what_python_fits(data: pandas.DataFrame) -> None:
    fit("data.csv", "-t", "U", "-e", "sigma", "-i", "t,p", "--save", "net.safetensors", "--seed", "3")
    model = fx.Model((2, 2, 1), seed=3, backend="numpy")
    x = data[["t", "p"]].to_numpy()
    expected = model.fit(x, data.U, data.sigma, prior=1.0)
    assert np.array_equal(fx.load("net.safetensors").parameters, expected.parameters)
    header = read_header("net.safetensors")
    assert (header.input_names, header.target_names) == (("t", "p"), ("U",))
    assert header.fit is not None
    assert header.fit["chi2"] == expected.chi2


def test_options_reach_the_fit(data: pandas.DataFrame) -> None:
    text = run(
        *("fit", "data.csv", "-t", "U", "-t", "V", "-i", "t, p", "--layers", "3,2", "--activation", "softplus, sine"),
        *("--output", "identity", "--restarts", "2", "--dtype", "float32", "--save", "net", "--backend", "numpy"),
        *("--prior", "0.5", "--quiet"),
    )
    assert text.stderr == ""
    assert "errors of y  from the residuals" in text.stdout
    header = read_header("net")
    assert header.widths == (2, 3, 2, 2)
    assert header.activations == ("softplus", "sine")
    assert header.dtype == "float32"
    assert header.fit is not None
    assert len(header.fit["y_error"]) == 2


def test_linear_function_without_hidden_layers(data: pandas.DataFrame) -> None:
    text = run("fit", "data.csv", "-t", "V", "-e", "0.1", "-i", "t,p", "--layers", "", "--backend", "numpy").stdout
    assert "valid minimum of 2-1" in text


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (["sigma"], [0.1, 0.1]),
        (["0.2"], [0.2, 0.2]),
        (["sigma", "0.3"], [0.1, 0.3]),
        ([], None),
    ],
)
def test_errors_are_columns_or_numbers(
    data: pandas.DataFrame, monkeypatch: pytest.MonkeyPatch, errors: list[str], expected: list[float] | None
) -> None:
    seen: list[Any] = []

    def spy(self: fx.Model, x: Any, y: Any, y_err: Any, **options: Any) -> None:
        seen.append(y_err)
        raise ValueError("seen")

    monkeypatch.setattr(fx.Model, "fit", spy)
    CliRunner().invoke(app, ["fit", "data.csv", "-t", "U", "-t", "V", *(a for e in errors for a in ("-e", e)), *FAST])
    if expected is None:
        assert seen == [None]
    else:
        assert np.array_equal(seen[0], np.tile(expected, (60, 1)))


@pytest.mark.parametrize("name", ["data.tsv", "data.parquet", "data.npz", "data.npy"])
def test_other_formats(data: pandas.DataFrame, name: str) -> None:
    data = data[["t", "U"]]
    if name.endswith("tsv"):
        data.to_csv(name, sep="\t", index=False)
    elif name.endswith("parquet"):
        pytest.importorskip("pyarrow")
        data.to_parquet(name)
    elif name.endswith("npz"):
        np.savez(name, t=data.t, U=data.U)
    else:
        np.save(name, data.to_records(index=False).view(np.ndarray))
    fit(name, "-t", "U", "-e", "0.1", "--save", "net")
    np.save("plain.npy", data.to_numpy())
    fit("plain.npy", "-t", "1", "-e", "0.1", "--save", "plain")
    assert np.array_equal(fx.load("net").parameters, fx.load("plain").parameters)


def test_plot(data: pandas.DataFrame) -> None:
    pytest.importorskip("matplotlib")
    fit("data.csv", "-t", "U", "-e", "sigma", "-i", "t,p", "--plot", "fit.PNG")
    assert Path("fit.PNG").read_bytes().startswith(b"\x89PNG")
    fit("data.csv", "-t", "U", "-i", "t", "--plot", "fit.svg")
    assert "68 % band" in Path("fit.svg").read_text() or "<svg" in Path("fit.svg").read_text()


def test_fit_that_is_not_valid(data: pandas.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    original = fx.Model.fit

    def stopped(self: fx.Model, *data: Any, **options: Any) -> Any:
        return original(self, *data, **options, callback=lambda state: state.calls > 2)

    monkeypatch.setattr(fx.Model, "fit", stopped)
    result = fit("data.csv", "-t", "U", "-e", "sigma", "-i", "t,p", "--save", "net", "--quiet", code=1)
    assert result.stdout.startswith("FitResult: NOT VALID")
    assert "the fit is not valid. More --restarts" in result.stderr
    header = read_header("net")
    assert header.fit is not None
    assert header.fit["valid"] is False
    result = run("predict", "net", "data.csv")
    assert "comes from a fit that was not valid" in result.stderr
    assert result.stdout.splitlines()[0] == "U"


BAD = {
    "missing file": (["no.csv", "-t", "U"], "there is no file 'no.csv'"),
    "folder": (["folder.csv", "-t", "U"], "'folder.csv' is a folder"),
    "unknown format": (["data.xlsx", "-t", "U"], "must tell the format of a table"),
    "empty": (["empty.csv", "-t", "U"], "'empty.csv' is empty"),
    "unknown target": (["data.csv", "-t", "Sigma"], r"no column 'Sigma' \(--target\): did you mean 'sigma'\?"),
    "target twice": (["data.csv", "-t", "U", "-t", "U"], "names a column twice"),
    "text target": (["data.csv", "-t", "name"], "column 'name' does not hold numbers: 'He' in row 0"),
    "unknown input": (["data.csv", "-t", "U", "-i", "t,q"], r"no column 'q' \(--inputs\)"),
    "text input": (["data.csv", "-t", "U", "-i", "t,name"], "column 'name' does not hold numbers"),
    "target as input": (["data.csv", "-t", "U", "-i", "t,U"], "column 'U' cannot be an input, it is a target"),
    "error as input": (["data.csv", "-t", "U", "-e", "sigma", "-i", "sigma"], "'sigma' cannot be an input, it is"),
    "input twice": (["data.csv", "-t", "U", "-i", "t,t"], "must name each column once"),
    "no inputs": (["data.csv", "-t", "U", "-i", ","], "must name each column once"),
    "nothing left": (["bad.csv", "-t", "U", "-t", "V", "-t", "t", "-e", "sigma"], "no numeric column besides"),
    "NaN": (["bad.csv", "-t", "U", "-i", "t"], "column 't' must have a finite number in row 3, got nothing"),
    "NaN target": (["bad.csv", "-t", "V", "-i", "U"], "column 'V' must have a finite number in row 2, got inf"),
    "zero error": (["bad.csv", "-t", "U", "-e", "sigma", "-i", "one"], r"'sigma' must have a positive error in row 4"),
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
    "seconds": (["data.csv", "-t", "U", "--max-seconds", "-1"], "`max_seconds` must be positive"),
    "save": (["data.csv", "-t", "U", "--save", "nowhere/net"], "the folder '.*nowhere' does not exist"),
    "plot": (["data.csv", "-t", "U", "--plot", "nowhere/fit.png"], "the folder '.*nowhere' does not exist"),
    "plot format": (["data.csv", "-t", "U", "--plot", "fit.docx"], "--plot fit.docx: the ending must be one of .*png"),
    "too few events": (["short.csv", "-t", "U"], "the errors of y cannot be estimated from 3 values"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_to_fit(data: pandas.DataFrame, arguments: list[str], message: str) -> None:
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
    assert pytest.importorskip("re").search(message, result.stderr), result.stderr
    assert sorted(os.listdir()) == before


def test_predict(data: pandas.DataFrame) -> None:
    fit("data.csv", "-t", "U", "-t", "V", "-e", "sigma", "-i", "t,p", "--save", "net")
    model = fx.load("net")
    mean, std = model.predict(data[["t", "p"]].to_numpy(), return_std=True)
    data[["V", "p", "name", "t"]].to_csv("new.csv", index=False)
    result = run("predict", "net", "new.csv", "--out", "out.csv", "--backend", "numpy")
    assert "60 predictions written to out.csv" in result.stderr
    table = pandas.read_csv("out.csv")
    assert list(table.columns) == ["U", "U_std", "V", "V_std"]
    assert np.allclose(table[["U", "V"]], mean, rtol=1e-15)
    assert np.allclose(table[["U_std", "V_std"]], std, rtol=1e-15)
    assert run("predict", "net", "new.csv").stdout == Path("out.csv").read_text()
    run("predict", "net", "new.csv", "--no-std", "-o", "out.npy")
    assert np.array_equal(np.load("out.npy")["V"], mean[:, 1])
    assert np.load("out.npy").dtype.names == ("U", "V")


def test_predict_without_a_band(data: pandas.DataFrame) -> None:
    fx.Model((2, 3, 1), seed=1).save("net", input_names=["p", "t"], target_names=["m"])
    assert run("predict", "net", "data.csv").stdout.splitlines()[0] == "m"
    assert "no error band: the model has not been fitted" in run("predict", "net", "data.csv", "--std", code=2).stderr


def test_predict_with_a_network_that_has_no_names(data: pandas.DataFrame) -> None:
    model = fx.Model((2, 3, 2), seed=1)
    model.save("net")
    data[["name", "p", "t"]].to_csv("two.csv", index=False)
    table = run("predict", "net", "two.csv").stdout.splitlines()
    assert table[0] == "y0,y1"
    assert [float(v) for v in table[1].split(",")] == model(data[["p", "t"]].to_numpy())[0].tolist()
    error = run("predict", "net", "data.csv", code=2).stderr
    assert "the table has 5 numeric columns where the network has 2 inputs" in error


def test_bad_input_to_predict(data: pandas.DataFrame) -> None:
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
    assert "column 't' must have a finite number in row 7" in run("predict", "net", "data.csv", code=2).stderr
    fx.Model((1, 3, 2), seed=1).save("net", input_names=["p"], target_names=["a", "a"])
    assert "one name twice" in run("predict", "net", "data.csv", code=2).stderr


def test_fallback_is_one_line_or_an_error(data: pandas.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
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
    assert result.stderr.startswith("ffnn-xp: warning: cupy: the package is not installed")
    assert len(result.stderr.splitlines()) == 1
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
def test_missing_extras(
    data: pandas.DataFrame, monkeypatch: pytest.MonkeyPatch, missing: str, arguments: list[str]
) -> None:
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
    "error", [MemoryError(), PermissionError(13, "Permission denied", "data.csv"), KeyboardInterrupt()]
)
def test_what_the_operating_system_and_the_user_do(
    data: pandas.DataFrame, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(self: Any, *_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(fx.Model, "fit", fail)
    code, message = {
        MemoryError: (2, "not enough memory"),
        PermissionError: (2, "Permission denied: data.csv"),
        KeyboardInterrupt: (130, "interrupted"),
    }[type(error)]
    result = fit("data.csv", "-t", "U", "-q", code=code)
    assert result.stderr == f"ffnn-xp: {message}\n"


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ffnn_xp", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_as_a_program(data: pandas.DataFrame) -> None:
    """Exit code and streams of the real thing; no progress line where there is no terminal."""
    process = start("fit", "data.csv", "-t", "U", "-e", "sigma", "-i", "t,p", *FAST, "--save", "net")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith("FitResult: valid")
    assert all(line.startswith("ffnn-xp: ") for line in err.splitlines())
    process = start("predict", "net", "no.csv")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (2, "", "ffnn-xp: there is no file 'no.csv'\n")


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_ctrl_c_gives_the_best_so_far() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3000, 4))
    np.savez("data.npz", **{f"x{i}": x[:, i] for i in range(4)}, y=np.sin(3 * x).sum(axis=1))
    process = start(
        "fit", "data.npz", "-t", "y", "-e", "1e-6", "--layers", "20,20", "--backend", "numpy", "--save", "net"
    )
    assert process.stderr is not None
    assert "3000 events" in process.stderr.readline()  # from here on it fits
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode == 1, err
    assert "interrupted by the user" in out
    assert read_header("net").widths == (4, 20, 20, 1)


@pytest.mark.skipif(os.name == "nt", reason="pipes of Unix")
def test_a_closed_pipe_is_no_error() -> None:
    fx.Model((1, 2, 1), seed=1).save("net", input_names=["t"])
    np.savez("data.npz", t=np.linspace(0, 1, 200_000))
    process = start("predict", "net", "data.npz")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "y\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) in (0, 1)
