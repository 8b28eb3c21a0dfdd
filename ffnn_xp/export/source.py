"""Parts that source in Python and C++ have in common: functions of activations, numbers, and names in templates."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from ffnn_xp._lib.atomic import write_file
from ffnn_xp._lib.expressions import Expression
from ffnn_xp._lib.typing import HostArray, PathLike
from ffnn_xp.network import Activation, slope_of, softmax, value_of


@dataclass(frozen=True)
class Function:
    """An activation as source: its name there, and the expressions of its value and its slope."""

    name: str
    value: Expression
    slope: Expression


def functions_of(activations: Sequence[Activation]) -> dict[Activation, Function]:
    """Return the functions of some activations, but of softmax, which is no function of one number.

    Raises
    ------
    ValueError
        If one of the user's own cannot be written as source; the message says why.
    """
    found: dict[Activation, Function] = {}
    for f in activations:
        if f is not softmax and f not in found:
            name = "f_" + re.sub(r"\W", "_", f.name, flags=re.ASCII)
            taken = {function.name for function in found.values()}
            found[f] = Function(f"{name}_{len(found)}" if name in taken else name, value_of(f), slope_of(f))
    return found


def filled(template: str, values: Mapping[str, str], kept: Mapping[str, bool]) -> str:
    """Fill in one of the templates: ``@NAME@`` by values, and the lines from ``@if NAME`` to ``@end`` if they are kept.

    A line that is one name alone is left out if its value is empty.
    """
    lines, keep = [], [True]
    for line in (resources.files(__package__) / "templates" / template).read_text(encoding="utf-8").splitlines():
        if line.startswith("@if "):
            keep.append(keep[-1] and kept[line.removeprefix("@if ")])
        elif line == "@end":
            keep.pop()
        elif keep[-1] and values.get(line.strip("@")) != "":
            lines.append(re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], line))
    return "\n".join(lines) + "\n"


def numbers(values: HostArray, brackets: str) -> str:
    """Write an array of any dimension with all digits, in these brackets, rows on lines of their own.

    Examples
    --------
    >>> numbers(np.array([1.0, 0.1]), "{}")
    '{1.0, 0.1}'
    """
    if values.ndim < 2:
        text = f"{brackets[0]}{', '.join(repr(float(v)) for v in values)}{brackets[1]}"
        return textwrap.fill(text, 118, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False)
    rows = ",\n".join(textwrap.indent(numbers(row, brackets), "    ") for row in np.asarray(values))
    return f"{brackets[0]}\n{rows}\n{brackets[1]}"


def write_text(path: PathLike | None, text: str) -> str:
    """Write text to a file, if there is one, whole or not at all; return the text."""
    if path is not None:
        write_file(path, text.encode("utf-8", "backslashreplace"))
    return text
