"""Outputs replace no input and no other output, however they are spelled, and are checked before the work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import ffnn_xp as fx
from ffnn_xp.cli.options import parse_prior

from .program import fit, run

pytest.importorskip("safetensors")


@pytest.fixture
def links(data: Any) -> None:
    """The table by other paths, with the endings of networks, pictures and tables."""
    for name in ("symbolic.net", "symbolic.png", "symbolic.csv"):
        Path(name).symlink_to("data.csv")
    for name in ("hard.net", "hard.png", "hard.csv"):
        os.link("data.csv", name)
    Path("folder").symlink_to(".")


FIT = ("-t", "U", "-e", "sigma", "-i", "t")
NO_FIT = ("-t", "U", "-e", "0", "-i", "t")  # a fit that began would say that errors must be positive


@pytest.mark.skipif(os.name == "nt", reason="links of Unix")
@pytest.mark.parametrize("option", ["--save", "--plot"])
@pytest.mark.parametrize("name", ["symbolic", "hard", "folder/symbolic", "./hard"])
def test_a_fit_does_not_replace_its_table(
    data: Any, links: None, monkeypatch: pytest.MonkeyPatch, option: str, name: str
) -> None:
    path = name + (".net" if option == "--save" else ".png")
    before = Path("data.csv").read_bytes()
    error = run("fit", "data.csv", *NO_FIT, option, path, code=2).stderr
    assert f"{option} {Path(path)}: this is the file of the table, data.csv, and would replace it" in error
    assert Path("data.csv").read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="links of Unix")
@pytest.mark.parametrize("out", ["data.csv", "./data.csv", "folder/data.csv", "symbolic.csv", "hard.csv", "net.csv"])
def test_predictions_replace_neither_table_nor_network(data: Any, links: None, out: str) -> None:
    fx.Model((1, 2, 1), seed=1).save("net", input_names=["t"])
    os.link("net", "net.csv")
    before = Path("data.csv").read_bytes(), Path("net").read_bytes()
    error = run("predict", "net", "data.csv", "--out", out, code=2).stderr
    assert "this is the file of the " + ("network, net," if out == "net.csv" else "table, data.csv,") in error
    assert (Path("data.csv").read_bytes(), Path("net").read_bytes()) == before


def test_two_outputs_are_two_files(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("fit.svg").symlink_to("net")
    error = run("fit", "data.csv", *NO_FIT, "--save", "net", "--plot", "fit.svg", code=2).stderr
    assert "--plot fit.svg: this is the file of --save, net, and would replace it" in error


@pytest.mark.parametrize("name", ["fit.csv", "fit.TSV", "fit.parquet", "fit.png", "fit.csv.gz"])
def test_a_network_is_not_called_like_a_table_or_a_picture(
    data: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    error = run("fit", "data.csv", *NO_FIT, "--save", name, code=2).stderr
    assert "this ending is not that of a network; call it fit" in error


@pytest.mark.skipif(os.name == "nt", reason="pipes of Unix")
def test_outputs_are_checked_before_the_fit(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    for name, message in (
        ("pipe", "it is a pipe, a socket or a disk"),
        ("folder", "it is a folder; give the name of a file in it"),
        ("data.csv/net", "data.csv' is not a folder"),
        ("nowhere/net", "nowhere' does not exist"),
        ("loop", "Too many levels of symbolic links"),
        ("a" * 300, "File name too long"),
    ):
        assert message in run("fit", "data.csv", *NO_FIT, "--save", name, code=2).stderr


def test_pictures_that_cannot_be_drawn_are_refused_before_the_fit(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("PATH", "")
    error = run("fit", "data.csv", *NO_FIT, "--plot", "fit.pgf", code=2).stderr
    assert "--plot fit.pgf: matplotlib cannot draw this here: 'xelatex' not found; install it" in error


@pytest.mark.slow
def test_an_error_of_zero_is_what_the_fit_itself_refuses(data: Any) -> None:
    """If it were not, the tests above would pass with a fit before what they are about."""
    assert "must be positive" in run("fit", "data.csv", *NO_FIT, "--save", "net", code=2).stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes of Unix")
def test_pipes_and_devices_are_no_tables(data: Any) -> None:
    os.mkfifo("pipe.csv")
    Path("zero.csv").symlink_to("/dev/zero")
    for name in ("pipe.csv", "zero.csv"):
        message = f"'{name}' is a pipe or a device, not a table"
        assert message in run("fit", name, *NO_FIT, code=2).stderr
        assert "not a network's file" in run("predict", name, "data.csv", code=2).stderr


def test_an_existing_network_is_replaced(data: Any) -> None:
    fx.Model((1, 2, 1), seed=1).save("net")
    before = Path("net").read_bytes()
    fit("data.csv", *FIT, "--save", "net")
    assert Path("net").read_bytes() != before


@pytest.mark.parametrize(("text", "prior"), [("auto", "auto"), ("none", None), ("2.5", 2.5)])
def test_a_prior_is_automatic_none_or_a_width(text: str, prior: object) -> None:
    assert parse_prior(text) == prior
