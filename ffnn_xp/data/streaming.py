"""The backend of a fit: in double precision, and with host-resident data where they do not fit on the device.

A fit needs exact differences of values: a gradient at a minimum is a small sum of large terms, and in single precision
its errors would be several standard deviations. So a float32 model is fitted with float64 data, if its device has
float64 (a single-precision stage comes first in any case), and keeps float32 parameters.

Data that do not fit on the device stay in main memory as NumPy arrays; chunk after chunk is copied to the device
(`backends.streaming`), and only sums of theta's size are copied back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ffnn_xp._lib.typing import Array
from ffnn_xp.backends import Backend, streamed_through
from ffnn_xp.data.measurements import Measurements
from ffnn_xp.data.points import points_of
from ffnn_xp.network import Activation, ModelLike, Network

COPIES = 5  # copies of the data that a fit has at a time: raw and standardised, as rows and as columns, with errors
SHARE = 0.8  # share of the free memory for them; a larger share leaves less for temporaries


@dataclass(frozen=True)
class ModelOnBackend:
    """A model that computes with another backend than its own, from its own theta."""

    model: ModelLike
    backend: Backend

    @property
    def parameters(self) -> Array:
        """The model's theta as an array of this backend."""
        return self.backend.to_device(self.model.backend.to_host(self.model.parameters))

    @property
    def network(self) -> Network:
        """The widths and activations."""
        return self.model.network

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The activation of each layer."""
        return self.model.activations

    @property
    def input_names(self) -> tuple[str, ...] | None:
        """The names of the inputs."""
        return self.model.input_names

    def build(self, d: int, k: int) -> None:
        """Fill in widths that are still None."""
        self.model.build(d, k)

    def build_network(self, network: Network) -> None:
        """Take this network, unless the model has one."""
        self.model.build_network(network)

    def networks_for(self, d: int, k: int) -> tuple[Network, ...]:
        """Return the networks among which a fit may choose."""
        return self.model.networks_for(d, k)

    def name_inputs(self, names: tuple[str, ...] | None) -> None:
        """Keep the names of the inputs."""
        self.model.name_inputs(names)

    def network_for(self, d: int, k: int) -> Network:
        """Return the network for so many inputs and outputs."""
        return self.model.network_for(d, k)

    def shape_of_data(self) -> tuple[int | None, int | None]:
        """Return the numbers of inputs and outputs, None where the data decide."""
        return self.model.shape_of_data()


def in_double_precision(model: ModelLike) -> ModelLike:
    """Return the model in double precision, if its device has it."""
    double = model.backend.in_double_precision()
    return model if double is None else ModelOnBackend(model, double)


def model_for_fit(model: ModelLike, measurements: Measurements) -> ModelLike:
    """Return the model in double precision if its device has it, with host-resident data if the device is too small."""
    return host_resident_if_needed(in_double_precision(model), measurements)


def host_resident_if_needed(model: ModelLike, measurements: Measurements) -> ModelLike:
    """Return the model, or one with host-resident data where these data would not fit on its device."""
    backend, points = model.backend, points_of(measurements.x)
    on_host = points.node_weights is None and not any(map(backend.owns, (points.x, measurements.y)))
    if not on_host or backend.computes is not None:
        return model
    free = backend.free_memory()
    if free is None or COPIES * 8 * (_size(points.x) + _size(measurements.y)) <= SHARE * free:
        return model
    return ModelOnBackend(model, streamed_through(backend))


def _size(a: Any) -> int:
    """Return the number of values of an array; 0 for an object without a shape, which is small."""
    return math.prod(getattr(a, "shape", ()) or (0,))
