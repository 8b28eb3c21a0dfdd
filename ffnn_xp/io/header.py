"""The header of a network's file: one JSON object that says everything about the network but its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ffnn_xp._lib.errors import FileFormatError
from ffnn_xp.backends import DTYPES
from ffnn_xp.model.result import FitResult

FORMAT_VERSION = 1
KEY = "ffnn_xp"  # of the header's metadata; a single one, since safetensors writes several in random order


@dataclass(frozen=True)
class Header:
    """What a file says about its network.

    Attributes
    ----------
    format_version : int
        Of the file; a version of the library reads all up to its own.
    library_version : str
        Which ffnn_xp wrote it.
    widths : tuple of int
        Inputs, units of each hidden layer, outputs.
    activations : tuple of str
        One name for each hidden layer.
    output : str
        The last layer's.
    own_activations : tuple of str
        Those among them that the library does not have: `load` wants them from its caller.
    dtype : str
        ``"float64"`` or ``"float32"``.
    y_was_column : bool
        Whether predictions of a single output have shape ``(n, 1)``.
    no_band : str
        Why the file has no error band; empty if it has one.
    n_members : int
        Networks of the predictive density, a mixture if more than one; 0 if the file has none.
    input_names, target_names : tuple of str or None
        The columns of the table that the network was fitted to.
    fit : dict or None
        Summary of the fit: valid, message, fval, chi2, n_data, n_effective, edm, covariance, y_error.
    metadata : dict
        The user's own, text to text.
    """

    format_version: int
    library_version: str
    widths: tuple[int, ...]
    activations: tuple[str, ...]
    output: str
    own_activations: tuple[str, ...]
    dtype: str
    y_was_column: bool
    no_band: str
    n_members: int = 0
    input_names: tuple[str, ...] | None = None
    target_names: tuple[str, ...] | None = None
    fit: dict[str, Any] | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text that goes into the file."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps(content, ensure_ascii=False, allow_nan=False)


def parse(text: str, path: str) -> Header:
    """The header in a file's text.

    Raises
    ------
    FileFormatError
        If it is damaged, or was written by a newer version of the library.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"the header of {path!r} is damaged: its JSON cannot be read ({error})") from error
    if not isinstance(raw, dict):
        raise FileFormatError(f"the header of {path!r} is damaged: it must be a JSON object, got {_short(raw)}")
    version = raw.get("format_version")
    if isinstance(version, int) and not isinstance(version, bool) and version > FORMAT_VERSION:
        raise FileFormatError(
            f"{path!r} has format version {version}, written by ffnn_xp {raw.get('library_version')}; this one reads "
            f"up to {FORMAT_VERSION}: pip install --upgrade ffnn_xp"
        )
    for name, (holds, what) in _CHECKS.items():
        if name not in raw:
            raise FileFormatError(f"the header of {path!r} is damaged: {name!r} is missing")
        if not holds(raw[name]):
            raise FileFormatError(
                f"the header of {path!r} is damaged: {name!r} must be {what}, got {_short(raw[name])}"
            )
    header = Header(**{name: _frozen(raw[name]) for name in _CHECKS})
    _check_lengths(header, path)
    return header


def summary(fit: FitResult) -> dict[str, Any]:
    """What a header keeps of a fit."""
    numbers = {name: float(getattr(fit, name)) for name in ("fval", "chi2", "edm", "n_effective")}
    return {
        "valid": bool(fit.valid),
        "message": fit.message,
        "n_data": int(fit.n_data),
        # JSON has no NaN
        **{name: value if np.isfinite(value) else None for name, value in numbers.items()},
        "covariance": fit.covariance_source,
        "y_error": None if fit.y_error is None else [float(e) for e in fit.y_error],
    }


def checked_names(names: Sequence[str] | None, argument: str, length: int) -> tuple[str, ...] | None:
    """Names of columns, one for each input or output."""
    if names is None:
        return None
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"`{argument}` must be a sequence of names, got {names!r}")
    if len(names) != length:
        raise ValueError(f"`{argument}` must have {length} names, one for each, got {len(names)}")
    return tuple(names)


def checked_metadata(metadata: Mapping[Any, Any] | None) -> dict[str, str]:
    """The user's own entries, text to text."""
    texts = dict(metadata or {})
    for key, value in texts.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"`metadata` must map text to text, got {key!r}: {value!r}; use str() or json.dumps")
    return texts


def _check_lengths(header: Header, path: str) -> None:
    d, *hidden, k = header.widths
    for name, length in (("activations", len(hidden)), ("input_names", d), ("target_names", k)):
        given = getattr(header, name)
        if given is not None and len(given) != length:
            shape = "-".join(map(str, header.widths))
            raise FileFormatError(
                f"the header of {path!r} is damaged: {name!r} must have {length} entries for the widths {shape}, "
                f"got {len(given)}"
            )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


_TEXT = (lambda v: isinstance(v, str), "text")
_NAMES = (lambda v: v is None or _texts(v), "a list of names or null")
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format_version": (_natural, "a positive integer"),
    "library_version": _TEXT,
    "widths": (
        lambda v: isinstance(v, list) and len(v) >= 2 and all(map(_natural, v)),
        "a list of at least two positive integers",
    ),
    "activations": (_texts, "a list of names"),
    "output": _TEXT,
    "own_activations": (_texts, "a list of names"),
    "dtype": (lambda v: v in DTYPES, "'float64' or 'float32'"),
    "y_was_column": (lambda v: isinstance(v, bool), "true or false"),
    "no_band": _TEXT,
    "n_members": (lambda v: _natural(v) or (v == 0 and not isinstance(v, bool)), "zero or a positive integer"),
    "input_names": _NAMES,
    "target_names": _NAMES,
    "fit": (lambda v: v is None or isinstance(v, dict), "an object or null"),
    "metadata": (
        lambda v: isinstance(v, dict) and all(isinstance(t, str) for t in v.values()),
        "an object that maps text to text",
    ),
}
