"""TODO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import HostArray


def vector(args: Sequence[Any], p: int) -> HostArray:
    """Theta from how MINUIT or a user passes it: one vector, or p numbers."""
    theta = np.asarray(args[0] if len(args) == 1 else args, dtype=np.float64).reshape(-1)
    if theta.shape != (p,):
        raise ValueError(f"expected {p} parameters, as one vector or as {p} numbers, got {theta.size}")
    return theta
