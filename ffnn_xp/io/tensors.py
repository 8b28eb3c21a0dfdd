"""The tensors of a network's file: augmented matrices, and the parts of its error band and predictive density."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ffnn_xp._lib.errors import FileFormatError
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data import Scaling
from ffnn_xp.io.header import Header
from ffnn_xp.io.state import NetworkState
from ffnn_xp.network import Layout
from ffnn_xp.uncertainty import Calibration, LinearBand, Member, Predictive, Spectrum, VaryingWidth

CHECKSUM = ', "checksum": "'


def matrix_names(layout: Layout) -> list[str]:
    """Return the names of the augmented matrices in files.

    Examples
    --------
    >>> matrix_names(Layout((8, 7, 9, 6)))
    ['A_L1_L2', 'A_L2_L3', 'A_L3_L4']
    """
    return [f"A_L{l}_L{l + 1}" for l in range(1, layout.n_layers + 1)]


def tensors_of(state: NetworkState) -> dict[str, np.ndarray[Any, Any]]:
    """Return all arrays of a file by name, matrices in the network's dtype, all others in float64."""
    layout, density = Layout(state.widths), state.predictive
    tensors: dict[str, np.ndarray[Any, Any]] = {
        name: A.astype(state.dtype)
        for name, A in zip(matrix_names(layout), layout.matrices(np, state.theta), strict=True)
    }
    if state.band is not None:
        tensors |= _band_tensors("band", state.band)
    if state.prior is not None:
        tensors["prior"] = np.asarray(state.prior, dtype=np.float64)
    if density is not None:
        c = density.calibration
        tensors["density.calibration"] = np.zeros(3) if c is None else np.array([c.a, c.b, 1 / c.nu])
        if len(density.members) > 1:
            tensors["density.scatter"] = density.scatter + np.zeros(layout.widths[-1])
        if density.width is not None:
            tensors["density.width.parameters"] = density.width.parameters
            tensors["density.width.range"] = np.stack([density.width.lowest, density.width.highest])
            middle = density.middle or density.members[len(density.members) // 2].band
            assert isinstance(middle, LinearBand)
            tensors |= _band_tensors("density.width.band", middle)
        for i, member in enumerate(density.members):
            tensors[f"density.{i}.noise"] = np.asarray(member.y_error, dtype=np.float64)
            if len(density.members) > 1:
                assert isinstance(member.band, LinearBand)
                tensors |= _band_tensors(f"density.{i}", member.band)
    # safetensors copies memory in its order: arrays in Fortran's order, as LAPACK returns them, would be scrambled
    return {name: np.ascontiguousarray(a) for name, a in tensors.items()}


def sealed(text: str, tensors: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Return a header's text with its last entry, the checksum of the text and of all tensors.

    Examples
    --------
    >>> sealed('{"widths": [1, 1]}', {"A_L1_L2": np.array([[2.0, 1.0]])})[:44]
    '{"widths": [1, 1], "checksum": "7be4d96ef26c'
    """
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        a = tensors[name]
        digest.update(f"{name} {a.dtype.name} {a.shape}".encode())
        digest.update(a.astype(a.dtype.newbyteorder("<"), copy=False).tobytes())
    return f'{text[:-1]}{CHECKSUM}{digest.hexdigest()}"}}'


def is_sealed(text: str, tensors: Mapping[str, np.ndarray[Any, Any]]) -> bool:
    """Return True if a header's text ends with the checksum of what was written."""
    return text == sealed(text.rpartition(CHECKSUM)[0] + "}", tensors)


def read_tensors(file: Any, header: Header, path: str) -> dict[str, np.ndarray[Any, Any]]:
    """Read the tensors that belong to a header, and check their names, types and shapes.

    Parameters
    ----------
    file : safetensors.safe_open
        The open file.
    header : Header
        Its header.
    path : str
        Its name, for messages.

    Returns
    -------
    dict of str to array
        The tensors by name, matrices in the header's dtype, all others in float64.

    Raises
    ------
    FileFormatError
        If a tensor is missing, or does not fit to the header. No more memory is taken than the file has bytes.
    """

    def check(holds: Any, what: str) -> None:
        if not holds:
            raise FileFormatError(f"{path!r} is damaged: {what}")

    layout, present = Layout(header.widths), set(file.keys())
    check(header.n_members <= len(present), f"'n_members' is {header.n_members}, but it has {len(present)} tensors")
    expected = _shapes(layout, header)
    for name in expected:
        check(name in present, f"tensor {name!r} is missing")
    for name in sorted(present - set(expected)):
        check(False, f"tensor {name!r} does not belong to its header")
    for name, shape in expected.items():
        view = file.get_slice(name)
        dtype, got = view.get_dtype(), tuple(view.get_shape())
        is_matrix = name in matrix_names(layout)
        wanted = "F32" if is_matrix and header.dtype == "float32" else "F64"
        check(dtype == wanted, f"{name!r} must be {wanted}, got {dtype}")
        if len(got) != len(shape) or any(e not in (None, g) for e, g in zip(shape, got, strict=True)):
            sizes = ", ".join("any" if e is None else str(e) for e in shape) + "," * (len(shape) == 1)
            check(False, f"{name!r} must be ({sizes}) for the widths {'-'.join(map(str, header.widths))}, got {got}")
    return {name: np.asarray(file.get_tensor(name)) for name in expected}


def _shapes(layout: Layout, header: Header) -> dict[str, tuple[int | None, ...]]:
    """Return the shapes of all tensors of a file; None is any size."""
    shapes: dict[str, tuple[int | None, ...]] = dict(zip(matrix_names(layout), layout.shapes, strict=True))
    if not header.no_band:
        shapes |= _band_shapes("band", layout)
    if header.prior:
        shapes["prior"] = (layout.n_parameters,)
    if header.n_members:
        shapes["density.calibration"] = (3,)
    if header.n_members > 1:
        shapes["density.scatter"] = (layout.widths[-1],)
    if header.varying_width:
        shapes["density.width.parameters"] = (None, None)
        shapes["density.width.range"] = (2, layout.widths[-1])
        shapes |= _band_shapes("density.width.band", layout)
    for i in range(header.n_members):
        shapes[f"density.{i}.noise"] = (layout.widths[-1],)
        if header.n_members > 1:
            shapes |= _band_shapes(f"density.{i}", layout)
    return shapes


def _band_tensors(prefix: str, band: LinearBand) -> dict[str, HostArray]:
    s, c = band.scaling, band.spectrum.with_negative_directions_unidentified()
    parts = {
        "theta": band.theta,
        "x_mean": s.x_mean,
        "x_scale": s.x_scale,
        "y_mean": s.y_mean,
        "y_scale": s.y_scale,
        "factor": c.factor,
        "null": c.unidentified,
        "scale": c.scale,
    }
    return {f"{prefix}.{name}": np.asarray(a, dtype=np.float64) for name, a in parts.items()}


def _band_shapes(prefix: str, layout: Layout) -> dict[str, tuple[int | None, ...]]:
    p, d, k = layout.n_parameters, layout.widths[0], layout.widths[-1]
    shapes: dict[str, tuple[int | None, ...]] = {
        "theta": (p,),
        "x_mean": (d,),
        "x_scale": (d,),
        "y_mean": (k,),
        "y_scale": (k,),
        "factor": (p, None),
        "null": (p, None),
        "scale": (p,),
    }
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def theta_of(layout: Layout, tensors: Mapping[str, HostArray]) -> HostArray:
    """Return the parameters ``(p,)`` from the matrices in a file's tensors."""
    return np.asarray(layout.flatten(np, [tensors[name].astype(np.float64) for name in matrix_names(layout)]))


def density_of(layout: Layout, tensors: Mapping[str, HostArray], header: Header) -> Predictive:
    """Build the predictive density from a file's tensors; the density of a single network uses the file's band."""
    a, b, inverse_nu = (float(v) for v in tensors["density.calibration"])
    calibration = Calibration(a, b, 1 / inverse_nu if inverse_nu else float("inf")) if a or b or inverse_nu else None
    prefixes = [f"density.{i}" for i in range(header.n_members)]
    bands = [band_of(layout, tensors, prefix if header.n_members > 1 else "band") for prefix in prefixes]
    noises = [tensors[f"{prefix}.noise"] for prefix in prefixes]
    width = middle = None
    if header.varying_width:
        middle = band_of(layout, tensors, "density.width.band")
        d, k = layout.widths[0], layout.widths[-1]
        width = VaryingWidth(tensors["density.width.parameters"], d, k, *tensors["density.width.range"])
    scatter = tensors.get("density.scatter", np.zeros(1))
    networks = tuple(Member(*pair) for pair in zip(bands, noises, strict=True))
    return Predictive(networks, calibration, width=width, scatter=scatter, middle=middle)


def band_of(layout: Layout, tensors: Mapping[str, HostArray], prefix: str = "band") -> LinearBand:
    """Build an error band from the file's tensors with this prefix."""
    t = {name.removeprefix(f"{prefix}."): a for name, a in tensors.items()}
    scaling = Scaling(layout, t["x_mean"], t["x_scale"], t["y_mean"], t["y_scale"])
    return LinearBand(
        t["theta"], scaling, Spectrum(t["factor"], t["null"], t["scale"], negative_directions=t["null"][:, :0])
    )
