"""`NetworkState`: the content of a network's file, which models are saved to and made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.network import Activation
from ffnn_xp.uncertainty import LinearBand, Predictive


@dataclass(frozen=True)
class NetworkState:
    """A network with its uncertainty on the host, independent of the backend that fitted it.

    Attributes
    ----------
    widths : tuple of int
        Numbers of inputs, of units of each hidden layer, and of outputs.
    activations : tuple of Activation
        The activation of each layer, the output's last.
    theta : array with shape (p,)
        Parameters in raw units: augmented matrices row by row, bias last, layer after layer.
    dtype : {"float64", "float32"}
        The type that the network computes in.
    y_was_column : bool
        Whether predictions of a single output have shape ``(n, 1)``.
    band : LinearBand or None
        The linear error band.
    no_band : str
        Why there is no error band; empty if there is one.
    predictive : Predictive or None
        The density of new measurements.
    input_names, target_names : tuple of str or None
        Names of the inputs and outputs.
    fit : dict or None
        Summary of the fit, in types of JSON.
    metadata : mapping of str to str
        The user's own entries.
    name : str
        Name of the network; empty for none.

    Raises
    ------
    TypeError, ValueError
        If metadata are not text, or a band is missing without a reason.
    """

    widths: tuple[int, ...]
    activations: tuple[Activation, ...]
    theta: HostArray
    dtype: str = "float64"
    y_was_column: bool = False
    band: LinearBand | None = None
    no_band: str = ""
    predictive: Predictive | None = None
    input_names: tuple[str, ...] | None = None
    target_names: tuple[str, ...] | None = None
    fit: dict[str, Any] | None = None
    metadata: Mapping[Any, Any] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        for key, value in self.metadata.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise TypeError(f"`metadata` must map text to text, got {key!r}: {value!r}; use str() or json.dumps")
        if (self.band is None) is not bool(self.no_band):
            raise ValueError("a network has either an error band or a reason, `no_band`, why there is none")
        if self.predictive is not None and len(self.predictive.members) == 1 and self.band is None:
            raise ValueError("the predictive density of a single network needs its error band")
