"""A statistic of an output to which something else is added, event by event."""

from __future__ import annotations

from dataclasses import dataclass

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.losses.base import Data, Loss


@dataclass(frozen=True)
class AddedLoss(Loss):
    """That of another statistic, which sees the sum; its data are what is added, and those of the other.

    Examples
    --------
    >>> import numpy as np
    >>> from .normal import LeastSquaresLoss
    >>> added, target, inverse_error = np.array(1.0), np.array(2.0), np.array(2.0)
    >>> float(AddedLoss(LeastSquaresLoss()).value(np, np.array(2.0), (added, target, inverse_error)))
    4.0
    """

    inner: Loss

    @property
    def name(self) -> str:
        """The other's."""
        return self.inner.name

    @property
    def errordef(self) -> float:
        """The other's."""
        return self.inner.errordef

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """The other's, of the sum."""
        return self.inner.value_and_first(xp, y + data[0], data[1:])

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """The other's, of the sum."""
        return self.inner.second(xp, y + data[0], data[1:])

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """The other's, of the sum."""
        return self.inner.fisher(xp, y + data[0], data[1:])

    def columns(self, xp: Namespace, y: Array, auxiliary: Array | None, shift: Array, scale: Array) -> Data:
        """The other's, behind nothing that is added yet."""
        return (xp.zeros_like(y), *self.inner.columns(xp, y, auxiliary, shift, scale))

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array | None) -> Array:
        """The other's; y is the sum."""
        return self.inner.pulls(xp, y, measured, auxiliary)
