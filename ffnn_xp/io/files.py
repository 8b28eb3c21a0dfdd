r"""Writing and reading of networks in safetensors files with a JSON header; nothing in a file is ever executed.

A reader without this library finds

- ``A_L1_L2``, ``A_L2_L3``, ...: the augmented matrices in raw units, ``(h_l, h_{l-1} + 1)`` row by row, the bias in
  the last column, so that :math:`a_l = f_l(A_l \cdot (a_{l-1}, 1))`, :math:`a_0 = x`, and the output is the last a;
- ``band.*``, where the fit has an error band: the standardised network (``theta``, the matrices row by row, layer after
  layer; ``x_mean``, ``x_scale``, ``y_mean``, ``y_scale``), ``factor`` F with covariance F F^T on the directions that
  the data determine, the unidentified directions (``null``), and the units of the latter (``scale``);
- ``density.*``, where the fit has a predictive density: for each network the errors of y (``noise``), for an ensemble
  also the parts of ``band.*`` for each network; the largest ``scatter`` of networks where they were calibrated; and
  the calibration: the factors of noise^2 and band^2, and one over the degrees of freedom, all zero for an ensemble of
  classifiers, which has no such density; where the noise depends on x, the networks of its ``width``, its ``range``,
  and the ``band`` of the network in the middle for equal errors;
- in the header, under ``ffnn_xp``, a JSON object with widths, activations and the other fields of `Header`. Its last
  entry, ``checksum``, is the SHA-256 of the object's text without that entry, and then for each tensor, in order of the
  names, of ``name dtype shape`` (as in ``A_L1_L2 float64 (3, 2)``) and its bytes, little-endian and row by row.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ffnn_xp._lib.atomic import check_readable, write_file
from ffnn_xp._lib.errors import FileFormatError, did_you_mean
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.typing import PathLike
from ffnn_xp._lib.version import __version__
from ffnn_xp.io.header import FORMAT_VERSION, KEY, Header, parse_header
from ffnn_xp.io.state import NetworkState
from ffnn_xp.io.tensors import band_of, density_of, is_sealed, read_tensors, sealed, tensors_of, theta_of
from ffnn_xp.network import OUTPUTS, Activation, Layout

PURPOSE = "saving and loading networks"
LONGEST = 10_000_000  # characters of a header; safetensors reads ten times as many, and most are metadata


def save_state(state: NetworkState, path: PathLike) -> None:
    """Write a network to a file; an existing file is replaced only when the new one is complete.

    Parameters
    ----------
    state : NetworkState
        The network.
    path : path-like
        The file, usually ``*.safetensors``.

    Raises
    ------
    ValueError
        If two different activations have the same name, or metadata are too long for a header.
    OSError
        If the file cannot be written; the message says why.
    ImportError
        If safetensors is not installed.
    """
    serializer = require("safetensors.numpy", "files", PURPOSE)
    *hidden, output = (a.name for a in state.activations)
    header = Header(
        format_version=FORMAT_VERSION,
        library_version=__version__,
        widths=state.widths,
        activations=tuple(hidden),
        output=output,
        own_activations=_own(state.activations),
        dtype=state.dtype,
        y_was_column=state.y_was_column,
        no_band=state.no_band,
        n_members=0 if state.predictive is None else len(state.predictive.members),
        varying_width=state.predictive is not None and state.predictive.width is not None,
        prior=state.prior is not None,
        input_names=state.input_names,
        target_names=state.target_names,
        fit=state.fit,
        metadata=dict(state.metadata),
        name=state.name,
    )
    tensors, text = tensors_of(state), header.to_json()
    if len(text) > LONGEST:
        raise ValueError(f"the header would have {len(text)} characters, more than {LONGEST}: keep metadata elsewhere")
    write_file(path, serializer.save(tensors, metadata={KEY: sealed(text, tensors)}))


def load_state(path: PathLike, activations: Iterable[Activation] = ()) -> NetworkState:
    """Read a network from a file.

    Parameters
    ----------
    path : path-like
        The file.
    activations : iterable of Activation
        Your own activations, of which the file contains the names only.

    Raises
    ------
    FileFormatError
        If it is no such file, damaged, or of another version of the format.
    OSError
        If the file cannot be read; the message says why.
    ValueError
        If one of your own activations is not given.
    ImportError
        If safetensors is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> state = NetworkState((1, 1), (OUTPUTS["identity"],), np.array([2.0, 1.0]), no_band="written by hand")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_state(state, f"{folder}/line.safetensors")
    ...     load_state(f"{folder}/line.safetensors").theta
    array([2., 1.])
    """
    header, tensors = _read(path)
    layout = Layout(header.widths)
    found = _activations(header, activations, os.fspath(path))
    try:
        return NetworkState(
            widths=header.widths,
            activations=found,
            theta=theta_of(layout, tensors),
            dtype=header.dtype,
            y_was_column=header.y_was_column,
            band=None if header.no_band else band_of(layout, tensors),
            no_band=header.no_band,
            predictive=density_of(layout, tensors, header) if header.n_members else None,
            prior=tensors["prior"] if header.prior else None,
            input_names=header.input_names,
            target_names=header.target_names,
            fit=header.fit,
            metadata=header.metadata,
            name=header.name,
        )
    except ValueError as error:
        raise FileFormatError(f"{os.fspath(path)!r} is damaged: {error}") from error


def read_header(path: PathLike) -> Header:
    """Read the description of a network from its file.

    Raises
    ------
    FileFormatError
        If it is no such file, damaged, or of another version of the format.
    OSError
        If the file cannot be read; the message says why.
    ImportError
        If safetensors is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import ffnn_xp as fx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fx.Model((8, 7, 6), seed=1).save(f"{folder}/net.safetensors", metadata={"run": "42"})
    ...     header = read_header(f"{folder}/net.safetensors")
    >>> header.widths, header.activations, header.metadata
    ((8, 7, 6), ('tanh',), {'run': '42'})
    """
    return _read(path)[0]


def _read(path: PathLike) -> tuple[Header, dict[str, np.ndarray[Any, Any]]]:
    """Return the header and the tensors as they were written."""
    safetensors = require("safetensors", "files", PURPOSE)
    name = os.fspath(path)
    check_readable(path, "a network's file")
    try:
        with safetensors.safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise FileFormatError(
                    f"{name!r} is a safetensors file, but not a network of ffnn_xp: its header has no {KEY!r}. For "
                    "matrices from elsewhere there is Model.from_matrices"
                )
            header = parse_header(text, name)
            tensors = read_tensors(file, header, name)
    except safetensors.SafetensorError as error:
        raise FileFormatError(
            f"{name!r} is not a safetensors file, or it is damaged or cut short ({error}): save or copy it again"
        ) from error
    if not is_sealed(text, tensors):
        raise FileFormatError(
            f"{name!r} is damaged: its checksum is not that of its content, which was changed after it was saved; "
            "save or copy it again"
        )
    return header, tensors


def _activations(header: Header, given: Iterable[Activation], path: str) -> tuple[Activation, ...]:
    """Return the activation of each layer, the user's own where the header says so, else the library's."""
    own: dict[str, Activation] = {}
    for a in given:
        if not isinstance(a, Activation):
            raise TypeError(f"`activations` must hold ffnn_xp.Activation objects, got {type(a).__name__}")
        own[a.name] = a
    found = []
    for name in (*header.activations, header.output):
        if name in header.own_activations:
            if name not in own:
                near = f"; {did_you_mean(name, own)}" if own else ""
                raise ValueError(
                    f"{path!r} was saved with your own activation {name!r}, which files hold by name only: pass "
                    f"activations=[...] with the Activation of that name{near}"
                )
            found.append(own[name])
        elif name in OUTPUTS:
            found.append(OUTPUTS[name])
        else:
            raise FileFormatError(f"the header of {path!r} is damaged: activation {name!r} is unknown")
    return tuple(found)


def _own(activations: Sequence[Activation]) -> tuple[str, ...]:
    """Return the names of the user's own activations; two of the same name are refused."""
    by_name: dict[str, Activation] = {}
    for a in activations:
        if by_name.setdefault(a.name, a) is not a:
            raise ValueError(f"two different activations of this network are called {a.name!r}: rename one to save it")
    return tuple(name for name, a in by_name.items() if OUTPUTS.get(name) is not a)
