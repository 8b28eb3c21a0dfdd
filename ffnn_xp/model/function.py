"""`NetworkFunction`: a network with its parameters on a backend, as a function of x, or of x and theta."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np

from ffnn_xp._lib.errors import NotFittedError
from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp._lib.validation import seed_numbers, vector
from ffnn_xp.backends import Backend, get_backend, host_floats, refuse_gradient
from ffnn_xp.data import Bins, in_order, input_rows
from ffnn_xp.network import (
    Activation,
    Layout,
    Network,
    Widths,
    augmented_matrices,
    canonical,
    check_name,
    check_widths,
    evaluate,
    get_activation,
    glorot,
    hidden_activations,
)

Self = TypeVar("Self", bound="NetworkFunction")

HIDDEN = ((10,), (16, 16))
"""Hidden layers among which a fit chooses where they are left open; the first serve where it does not choose."""


@quiet
class NetworkFunction:
    """A network with parameters on a backend, the part of `Model` that needs no fit; see there."""

    def __init__(
        self,
        layers: Widths | None = None,
        *,
        activation: str | Activation | Sequence[str | Activation] = "tanh",
        output: str | Activation = "identity",
        backend: str | Backend = "auto",
        device: Any = None,
        dtype: str = "float64",
        seed: Any = None,
        fallback: bool | None = None,
        threads: int | None = None,
        name: str | None = None,
    ) -> None:
        self._name = check_name(name)
        self._open = layers is None and isinstance(activation, str | Activation)
        self._widths = check_widths((None, *HIDDEN[0], None) if layers is None else layers)
        hidden = hidden_activations(activation, len(self._widths) - 2)
        self._activations = (*hidden, get_activation(output, output=True))
        self._backend = get_backend(backend, device=device, dtype=dtype, fallback=fallback, threads=threads)
        self._seed = seed_numbers(seed)
        self._network: Network | None = None
        self._theta: Array | None = None
        self._input_names: tuple[str, ...] | None = None
        self._target_names: tuple[str, ...] | None = None
        self._chosen = False  # whether the parameters were set, loaded or fitted, rather than drawn
        self._column = False  # whether (n, 1) is the shape of predictions, rather than (n,)
        if None not in self._widths:
            self.build(cast(int, self._widths[0]), cast(int, self._widths[-1]))

    @classmethod
    def from_matrices(cls: type[Self], matrices: Sequence[Any], **options: Any) -> Self:
        """Return a model with these matrices.

        Parameters
        ----------
        matrices : sequence
            Pairs (a, b) with shapes (h, d) and (h,), or augmented matrices with shape (h, d + 1), bias last.
        **options
            Options of `Model`, without `layers` and `seed`.

        Raises
        ------
        ValueError
            If a matrix does not fit to the one before it.

        Examples
        --------
        >>> import ffnn_xp as fx
        >>> fx.Model.from_matrices([([[2.0]], [1.0])])([3.0])
        array([7.])
        """
        augmented = augmented_matrices(matrices)
        widths = (augmented[0].shape[1] - 1, *(A.shape[0] for A in augmented))
        model = cls(widths, **options)
        model.parameters = np.concatenate([A.ravel() for A in augmented])
        return model

    def __copy__(self: Self) -> Self:
        """Return a copy with a network of its own: in a sum of costs the two are different networks."""
        twin = object.__new__(type(self))
        own = None if self._network is None else replace(self._network)
        twin.__dict__.update(self.__dict__, _network=own)
        return twin

    def __sklearn_clone__(self: Self) -> Self:
        """Return a model with the same options that was never fitted, for `sklearn.base.clone`."""
        *hidden, output = self._activations
        layers, activation = (None, hidden[0]) if self._open else (self._widths, hidden)
        return type(self)(
            layers, activation=activation, output=output, backend=self._backend, seed=self._seed, name=self._name
        )

    def build(self, d: int, k: int) -> None:
        """Fill in widths that were None and draw the start parameters, unless that was done before."""
        self.build_network(self.network_for(d, k))

    def build_network(self, network: Network) -> None:
        """Take this network, one of `networks_for`, and draw the start parameters, unless that was done before."""
        if self._network is None:
            self._network, self._activations = network, network.activations
            start = glorot(network.layout, np.random.default_rng(self._seed))
            self._theta = self._backend.to_device(start)

    def name_inputs(self, names: tuple[str, ...] | None) -> None:
        """Keep the names of the inputs, if the model has neither names nor parameters of its own yet."""
        if self._input_names is None and not self._chosen:
            self._input_names = names

    def network_for(self, d: int, k: int) -> Network:
        """Return the model's network for d inputs and k outputs; the model stays as it is."""
        if self._network is not None:
            return self._network
        widths = d, *cast("tuple[int, ...]", self._widths[1:-1]), k
        return Network(Layout(widths, self._name or ""), self._activations)

    def networks_for(self, d: int, k: int) -> tuple[Network, ...]:
        """Return the networks for d inputs and k outputs among which a fit may choose; the first is `network_for`."""
        first = self.network_for(d, k)
        if self._network is not None or not self._open:
            return (first,)
        activation, output = self._activations[0], self._activations[-1]
        return first, *(
            Network(replace(first.layout, widths=(d, *hidden, k)), (*(activation,) * len(hidden), output))
            for hidden in HIDDEN[1:]
        )

    @property
    def network(self) -> Network:
        """The widths and activations.

        Raises
        ------
        NotFittedError
            If widths are to be read from the data and there were none yet.
        """
        if self._network is None:
            raise NotFittedError(
                f"the widths {self._widths} are completed by the first fit: call fit(x, y), or give all widths"
            )
        return self._network

    def shape_of_data(self) -> tuple[int | None, int | None]:
        """Return the numbers of inputs and outputs, None where the data decide."""
        widths = self._widths if self._network is None else self._network.layout.widths
        return widths[0], widths[-1]

    @property
    def input_names(self) -> tuple[str, ...] | None:
        """The names of the inputs, if the network was fitted to a table: tables that follow are read by them."""
        return self._input_names

    @property
    def target_names(self) -> tuple[str, ...] | None:
        """The names of the measured values, if they came as a table."""
        return self._target_names

    @property
    def name(self) -> str | None:
        """The name of the network, which its parameters' names begin with; None if it has none.

        A new name is that of the parameters of costs and fits that are made later.
        """
        return self._name

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = check_name(name)
        if self._network is not None:
            self._network = replace(self._network, layout=replace(self._network.layout, name=self._name or ""))

    @property
    def backend(self) -> Backend:
        """The array library, device and dtype; its `reason` says why NumPy replaces another library, if it does."""
        return self._backend

    @property
    def layers(self) -> tuple[int | None, ...]:
        """The widths."""
        return self._widths if self._network is None else self._network.layout.widths

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The activation of each layer, the output's last."""
        return self._activations

    @property
    def n_parameters(self) -> int:
        """The length p of theta."""
        return self.network.layout.n_parameters

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters in the order of theta."""
        return self.network.layout.names

    @property
    def _parameters(self) -> dict[str, None]:
        """The signature that iminuit reads: x, then the parameters by name."""
        return dict.fromkeys(("x", *self.names))

    @property
    def parameters(self) -> Array:
        """A copy of theta, ``(p,)`` on the device, in raw units: augmented matrices row by row, layer after layer.

        Biases are in the last columns. To change the model, assign new parameters.
        """
        _ = self.network
        with self._backend.context():
            return self._backend.xp.asarray(self._theta, copy=True)

    @parameters.setter
    def parameters(self, theta: Any) -> None:
        host = self._host_theta((theta,))
        if not np.all(np.isfinite(host)):
            raise ValueError(f"parameters must be finite, got {host[~np.isfinite(host)][0]}")
        self._theta = self._backend.to_device(host)
        self._chosen = True
        self._changed()

    def _changed(self) -> None:
        """Forget results that belong to the old parameters."""

    @property
    def matrices(self) -> list[Array]:
        """The augmented matrices, ``(h_l, h_{l-1} + 1)`` on the device, bias in the last column."""
        return self.network.layout.matrices(self._backend.xp, self.parameters)

    @property
    def canonical(self) -> HostArray:
        """The parameters ``(p,)`` of the same function with order, signs and scales of hidden units fixed, on the host.

        Two fits can be compared in this form; see `network.canonical`.

        Examples
        --------
        >>> import ffnn_xp as fx
        >>> model = fx.Model.from_matrices([([[3.0], [-2.0]], [0.0, 1.0]), ([[5.0, 7.0]], [0.5])])
        >>> model.canonical
        array([ 2. , -1. ,  3. ,  0. , -7. ,  5. ,  0.5])
        """
        return canonical(self.network, self._backend.to_host(self.parameters))

    def __call__(self, x: Any, *theta: Any) -> Array:
        """Return the network's output.

        Parameters
        ----------
        x : array-like with shape (n, d), (n,) for d = 1, or (d,) for one event; or Bins, or a histogram
            Inputs; of bins the integral over each is returned.
        *theta : array-like with shape (p,), or p floats, optional
            Parameters to use instead of the model's: the signature of `iminuit.cost.LeastSquares`.

        Returns
        -------
        array with shape (n, k), (n,) for k = 1, or (k,) for one event
            The output, on the model's device, or on the host if theta was given from there.
        """
        bins = Bins.of(x)
        if bins is not None:
            return bins.contents(self(bins.x, *theta))
        columns, kind = self._columns(x)
        if not theta:
            return self._shaped(evaluate(self.network, self._backend, self._theta, columns), kind)
        on_device = len(theta) == 1 and self._backend.owns(theta[0]) and theta[0].shape == (self.n_parameters,)
        on_device = on_device and self._backend.xp.isdtype(theta[0].dtype, "real floating")
        if not on_device:
            refuse_gradient(x, "x")
            refuse_gradient(theta[0], "theta")
        values = self._backend.asarray(theta[0]) if on_device else self._backend.to_device(self._host_theta(theta))
        y = self._shaped(evaluate(self.network, self._backend, values, columns), kind)
        return y if on_device else self._backend.to_host(y)

    def __repr__(self) -> str:
        names = [a.name for a in self._activations]
        hidden = names[0] if len(set(names[:-1])) == 1 else tuple(names[:-1])
        p = f", {self.n_parameters} parameters" if self._network is not None else ""
        called = "" if self._name is None else f", name={self._name!r}"
        layers = None if self._open and self._network is None else self.layers
        given = f"{layers}, activation={hidden!r}, output={names[-1]!r}{called}"
        return f"{type(self).__name__}({given}){p}, {self._backend}"

    def _columns(self, x: Any) -> tuple[Array, str]:
        with self._backend.context():
            x = in_order(x, self._input_names)
            rows, kind = input_rows(self._backend, x, self.network.layout.widths[0])
            return self._backend.xp.matrix_transpose(rows), kind

    def _shaped(self, columns: Array, kind: str) -> Array:
        if kind == "event":
            return columns[:, 0]
        rows = self._backend.xp.matrix_transpose(columns)
        return rows[:, 0] if rows.shape[1] == 1 and not self._column else rows

    def _host_theta(self, theta: Sequence[Any]) -> HostArray:
        if len(theta) == 1:
            if not self._backend.host_arrays and self._backend.owns(theta[0]):
                theta = (self._backend.to_host(theta[0]),)
            return vector((host_floats(theta[0], "theta"),), self.n_parameters)
        return vector(theta, self.n_parameters)
