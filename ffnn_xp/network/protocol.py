"""`ModelLike`: the interface of a model for the packages below `model`."""

from __future__ import annotations

from typing import Protocol

from ffnn_xp._lib.typing import Array
from ffnn_xp.backends import Backend
from ffnn_xp.network.activations import Activation
from ffnn_xp.network.sweeps import Network


class ModelLike(Protocol):
    """The part of a model that costs and fits use."""

    @property
    def backend(self) -> Backend:
        """The backend that computes."""

    @property
    def parameters(self) -> Array:
        """The parameters theta ``(p,)`` on the device."""

    @property
    def network(self) -> Network:
        """The widths and activations."""

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The activation of each layer, known before the widths are."""

    @property
    def input_names(self) -> tuple[str, ...] | None:
        """The names of the inputs, if the model was fitted to a table."""

    def build(self, d: int, k: int) -> None:
        """Fill in widths that are still None."""

    def build_network(self, network: Network) -> None:
        """Take this network, one of `networks_for`, unless the model has one."""

    def networks_for(self, d: int, k: int) -> tuple[Network, ...]:
        """Return the networks among which a fit may choose; the first is `network_for`."""

    def name_inputs(self, names: tuple[str, ...] | None) -> None:
        """Keep the names of the inputs, if the model has neither names nor parameters of its own yet."""

    def network_for(self, d: int, k: int) -> Network:
        """Return the model's network for so many inputs and outputs; the model stays as it is."""

    def shape_of_data(self) -> tuple[int | None, int | None]:
        """Return the numbers of inputs and outputs, None where the data decide."""
