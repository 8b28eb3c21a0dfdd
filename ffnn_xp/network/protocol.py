"""Protocols: what the packages below `model` need of a model."""

from __future__ import annotations

from typing import Protocol

from ffnn_xp._lib.typing import Array
from ffnn_xp.backends import Backend
from ffnn_xp.network.activations import Activation
from ffnn_xp.network.sweeps import Network


class ModelLike(Protocol):
    """A model as costs and fits see it."""

    @property
    def backend(self) -> Backend:
        """The backend it computes on."""

    @property
    def parameters(self) -> Array:
        """The parameters theta ``(p,)`` on the device."""

    @property
    def network(self) -> Network:
        """The network: widths and activations."""

    @property
    def activations(self) -> tuple[Activation, ...]:
        """One activation for each layer, also before the widths are known."""

    def build(self, d: int, k: int) -> None:
        """Fill in widths that were left open."""

    def network_for(self, d: int, k: int) -> Network:
        """Return the network that the model would be for so many inputs and outputs."""

    def shape_of_data(self) -> tuple[int | None, int | None]:
        """Return the numbers of inputs and outputs, None where the data decide."""
