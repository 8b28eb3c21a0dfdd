"""Formats of the command `export`, by the endings of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp.export import to_cpp, to_latex, to_onnx, to_python
from ffnn_xp.model import Model


@dataclass(frozen=True)
class Format:
    """A format of exported networks: the function that writes it, and the options that it has."""

    name: str
    write: Callable[..., Any]
    options: tuple[str, ...] = ()
    content: Callable[[Any], str | bytes] = str  # of what the function returns


CPP = Format("a C++ header", to_cpp, ("std",))

FORMATS = {
    ".onnx": Format(
        "ONNX", to_onnx, ("std", "modes", "points", "dtype"), lambda graph: bytes(graph.SerializeToString())
    ),
    ".hpp": CPP,
    ".hh": CPP,
    ".h": CPP,
    ".py": Format("Python source", to_python, ("std",)),
    ".tex": Format("LaTeX", to_latex),
}
"""The formats by the endings of files."""


def format_of(path: Path, name: str | None = None) -> Format:
    """Return the format of a file by its name, if there is one, or else by the file's ending.

    Examples
    --------
    >>> format_of(Path("net.hpp")).name, format_of(Path("-"), "tex").name
    ('a C++ header', 'LaTeX')

    Raises
    ------
    ValueError
        If it is not known.
    """
    kind = FORMATS.get(path.suffix.lower() if name is None else f".{name.lower().lstrip('.')}")
    if kind is not None:
        return kind
    if name is not None:
        raise ValueError(f"unknown --format {name!r}: {did_you_mean(name, [ending[1:] for ending in FORMATS])}")
    raise ValueError(
        f"{str(path)!r}: the ending of its name must tell the format: {', '.join(FORMATS)}; or give --format"
    )


def check_options(kind: Format, options: dict[str, Any]) -> None:
    """Check that the options that are given have a place in a format.

    Raises
    ------
    ValueError
        If one has none, or comes without another that it needs.
    """
    for name, value in options.items():
        if value is not None and value is not False and name not in kind.options:
            others = ", ".join(ending for ending, other in FORMATS.items() if name in other.options)
            raise ValueError(f"--{name} has no place in {kind.name}: it is for {others}")
    if (options["modes"] is None) is not (options["points"] is None):
        raise ValueError("--modes are the leading ones at some points: give --modes N and --points TABLE together")


def export_network(model: Model, kind: Format, path: Path | None, options: dict[str, Any]) -> str | bytes:
    """Write a model in a format, with the options of its function that are given; return what the file holds."""
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    return kind.content(kind.write(model, path, **given))
