"""Run cards: the options of a fit in a TOML file, or in the network that it saved, with which it can be repeated.

The keys are the names of the options, and ``table`` is the file of the data. Where results go is in no card that is
written, but may be in one that is read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from ffnn_xp._lib.atomic import check_readable
from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.version import __version__
from ffnn_xp.cli.messages import guarded
from ffnn_xp.io import read_header

KEY = "ffnn-xp.card"
"""The card's place in the metadata of a network's file."""

OF_RESULTS = ("card", "write_card", "save", "plot", "json", "quiet", "checkpoint")
"""Options that say where results go, which are in no card that is written."""


def card_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card of a call: the values of its options, those that are not given included, by their names.

    Examples
    --------
    >>> card_of({"table": Path("a.csv"), "x_err": ["0.1"], "prior": "auto", "mask": None, "quiet": True})
    {'table': 'a.csv', 'x-err': ['0.1'], 'prior': 'auto'}
    """
    given = {
        name: value for name, value in parameters.items() if name not in OF_RESULTS and value not in (None, [], ())
    }
    return {name.replace("_", "-"): _plain(value) for name, value in given.items()}


def card_text(card: Mapping[str, Any]) -> str:
    """Return the text of a card's file."""
    head = f"# A fit by ffnn-xp {__version__}; this repeats it: ffnn-xp fit --card FILE\n"
    short = {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in card.items()}
    return head + str(require("tomli_w", "cli", "run cards").dumps(short))


def parse_card(text: str, name: str) -> dict[str, Any]:
    """Return the content of a card; the name of its file is for messages.

    Raises
    ------
    ValueError
        If it is no TOML.
    """
    toml = require("tomllib" if sys.version_info >= (3, 11) else "tomli", "cli", "run cards")
    try:
        return dict(toml.loads(text))
    except toml.TOMLDecodeError as error:
        raise ValueError(f"the run card {name!r} is not TOML: {error}") from error


def read_card(path: Path) -> dict[str, Any]:
    """Read the card in a TOML file, or in the file of a network.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it holds no card.
    """
    if path.suffix.lower() != ".toml":
        return card_of_network(read_header(path).metadata, str(path))
    check_readable(path, "a run card")
    try:
        return parse_card(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"the run card {str(path)!r} is not TOML: {error}") from error


def card_of_network(metadata: Mapping[Any, Any], name: str) -> dict[str, Any]:
    """Return the card in a network's metadata.

    Raises
    ------
    ValueError
        If it has none.
    """
    if KEY not in metadata:
        raise ValueError(
            f"{name!r} has no run card, which says what was fitted: it was not written by ffnn-xp fit --save"
        )
    return parse_card(metadata[KEY], name)


@guarded
def use_card(context: typer.Context, path: Path | None) -> Path | None:
    """Take the values of options from a card; those on the command line have precedence."""
    if path is not None and not context.resilient_parsing:
        context.default_map = defaults_of(context.command.params, read_card(path), str(path))
    return path


def defaults_of(parameters: Any, card: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the values of a card for a command with these parameters, by the names of its arguments.

    Raises
    ------
    ValueError
        If a key is no option, or its value cannot be one.
    """
    known = {p.name.replace("_", "-"): p for p in parameters if p.name not in ("card", "help", "y_cov")}
    values: dict[str, Any] = {}
    for key, value in card.items():
        option = known.get(key.replace("_", "-"))
        if option is None:
            raise ValueError(f"the run card {name!r} has an unknown key {key!r}: {did_you_mean(key, known)}")
        if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, dict | list) for v in value)):
            raise ValueError(f"the run card {name!r}: {key} must be text, a number or a list of them, got {value!r}")
        several = getattr(option, "multiple", False)
        if isinstance(value, list) and not several:
            value = ",".join(map(str, value))
        values[option.name] = [value] if several and not isinstance(value, list) else value
    return values


def _plain(value: Any) -> Any:
    """Return a value in types of TOML."""
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, bool | int | float) else str(value)
