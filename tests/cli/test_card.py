"""Run cards repeat a fit; what is given beside a card has precedence, and what it cannot hold is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.cli.card import card_text, parse_card, read_card
from ffnn_xp.io import read_header

from .program import CliRunner, app, fit, run

pytest.importorskip("safetensors")

OPTIONS = ("-t", "U", "-t", "V", "-e", "sigma", "-e", "0.2", "-i", "t,p", "--seed", "4", "--restarts", "2")


def parameters(name: str) -> Any:
    return fx.load(name, backend="numpy").parameters


@pytest.mark.slow
def test_a_card_repeats_the_fit(data: Any) -> None:
    first = fit("data.csv", *OPTIONS, "--save", "net", "--write-card", "run.toml")
    assert "run card written to run.toml" in first.stderr
    for card in ("run.toml", "net"):
        run("fit", "--card", card, "--save", "again")
        np.testing.assert_array_equal(parameters("again"), parameters("net"))
        assert read_header("again").metadata == read_header("net").metadata
    assert run("show", "net", "--card").stdout == Path("run.toml").read_text()
    data["U"] += 1
    data.to_csv("other.csv")
    run("fit", "other.csv", "--card", "net", "--save", "other")
    fit("other.csv", *OPTIONS, "--save", "expected")
    np.testing.assert_array_equal(parameters("other"), parameters("expected"))


def test_options_have_precedence(data: Any) -> None:
    fit("data.csv", *OPTIONS, "--write-card", "run.toml")
    run("fit", "--card", "run.toml", "--layers", "3", "-t", "V", "-e", "0.1", "--write-card", "new.toml")
    old, new = (read_card(Path(name)) for name in ("run.toml", "new.toml"))
    assert {key: new[key] for key in old if new[key] != old[key]} == {"layers": "3", "target": "V", "error": "0.1"}
    assert not {"save", "card", "write-card", "quiet", "json"} & new.keys()


def test_a_card_by_hand(data: Any) -> None:
    """Numbers and lists are those of TOML, and results may be in it."""
    Path("run.toml").write_text(
        'table = "data.csv"\ntarget = "U"\nerror = 0.1\ninputs = ["t", "p"]\nlayers = [3, 2]\nprior = 1\nseed = 4\n'
        'activation = ["tanh", "relu"]\nbackend = "numpy"\nmax_seconds = 60.0\nsave = "net"\n'
        "restarts = 2\nquiet = true\n"
    )
    assert run("fit", "--card", "run.toml").stderr == ""
    header = read_header("net")
    assert (header.widths, header.activations) == ((2, 3, 2, 1), ("tanh", "relu"))
    model = fx.Model((2, 3, 2, 1), activation=["tanh", "relu"], seed=4, backend="numpy")
    model.fit(data[["t", "p"]].to_numpy(), data.U, 0.1, prior=1.0, restarts=2)
    np.testing.assert_array_equal(parameters("net"), model.parameters)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'targt = "U"',
            "the run card 'run.toml' has an unknown key 'targt': did you mean 'target'? Known are 'table', ",
        ),
        ("card = 'a.toml'", "unknown key 'card'"),
        ("y-cov = 'a'", "unknown key 'y-cov'"),
        ("target = ", "the run card 'run.toml' is not TOML: "),
        ("[seed]\nn = 1", "the run card 'run.toml': seed must be text, a number or a list of them, got {'n': 1}"),
        ("target = [['U']]", "target must be text, a number or a list of them"),
        ("prior = 'strong'\ntarget = 'U'\ntable = 'data.csv'", "--prior must be auto, none or a positive width"),
    ],
)
def test_cards_that_cannot_be(data: Any, text: str, message: str) -> None:
    Path("run.toml").write_text(text)
    assert message in run("fit", "--card", "run.toml", code=2).stderr


def test_files_that_are_no_cards(data: Any) -> None:
    fx.Model((1, 2, 1), seed=1).save("net")
    Path("bytes.toml").write_bytes(b"\xff\xfe")
    for name, message in (
        ("net", "'net' has no run card, which says what was fitted: it was not written by ffnn-xp fit --save"),
        ("none.toml", "there is no file 'none.toml'"),
        ("data.csv", "'data.csv' is not a safetensors file"),
        ("bytes.toml", "the run card 'bytes.toml' is not TOML"),
    ):
        assert message in run("fit", "--card", name, code=2).stderr


def test_wrong_types_are_usage_errors(data: Any) -> None:
    Path("run.toml").write_text('table = "data.csv"\ntarget = "U"\nseed = "four"\n')
    result = CliRunner().invoke(app, ["fit", "--card", "run.toml"])
    assert result.exit_code == 2
    assert "Invalid value for '--seed'" in result.stderr
    result = CliRunner().invoke(app, ["fit", "--write-card", "run.toml"])
    assert result.exit_code == 2
    assert "Missing argument" in result.stderr


def test_a_card_does_not_replace_what_it_is_read_from(data: Any) -> None:
    fit("data.csv", *OPTIONS, "--save", "net")
    for option in ("--save", "--write-card"):
        error = run("fit", "--card", "net", option, "net", code=2).stderr
        assert f"{option} net: this is the file of the run card, net, and would replace it" in error
    error = fit("data.csv", *OPTIONS, "--save", "run.toml", code=2).stderr
    assert "this ending is not that of a network; call it run.safetensors" in error


def test_any_text_comes_back() -> None:
    card = {"target": 'a "b"\\\n\x7f Δ', "table": "-", "seed": 3, "error": ["0.1", "s"], "max-seconds": 1.5}
    assert parse_card(card_text(card), "it") == card


def test_without_the_libraries(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomli_w", None)
    text = fit("data.csv", "-t", "U", "-i", "t", "--write-card", "run.toml", code=1).stderr
    assert text == "ffnn-xp: tomli_w is not installed: pip install 'ffnn_xp[cli]'\n"
    fit("data.csv", "-t", "U", "-i", "t", "-e", "0.1")  # nothing else needs it
