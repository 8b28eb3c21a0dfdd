"""Inputs that were measured with errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from ffnn_xp.backends import to_numpy
from ffnn_xp.data.bins import Bins
from ffnn_xp.losses import Loss


@dataclass(frozen=True)
class UncertainInputs:
    """x and its standard deviations, not checked yet; what stands in place of x inside a fit.

    Attributes
    ----------
    x, error : array-like
        As the user gave them.
    inputs : tuple of int
        Which inputs have an error.
    """

    x: Any
    error: Any
    inputs: tuple[int, ...]

    def statistic(self, of: Loss) -> Loss:
        """The one that knows of the errors.

        Raises
        ------
        ValueError
            If it is another than least squares with independent errors.
        """
        return of.with_x_error(self.inputs)


def with_errors(x: Any, error: Any) -> Any:
    """x together with its errors; x itself where there are none.

    Raises
    ------
    ValueError
        If x are bins, or the shape of the errors is none that they can have.
    """
    if error is None:
        return x
    if isinstance(x, Bins):
        raise ValueError("`x_err` has no place beside Bins, which are integrated over: give their centres as x")
    shape = np.shape(x if not hasattr(x, "shape") else np.empty((0, *x.shape[1:])))
    d = shape[1] if len(shape) == 2 else 1
    sigma = np.asarray(to_numpy(error) if array_api_compat.is_array_api_obj(error) else error)
    if sigma.ndim > 2 or (sigma.ndim == 2 and sigma.shape[1] not in (1, d)):
        raise ValueError(f"`x_err` must be one number, or have shape ({d},) or (n, {d}), got {sigma.shape}")
    shared = sigma.ndim == 0 or sigma.shape[-1] != d
    inputs = tuple(j for j in range(d) if np.any((sigma if shared else sigma[..., j]) != 0))
    return UncertainInputs(x, error, inputs) if inputs else x
