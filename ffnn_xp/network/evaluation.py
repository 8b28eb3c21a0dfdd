"""Evaluation of a network: outputs of many events in chunks, and derivatives of outputs in raw units."""

from __future__ import annotations

from dataclasses import dataclass

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends import Backend
from ffnn_xp.network.sweeps import Network, forward, jacobian, jacobian_through_output


@dataclass(frozen=True)
class EvaluationTuning:
    """Tuned numbers of evaluations."""

    cpu_events: int = tuned(
        8192, "events of a chunk on a CPU; larger: less time in Python; smaller: fits smaller caches"
    )


TUNING = EvaluationTuning()


def evaluate(network: Network, backend: Backend, theta: Array, x: Array, *, tuning: EvaluationTuning = TUNING) -> Array:
    """Compute the outputs ``(k, n)`` of inputs ``(d, n)``."""
    n = x.shape[-1]
    size, f = n if backend.on_gpu else tuning.cpu_events, backend.bind(_outputs, network)
    with backend.context():
        if n <= size:
            return f(theta, x)
        parts = [f(theta, x[:, i : min(i + size, n)]) for i in range(0, n, size)]
        return backend.xp.concat(parts, axis=-1)


def _outputs(network: Network, xp: Namespace, theta: Array, x: Array) -> Array:
    """Compute the outputs of one chunk."""
    return forward(network, xp, theta, x).y


def raw_jacobian(network: Network, xp: Namespace, theta: Array, x: Array, scale: Array, shift: Array) -> Array:
    """Differentiate raw outputs in standardised theta at standardised inputs, ``(k, n, p)``.

    Before the output nonlinearity, a raw value is `scale` times the standardised one, plus `shift`, each ``(k, 1)``.
    """
    inner = network.before_output()
    J = scale[..., None] * jacobian(inner, xp, theta, x)
    if network.activations[-1].linear:
        return J
    return jacobian_through_output(network, xp, scale * forward(inner, xp, theta, x).y + shift, J)
