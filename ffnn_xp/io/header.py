"""The header of a network's file: one JSON object with everything about the network but its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from ffnn_xp._lib.errors import FileFormatError
from ffnn_xp.backends import DTYPES

FORMAT_VERSION = 4
KEY = "ffnn_xp"  # key of the header's metadata; a single one, since safetensors writes several in random order
LARGEST = 2**31  # of any whole number in a header: far above what a file could hold, far below what cannot be printed


@dataclass(frozen=True)
class Header:
    """The JSON object at the beginning of a network's file, which describes the network.

    Attributes
    ----------
    format_version : int
        Version of the file's format; the library reads its own.
    library_version : str
        Version of ffnn_xp that wrote the file.
    widths : tuple of int
        Numbers of inputs, of units of each hidden layer, and of outputs.
    activations : tuple of str
        One name for each hidden layer.
    output : str
        Name of the last layer's activation.
    own_activations : tuple of str
        Names of the activations that are not the library's: the user gives them when loading the file.
    dtype : str
        ``"float64"`` or ``"float32"``.
    y_was_column : bool
        Whether predictions of a single output have shape ``(n, 1)``.
    no_band : str
        Why the file has no error band; empty if it has one.
    n_members : int
        Number of networks in the predictive density, an ensemble if more than one; 0 if the file has no density.
    varying_width : bool
        Whether the noise of the density has a width that depends on x.
    prior : bool
        Whether the file has the precisions of the fit's prior.
    input_names, target_names : tuple of str or None
        Names of the inputs and outputs.
    fit : dict or None
        Summary of the fit: valid, message, caution, statistic, n_data, fval, chi2, edm, n_effective, p_value,
        covariance, prior (how it was chosen, or why none), y_error.
    metadata : dict
        The user's own entries, text to text.
    name : str
        Name of the network; empty for none.
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
    varying_width: bool = False
    prior: bool = False
    input_names: tuple[str, ...] | None = None
    target_names: tuple[str, ...] | None = None
    fit: dict[str, Any] | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    name: str = ""

    def to_json(self) -> str:
        """Return the header's text in the file, without the checksum.

        It is ASCII, as most programs write JSON, so that a program which only copies it leaves the checksum right.
        """
        return json.dumps({f.name: getattr(self, f.name) for f in fields(self)}, allow_nan=False)


def parse_header(text: str, path: str) -> Header:
    """Parse the header's text from a file.

    Parameters
    ----------
    text : str
        The JSON text.
    path : str
        Name of the file, for messages.

    Raises
    ------
    FileFormatError
        If the header is damaged, or of another version of the format.
    """
    try:
        raw = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"the header of {path!r} is damaged: its JSON cannot be read ({error})") from error
    if not isinstance(raw, dict):
        raise FileFormatError(f"the header of {path!r} is damaged: it must be a JSON object, got {_short(raw)}")
    version = raw.get("format_version")
    if isinstance(version, int) and _natural(version) and version != FORMAT_VERSION:
        remedy = "pip install --upgrade ffnn_xp" if version > FORMAT_VERSION else "save the network again"
        raise FileFormatError(
            f"{path!r} has format version {version}, written by ffnn_xp {_short(raw.get('library_version'))}; this one "
            f"reads {FORMAT_VERSION}: {remedy}"
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


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < LARGEST


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
    "varying_width": (lambda v: isinstance(v, bool), "true or false"),
    "prior": (lambda v: isinstance(v, bool), "true or false"),
    "input_names": _NAMES,
    "target_names": _NAMES,
    "fit": (lambda v: v is None or isinstance(v, dict), "an object or null"),
    "metadata": (
        lambda v: isinstance(v, dict) and all(isinstance(t, str) for t in v.values()),
        "an object that maps text to text",
    ),
    "name": (lambda v: isinstance(v, str) and v.isprintable() and v == v.strip(), "printable text"),
}
