"""A model as a fit sees it: in double precision, and beside its device where the data do not fit there.

What limits a fit is not the values but their differences: a gradient at a minimum is a small sum of large terms, of
which single precision leaves errors of several standard deviations. So a float32 model is fitted with float64 data, as
far as its device has them (the long way is walked in float32 in any case), and keeps float32 parameters.

Data that do not fit on the device stay in main memory as NumPy arrays; block after block goes through the device
(`backends.streaming`), and what comes back is of theta's size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ffnn_xp._lib.typing import Array
from ffnn_xp.backends import Backend
from ffnn_xp.data.bins import Bins
from ffnn_xp.network import Activation, ModelLike, Network

COPIES = 5  # of the data that a fit has at a time: raw and standardised, as rows and as columns, with errors
SHARE = 0.8  # of what is free that they may take


@dataclass(frozen=True)
class ModelOnBackend:
    """A model as one that computes with another backend; theta stays the model's own."""

    model: ModelLike
    backend: Backend

    @property
    def parameters(self) -> Array:
        """Theta, where this backend has it."""
        return self.backend.to_device(self.model.backend.to_host(self.model.parameters))

    @property
    def network(self) -> Network:
        """Widths and activations."""
        return self.model.network

    @property
    def activations(self) -> tuple[Activation, ...]:
        """One for each layer."""
        return self.model.activations

    def build(self, d: int, k: int) -> None:
        """Fill in widths that were left open."""
        self.model.build(d, k)

    def network_for(self, d: int, k: int) -> Network:
        """The network that this would be for so many inputs and outputs."""
        return self.model.network_for(d, k)

    def shape_of_data(self) -> tuple[int | None, int | None]:
        """Inputs and outputs, None where the data decide."""
        return self.model.shape_of_data()


def prepared_for_fit(model: ModelLike, x: Any, y: Any) -> ModelLike:
    """In double precision if the device has it, and beside the device if these data do not fit there."""
    double = model.backend.in_double_precision()
    return host_resident(model if double is None else ModelOnBackend(model, double), x, y)


def host_resident(model: ModelLike, x: Any, y: Any) -> ModelLike:
    """The model itself, or what stands for it where a fit to these data would not fit on its device."""
    backend = model.backend
    if isinstance(x, Bins) or backend.computes is not None or any(map(backend.owns, (x, y))):
        return model
    free = backend.free_memory()
    if free is None or COPIES * 8 * (_size(x) + _size(y)) <= SHARE * free:
        return model
    return ModelOnBackend(model, backend.host_resident())


def _size(a: Any) -> int:
    """Number of values; of what has no shape none, since it is small."""
    return math.prod(getattr(a, "shape", ()) or (0,))
