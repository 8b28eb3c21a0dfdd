"""Array types, and the letters of shapes, which are the same in every file.

n events, d inputs, k outputs, h units of a layer, p parameters, r replicas (always a leading axis, written ``...``).
Inside the library events are columns, ``(..., h, n)``; at the public face they are rows, ``(n, d)`` and ``(n, k)``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""An array of any library that follows the array API standard, on any device."""

Namespace: TypeAlias = Any
"""An array API namespace, written ``xp``."""

HostArray: TypeAlias = NDArray[np.float64]
"""A NumPy array of float64 in main memory, as MINUIT uses it."""

Elementwise: TypeAlias = Callable[..., Array]
"""A function of ``(xp, z)`` or ``(xp, z, a)`` that acts on each element by itself."""

Rows: TypeAlias = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]
"""Row numbers, on the host."""

Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
"""A boolean for each row, on the host."""

PathLike: TypeAlias = str | os.PathLike[str]
"""The name of a file."""
