r"""`Content`: a fitted network as numbers on the host, ready to be written in any format.

The mean is that of networks in raw units. The error band is that of `uncertainty.LinearBand`: with
:math:`u = (x - m_x)/s_x`, J the derivative of the raw outputs in the standardised parameters, and
:math:`\Sigma = F F^T`, the standard deviation is the length of the rows of J F. The mean :math:`\bar y` of an ensemble
of M networks has

.. math:: A = \frac{1}{\sqrt M} \left(J_1 F_1, \ldots, J_M F_M,
          \frac{y_1 - \bar y}{\sqrt{M - 1}}, \ldots, \frac{y_M - \bar y}{\sqrt{M - 1}}\right),
          \qquad \sigma^2 = \mathrm{diag}(A A^T)

(`uncertainty.Predictive.std`), and a single network A = J F.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ffnn_xp._lib.errors import NotFittedError
from ffnn_xp._lib.text import visible
from ffnn_xp._lib.typing import HostArray
from ffnn_xp._lib.validation import whole_number
from ffnn_xp._lib.version import __version__
from ffnn_xp.backends import get_backend
from ffnn_xp.data import in_order, input_rows
from ffnn_xp.io import NetworkState
from ffnn_xp.network import Activation, Network, evaluate
from ffnn_xp.uncertainty import LinearBand, MatrixFreeBand, Predictive


class Exportable(Protocol):
    """The part of a `Model` that is exported."""

    @property
    def network(self) -> Network:
        """The widths and activations."""

    @property
    def input_names(self) -> tuple[str, ...] | None:
        """The names of the inputs, if the model was fitted to a table."""

    @property
    def ensemble_parameters(self) -> HostArray:
        """The parameters of the networks whose mean is predicted, ``(m, p)`` in raw units."""

    @property
    def uncertainty(self) -> tuple[LinearBand | MatrixFreeBand | None, str, Predictive | None]:
        """The error band, or the reason why there is none, and the density of new measurements."""

    def to_state(self, *, band: bool | None = None) -> NetworkState:
        """Return the content of a file of the model."""


@dataclass(frozen=True)
class Band:
    r"""The error band of one network.

    Attributes
    ----------
    matrices : tuple of arrays with shape (h_l, h_{l-1} + 1)
        The augmented matrices of the standardised network.
    factor : array with shape (p, r)
        F, over :math:`\sqrt M` in an ensemble.
    lift : array with shape (p,)
        The spectrum's scale; the shares of unidentified directions are those of J times it.
    unidentified : array with shape (p, m)
        The unidentified directions, none if all are identified.
    """

    matrices: tuple[HostArray, ...]
    factor: HostArray
    lift: HostArray
    unidentified: HostArray


@dataclass(frozen=True)
class Content:
    """A network, or the networks of an ensemble, with their error bands.

    Attributes
    ----------
    activations : tuple of Activation
        The activation of each layer, the output's last.
    networks : tuple of tuples of arrays with shape (h_l, h_{l-1} + 1)
        The augmented matrices of each network in raw units.
    bands : tuple of Band
        The band of each network; empty without standard deviations and modes.
    modes : array with shape (r, m)
        The combinations of the columns of A that are requested as modes, orthonormal; m is 0 without any.
    std : bool
        Whether standard deviations are requested.
    x_mean, x_scale : array with shape (d,)
        The inputs of the bands are ``(x - x_mean) / x_scale``.
    y_mean, y_scale : array with shape (k,)
        The argument of the output activation is y_scale times that of the standardised network, plus y_mean.
    inputs, outputs : tuple of str
        Names of the columns.
    named : bool
        Whether the names of the inputs are those of the data's columns, by which tables can be read.
    name : str
        Name of the network; empty for none.
    dtype : {"float64", "float32"}
        The type that the model computes in.
    column : bool
        Whether predictions of a single output have shape ``(n, 1)``.
    """

    activations: tuple[Activation, ...]
    networks: tuple[tuple[HostArray, ...], ...]
    bands: tuple[Band, ...]
    modes: HostArray
    std: bool
    x_mean: HostArray
    x_scale: HostArray
    y_mean: HostArray
    y_scale: HostArray
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    named: bool
    name: str
    dtype: str
    column: bool

    @property
    def widths(self) -> tuple[int, ...]:
        """The numbers of inputs, of units of each hidden layer, and of outputs."""
        return (len(self.inputs), *(len(A) for A in self.networks[0]))

    @property
    def title(self) -> str:
        """A line that says what the file holds, and who made it."""
        what = "-".join(map(str, self.widths)) + " network"
        if len(self.networks) > 1:
            what = f"mean of {len(self.networks)} {what}s"
        *hidden, output = (f.name for f in self.activations)
        layers = ", ".join(dict.fromkeys(hidden)) or "no hidden layer"
        called = f"{self.name}: " if self.name else ""
        return visible(f"{called}{what} ({layers}; output {output}), written by ffnn_xp {__version__}")


def content_of(model: Exportable, *, std: bool, modes: int = 0, x: Any = None) -> Content:
    """Return what a model predicts with: its network, or those of its ensemble, with their bands if requested.

    Parameters
    ----------
    model : Model
        The model.
    std : bool
        Whether standard deviations are requested.
    modes : int
        The number of modes of the band that are requested.
    x : array-like with shape (n, d)
        The points at which modes are leading.

    Raises
    ------
    NotFittedError
        If the model has no parameters yet, or standard deviations or modes are requested and it has none.
    ValueError
        If modes are requested without points, or points without modes.
    """
    state, layout = model.to_state(band=False), model.network.layout
    bands, density = _bands(model), model.uncertainty[2]
    wanted = _linear(bands, model.uncertainty[1]) if std or modes else ()
    if (x is None) is not (modes == 0):
        raise ValueError("`modes` are the leading ones at the points `x`, such as the centers of bins: give both")
    d, k = state.widths[0], state.widths[-1]
    x_mean, x_scale, y_mean, y_scale = np.zeros(d), np.ones(d), np.zeros(k), np.ones(k)
    if bands:
        s = bands[0].scaling
        x_mean, x_scale, y_mean, y_scale = s.x_mean, s.x_scale, s.y_mean, s.y_scale
    predicts_width = density is not None and density.predicts_width
    return Content(
        activations=state.activations,
        networks=tuple(tuple(layout.matrices(np, theta)) for theta in model.ensemble_parameters),
        bands=tuple(_band(band, 1 / np.sqrt(len(wanted))) for band in wanted),
        modes=_leading_modes(model, modes, x, wanted) if modes else np.empty((0, 0)),
        std=std,
        x_mean=x_mean,
        x_scale=x_scale,
        y_mean=y_mean,
        y_scale=y_scale,
        inputs=state.input_names or _numbered("x", d),
        outputs=state.target_names or _output_names(k, predicts_width=predicts_width),
        named=state.input_names is not None,
        name=state.name,
        dtype=state.dtype,
        column=state.y_was_column,
    )


def _bands(model: Exportable) -> tuple[LinearBand | MatrixFreeBand, ...]:
    """Return the bands of the networks of a model, none if it has none."""
    band, _, density = model.uncertainty
    if density is not None and len(density.members) > 1:
        return tuple(member.band for member in density.members)
    return () if band is None else (band,)


def _linear(bands: Sequence[LinearBand | MatrixFreeBand], why: str) -> tuple[LinearBand, ...]:
    """Return bands that can be written; `why` says why there are none."""
    if not bands:
        raise NotFittedError(f"there is no error band to export: {why}")
    linear = tuple(band for band in bands if isinstance(band, LinearBand))
    if len(linear) < len(bands):
        raise NotFittedError(
            "there is no error band to export: no p x p matrix was formed in this fit, and its band is computed from "
            "the data themselves. Export the mean alone, or fit fewer units"
        )
    return linear


def _numbered(letter: str, number: int) -> tuple[str, ...]:
    return (letter,) if number == 1 else tuple(f"{letter}{i}" for i in range(number))


def _output_names(k: int, *, predicts_width: bool) -> tuple[str, ...]:
    if not predicts_width:
        return _numbered("y", k)
    means = _numbered("y", k // 2)
    return (*means, *(f"{mean}_log_width" for mean in means))


def _band(band: LinearBand, weight: float) -> Band:
    spectrum, matrices = band.spectrum, band.scaling.layout.matrices(np, band.theta)
    return Band(tuple(matrices), weight * spectrum.factor, spectrum.scale, spectrum.unidentified)


def _leading_modes(model: Exportable, number: int, x: Any, bands: Sequence[LinearBand]) -> HostArray:
    """Return the combinations of the columns of A that vary the predictions at x most, orthonormal ``(r, number)``.

    They are the eigenvectors of the sum of A^T A over the points x with the largest eigenvalues, in this order. Of the
    two signs of each, the one is taken by which the largest shift is upwards.
    """
    number, backend = whole_number(number, "modes", 1), get_backend("numpy")
    rows, _ = input_rows(backend, in_order(x, model.input_names), model.network.layout.widths[0])
    network, columns, m = model.network, rows.T, len(bands)
    parts = [band.covariance_root(network, backend, columns) / np.sqrt(m) for band in bands]
    if m > 1:
        y = [evaluate(network, backend, band.parameters, columns).T.ravel() for band in bands]
        parts.append(((y - np.mean(y, axis=0)) / np.sqrt(m * (m - 1))).T)
    A = np.concatenate(parts, axis=1)
    A = A[np.all(np.isfinite(A), axis=1)]
    if number > min(A.shape):
        raise ValueError(f"`modes` must be at most {min(A.shape)}, the number of modes at these points, got {number}")
    modes = np.linalg.svd(A, full_matrices=False)[2][:number].T
    shifts = A @ modes
    largest = np.take_along_axis(shifts, np.argmax(np.abs(shifts), axis=0)[None], axis=0)[0]
    return np.asarray(modes * np.where(largest < 0, -1.0, 1.0))
