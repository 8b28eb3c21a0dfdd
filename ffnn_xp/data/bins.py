r"""Bins as inputs: the measured values are integrals of the network over bins, not its values at their centres.

.. math:: u_b = \int_b y(x)\,dx \approx \sum_q w_{bq}\,y(x_{bq})

with the Gauss-Legendre nodes of each dimension (their product in several dimensions), which are exact for polynomials
up to degree 2 q - 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import array_api_compat
import numpy as np

from ffnn_xp._lib.text import Page, Shown, counted, visible
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp._lib.validation import whole_number
from ffnn_xp.data.uhi import edges_of, is_histogram, names_of_axes


class Bins(Shown):
    """The bins of a histogram, for x in `Model.fit` and in the costs.

    Parameters
    ----------
    *edges : array-like with shape (b + 1,)
        Increasing edges of each dimension. In several dimensions all cells are used, the last dimension fastest, as
        `numpy.histogramdd` fills them: y is ``counts.ravel()``. Or a histogram of `hist`, `boost_histogram` or
        `uproot`, whose edges are used; underflow and overflow have none, and are left out.
    nodes : int
        Points of the integral in each dimension.
    average : bool
        Whether y are means over the bins instead of integrals.

    Attributes
    ----------
    edges : tuple of array with shape (b + 1,)
        The edges of each dimension.
    axes : tuple
        The axes of the histogram; none if edges were given.
    columns : tuple of str or None
        The names of the dimensions, where the histogram's axes have names.

    Raises
    ------
    ValueError
        If edges are not finite, not increasing, or fewer than two.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> bins = fx.Bins([0.0, 1.0, 3.0], nodes=2)
    >>> bins.n, bins.volume, float(np.sum(bins.weights[1] * bins.x[2:, 0] ** 2))  # the integral of x^2 from 1 to 3
    (2, array([1., 2.]), 8.666666666666666)
    >>> fx.Bins([0.0, 1.0, 3.0], [0.0, 5.0])
    Bins: 2 of 2 dimensions
      x 0          2 bins from 0 to 3, of widths 1 to 2
      x 1          1 bin from 0 to 5, of width 5
      integrals    16 points of each bin
    """

    def __init__(self, *edges: Any, nodes: int = 4, average: bool = False) -> None:
        if not edges:
            raise ValueError("`edges` are missing: give those of each dimension, Bins(edges) or Bins(edges_x, edges_y)")
        nodes = whole_number(nodes, "nodes", 1)
        self.axes: tuple[Any, ...] = ()
        if len(edges) == 1 and is_histogram(edges[0]):
            self.axes = tuple(edges[0].axes)
            edges = tuple(edges_of(self.axes))
        self.columns = names_of_axes(self.axes) or None
        checked = [_edges(e, i) for i, e in enumerate(edges)]
        t, w = np.polynomial.legendre.leggauss(nodes)
        points = [np.add.outer(0.5 * (e[1:] + e[:-1]), 0.0 * t) + np.outer(0.5 * np.diff(e), t) for e in checked]
        weights = [np.outer(0.5 * np.diff(e), w) for e in checked]
        self.edges: tuple[HostArray, ...] = tuple(checked)
        cells = [len(e) - 1 for e in checked]
        self.n = int(np.prod(cells))
        self.nodes, self.average = nodes ** len(checked), average
        self.x = np.stack([_over_cells(p, i, cells) for i, p in enumerate(points)], axis=-1).reshape(-1, len(checked))
        product = np.ones(1)
        for i, each in enumerate(weights):
            product = product * _over_cells(each, i, cells)
        self.weights: HostArray = product.reshape(self.n, self.nodes)
        self.volume: HostArray = self.weights.sum(axis=1)
        if average:
            self.weights = self.weights / self.volume[:, None]

    @classmethod
    def of(cls, x: Any) -> Bins | None:
        """Return bins themselves, those of a histogram, and None for anything else."""
        return x if isinstance(x, Bins) else cls(x) if is_histogram(x) else None

    def contents(self, values: Array) -> Array:
        """Sum values at the nodes, ``(n q, ...)`` of any library, to contents of the bins, ``(n, ...)``."""
        xp = array_api_compat.array_namespace(values)
        weights = xp.asarray(self.weights, dtype=values.dtype, device=array_api_compat.device(values))
        rest = values.shape[1:]
        each = xp.reshape(values, (*self.weights.shape, *rest))
        return xp.sum(each * xp.reshape(weights, (*weights.shape, *(1 for _ in rest))), axis=1)

    @property
    def centers(self) -> HostArray:
        """The centre of each bin, ``(n, d)``."""
        mid = [0.5 * (e[1:] + e[:-1]) for e in self.edges]
        return np.stack([a.ravel() for a in np.meshgrid(*mid, indexing="ij")], axis=-1)

    def _page(self) -> Page:
        d = len(self.edges)
        names = self.columns or [f"x {i}" if d > 1 else "x" for i in range(d)]
        pairs = [(visible(name), _in_words(edges)) for name, edges in zip(names, self.edges, strict=True)]
        kind = "means" if self.average else "integrals"
        points = (kind, f"{counted(self.nodes, 'point')} of each bin")
        return Page("Bins", f"{self.n} of {counted(d, 'dimension')}", [*pairs, points])

    def __len__(self) -> int:
        return self.n


def _in_words(edges: HostArray) -> str:
    """Say how many bins there are, from where to where, and how wide they are."""
    widths = np.diff(edges)
    low, high = f"{np.min(widths):.4g}", f"{np.max(widths):.4g}"
    width = f"width {low}" if low == high else f"widths {low} to {high}"
    return f"{counted(len(widths), 'bin')} from {edges[0]:.6g} to {edges[-1]:.6g}, of {width}"


def _edges(edges: Any, dimension: int) -> HostArray:
    e = np.asarray(edges, dtype=np.float64)
    name = f"`edges` of dimension {dimension}"
    if e.ndim != 1 or len(e) < 2:
        raise ValueError(f"{name} must have shape (b + 1,) with at least one bin, got {e.shape}")
    if not np.all(np.isfinite(e)):
        raise ValueError(f"{name} must be finite: leave overflow bins out")
    if np.any(np.diff(e) <= 0):
        at = int(np.argmax(np.diff(e) <= 0))
        raise ValueError(
            f"{name} must increase, got {e[at]:g} and then {e[at + 1]:g}: sort the bins, and their contents"
        )
    return e


def _over_cells(each: HostArray, dimension: int, cells: Sequence[int]) -> HostArray:
    """Broadcast values of one dimension ``(b, q)`` to all cells and nodes, ``(b_1, ..., b_d, q_1, ..., q_d)``."""
    d = len(cells)
    shape = [1] * (2 * d)
    shape[dimension], shape[d + dimension] = each.shape
    return np.broadcast_to(each.reshape(shape), (*cells, *[each.shape[1]] * d))
