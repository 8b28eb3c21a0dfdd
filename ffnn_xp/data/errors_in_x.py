"""Errors of inputs: checks, and the inputs that have any."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from ffnn_xp.backends import to_numpy
from ffnn_xp.data.points import Points


def uncertain_inputs(points: Points, error: Any) -> tuple[int, ...]:
    """Return the numbers of the inputs whose errors are not all zero.

    Raises
    ------
    ValueError
        If x are bins, or the errors do not have a possible shape.
    """
    if error is None:
        return ()
    if points.node_weights is not None:
        raise ValueError("`x_err` has no place beside Bins, which are integrated over: give their centres as x")
    d = points.n_inputs
    sigma = np.asarray(to_numpy(error) if array_api_compat.is_array_api_obj(error) else error)
    if sigma.ndim > 2 or (sigma.ndim == 2 and sigma.shape[1] not in (1, d)):
        raise ValueError(f"`x_err` must be one number, or have shape ({d},) or (n, {d}), got {sigma.shape}")
    shared = sigma.ndim == 0 or sigma.shape[-1] != d
    return tuple(j for j in range(d) if np.any((sigma if shared else sigma[..., j]) != 0))
