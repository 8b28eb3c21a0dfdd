"""Columns of a table by their roles: inputs, errors, weights, and the rows to use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.cli.tables import Frame, numbers, numeric_columns, positive_numbers, require_columns


def rows_in_use(frame: Frame, mask: str | None) -> Frame:
    """Return the rows of a table where the column `mask` is 1 or true."""
    if mask is None:
        return frame
    require_columns(frame, [mask], "--mask")
    use = numbers(frame, [mask])[:, 0]
    if not np.all((use == 0) | (use == 1)) or not np.any(use):
        raise ValueError(f"--mask {mask}: the column must hold 1 or true for rows to use, 0 or false for the others")
    return frame[use == 1]


def choose_columns(
    frame: Frame,
    targets: Sequence[str],
    taken: Mapping[str, str],
    named: Sequence[str],
    categorical: Sequence[str] = (),
) -> tuple[list[str], dict[str, str]]:
    """Return the columns of the inputs, and those left out because they are not numeric, with the reason.

    `taken` are columns that have other roles, by name. Columns of categories are inputs whether they are named or not.

    Raises
    ------
    ValueError
        If a column is missing, used twice, or none is left.
    """
    require_columns(frame, targets, "--target")
    if len(set(targets)) < len(targets):
        raise ValueError(f"--target names a column twice: {', '.join(targets)}")
    require_columns(frame, categorical, "--categorical")
    if not named:
        numeric, left_out = numeric_columns(frame, exclude=[*taken, *categorical])
        chosen = [name for name in frame.columns if name in (*numeric, *categorical)]
        if not chosen:
            raise ValueError(f"the table has no numeric column besides {', '.join(sorted(taken))} to fit with")
    else:
        listed, left_out = parts(named), {}
        require_columns(frame, listed, "--inputs")
        if not listed or len(set(listed)) < len(listed):
            raise ValueError(f"--inputs must name each column once, such as a,b,c; got {','.join(named)!r}")
        chosen = [*listed, *(name for name in categorical if name not in listed)]
    for name in chosen:
        if name in taken:
            raise ValueError(f"column {name!r} cannot be an input, it is a {taken[name]}")
    return chosen, left_out


def error_values(frame: Frame, errors: Sequence[str], k: int) -> HostArray | None:
    """Return standard deviations of the k targets, ``(n, k)``, from columns and numbers; None if none are given.

    Raises
    ------
    ValueError
        If a text is neither column nor number, or an error is not positive.
    """
    if not errors:
        return None
    if len(errors) not in (1, k):
        raise ValueError(f"--error must be given once, or once for each of the {k} targets; got {len(errors)}")
    return np.broadcast_to(np.column_stack([_error(frame, e) for e in errors]), (len(frame), k))


def _error(frame: Frame, text: str) -> HostArray:
    if text in frame.columns:
        return positive_numbers(frame, [text])[:, 0]
    values = column_or_number(frame, text, "--error")
    if not (math.isfinite(values[0]) and values[0] > 0):
        raise ValueError(f"--error must be positive and finite, got {text}")
    return values


def column_or_number(frame: Frame, text: str, option: str) -> HostArray:
    """Return a column of the table, or a number for each row, ``(n,)``.

    Raises
    ------
    ValueError
        If the text is neither column nor number.
    """
    if text in frame.columns:
        return numbers(frame, [text])[:, 0]
    try:
        return np.full(len(frame), float(text))
    except ValueError:
        require_columns(frame, [text], f"{option}, which is no number either")
        raise


def input_errors(frame: Frame, errors: Sequence[str], d: int) -> HostArray | None:
    """Return standard deviations of the d inputs, ``(n, d)``; None if none are given."""
    if not errors:
        return None
    if len(errors) not in (1, d):
        raise ValueError(f"--x-err must be given once, or once for each of the {d} inputs; got {len(errors)}")
    each = [column_or_number(frame, e, "--x-err") for e in errors]
    return np.broadcast_to(np.column_stack(each), (len(frame), d))


def parts(texts: Sequence[str]) -> list[str]:
    """Return the names in texts, each of which may be a list with commas."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]
