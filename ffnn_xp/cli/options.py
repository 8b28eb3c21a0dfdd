"""The meaning of the command line's options: files to write, and columns of inputs, targets, errors and weights."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ffnn_xp._lib.atomic import check_writable, is_same_file
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends import to_numpy
from ffnn_xp.cli.tables import (
    COMPRESSIONS,
    ROOT,
    SEPARATORS,
    Frame,
    numbers,
    numeric_columns,
    positive_numbers,
    require_columns,
)
from ffnn_xp.data import Measurements
from ffnn_xp.io import NetworkState
from ffnn_xp.losses import get_loss
from ffnn_xp.model import Model

OF_OTHER_FILES = (*SEPARATORS, *COMPRESSIONS, ROOT, ".parquet", ".pq", ".png", ".pdf", ".svg")
"""Endings of tables and pictures, which no network has: it would replace one by mistake."""


@dataclass(frozen=True)
class Given:
    """The data options of a command line: columns or numbers, as text.

    Attributes
    ----------
    targets : tuple of str
        Columns of measured values.
    errors : tuple of str
        Standard deviations of the targets: one for all, or one for each.
    x_errors : tuple of str
        Standard deviations of the inputs: one for all, or one for each.
    weights, exposure, trials : str or None
        Weight, exposure or number of trials of each event.
    mask : str or None
        Column that is 1, or true, for rows to use.
    """

    targets: tuple[str, ...]
    errors: tuple[str, ...] = ()
    x_errors: tuple[str, ...] = ()
    weights: str | None = None
    exposure: str | None = None
    trials: str | None = None
    mask: str | None = None

    def roles(self, frame: Frame) -> dict[str, str]:
        """Return the roles of the columns that cannot be inputs, by name."""
        groups: dict[str, Sequence[str | None]] = {
            "weight": [self.weights],
            "exposure": [self.exposure],
            "number of trials": [self.trials],
            "mask": [self.mask],
            "error of an input": self.x_errors,
            "target error": self.errors,
            "target": self.targets,
        }
        return {name: role for role, group in groups.items() for name in group if name in frame.columns and name}

    def measurements(self, frame: Frame, columns: Sequence[str]) -> Measurements:
        """Return the measurements in the table, with these columns as inputs.

        Raises
        ------
        ValueError
            If a column is missing, does not hold numbers, or an error is not positive.
        """
        y = numbers(frame, self.targets)

        def each(text: str | None, option: str) -> HostArray | None:
            return None if text is None else column_or_number(frame, text, option)

        return Measurements(
            numbers(frame, columns),
            y[:, 0] if len(self.targets) == 1 else y,
            error_values(frame, self.errors, len(self.targets)),
            weights=each(self.weights, "--weights"),
            exposure=each(self.exposure, "--exposure"),
            trials=each(self.trials, "--trials"),
            x_err=_input_errors(frame, self.x_errors, len(columns)),
        )


def rows_in_use(frame: Frame, mask: str | None) -> Frame:
    """Return the rows of a table where the column `mask` is 1 or true."""
    if mask is None:
        return frame
    require_columns(frame, [mask], "--mask")
    use = numbers(frame, [mask])[:, 0]
    if not np.all((use == 0) | (use == 1)) or not np.any(use):
        raise ValueError(f"--mask {mask}: the column must hold 1 or true for rows to use, 0 or false for the others")
    return frame[use == 1]


def output_names(targets: Sequence[str], loss: str, k: int) -> list[str]:
    """Return names for k outputs: the targets and their predicted widths, or the classes of one target."""
    if k == len(targets):
        return list(targets)
    if get_loss(loss).outputs(len(targets)) == k:
        return [*targets, *(f"{t}_log_width" for t in targets)]
    return [f"{targets[0]}_{i}" for i in range(k)]


def check_results(save: Path | None, plot: Path | None) -> None:
    """Check that a network and a picture can be made: libraries and endings of names, before the work begins."""
    if save is not None:
        require("safetensors", "files", "--save")
        if save.suffix.lower() in OF_OTHER_FILES:
            raise ValueError(f"--save {save}: this ending is not that of a network; call it {save.stem}.safetensors")
    if plot is not None:
        trial, form = require("matplotlib.figure", "plot", "--plot").Figure(), plot.suffix[1:].lower()
        known = trial.canvas.get_supported_filetypes()
        if form not in known:
            raise ValueError(f"--plot {plot}: the ending must be one of {', '.join(sorted(known))}")
        trial.text(0.5, 0.5, "x")
        try:
            trial.savefig(io.BytesIO(), format=form)
        except Exception as error:  # some formats and settings need programs beside matplotlib, such as LaTeX
            raise ValueError(f"--plot {plot}: matplotlib cannot draw this here: {error}") from error


def check_outputs(inputs: Mapping[str, Path], outputs: Mapping[str, Path | None]) -> None:
    """Check that files can be written, and that none of them is an input or another output, by whatever path.

    Raises
    ------
    ValueError, OSError
        If that is not so; the message says why.
    """
    taken = dict(inputs)
    for option, path in outputs.items():
        if path is None:
            continue
        for what, other in taken.items():
            if is_same_file(path, other):
                raise ValueError(f"{option} {path}: this is the file of {what}, {other}, and would replace it")
        check_writable(path)
        taken[option] = path


def place_of(path: Path, interrupted: bool) -> Path:
    """Return the path of a result: if its fit was interrupted, beside a file that exists, which may be a better one.

    Examples
    --------
    >>> str(place_of(Path("masses.safetensors"), interrupted=False))
    'masses.safetensors'
    """
    return path.with_name(f"{path.stem}.interrupted{path.suffix}") if interrupted and path.is_file() else path


def parse_layers(text: str, option: str = "--layers") -> tuple[int, ...]:
    """Parse widths of the hidden layers, such as ``8,7``."""
    try:
        widths = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        widths = (0,)
    if any(h < 1 for h in widths):
        raise ValueError(f"{option} must be positive integers with commas between, such as 8,7; got {text!r}")
    return widths


def parse_restarts(text: str) -> int | str:
    """Parse a number of starts, or ``auto``."""
    if text != "auto" and not (text.isdecimal() and int(text) > 0):
        raise ValueError(f"--restarts must be auto or a positive integer, got {text!r}")
    return text if text == "auto" else int(text)


def parse_prior(text: str) -> float | str | None:
    """Parse a width of the prior, ``auto``, or ``none``."""
    if text in ("auto", "none"):
        return text if text == "auto" else None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--prior must be auto, none or a positive width, got {text!r}") from None


def choose_columns(
    frame: Frame, targets: Sequence[str], taken: Mapping[str, str], inputs: str | None
) -> tuple[list[str], dict[str, str]]:
    """Return the names of the inputs, and the columns left out because they are not numeric, with the reason.

    `taken` are columns that have other roles, by name.

    Raises
    ------
    ValueError
        If a column is missing, used twice, or none is left.
    """
    require_columns(frame, targets, "--target")
    if len(set(targets)) < len(targets):
        raise ValueError(f"--target names a column twice: {', '.join(targets)}")
    if inputs is None:
        chosen, left_out = numeric_columns(frame, exclude=taken)
        if not chosen:
            raise ValueError(f"the table has no numeric column besides {', '.join(sorted(taken))} to fit with")
        return chosen, left_out
    chosen = [name.strip() for name in inputs.split(",") if name.strip()]
    require_columns(frame, chosen, "--inputs")
    for name in chosen:
        if name in taken:
            raise ValueError(f"column {name!r} cannot be an input, it is a {taken[name]}")
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"--inputs must name each column once, such as a,b,c; got {inputs!r}")
    return chosen, {}


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


def _input_errors(frame: Frame, errors: Sequence[str], d: int) -> HostArray | None:
    """Return standard deviations of the d inputs, ``(n, d)``; None if none are given."""
    if not errors:
        return None
    if len(errors) not in (1, d):
        raise ValueError(f"--x-err must be given once, or once for each of the {d} inputs; got {len(errors)}")
    each = [column_or_number(frame, e, "--x-err") for e in errors]
    return np.broadcast_to(np.column_stack(each), (len(frame), d))


def input_columns(frame: Frame, network: NetworkState) -> list[str]:
    """Return the columns of a network's inputs, by the names in its file, else the numeric ones, if they fit."""
    if network.input_names is not None:
        require_columns(frame, network.input_names, "an input of the network")
        return list(network.input_names)
    columns, _ = numeric_columns(frame)
    d = network.widths[0]
    if len(columns) != d:
        raise ValueError(
            f"the network's file has no names of columns, and the table has {len(columns)} numeric columns where the "
            f"network has {d} inputs: save it with input_names=[...], or give a table of its inputs alone"
        )
    return columns


def predictions(model: Model, network: NetworkState, x: Any, *, std: bool, interval: float | None = None) -> Frame:
    """Return a table of each target and, if requested, ``<target>_std``, ``<target>_low`` and ``<target>_high``."""
    pandas = require("pandas", "table", "writing tables")
    k = network.widths[-1]
    targets = network.target_names or (("y",) if k == 1 else tuple(f"y{i}" for i in range(k)))
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
