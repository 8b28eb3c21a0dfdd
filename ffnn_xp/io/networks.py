r"""Networks in files: safetensors, that is host numbers behind a JSON header; nothing in a file is ever executed.

Whoever reads a file without this library finds

- ``A_L1_L2``, ``A_L2_L3``, ...: the augmented matrices in raw units, ``(h_l, h_{l-1} + 1)`` row by row, the bias in
  the last column, so that :math:`a_l = f_l(A_l \cdot (a_{l-1}, 1))`, :math:`a_0 = x`, and the output is the last a;
- ``band.*``, where the fit has an error band: the standardised network (``theta``, the matrices row by row, layer after
  layer; ``x_mean``, ``x_scale``, ``y_mean``, ``y_scale``), ``factor`` F with covariance F F^T on the directions that
  the data determine, those that they do not (``null``), and what the latter are scaled by (``scale``);
- ``density.*``, where the fit has a predictive density: for each network the noise of y, of a mixture also all that
  ``band.*`` has of one; and the calibration: the factors of noise^2 and band^2, and one over the degrees of freedom;
- in the header, under ``ffnn_xp``, a JSON object with widths, activations and the rest of `Header`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ffnn_xp._lib.atomic import PathLike, replacing
from ffnn_xp._lib.errors import FileFormatError, did_you_mean
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends import Backend, get_backend
from ffnn_xp.io.header import FORMAT_VERSION, KEY, Header, checked_metadata, checked_names, parse, summary
from ffnn_xp.io.tensors import band_of, density_of, from_file, matrix_names, to_file
from ffnn_xp.model.result import FitResult
from ffnn_xp.network import OUTPUTS, Activation
from ffnn_xp.uncertainty import LinearBand, MatrixFreeBand, Predictive

if TYPE_CHECKING:
    from ffnn_xp.model.model import Model

BAND_LIMIT = 2000  # parameters above which a band, 8 p^2 bytes, is only kept on demand: 32 MB
PURPOSE = "saving and loading networks"


def save(
    model: Model,
    path: PathLike,
    *,
    band: bool | None = None,
    fit: FitResult | None = None,
    input_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """See `Model.save`."""
    serializer = require("safetensors.numpy", "files", PURPOSE)
    theta = model.backend.to_host(model.parameters)
    layout = model.network.layout
    if fit is not None and not np.array_equal(np.asarray(fit.parameters, model.backend.dtype), theta):
        raise ValueError("`fit` belongs to other parameters than the model's: save right after the fit, or without it")
    no_band = _why_no_band(model, band)
    kept = model._band if isinstance(model._band, LinearBand) and not no_band else None
    density = _density(model, kept, band)
    tensors = to_file(layout, theta, model.backend.dtype, kept, density)
    *hidden, output = (a.name for a in model.activations)
    header = Header(
        format_version=FORMAT_VERSION,
        library_version=_library_version(),
        widths=layout.widths,
        activations=tuple(hidden),
        output=output,
        own_activations=_own(model.activations),
        dtype=model.backend.dtype,
        y_was_column=model._column,
        no_band=no_band,
        n_members=0 if density is None else len(density.members),
        input_names=checked_names(input_names, "input_names", layout.widths[0]),
        target_names=checked_names(target_names, "target_names", layout.widths[-1]),
        fit=None if fit is None else summary(fit),
        metadata=checked_metadata(metadata),
    )
    content = serializer.save(tensors, metadata={KEY: header.to_json()})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load(
    path: PathLike,
    *,
    backend: str | Backend = "auto",
    device: Any = None,
    dtype: str | None = None,
    fallback: bool | None = None,
    activations: Iterable[Activation] = (),
) -> Model:
    """A network from a file that `Model.save` wrote, on any backend and device.

    Parameters
    ----------
    path : path-like
        The file.
    backend, device, fallback
        Where to compute; see `get_backend`. The file does not remember where the network was fitted.
    dtype : {"float64", "float32"}, optional
        By default the file's.
    activations : iterable of Activation
        Your own ones, which the file knows by name only.

    Returns
    -------
    Model
        With the same predictions, error band and predictive density; `Model.fit` goes on from its parameters.

    Raises
    ------
    FileFormatError
        If it is no such file, damaged, or written by a newer version.
    ValueError
        If one of your own activations is not given.
    ImportError
        If safetensors is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import ffnn_xp as fx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fx.Model.from_matrices([([[2.0]], [1.0])]).save(f"{folder}/line.safetensors")
    ...     model = fx.load(f"{folder}/line.safetensors")
    >>> model([3.0])
    array([7.])
    """
    from ffnn_xp.model.model import Model

    header, tensors = _read(path, numbers=True)
    *hidden, output = _functions(header, activations, os.fspath(path))
    found = get_backend(backend, device=device, dtype=header.dtype if dtype is None else dtype, fallback=fallback)
    model = Model(header.widths, activation=hidden, output=output, backend=found)
    layout = model.network.layout
    model.parameters = layout.flatten(np, [tensors[name] for name in matrix_names(layout)])
    model._column, model._no_band = header.y_was_column, header.no_band
    if not header.no_band:
        model._band = band_of(layout, tensors)
    if header.n_members:
        model._predictive = density_of(layout, tensors, header.n_members)
    return model


def read_header(path: PathLike) -> Header:
    """What a file says about its network, without loading it.

    Raises
    ------
    FileFormatError
        As of `load`.

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
    return _read(path, numbers=False)[0]


def _read(path: PathLike, *, numbers: bool) -> tuple[Header, dict[str, HostArray]]:
    """Header and, if asked for, checked tensors."""
    safetensors = require("safetensors", "files", PURPOSE)
    name = os.fspath(path)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{name!r} is a folder, not a network's file")
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {name!r}")
    with open(path, "rb"):  # for the operating system's own words on permissions
        pass
    try:
        with safetensors.safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise FileFormatError(
                    f"{name!r} is a safetensors file, but not a network of ffnn_xp: its header has no {KEY!r}. For "
                    "matrices from elsewhere there is Model.from_matrices"
                )
            header = parse(text, name)
            return header, from_file(file, header, name) if numbers else {}
    except safetensors.SafetensorError as error:
        raise FileFormatError(
            f"{name!r} is not a safetensors file, or it is damaged or cut short ({error}): save or copy it again"
        ) from error


def _functions(header: Header, given: Iterable[Activation], path: str) -> list[Activation]:
    """The activations of each layer, by name; the user's own first."""
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
    return found


def _own(activations: Sequence[Activation]) -> tuple[str, ...]:
    """Names of the user's own activations; two that share one could not be told apart again."""
    by_name: dict[str, Activation] = {}
    for a in activations:
        if by_name.setdefault(a.name, a) is not a:
            raise ValueError(f"two different activations of this network are called {a.name!r}: rename one to save it")
    return tuple(name for name, a in by_name.items() if OUTPUTS.get(name) is not a)


def _density(model: Model, kept: LinearBand | None, wanted: bool | None) -> Predictive | None:
    """What is kept of the predictive density: a mixture is what the model predicts, and stays unless told otherwise."""
    density = model._predictive
    if density is None or wanted is False or not all(isinstance(member.band, LinearBand) for member in density.members):
        return None
    return density if len(density.members) > 1 or kept is not None else None


def _why_no_band(model: Model, wanted: bool | None) -> str:
    if model._band is None:
        if wanted:
            raise ValueError(f"there is no error band to save: {model._no_band}")
        return model._no_band
    if isinstance(model._band, MatrixFreeBand):
        why = "no p x p matrix was formed in the fit, and the band is computed from the data themselves"
        if wanted:
            raise ValueError(f"there is no error band to save: {why}")
        return f"it was left out of the file: {why}"
    if wanted is False:
        return "it was left out of the file (band=False)"
    if wanted is None and model.n_parameters > BAND_LIMIT:
        return (
            f"it was left out of the file for its size ({model.n_parameters} parameters, more than {BAND_LIMIT}): "
            "save with band=True to keep it"
        )
    return ""


def _library_version() -> str:
    from ffnn_xp import __version__

    return __version__
