"""Text of visible characters, and tables in text and HTML, of pairs of key and value or of rows of cells."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from ffnn_xp._lib.floating_point import quiet

Pair = tuple[str, str]

SHOWN = 4  # names that a message has room for
KEY_WIDTH = 12  # so that the values of all results begin in the same column
_WORDS, _NUMBER = (f'style="text-align:{side};padding:0.1em 0.7em"' for side in ("left", "right"))  # styles of cells


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


def with_error(value: float, error: float) -> str:
    """Write a value with its error, both to two digits of the error.

    Examples
    --------
    >>> with_error(0.82301, 0.0153), with_error(1.0, 0.0), with_error(2.0, math.nan)
    ('0.823 ± 0.015', '1.0000 ± 0.0000', '2.0000 ± nan')
    """
    digits = 1 - math.floor(math.log10(error)) if 0 < error < math.inf else 4
    digits = min(max(digits, 0), 8)
    return f"{round(value, digits) + 0.0:.{digits}f} ± {error:.{digits}f}"


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
    rows = "".join(f"<tr><th {_WORDS}>{escape(key)}</th><td {_WORDS}>{escape(value)}</td></tr>" for key, value in pairs)
    return f"<table>{rows}</table>"


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
    """Write rows of cells as an HTML table, aligned to the right; the first row is its header.

    Examples
    --------
    >>> table_html([("a",), ("1",)])
    '<table><tr><th style="text-align:right;...">a</th></tr><tr><td style="text-align:right;...">1</td></tr></table>'
    """
    lines = []
    for i, row in enumerate(rows):
        tag = "td" if i else "th"
        lines.append("".join(f"<{tag} {_NUMBER}>{escape(cell)}</{tag}>" for cell in row))
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


@dataclass(frozen=True)
class Page:
    """A result in words, of which text and HTML are made.

    Parameters
    ----------
    kind, title : str
        What it is, and its first line.
    pairs : sequence of (str, str)
        Keys and values.
    rows : sequence of sequences of str
        A table; its first row is the header.
    notes : sequence of str
        Lines at the end; empty ones are left out.

    Examples
    --------
    >>> print(Page("Band", "2 predictions", [("half-width", "0.1")]).text())
    Band: 2 predictions
      half-width   0.1
    """

    kind: str
    title: str
    pairs: Sequence[Pair] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Return the lines of the text."""
        table = table_lines(self.rows) if self.rows else []
        notes = [f"  {note}" for note in self.notes if note]
        return "\n".join([f"{self.kind}: {self.title}", *pair_lines(self.pairs), *table, *notes])

    def html(self) -> str:
        """Return the HTML, for notebooks."""
        parts = [f"<p><b>{escape(self.kind)}</b>: {escape(self.title)}</p>"]
        parts += [pair_html(self.pairs)] if self.pairs else []
        parts += [table_html(self.rows)] if self.rows else []
        return "".join([*parts, *(f"<p>{escape(note)}</p>" for note in self.notes if note)])


def stopped(reason: str) -> str:
    """Return why a result is not complete, as a note; empty if it is complete.

    Examples
    --------
    >>> stopped("interrupted by the user"), stopped("")
    ('stopped: interrupted by the user', '')
    """
    return f"stopped: {reason}" if reason else ""


@quiet
class Shown:
    """An object that shows itself as text, and in a notebook as HTML, both made of one `Page`."""

    def _page(self) -> Page:
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._page().text()

    def _repr_html_(self) -> str:
        return self._page().html()
