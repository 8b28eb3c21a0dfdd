"""TODO."""

from __future__ import annotations

from typing import Protocol

from ffnn_xp._lib.typing import Array
from ffnn_xp.backends import Backend
from ffnn_xp.network.activations import Activation
from ffnn_xp.network.sweeps import Network


class ModelLike(Protocol):
    """What a cost needs of a model."""

    @property
    def backend(self) -> Backend:
        """Where it computes."""

    @property
    def parameters(self) -> Array:
        """Theta on the device."""

    @property
    def network(self) -> Network:
        """Widths and activations."""

    @property
    def activations(self) -> tuple[Activation, ...]:
        """One for each layer, also before the widths are known."""

    def build(self, d: int, k: int) -> None:
        """Fill in widths that were left open."""

    def network_for(self, d: int, k: int) -> Network:
        """The network that this would be for so many inputs and outputs."""

    def shape_of_data(self) -> tuple[int | None, int | None]:
        """Inputs and outputs, None where the data decide."""
