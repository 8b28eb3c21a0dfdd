"""Statistics of an output to which another function is added, event by event."""

from __future__ import annotations

from dataclasses import dataclass

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.losses.base import Data
from ffnn_xp.losses.wrapped import WrappedLoss


@dataclass(frozen=True)
class AddedLoss(WrappedLoss):
    """A statistic of the sum of the output and an added function; its data are that function, and the inner data.

    Examples
    --------
    >>> import numpy as np
    >>> from .least_squares import LeastSquaresLoss
    >>> added, target, inverse_error = np.array(1.0), np.array(2.0), np.array(2.0)
    >>> float(AddedLoss(LeastSquaresLoss()).value(np, np.array(2.0), (added, target, inverse_error)))
    4.0
    """

    def unwrapped(self, y: Array, data: Data) -> tuple[Array, Data]:
        """Return the sum, and the data of its statistic."""
        return y + data[0], data[1:]

    def columns(self, xp: Namespace, y: Array, auxiliary: Array, shift: Array, scale: Array) -> Data:
        """Return zeros for the added function, and the data of the inner statistic."""
        return (xp.zeros_like(y), *self.inner.columns(xp, y, auxiliary, shift, scale))
