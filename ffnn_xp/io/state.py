"""`NetworkState`: the content of a network's file, which models are saved to and made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data import Scaling
from ffnn_xp.network import Activation, Layout
from ffnn_xp.uncertainty import LinearBand, Predictive, VaryingWidth

ROUNDING = {"float64": 1e-9, "float32": 1e-5}  # of the parameters in raw units, on another machine too


@dataclass(frozen=True)
class NetworkState:
    """A network with its uncertainty on the host, independent of the backend that fitted it.

    Attributes
    ----------
    widths : tuple of int
        Numbers of inputs, of units of each hidden layer, and of outputs.
    activations : tuple of Activation
        The activation of each layer, the output's last.
    theta : array with shape (p,)
        Parameters in raw units: augmented matrices row by row, bias last, layer after layer.
    dtype : {"float64", "float32"}
        The type that the network computes in.
    y_was_column : bool
        Whether predictions of a single output have shape ``(n, 1)``.
    band : LinearBand or None
        The linear error band.
    no_band : str
        Why there is no error band; empty if there is one.
    predictive : Predictive or None
        The density of new measurements.
    prior : array with shape (p,) or None
        The precisions of the prior of the fit, of standardised parameters; None without one.
    input_names, target_names : tuple of str or None
        Names of the inputs and outputs.
    fit : dict or None
        Summary of the fit, in types of JSON.
    metadata : mapping of str to str
        The user's own entries.
    name : str
        Name of the network; empty for none.

    Raises
    ------
    TypeError, ValueError
        If metadata are not text, a band is missing without a reason, a number is not possible, or the parts do not
        belong together: a band of other parameters, networks of other data.
    """

    widths: tuple[int, ...]
    activations: tuple[Activation, ...]
    theta: HostArray
    dtype: str = "float64"
    y_was_column: bool = False
    band: LinearBand | None = None
    no_band: str = ""
    predictive: Predictive | None = None
    prior: HostArray | None = None
    input_names: tuple[str, ...] | None = None
    target_names: tuple[str, ...] | None = None
    fit: dict[str, Any] | None = None
    metadata: Mapping[Any, Any] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        _check_metadata(self.metadata)
        if (self.band is None) is not bool(self.no_band):
            raise ValueError("a network has either an error band or a reason, `no_band`, why there is none")
        if self.predictive is not None and len(self.predictive.members) == 1 and self.band is None:
            raise ValueError("the predictive density of a single network needs its error band")
        p = Layout(self.widths).n_parameters
        _check(self.theta.shape == (p,) and _finite(self.theta), f"the network must have {p} finite parameters")
        if self.prior is not None:
            good = self.prior.shape == (p,) and _finite(self.prior) and np.all(self.prior >= 0)
            _check(good, f"the prior must have {p} finite precisions, none negative")
        if self.predictive is not None:
            _check_density(self.predictive)
        density = self.predictive
        more = () if density is None else (density.middle, *(m.band for m in density.members))
        _check_bands([band for band in (self.band, *more) if isinstance(band, LinearBand)])
        if self.band is not None:
            known = _is_band_of(self.band, self.theta, ROUNDING[self.dtype])
            _check(known, "the error band belongs to other parameters than the network's")


def _check_metadata(metadata: Mapping[Any, Any]) -> None:
    """Raise a TypeError if the user's entries are not text."""
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"`metadata` must map text to text, got {key!r}: {value!r}; use str() or json.dumps")


def _check_bands(bands: Sequence[LinearBand]) -> None:
    """Raise a ValueError if bands have impossible numbers, or are of different data."""
    for band in bands:
        _check_band(band)
        _check(_same_units(band.scaling, bands[0].scaling), "the error bands belong to fits of different data")


def _check(holds: Any, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _finite(*arrays: Any) -> bool:
    return all(np.all(np.isfinite(a)) for a in arrays)


def _check_band(band: LinearBand) -> None:
    """Raise a ValueError if a band has impossible numbers."""
    s, c = band.scaling, band.spectrum
    _check(_finite(band.theta, s.x_mean, s.y_mean, c.factor, c.unidentified), "the error band must be finite")
    with np.errstate(all="ignore"):
        for name, a in (("x_scale", s.x_scale), ("y_scale", s.y_scale), ("scale", c.scale)):
            _check(np.all(a > 0) and _finite(a, 1 / a), f"{name!r} of the error band must be positive and finite")
        _check(_finite(band.parameters, np.sum(c.factor**2, axis=1)), "the error band must be finite in raw units")
    p, number = len(band.theta), sum(a.shape[1] for a in (c.factor, c.unidentified, c.negative_directions))
    _check(number == p, f"the error band must have {p} directions, one for each parameter, got {number}")


def _check_density(density: Predictive) -> None:
    """Raise a ValueError if a predictive density has impossible numbers."""
    c = density.calibration
    if density.width is not None:
        _check(c is not None, "the width of the noise must be calibrated")
        _check_width(density.width)
    if c is not None:
        good = _finite(c.a, c.b) and min(c.a, c.b) > 0 and c.nu > 2
        _check(good, "the calibration must be positive, with nu above 2")
    _check(
        _finite(density.scatter) and np.all(density.scatter >= 0),
        "the scatter of networks must be finite and not negative",
    )
    for member in density.members:
        with np.errstate(over="ignore"):
            variance = (1.0 if c is None else c.a) * member.y_error**2
        _check(_finite(variance) and np.all(member.y_error >= 0), "the errors of y must be finite and not negative")


def _check_width(width: VaryingWidth) -> None:
    """Raise a ValueError if the width of the noise has impossible numbers."""
    p = width.parameters.shape[1]
    fits = len(width.parameters) and width.units > 0 and width.network.layout.n_parameters == p
    _check(fits, f"the width of the noise must be that of networks with one hidden layer, got {p} parameters for each")
    with np.errstate(over="ignore"):
        ends = np.exp([-width.lowest, width.highest])
    good = _finite(width.parameters, ends) and np.all(width.lowest <= width.highest)
    _check(good, "the width of the noise must be positive and finite")


def _same_units(first: Scaling, second: Scaling) -> bool:
    names = ("x_mean", "x_scale", "y_mean", "y_scale")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in names)


def _is_band_of(band: LinearBand, theta: HostArray, rounding: float) -> bool:
    """Return True if a band's parameters are theta up to rounding, which is that of the largest term of each sum."""
    s = band.scaling
    largest = replace(s, x_mean=-np.abs(s.x_mean), y_mean=np.abs(s.y_mean)).to_raw(np.abs(band.theta))
    return bool(np.all(np.abs(band.parameters - theta) <= rounding * largest))
