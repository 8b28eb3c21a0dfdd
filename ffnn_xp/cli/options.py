"""What the options of the command line mean: files that can be written, columns that are inputs, targets and errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ffnn_xp._lib.atomic import check_writable
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends import to_numpy
from ffnn_xp.cli.tables import Frame, numeric_columns, positive_numbers, require_columns
from ffnn_xp.io import Header
from ffnn_xp.model.model import Model


def check_results(save: Path | None, plot: Path | None) -> None:
    """Libraries, folders and formats of what is to be written, looked at before the work begins."""
    if save is not None:
        require("safetensors", "files", "--save")
        check_writable(save)
    if plot is not None:
        known = require("matplotlib.figure", "plot", "--plot").Figure().canvas.get_supported_filetypes()
        if plot.suffix[1:].lower() not in known:
            raise ValueError(f"--plot {plot}: the ending must be one of {', '.join(sorted(known))}")
        check_writable(plot)


def parse_layers(text: str, option: str = "--layers") -> tuple[int, ...]:
    """Widths of the hidden layers: ``8,7``."""
    try:
        widths = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        widths = (0,)
    if any(h < 1 for h in widths):
        raise ValueError(f"{option} must be positive integers with commas between, such as 8,7; got {text!r}")
    return widths


def parse_restarts(text: str) -> int | str:
    """A number, or ``auto``."""
    if text != "auto" and not (text.isdecimal() and int(text) > 0):
        raise ValueError(f"--restarts must be auto or a positive integer, got {text!r}")
    return text if text == "auto" else int(text)


def parse_prior(text: str | None) -> float | str | None:
    """A width, or ``auto``."""
    if text is None or text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--prior must be auto or a positive width, got {text!r}") from None


def choose_columns(
    frame: Frame, targets: Sequence[str], errors: Sequence[str], inputs: str | None
) -> tuple[list[str], dict[str, str]]:
    """Names of the inputs, and the columns that were left out because they are not numeric, with the reason.

    Raises
    ------
    ValueError
        If a column is missing, used twice, or none is left.
    """
    require_columns(frame, targets, "--target")
    if len(set(targets)) < len(targets):
        raise ValueError(f"--target names a column twice: {', '.join(targets)}")
    taken = {*targets, *(e for e in errors if e in frame.columns)}
    if inputs is None:
        chosen, left_out = numeric_columns(frame, exclude=taken)
        if not chosen:
            raise ValueError(f"the table has no numeric column besides {', '.join(sorted(taken))} to fit with")
        return chosen, left_out
    chosen = [name.strip() for name in inputs.split(",") if name.strip()]
    require_columns(frame, chosen, "--inputs")
    for name in chosen:
        if name in taken:
            raise ValueError(
                f"column {name!r} cannot be an input, it is a {'target' if name in targets else 'target error'}"
            )
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"--inputs must name each column once, such as a,b,c; got {inputs!r}")
    return chosen, {}


def error_values(frame: Frame, errors: Sequence[str], k: int) -> HostArray | None:
    """Standard deviations of the k targets, ``(n, k)``, from columns and numbers; None if none are given.

    Raises
    ------
    ValueError
        If something is neither column nor number, or an error is not positive.
    """
    if not errors:
        return None
    if len(errors) not in (1, k):
        raise ValueError(f"--error must be given once, or once for each of the {k} targets; got {len(errors)}")
    return np.broadcast_to(np.column_stack([_error(frame, e) for e in errors]), (len(frame), k))


def _error(frame: Frame, text: str) -> HostArray:
    if text in frame.columns:
        return positive_numbers(frame, [text])[:, 0]
    try:
        value = float(text)
    except ValueError:
        require_columns(frame, [text], "--error, which is no number either")
        raise
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"--error must be positive and finite, got {text}")
    return np.full(len(frame), value)


def input_columns(frame: Frame, header: Header) -> list[str]:
    """The columns that a network wants, by name; where its file has no names, the numeric ones if their number fits."""
    if header.input_names is not None:
        require_columns(frame, header.input_names, "an input of the network")
        return list(header.input_names)
    columns, _ = numeric_columns(frame)
    d = header.widths[0]
    if len(columns) != d:
        raise ValueError(
            f"the network's file has no names of columns, and the table has {len(columns)} numeric columns where the "
            f"network has {d} inputs: save it with input_names=[...], or give a table of its inputs alone"
        )
    return columns


def predictions(model: Model, header: Header, x: Any, *, std: bool, interval: float | None = None) -> Frame:
    """A table with a column for each target and, if wanted, ``<target>_std``, ``<target>_low``, ``<target>_high``."""
    pandas = require("pandas", "table", "writing tables")
    k = header.widths[-1]
    targets = header.target_names or (("y",) if k == 1 else tuple(f"y{i}" for i in range(k)))
    values = model.predict(x, return_std=True) if std else (model.predict(x),)
    suffixes = ["", "_std"][: len(values)]
    if interval is not None:
        values, suffixes = (*values, *model.interval(x, cl=interval)), [*suffixes, "_low", "_high"]
    parts = [to_numpy(a).reshape(-1, k) for a in values]
    names = [f"{target}{suffix}" for target in targets for suffix in suffixes]
    if len(set(names)) < len(names):
        raise ValueError(f"the columns {', '.join(names)} would have one name twice: use --no-std, without --interval")
    columns = [part[:, i] for i in range(k) for part in parts]
    return pandas.DataFrame(dict(zip(names, columns, strict=True)))
