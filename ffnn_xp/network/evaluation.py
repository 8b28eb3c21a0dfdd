"""TODO."""

from __future__ import annotations

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends import Backend
from ffnn_xp.network.sweeps import Network, forward, jacobian, through_output

BLOCK = 8192


def evaluate(network: Network, backend: Backend, theta: Array, x: Array) -> Array:
    """Outputs ``(k, n)`` of inputs ``(d, n)``."""
    n = x.shape[-1]
    size, f = n if backend.on_gpu else BLOCK, backend.bind(_outputs, network)
    with backend.context():
        if n <= size:
            return f(theta, x)
        parts = [f(theta, x[:, i : min(i + size, n)]) for i in range(0, n, size)]
        return backend.xp.concat(parts, axis=-1)


def _outputs(network: Network, xp: Namespace, theta: Array, x: Array) -> Array:
    return forward(network, xp, theta, x).y


def raw_jacobian(network: Network, xp: Namespace, theta: Array, x: Array, scale: Array, shift: Array) -> Array:
    """Derivatives of raw outputs in standardised theta, ``(k, n, p)``, at standardised inputs.

    What stands before the output nonlinearity is, in raw units, `scale` times what it is in standardised ones, plus
    `shift`, each ``(k, 1)``.
    """
    inner = network.before_output()
    J = scale[..., None] * jacobian(inner, xp, theta, x)
    if network.activations[-1].linear:
        return J
    return through_output(network, xp, scale * forward(inner, xp, theta, x).y + shift, J)
