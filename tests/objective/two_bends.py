"""The data that the costs of these tests are of."""

from __future__ import annotations

import numpy as np

SIGMA = 0.1


def data(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Two bends with noise: a network of widths 1-2-1 is determined by it."""
    rng = np.random.default_rng(7)
    x = np.linspace(-2, 2, n)
    return x, np.tanh(2 * x - 0.5) - 0.7 * np.tanh(1.2 * x + 1) + SIGMA * rng.normal(size=n)
