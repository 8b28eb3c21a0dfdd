"""Random starts: matrices drawn by NumPy's generator, so that a seed means the same on every backend."""

from __future__ import annotations

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.network.layout import Layout


def glorot(layout: Layout, rng: np.random.Generator, gain: float = 1.0) -> HostArray:
    r"""Draw theta ``(p,)``, biases too, uniformly in `gain` times :math:`\pm\sqrt{6/(h_{l-1} + h_l)}`.

    X. Glorot and Y. Bengio, AISTATS 2010, eq. 16. Biases are drawn from the same interval, since with zero biases all
    units of the first layer bend at the same point.

    Examples
    --------
    >>> glorot(Layout((8, 7, 9, 6)), np.random.default_rng(1)).shape
    (195,)
    """
    layers = []
    for rows, columns in layout.shapes:
        bound = gain * np.sqrt(6 / (rows + columns - 1))
        layers.append(rng.uniform(-bound, bound, rows * columns))
    return np.concatenate(layers)
