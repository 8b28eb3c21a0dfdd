"""The command line: what it prints and what it writes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.cli.tables import read_table
from ffnn_xp.io import read_header

from .program import FAST, CliRunner, app, fit, pandas, run, start

pytest.importorskip("safetensors")


def test_version_and_help() -> None:
    assert run("--version").stdout == f"ffnn-xp {fx.__version__}\n"
    text = run("--help").stdout
    assert all(command in text for command in ("backends", "fit", "predict"))
    text = run("fit", "--help").stdout
    options = "--target --error --inputs --layers --activation --output --prior --restarts --seed --backend --device"
    data = "--loss --weights --mask --exposure --trials --x-err --covariance"
    for option in [*options.split(), *data.split(), "--dtype", "--max-seconds", "--save", "--plot", "--quiet"]:
        assert option in text
    assert "--no-std" in run("predict", "--help").stdout


def test_backends(two_backends: None) -> None:
    header, numpy, absent = run("backends").stdout.splitlines()
    column = header.index("devices")
    assert numpy.split() == ["numpy", np.__version__, "yes", "cpu"]
    assert absent[column:] == "the package is not installed; pip install it"
    assert absent.split()[:3] == ["absent", "-", "no"]


def test_fit_prints_the_result_and_what_it_took(data: Any) -> None:
    result = fit("data.csv", "--target", "U", "--error", "sigma")
    assert result.stdout.startswith("FitResult: valid minimum of 3-2-1, tanh, identity")
    assert "errors of y  as given" in result.stdout
    assert "60 events; U as a function of t, p, V" in result.stderr
    assert "left out: Unnamed: 0 (it has no name, as an index), name (not numeric, 'He' in line 2)" in result.stderr
    assert "the network was not kept: add --save net.safetensors" in result.stderr
    assert sorted(os.listdir()) == ["data.csv"]


@pytest.mark.slow
def test_the_command_line_fits_what_python_fits(data: Any) -> None:
    fit("data.csv", "-t", "U", "-e", "sigma", "-i", "t,p", "--save", "net.safetensors", "--seed", "3")
    model = fx.Model((2, 2, 1), seed=3, backend="numpy")
    x = data[["t", "p"]].to_numpy()
    expected = model.fit(x, data.U, data.sigma, prior=1.0)
    assert np.array_equal(fx.load("net.safetensors").parameters, expected.parameters)
    header = read_header("net.safetensors")
    assert (header.input_names, header.target_names) == (("t", "p"), ("U",))
    assert header.fit is not None
    assert header.fit["chi2"] == expected.chi2


@pytest.mark.slow
def test_options_reach_the_fit(data: Any) -> None:
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


def test_every_option_reaches_the_model_and_its_fit(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def spy(*arguments: Any, **options: Any) -> None:
        seen.update(options)
        raise ValueError("seen")

    where = {"backend": "numpy", "device": "cpu", "dtype": "float32", "seed": "4"}
    how = {"loss": "huber", "covariance": "sandwich", "restarts": "7", "prior": "0.5", "max-seconds": "9"}
    events = {"weights": "sigma", "exposure": "2", "trials": "3"}
    options = [text for name, value in {**where, **how, **events}.items() for text in (f"--{name}", value)]
    arguments = ["fit", "data.csv", "-t", "U", "-e", "0.1", "-i", "t,p", "--x-err", "0.1", "--x-err", "0.2", *options]
    with monkeypatch.context() as patched:
        patched.setattr(fx.Model, "fit", spy)
        run(*arguments, "--quiet", code=2)
    plain = {
        "loss": "huber",
        "covariance": "sandwich",
        "restarts": 7,
        "prior": 0.5,
        "max_seconds": 9,
        "progress": False,
    }
    assert {name: seen[name] for name in plain} == plain
    expected = {"y_err": np.full((60, 1), 0.1), "weights": np.full(60, 0.1), "exposure": np.full(60, 2.0)}
    expected |= {"trials": np.full(60, 3.0), "x_err": np.tile([0.1, 0.2], (60, 1))}
    for name, value in expected.items():
        np.testing.assert_array_equal(seen[name], value)
    fx.Model((2, 2, 1), seed=1).save("net", input_names=["t", "p"])
    with monkeypatch.context() as patched:
        patched.setattr(fx.Model, "__init__", spy)
        run(*arguments, code=2)
    assert {name: seen[name] for name in where} == {**where, "seed": 4}
    monkeypatch.setattr(fx.Model, "from_state", spy)
    run("predict", "net", "data.csv", "--backend", "torch", "--device", "cuda:1", code=2)
    assert (seen["backend"], seen["device"]) == ("torch", "cuda:1")


@pytest.mark.slow
def test_the_recipe_and_its_intervals(data: Any) -> None:
    text = run(
        "fit", "data.csv", "-t", "U", "-i", "t,p", "--prior", "auto", "--backend", "numpy", "--save", "net", "-q"
    )
    assert "networks; width^2" in text.stdout
    run("predict", "net", "data.csv", "-o", "with.csv", "--interval", "0.9")
    written = read_table(Path("with.csv"))
    assert list(written.columns) == ["U", "U_std", "U_low", "U_high"]
    model = fx.load("net")
    x = data[["t", "p"]].to_numpy()
    np.testing.assert_allclose(written[["U_low", "U_high"]].to_numpy().T, model.interval(x, cl=0.9), rtol=1e-12)
    np.testing.assert_allclose(written["U"], model.predict(x), rtol=1e-12)
    run("predict", "net", "data.csv", "-o", "low.csv", "--interval", "0.5", "--no-std")
    assert list(read_table(Path("low.csv")).columns) == ["U", "U_low", "U_high"]
    assert "between 0 and 1" in run("predict", "net", "data.csv", "--interval", "90", code=2).stderr


def test_linear_function_without_hidden_layers(data: Any) -> None:
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
    data: Any, monkeypatch: pytest.MonkeyPatch, errors: list[str], expected: list[float] | None
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data.tsv", "data.parquet"])
def test_other_formats(data: Any, name: str) -> None:
    data = data[["t", "U"]]
    if name.endswith("tsv"):
        data.to_csv(name, sep="\t", index=False)
    else:
        pytest.importorskip("pyarrow")
        data.to_parquet(name)
    fit(name, "-t", "U", "-e", "0.1", "--save", "net")
    data.to_csv("plain.csv", index=False)
    fit("plain.csv", "-t", "U", "-e", "0.1", "--save", "plain")
    assert np.array_equal(fx.load("net").parameters, fx.load("plain").parameters)


@pytest.mark.slow
def test_plot(data: Any) -> None:
    pytest.importorskip("matplotlib")
    fit("data.csv", "-t", "U", "-e", "sigma", "-i", "t,p", "--plot", "fit.PNG")
    assert Path("fit.PNG").read_bytes().startswith(b"\x89PNG")
    fit("data.csv", "-t", "U", "-i", "t", "--plot", "fit.svg")
    assert Path("fit.svg").read_text().startswith("<?xml")


@pytest.mark.slow
def test_plot_of_each_kind_of_data(data: Any) -> None:
    """Its labels are the names of the columns, of classes those of the outputs."""
    pytest.importorskip("matplotlib")
    data["n"], data["k"], data["N"] = np.round(20 + 10 * data["U"]).clip(0), (data["U"] > 0).astype(int), 3
    data.to_csv("data.csv", index=False)
    for options, label in (
        (("-t", "n", "--loss", "poisson", "--output", "exp"), "n"),
        (("-t", "k", "--loss", "binomial", "--output", "logistic", "--trials", "N"), "k"),
        (("-t", "k", "--loss", "multinomial", "--output", "softmax"), "k_1"),
        (("-t", "U", "--loss", "normal"), "U"),
    ):
        fit("data.csv", *options, "-i", "t", *FAST, "--restarts", "1", "--plot", "fit.svg")
        assert f"<!-- {label} -->" in Path("fit.svg").read_text()


def test_fit_that_is_not_valid(data: Any) -> None:
    hurry = ("--max-seconds", "1e-9")
    result = fit("data.csv", "-t", "U", "-e", "sigma", "-i", "t,p", "--save", "net", "--quiet", *hurry, code=1)
    assert result.stdout.startswith("FitResult: NOT VALID")
    assert "the fit is not valid. More --restarts" in result.stderr
    header = read_header("net")
    assert header.fit is not None
    assert header.fit["valid"] is False
    result = run("predict", "net", "data.csv")
    assert "comes from a fit that was not valid" in result.stderr
    assert result.stdout.splitlines()[0] == "U"


def test_predict(data: Any) -> None:
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
    run("predict", "net", "new.csv", "--no-std", "-o", "out.tsv")
    assert list(read_table("out.tsv").columns) == ["U", "V"]
    assert np.array_equal(read_table("out.tsv")["V"], mean[:, 1])


def test_predict_without_a_band(data: Any) -> None:
    fx.Model((2, 3, 1), seed=1).save("net", input_names=["p", "t"], target_names=["m"])
    assert run("predict", "net", "data.csv").stdout.splitlines()[0] == "m"
    assert "no error band: the model has not been fitted" in run("predict", "net", "data.csv", "--std", code=2).stderr


def test_predict_with_a_network_that_has_no_names(data: Any) -> None:
    model = fx.Model((2, 3, 2), seed=1)
    model.save("net")
    data[["name", "p", "t"]].to_csv("two.csv", index=False)
    table = run("predict", "net", "two.csv").stdout.splitlines()
    assert table[0] == "y0,y1"
    assert [float(v) for v in table[1].split(",")] == model(data[["p", "t"]].to_numpy())[0].tolist()
    error = run("predict", "net", "data.csv", code=2).stderr
    assert "the table has 5 numeric columns where the network has 2 inputs" in error


@pytest.mark.slow
def test_as_a_program(data: Any) -> None:
    """Exit code and streams of the real thing; no progress line where there is no terminal."""
    process = start("fit", "data.csv", "-t", "U", "-e", "sigma", "-i", "t,p", *FAST, "--save", "net")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith("FitResult: valid")
    assert all(line.startswith("ffnn-xp: ") for line in err.splitlines())
    process = start("predict", "net", "no.csv")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (2, "", "ffnn-xp: there is no file 'no.csv'\n")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_give_the_best_so_far(number: int, code: int) -> None:
    """As long as there is no file; one that exists stays, and the network goes beside it."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3000, 4))
    frame = pandas.DataFrame({f"x{i}": x[:, i] for i in range(4)})
    frame.assign(y=np.sin(3 * x).sum(axis=1)).to_csv("data.csv", index=False)
    wanted = ["net.safetensors", "net.interrupted.safetensors"]
    for name, other in zip(wanted, reversed(wanted), strict=True):
        before = Path(other).read_bytes() if Path(other).exists() else b""
        process = start(
            *("fit", "data.csv", "-t", "y", "-e", "1e-6", "--layers", "20,20", "--backend", "numpy"),
            *("--save", "net.safetensors"),
        )
        assert process.stderr is not None
        assert "3000 events" in process.stderr.readline()  # from here on no signal is lost
        process.send_signal(number)
        process.send_signal(number)  # batch systems send it to the program and to its group
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert "Traceback" not in err
        assert process.returncode == code, err
        assert "interrupted by the user" in out
        assert f"network written to {name}" in err
        assert read_header(name).widths == (4, 20, 20, 1)
        assert not before or Path(other).read_bytes() == before


def stop_late(monkeypatch: pytest.MonkeyPatch, *, saving: bool) -> None:
    """Have SIGTERM come twice: at the end of a fit and at once again, or while its network is saved and much later."""
    place = "save" if saving else "fit"
    original = getattr(fx.Model, place)

    def with_signal(self: fx.Model, *arguments: Any, **options: Any) -> Any:
        result = None if saving else original(self, *arguments, **options)
        signal.raise_signal(signal.SIGTERM)
        if saving:
            monkeypatch.setattr("ffnn_xp._lib.limits.time.monotonic", lambda: np.inf)
        signal.raise_signal(signal.SIGTERM)
        return original(self, *arguments, **options) if saving else result

    monkeypatch.setattr(fx.Model, place, with_signal)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_an_interrupted_fit_does_not_replace_a_good_one(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    files = ("-t", "U", "-e", "sigma", "-i", "t", "--save", "net.safetensors", "--plot", "fit.svg")
    fit("data.csv", *files)
    before = {name: Path(name).read_bytes() for name in ("net.safetensors", "fit.svg")}
    stop_late(monkeypatch, saving=False)
    result = fit("data.csv", *files, code=143)
    assert "network written to net.interrupted.safetensors" in result.stderr
    assert "plot written to fit.interrupted.svg" in result.stderr
    assert {name: Path(name).read_bytes() for name in before} == before
    assert fx.load("net.interrupted.safetensors").layers == (1, 2, 1)


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_a_signal_waits_while_a_network_is_saved(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    stop_late(monkeypatch, saving=True)
    result = fit("data.csv", "-t", "U", "-e", "sigma", "-i", "t", "--save", "net", code=143)
    assert result.stdout.startswith("FitResult: valid")
    assert fx.load("net").layers == (1, 2, 1)
    assert signal.getsignal(signal.SIGTERM) is handler


ENDS = {
    "closed pipe": ("stdout", "closed", 0, ""),
    "closed stderr": ("stderr", "closed", 0, ""),
    "full": ("stdout", "/dev/full", 2, "cannot write the result to standard output: No space left on device"),
    "full stderr": ("stderr", "/dev/full", 0, ""),
}


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize(("stream", "to", "code", "message"), ENDS.values(), ids=ENDS)
def test_the_network_is_saved_whoever_reads(data: Any, stream: str, to: str, code: int, message: str) -> None:
    """Results and messages go into a closed pipe or onto a full disk."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as closed, open("/dev/full", "wb") as full:
        process = start(
            *("fit", "data.csv", "-t", "U", "-e", "sigma", "-i", "t", *FAST, "--save", "net", "--plot", "fit.png"),
            **{stream: closed if to == "closed" else full},
        )
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert fx.load("net").layers == (1, 2, 1)
    assert Path("fit.png").exists()
    if stream == "stdout":
        assert message in err
        assert "Exception" not in err
    else:
        assert out.startswith("FitResult: valid")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_network_that_cannot_be_saved_is_printed_all_the_same(data: Any) -> None:
    Path("full.png").symlink_to("/dev/full")
    arguments = ["fit", "data.csv", "-t", "U", "-e", "sigma", "-i", "t", *FAST]
    for option, name in (("--save", "/dev/full"), ("--plot", "full.png")):
        result = CliRunner().invoke(app, [*arguments, option, name])
        assert result.exit_code == 2
        assert result.stdout.startswith("FitResult: valid")
        message = f"ffnn-xp: cannot write '{name}': No space left on device; what was there is unchanged"
        assert message in result.stderr


def test_a_network_without_memory_to_save_it_is_printed_all_the_same(
    data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: fx.Model, *_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(fx.Model, "save", fail)
    result = CliRunner().invoke(app, ["fit", "data.csv", "-t", "U", "-e", "0.1", "-i", "t", *FAST, "--save", "net"])
    assert result.exit_code == 2
    assert result.stdout.startswith("FitResult: valid")
    assert "ffnn-xp: not enough memory" in result.stderr.splitlines()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="pipes of Unix")
def test_a_closed_pipe_is_no_error() -> None:
    fx.Model((1, 2, 1), seed=1).save("net", input_names=["t"])
    pandas.DataFrame({"t": np.linspace(0, 1, 200_000)}).to_csv("data.csv", index=False)
    process = start("predict", "net", "data.csv")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "y\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 0


@pytest.mark.slow
def test_other_statistics_and_what_belongs_to_them() -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 80)
    frame = pandas.DataFrame({"x": x, "hours": rng.uniform(1, 3, 80), "use": rng.random(80) < 0.8})
    frame["n"] = rng.poisson(frame.hours * 20 * np.exp(x))
    frame["kind"] = rng.integers(0, 3, 80)
    frame["u"] = x + 0.1 * rng.normal(size=80)
    frame.loc[~frame.use, "n"] = np.nan
    frame.to_csv("t.csv", index=False)
    fit("t.csv", "-t", "n", "-i", "x", "--loss", "poisson", "--output", "exp", "--exposure", "hours", *MASKED)
    model = fx.Model((1, 2, 1), output="exp", seed=1, backend="numpy")
    part = frame[frame.use]
    expected = model.fit(part.x, part.n, loss="poisson", exposure=part.hours, prior=1.0)
    np.testing.assert_array_equal(fx.load("net").parameters, expected.parameters)
    fit("t.csv", "-t", "kind", "-i", "x", "--loss", "multinomial", "--output", "softmax", "--save", "net")
    assert read_header("net").target_names == ("kind_0", "kind_1", "kind_2")
    fit("t.csv", "-t", "u", "-i", "x", "--loss", "normal", "--save", "net")
    assert read_header("net").target_names == ("u", "u_log_width")
    text = fit("t.csv", "-t", "u", "-e", "0.1", "--x-err", "0.01", *MASKED).stderr
    assert "u as a function of x, hours, n, kind" in text  # the rows where n is missing are masked


MASKED = ("--mask", "use", "--save", "net")
