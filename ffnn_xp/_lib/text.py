"""Text of visible characters, and tables in text and HTML, of pairs of key and value or of rows of cells."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from html import escape

Pair = tuple[str, str]

SHOWN = 4  # names that a message has room for
KEY_WIDTH = 12  # so that the values of all results begin in the same column
_CELL = 'style="text-align:left"'


def visible(text: str) -> str:
    r"""Write characters that cannot be seen, such as those that steer a terminal, as their escapes.

    Examples
    --------
    >>> print(visible("U [V] \x1b[31m"))
    U [V] \x1b[31m
    """
    if text.isprintable():
        return text
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, marks of direction, lone surrogates, ends of lines
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in hidden else c for c in text)


def first_names(names: Sequence[str]) -> str:
    """List the first names, as many as a message has room for.

    Examples
    --------
    >>> first_names("abcdef")
    'a, b, c, d, ...'
    """
    return ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])


def pair_lines(pairs: Iterable[Pair], width: int = KEY_WIDTH) -> list[str]:
    """Write each key and its value on a line, the values in one column.

    Examples
    --------
    >>> pair_lines([("EDM", "1e-5"), ("covariance", "exact Hessian")])
    ['  EDM          1e-5', '  covariance   exact Hessian']
    """
    return [f"  {key:<{width}} {value}" for key, value in pairs]


def counted(number: float, noun: str) -> str:
    """Write a number of things.

    Examples
    --------
    >>> counted(1, "value"), counted(3, "value")
    ('1 value', '3 values')
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def titled_text(title: str, pairs: Sequence[Pair]) -> str:
    """Write a title, and below it pairs of key and value, all values in one column.

    Examples
    --------
    >>> print(titled_text("Ensemble: 3 toys", [("cost", "1.5")]))
    Ensemble: 3 toys
      cost         1.5
    """
    width = max([KEY_WIDTH, *(len(key) for key, _ in pairs)])
    return "\n".join([title, *pair_lines(pairs, width)])


def titled_html(title: str, pairs: Iterable[Pair]) -> str:
    """Write a title, and below it pairs of key and value, as HTML."""
    return f"<p><b>{escape(title)}</b></p>{pair_html(pairs)}"


def pair_html(pairs: Iterable[Pair]) -> str:
    """Write pairs of key and value as an HTML table.

    Examples
    --------
    >>> pair_html([("EDM", "< 1")]).count("&lt;")
    1
    """
    rows = "".join(f"<tr><th {_CELL}>{escape(key)}</th><td {_CELL}>{escape(value)}</td></tr>" for key, value in pairs)
    return f"<table>{rows}</table>"


def stopped_lines(reason: str) -> list[str]:
    """Write why a result is not complete on a line; no line if it is complete.

    Examples
    --------
    >>> stopped_lines("interrupted by the user"), stopped_lines("")
    (['  stopped: interrupted by the user'], [])
    """
    return [f"  stopped: {reason}"] if reason else []


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write rows of cells as lines, each column as wide as its widest cell and aligned to the right.

    Examples
    --------
    >>> table_lines([("layer", "size"), ("L1", "16")])
    ['  layer  size', '     L1    16']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]


def table_html(rows: Sequence[Sequence[str]]) -> str:
    """Write rows of cells as an HTML table; the first row is its header.

    Examples
    --------
    >>> table_html([("a",), ("1",)])
    '<table><tr><th>a</th></tr><tr><td>1</td></tr></table>'
    """
    tags = ["th", *("td" for _ in rows[1:])]
    lines = ["".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) for tag, row in zip(tags, rows, strict=True)]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
