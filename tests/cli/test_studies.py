"""Saved networks: shown, drawn and studied, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.cli import study_commands
from ffnn_xp.cli.descriptions import to_json

from ..executors import AtOnce
from .program import FAST, CliRunner, app, fit, run

pytest.importorskip("safetensors")

OPTIONS = ("-t", "U", "-e", "sigma", "-i", "t,p", "--restarts", "1")


@pytest.fixture
def expected(data: Any) -> Any:
    """The fit in Python, of what is in the file net."""
    fit("data.csv", *OPTIONS, "--save", "net")
    model = fx.Model((2, 2, 1), seed=1, backend="numpy")
    return model.fit(data[["t", "p"]].to_numpy(), data.U, data.sigma, prior=1.0, restarts=1)


@pytest.mark.slow
def test_a_fit_in_json(expected: Any) -> None:
    done = fit("data.csv", *OPTIONS, "--save", "net", "--plot", "fit.svg", "--write-card", "run.toml", "--json")
    found = json.loads(done.stdout)
    assert found["ffnn_xp"] == fx.__version__
    assert found["network"]["widths"] == [2, 2, 1]
    assert (found["network"]["parameters"], found["network"]["inputs"]) == (9, ["t", "p"])
    of_fit = found["fit"]
    assert of_fit["valid"] is True
    assert of_fit["statistic"] == "least_squares"
    for name in ("chi2", "fval", "edm", "n_effective", "ndof", "p_value"):
        assert of_fit[name] == getattr(expected, name)
    assert found["card"]["seed"] == 1
    assert found["card"]["prior"] == "1.0"
    assert found["backend"] == {"name": "numpy", "device": "cpu"}
    assert found["files"] == {"network": "net", "plot": "fit.svg", "run card": "run.toml"}
    shown = json.loads(run("show", "net", "--json").stdout)
    assert shown["file"] == "net"
    for part in ("network", "fit", "uncertainty"):
        assert shown[part] == found[part]
    assert json.loads(run("show", "net", "--card", "--json").stdout)["target"] == "U"


def test_a_network_in_text(expected: Any) -> None:
    text = run("show", "net").stdout
    assert text.startswith("net: valid minimum of 2-2-1, tanh, identity\n")
    for line in (
        "parameters   9, float64",
        "inputs       t, p",
        "targets      U",
        "statistic    least_squares",
        f"S / ndof     {expected.chi2:.6g} / (60 - {expected.n_effective:.5g})",
        "prior        Gaussian of width 1.0",
        "uncertainty  error band; predictive density of 1 network",
        "L2 -> L3   1 x 3           3",
        expected.message,
    ):
        assert line in text


def test_networks_without_a_fit() -> None:
    fx.Model((2, 3, 1), seed=1).save("net", input_names=["a", "b"])
    text = run("show", "net").stdout
    assert text.startswith("net: network 2-3-1, tanh, identity\n")
    assert "uncertainty  no error band: the model has not been fitted yet" in text or "no error band: " in text
    found = json.loads(run("show", "net", "--json").stdout)
    assert (found["fit"], found["card"]) == (None, None)
    for command in (["show", "net", "--card"], ["plot", "net", "-o", "a.png"], ["coverage", "net"]):
        assert "'net' has no run card" in run(*command, code=2).stderr


def test_a_fit_that_is_not_valid(data: Any) -> None:
    hurry = ("--max-seconds", "1e-9")
    found = json.loads(fit("data.csv", *OPTIONS, "--save", "net", "--json", *hurry, code=1).stdout)
    assert found["fit"]["valid"] is False
    assert run("show", "net").stdout.startswith("net: NOT VALID, of 2-2-1")


@pytest.mark.slow
def test_the_plot_of_a_saved_fit_is_that_of_the_fit(data: Any) -> None:
    pytest.importorskip("matplotlib")
    data["kind"] = np.where(data.t > 0, "hot", "cold")
    data.to_csv("data.csv", index=False)
    fit("data.csv", *OPTIONS, "--categorical", "kind", "--save", "net", "--plot", "fit.png")
    done = run("plot", "net", "--out", "again.png")
    assert done.stderr == "ffnn-xp: plot written to again.png\n"
    assert Path("again.png").read_bytes() == Path("fit.png").read_bytes()
    for kind in ("pulls", "correlations", "network"):
        run("plot", "net", "--out", f"{kind}.svg", "--kind", kind)
    assert "<!-- kind=cold -->" in Path("network.svg").read_text()
    assert "did you mean 'pulls'" in run("plot", "net", "--out", "a.svg", "--kind", "pull", code=2).stderr
    error = run("plot", "net", "data.csv", "--out", "a.svg", "--kind", "network", code=2).stderr
    assert "--kind network is drawn without data" in error


@pytest.mark.slow
def test_other_data_are_told_of(data: Any, expected: Any) -> None:
    pytest.importorskip("matplotlib")
    Path("data.csv").rename("moved.csv")
    assert "there is no file 'data.csv'" in run("plot", "net", "-o", "a.svg", code=2).stderr
    assert "warning" not in run("plot", "net", "moved.csv", "-o", "a.svg").stderr
    data[:40].to_csv("part.csv")
    assert f"with this table, and {expected.chi2:.6g} in the network's file" in (
        run("plot", "net", "part.csv", "-o", "a.svg").stderr
    )


def test_a_plot_does_not_replace_the_table_of_the_card(expected: Any) -> None:
    pytest.importorskip("matplotlib")
    Path("link.png").symlink_to("data.csv")
    before = Path("data.csv").read_bytes()
    error = run("plot", "net", "--out", "link.png", code=2).stderr
    assert "--out link.png: this is the file of the table, data.csv, and would replace it" in error
    assert Path("data.csv").read_bytes() == before


def test_data_that_came_by_a_pipe_are_given_again(data: Any) -> None:
    table = Path("data.csv").read_text()
    done = CliRunner().invoke(app, ["fit", "-", *OPTIONS, *FAST, "--save", "net"], input=table)
    assert done.exit_code == 0
    assert "'net' was fitted to standard input, which is gone" in run("coverage", "net", code=2).stderr
    assert "Coverage of the band: 10 toys" in run("coverage", "net", "data.csv", "--number", "10").stdout


@pytest.mark.slow
def test_coverage_is_that_of_the_fit(expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = expected.coverage(number=30, seed=2)
    options = ("--number", "30", "--seed", "2", "--backend", "numpy")
    assert run("coverage", "net", *options).stdout == f"{found}\n"
    as_json = json.loads(run("coverage", "net", *options, "--cl", "0.954", "--json").stdout)
    assert as_json["levels"][0]["nominal"] == 0.954
    assert as_json["levels"][0]["averaged"] == pytest.approx(found.averaged[1], abs=1e-12)
    assert (as_json["toys"], as_json["failed"], as_json["file"]) == (found.n_toys, 0, "net")
    executor, processes = AtOnce(), list[int]()

    def pool(number: int, _: object) -> AtOnce:
        processes.append(number)
        return executor

    monkeypatch.setattr(study_commands, "ProcessPoolExecutor", pool)
    assert run("coverage", "net", *options, "--processes", "3").stdout == f"{found}\n"
    assert processes == [3]
    assert executor.calls
    assert "`cl` must lie between 0 and 1" in run("coverage", "net", "--cl", "68", code=2).stderr


@pytest.mark.slow
def test_the_fit_again_after_the_choice_of_a_prior(data: Any) -> None:
    options = ("-t", "U", "-i", "t", "--layers", "2", "--backend", "numpy", "--save", "net", "--plot", "fit.png", "-q")
    run("fit", "data.csv", *options)
    run("plot", "net", "-o", "again.png")
    assert Path("again.png").read_bytes() == Path("fit.png").read_bytes()
    assert "held-out values" in run("show", "net").stdout


def test_backends_in_json(two_backends: None) -> None:
    found = json.loads(run("backends", "--json").stdout)
    absent = {"usable": False, "reason": "the package is not installed; pip install it"}
    assert found["backends"] == [
        {"name": "numpy", "version": np.__version__, "devices": ["cpu"], "usable": True, "reason": ""},
        {"name": "absent", "version": "", "devices": [], **absent},
    ]


def test_numbers_that_json_does_not_have() -> None:
    content = {"a": np.array([np.inf, -np.inf, np.nan]), "b": np.float64(0.1), "c": {"d": (True, None, Path("x"))}}
    assert json.loads(to_json(content)) == {"a": ["inf", "-inf", None], "b": 0.1, "c": {"d": [True, None, "x"]}}
