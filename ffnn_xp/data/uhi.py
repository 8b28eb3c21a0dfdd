"""Histograms of the UHI protocol: `hist`, `boost_histogram`, `uproot` and others that are like them; none is imported.

A histogram has a `kind`, `values()`, `variances()` and `axes`, and `axes[i][j]` are the edges of a bin, or its number
(https://uhi.readthedocs.io).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import HostArray


def is_histogram(a: Any) -> bool:
    """Return True if an object has the UHI protocol.

    Examples
    --------
    >>> is_histogram([1.0, 2.0])
    False
    """
    return hasattr(a, "kind") and hasattr(a, "axes") and all(callable(getattr(a, m, None)) for m in _METHODS)


_METHODS = ("values", "variances")


def has_categories(axis: Any) -> bool:
    """Return True for an axis whose bins are no intervals: names, numbers without an order, or true and false."""
    unordered = getattr(getattr(axis, "traits", None), "ordered", True) is False
    return unordered or type(axis).__name__ == "Boolean" or any(isinstance(b, str) for b in _bins(axis))


def names_of_axes(axes: Sequence[Any]) -> tuple[str, ...] | None:
    """Return the names of axes, None if some have none."""
    names = [name for axis in axes if isinstance(name := getattr(axis, "name", None), str) and name]
    return tuple(names) if len(names) == len(axes) else None


def edges_of(axes: Sequence[Any]) -> list[HostArray]:
    """Return the edges of each axis of a histogram, ``(b + 1,)``; bins of underflow and overflow are left out.

    Raises
    ------
    ValueError
        If an axis has categories instead of bins, or gaps between bins.
    """
    return [_edges(axis, i) for i, axis in enumerate(axes)]


def _bins(axis: Any) -> list[Any]:
    return [axis[i] for i in range(len(axis))]


def _edges(axis: Any, dimension: int) -> HostArray:
    bins = _bins(axis)
    if not bins or has_categories(axis):
        raise ValueError(
            f"axis {dimension} of the histogram has categories, not bins: fit one of them, or their sum; as fractions "
            "they need loss='binomial' or 'multinomial'"
        )
    pairs = [(float(b), float(b) + 1.0) if np.ndim(b) == 0 else (float(b[0]), float(b[1])) for b in bins]
    if any(this[1] != following[0] for this, following in pairwise(pairs)):
        raise ValueError(f"axis {dimension} of the histogram has gaps between its bins: fit each part alone")
    return np.array([low for low, _ in pairs] + [pairs[-1][1]])
