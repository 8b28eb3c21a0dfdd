r"""Forward and reverse sweeps: a network's values and their derivatives in closed form.

.. math:: z_l = A_l \cdot (a_{l-1}, 1), \qquad a_l = f_l(z_l), \qquad a_0 = x, \quad y = a_L

Pure functions of (theta, x). Events are columns: x is ``(d, n)``, or with its 1 appended already ``(d + 1, n)``, y is
``(..., k, n)``, theta is ``(..., p)``, and all broadcast over a leading replica axis. Nothing here knows a loss:
callers give :math:`\bar y = \partial S / \partial y`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ffnn_xp._lib.typing import Array, Elementwise, Namespace
from ffnn_xp.backends import above_ones, in_one_pass
from ffnn_xp.network.activations import Activation, identity
from ffnn_xp.network.layout import Layout, Products, augment, back_through, products, weights


@dataclass(frozen=True)
class Network:
    """A network without its parameters: its widths, and an activation for each layer.

    Examples
    --------
    >>> from ffnn_xp.network.activations import relu, identity
    >>> Network(Layout((8, 7, 6)), (relu, identity)).layout.n_parameters
    111
    """

    layout: Layout
    activations: tuple[Activation, ...]
    _layers: dict[Namespace, tuple[_Layer, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[object, ...]:
        return Network, (self.layout, self.activations)

    @property
    def smooth(self) -> bool:
        """True if the output has continuous derivatives in theta."""
        return all(f.smooth for f in self.activations)

    @property
    def description(self) -> str:
        """The widths and activations, such as "1-10-1, tanh, identity", after the network's name if it has one."""
        names = dict.fromkeys(a.name for a in self.activations)
        of = [self.layout.name] if self.layout.name else []
        return ", ".join([*of, "-".join(map(str, self.layout.widths)), *names])

    def before_output(self) -> Network:
        """Return the network without its output nonlinearity."""
        return replace(self, activations=(*self.activations[:-1], identity))

    def layers(self, xp: Namespace) -> tuple[_Layer, ...]:
        """Return each layer's functions on a library; they are cached, since choosing takes long for a small sweep."""
        if xp not in self._layers:
            self._layers[xp] = tuple(_layer(xp, f) for f in self.activations)
        return self._layers[xp]


class _Layer(NamedTuple):
    """A layer's functions on one library: products, values of z with and without ones, and the reverse sweep."""

    products: Products
    values: Callable[[Array], tuple[Array, Array]]
    back: Callable[[Array, Array, Array], Array] | None


def _layer(xp: Namespace, f: Activation) -> _Layer:
    back = in_one_pass(xp, _back, f.df) if f.backward is None else in_one_pass(xp, f.backward)
    return _Layer(products(xp), above_ones(xp, f.f, writes=f.takes_out), None if f.linear else back)


def _back(df: Elementwise, xp: Namespace, delta: Array, z: Array, a: Array) -> Array:
    """Multiply by the slope: derivatives in a become derivatives in z."""
    return delta * df(xp, z, a)


class Trace(NamedTuple):
    """All values of a forward sweep, for the sweeps that follow it.

    Attributes
    ----------
    matrices : list of arrays with shape (..., h_l, h_{l-1} + 1)
        A_l.
    z : list of arrays with shape (..., h_l, n)
        z_l.
    a : list of arrays with shape (..., h_l, n)
        a_l, from a_1 on.
    inputs : list of arrays with shape (..., h_{l-1} + 1, n)
        Each layer's inputs (a_{l-1}, 1), from (x, 1) on.
    """

    matrices: list[Array]
    z: list[Array]
    a: list[Array]
    inputs: list[Array]

    @property
    def y(self) -> Array:
        """The output, a_L, ``(..., k, n)``."""
        return self.a[-1]


def forward(network: Network, xp: Namespace, theta: Array, x: Array) -> Trace:
    """Evaluate the network and keep every layer's values."""
    matrices, layers = network.layout.matrices(xp, theta), network.layers(xp)
    inputs = [x if x.shape[-2] > network.layout.widths[0] else augment(xp, x)]
    z: list[Array] = []
    a: list[Array] = []
    for A, layer in zip(matrices[:-1], layers[:-1], strict=True):
        z.append(layer.products.affine(A, inputs[-1]))
        values, augmented = layer.values(z[-1])
        a.append(values)
        inputs.append(augmented)
    z.append(layers[-1].products.affine(matrices[-1], inputs[-1]))
    a.append(network.activations[-1].f(xp, z[-1]))
    return Trace(matrices, z, a, inputs)


def slopes(network: Network, xp: Namespace, trace: Trace) -> list[Array]:
    """Compute f_l'(z_l) for each layer, ``(..., h_l, n)``."""
    return [f.df(xp, z, a) for f, z, a in zip(network.activations, trace.z, trace.a, strict=True)]


def second_derivatives(network: Network, xp: Namespace, trace: Trace) -> list[Array]:
    """Compute f_l''(z_l) for each layer, ``(..., h_l, n)``."""
    return [f.d2f(xp, z, a) for f, z, a in zip(network.activations, trace.z, trace.a, strict=True)]


def deltas(xp: Namespace, trace: Trace, slope: list[Array], y_bar: Array) -> list[Array]:
    r"""Run the reverse sweep: :math:`\delta_l = \partial S / \partial z_l` from :math:`\bar y` ``(..., k, n)``.

    .. math:: \delta_L = f_L' \bar y, \qquad \delta_l = f_l' \, W_{l+1}^T \delta_{l+1}
    """
    delta = [slope[-1] * y_bar]
    for A, s in zip(reversed(trace.matrices[1:]), reversed(slope[:-1]), strict=True):
        d = back_through(A, delta[-1])
        d *= s
        delta.append(d)
    return delta[::-1]


def pull_back(network: Network, xp: Namespace, trace: Trace, y_bar: Array) -> Array:
    """Compute J^T y_bar summed over events, ``(..., p)``."""
    return network.layout.flatten(xp, pull_back_matrices(network, xp, trace, y_bar))


def pull_back_matrices(network: Network, xp: Namespace, trace: Trace, y_bar: Array) -> list[Array]:
    r"""Compute J^T y_bar as a matrix for each layer, :math:`\partial S/\partial A_l = \delta_l (a_{l-1}, 1)^T`."""
    rows, delta = [], y_bar
    layers = network.layers(xp)
    for l in range(len(layers) - 1, -1, -1):
        layer = layers[l]
        if layer.back is not None:
            delta = layer.back(delta, trace.z[l], trace.a[l])
        rows.append(layer.products.outer(delta, trace.inputs[l]))
        if l:
            delta = back_through(trace.matrices[l], delta)
    return rows[::-1]


def push_forward(
    network: Network, xp: Namespace, trace: Trace, slope: list[Array], v: Array
) -> tuple[list[Array], list[Array]]:
    r"""Differentiate every z_l and a_l along v: the forward half of Pearlmutter's R-operator.

    .. math:: \dot z_l = V_l \cdot (a_{l-1}, 1) + W_l \dot a_{l-1}, \qquad \dot a_l = f_l' \dot z_l

    (B. A. Pearlmutter, Neural Computation 6 (1994) 147.) The last entry of the second list is J v, ``(..., k, n)``.
    """
    z_dot: list[Array] = []
    a_dot: list[Array] = []
    for l, (V, A) in enumerate(zip(network.layout.matrices(xp, v), trace.matrices, strict=True)):
        change = V @ trace.inputs[l]
        z_dot.append(change + weights(A) @ a_dot[-1] if a_dot else change)
        a_dot.append(slope[l] * z_dot[-1])
    return z_dot, a_dot


def jacobian(network: Network, xp: Namespace, theta: Array, x: Array) -> Array:
    r"""Compute :math:`\partial y_i / \partial\theta` of every event, ``(..., k, n, p)``; meant for chunks of events.

    .. math:: \partial y_i / \partial A_l[u, j] = \frac{\partial y_i}{\partial z_l[u]} (a_{l-1}, 1)_j
    """
    trace = forward(network, xp, theta, x)
    if network.activations[-1].coupled_outputs:
        return jacobian_through_output(network, xp, trace.z[-1], jacobian(network.before_output(), xp, theta, x))
    slope = slopes(network, xp, trace)
    k = trace.y.shape[-2]
    inputs = [a.mT for a in trace.inputs]
    rows = []
    for i in range(k):
        zero, one = xp.zeros_like(trace.y), xp.ones_like(trace.y[..., :1, :])
        unit = xp.concat([zero[..., :i, :], one, zero[..., i + 1 :, :]], axis=-2)
        layers = []
        for delta, a in zip(deltas(xp, trace, slope, unit), inputs, strict=True):
            product = delta.mT[..., :, None] * a[..., None, :]
            layers.append(xp.reshape(product, (*product.shape[:-2], product.shape[-2] * product.shape[-1])))
        rows.append(xp.concat(layers, axis=-1))
    return xp.stack(rows, axis=-3)


def jacobian_through_output(network: Network, xp: Namespace, z: Array, J: Array) -> Array:
    r"""Compute derivatives of y from those of :math:`z_L`, ``(..., k, n, p)``; z is :math:`z_L`, ``(..., k, n)``."""
    f = network.activations[-1]
    if f.linear:
        return J
    a = f.f(xp, z)
    if not f.coupled_outputs:
        return f.df(xp, z, a)[..., None] * J
    weighted = a[..., None] * J
    return weighted - a[..., None] * xp.sum(weighted, axis=-3, keepdims=True)
