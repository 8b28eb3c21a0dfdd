"""Histograms of the UHI protocol: `hist`, `boost_histogram`, `uproot` and others that are like them; none is imported.

A histogram has a `kind`, `values()`, `variances()` and `axes`, and `axes[i][j]` are the edges of a bin, or its number
(https://uhi.readthedocs.io).
"""

from __future__ import annotations

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


def edges_of(h: Any) -> list[HostArray]:
    """Return the edges of each dimension of a histogram, ``(b + 1,)``; bins of underflow and overflow are left out.

    Raises
    ------
    ValueError
        If an axis has categories instead of bins, or gaps between bins.
    """
    return [_edges(axis, i) for i, axis in enumerate(h.axes)]


def _edges(axis: Any, dimension: int) -> HostArray:
    bins = [axis[i] for i in range(len(axis))]
    if not bins or any(isinstance(b, str) for b in bins):
        raise ValueError(f"axis {dimension} of the histogram has categories, not bins: fit the bins of each category")
    pairs = [(float(b), float(b) + 1.0) if np.ndim(b) == 0 else (float(b[0]), float(b[1])) for b in bins]
    if any(this[1] != following[0] for this, following in pairwise(pairs)):
        raise ValueError(f"axis {dimension} of the histogram has gaps between its bins: fit each part alone")
    return np.array([low for low, _ in pairs] + [pairs[-1][1]])
