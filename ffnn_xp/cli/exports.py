"""Formats of the command `export`, by the endings of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffnn_xp.export import to_cpp, to_latex, to_onnx, to_python
from ffnn_xp.model import Model


@dataclass(frozen=True)
class Format:
    """A format of exported networks: the function that writes it, and the options that it has."""

    name: str
    write: Callable[..., Any]
    options: tuple[str, ...] = ()


CPP = Format("a C++ header", to_cpp, ("std",))

FORMATS = {
    ".onnx": Format("ONNX", to_onnx, ("std", "modes", "points", "dtype")),
    ".hpp": CPP,
    ".hh": CPP,
    ".h": CPP,
    ".py": Format("Python source", to_python, ("std",)),
    ".tex": Format("LaTeX", to_latex),
}
"""The formats by the endings of files."""


def format_of(path: Path) -> Format:
    """Return the format of a file by its ending.

    Examples
    --------
    >>> format_of(Path("net.hpp")).name
    'a C++ header'

    Raises
    ------
    ValueError
        If the ending is not known.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{str(path)!r}: the ending of its name must tell the format: {', '.join(FORMATS)}")
    return kind


def check_options(path: Path, options: dict[str, Any]) -> None:
    """Check that the options that are given have a place in the format of a file.

    Raises
    ------
    ValueError
        If one has none, or comes without another that it needs.
    """
    kind = format_of(path)
    for name, value in options.items():
        if value is not None and value is not False and name not in kind.options:
            others = ", ".join(ending for ending, other in FORMATS.items() if name in other.options)
            raise ValueError(f"--{name} has no place in {kind.name}: it is for {others}")
    if (options["modes"] is None) is not (options["points"] is None):
        raise ValueError("--modes are the leading ones at some points: give --modes N and --points TABLE together")


def export_network(model: Model, path: Path, options: dict[str, Any]) -> None:
    """Write a model in the format of a file's ending, with the options of its function that are given."""
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    format_of(path).write(model, path, **given)
