"""Statistics made from other ones: what a subclass does not replace is the inner statistic's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Mask, Namespace
from ffnn_xp.losses.base import Data, Loss


@dataclass(frozen=True)
class WrappedLoss(Loss):
    """A statistic made from another one, `inner`, with its properties and methods unless a subclass replaces them."""

    inner: Loss

    def __post_init__(self) -> None:
        for name in Loss.__annotations__:
            if name not in vars(type(self)):
                object.__setattr__(self, name, getattr(self.inner, name))

    def unwrapped(self, y: Array, data: Data) -> tuple[Array, Data]:
        """Return output and data of the inner statistic."""
        return y, data

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute s and ds/dy by the inner statistic."""
        return self.inner.value_and_first(xp, *self.unwrapped(y, data))

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute d2s/dy2 by the inner statistic."""
        return self.inner.second(xp, *self.unwrapped(y, data))

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute the approximation of d2s/dy2 by the inner statistic."""
        return self.inner.fisher(xp, *self.unwrapped(y, data))

    def root(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute the root of `fisher` by the inner statistic."""
        return self.inner.root(xp, *self.unwrapped(y, data))

    def columns(self, xp: Namespace, y: Array, auxiliary: Array, shift: Array, scale: Array) -> Data:
        """Return the data of the inner statistic."""
        return self.inner.columns(xp, y, auxiliary, shift, scale)

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array) -> Array:
        """Compute pulls by the inner statistic."""
        return self.inner.pulls(xp, y, measured, auxiliary)

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw new measurements from the inner statistic's distribution."""
        return self.inner.sample(rng, prediction, auxiliary)

    def without_end(self, measured: HostArray, possible: HostArray, some: Mask) -> str:
        """Say by the inner statistic why S may fall for ever."""
        return self.inner.without_end(measured, possible, some)

    def median_pull(self) -> float | None:
        """Return the inner statistic's median of absolute pulls."""
        return self.inner.median_pull()

    def constant_output(self, observed: HostArray, possible: HostArray) -> HostArray:
        """Return the inner statistic's constant output."""
        return self.inner.constant_output(observed, possible)
