"""Kernels: pure functions of (network, loss, xp) and of arrays that compute S and its derivatives of one chunk.

The objective sums them over chunks; a library that compiles does so once for a network and a loss.
"""

from __future__ import annotations

from typing import Any

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends import in_one_pass, total
from ffnn_xp.losses import Loss
from ffnn_xp.network import (
    BlockMatrix,
    Network,
    Trace,
    forward,
    gauss_newton_blocks,
    hessian_blocks,
    jacobian,
    output_hessian_times,
    pull_back_matrices,
    score_blocks,
    slopes,
)
from ffnn_xp.network import hessian_product as times
from ffnn_xp.network import kronecker_factors as factors
from ffnn_xp.objective import linear_operator_kernels as linear_operator
from ffnn_xp.objective.event_weights import columns_in_use, weighted, weighted_columns

ACTIVE_SLOPE = 0.0025
"""Slope below which a unit does not react to an event: 1 % of logistic's largest slope, less of the others'."""


def value(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> Array:
    """Compute S, ``(...,)``."""
    s = loss.value(xp, loss.linear_operator(xp, forward(network, xp, theta, x).y, data), data)
    return total(xp, weighted(s, weights))


def value_and_gradient(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> Array:
    """Compute S and dS/dtheta, packed, ``(..., 1 + p)``."""
    trace, S, y_bar = _forward_and_derivative(network, loss, xp, theta, x, weights, *data)
    return network.layout.packed(xp, S, pull_back_matrices(network, xp, trace, loss.adjoint(xp, y_bar, data)))


def value_and_both_gradients(
    network: Network,
    loss: Loss,
    xp: Namespace,
    theta: Array,
    x: Array,
    weights: Array | None,
    slopes: Array,
    *data: Array,
) -> Array:
    """Compute S, dS/dtheta, and dS/dphi in q parameters of a function added to the output, ``(1 + p + q,)``.

    `slopes` are the function's derivatives in them at each event, ``(q k, n)``, those in one parameter together.
    """
    trace, S, y_bar = _forward_and_derivative(network, loss, xp, theta, x, weights, *data)
    packed = network.layout.packed(xp, S, pull_back_matrices(network, xp, trace, y_bar))
    own = total(xp, xp.reshape(slopes, (-1, *y_bar.shape)) * y_bar)
    return xp.concat([packed, xp.astype(own, packed.dtype)])


def _forward_and_derivative(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> tuple[Trace, Array, Array]:
    """Run the forward sweep; compute S, and its derivative in outputs or their linear combinations, ``(..., k, n)``."""
    trace = forward(network, xp, theta, x)
    if loss.has_linear_operator or loss.coupled_outputs:
        s, first = loss.value_and_first(xp, loss.linear_operator(xp, trace.y, data), data)
    else:
        s, first = in_one_pass(xp, _value_and_first, loss)(trace.y, *data)
    return trace, total(xp, weighted(s, weights)), weighted(first, weights)


def _value_and_first(loss: Loss, xp: Namespace, y: Array, *data: Array) -> tuple[Array, Array]:
    return loss.value_and_first(xp, y, data)


def gauss_newton(network: Network, loss: Loss, xp: Namespace, theta: Array, *event: Any) -> BlockMatrix:
    """Compute the lower blocks of J^T C J."""
    if loss.has_linear_operator:
        return linear_operator.gauss_newton(network, loss, xp, theta, *event)
    trace, C, root = _fisher(network, loss, xp, theta, *event)
    return gauss_newton_blocks(network, xp, trace, C, root=root, weights=event[1])


def hessian(network: Network, loss: Loss, xp: Namespace, theta: Array, *event: Any) -> BlockMatrix:
    """Compute the lower blocks of the exact second derivative."""
    if loss.has_linear_operator:
        return linear_operator.hessian(network, loss, xp, theta, *event)
    trace, first, second = _derivatives(network, loss, xp, theta, *event)
    return hessian_blocks(network, xp, trace, first, second, exact=True, mixed=loss.coupled_outputs)


def scores(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> BlockMatrix:
    """Compute the lower blocks of the sum of the outer products of each event's gradient, its weight included."""
    if loss.has_linear_operator:
        return linear_operator.scores(network, loss, xp, theta, x, weights, *data)
    trace = forward(network, xp, theta, x)
    return score_blocks(network, xp, trace, weighted(loss.first(xp, trace.y, data), weights))


def kronecker_factors(network: Network, loss: Loss, xp: Namespace, theta: Array, *event: Any) -> Array:
    """Compute the Kronecker factors of all layers in one vector, those of deltas before those of inputs."""
    trace, C, root = _fisher(network, loss, xp, theta, *event)
    if root is not None and event[1] is not None:
        root = root * xp.sqrt(xp.abs(event[1]))[..., None, :, :]
    found = factors(network, xp, trace, C, root=root, here=columns_in_use(xp, event[0], event[1]))
    return xp.concat([xp.reshape(a, (-1,)) for a in found])


def active_events(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> Array:
    """Count the events, of weight not 0, at which the slope of each hidden unit is larger than `ACTIVE_SLOPE`."""
    hidden = slopes(network, xp, forward(network, xp, theta, x))[:-1]
    in_use = columns_in_use(xp, x, weights)
    active = [xp.astype(xp.abs(s) > ACTIVE_SLOPE, s.dtype) for s in hidden]
    counts = [xp.sum(s if in_use is None else s * in_use, axis=-1) for s in active]
    return xp.concat([*counts, xp.zeros_like(theta[..., :0])], axis=-1)


def gauss_newton_product(network: Network, loss: Loss, xp: Namespace, theta: Array, v: Array, *event: Any) -> Array:
    """Compute J^T C J v, ``(..., p)``."""
    if loss.has_linear_operator:
        return linear_operator.product(network, loss, xp, theta, v, *event, exact=False)
    trace, C, _ = _fisher(network, loss, xp, theta, *event)
    return times(
        network, xp, trace, C, lambda y: output_hessian_times(C, y, mixed=loss.coupled_outputs), v, exact=False
    )


def hessian_product(network: Network, loss: Loss, xp: Namespace, theta: Array, v: Array, *event: Any) -> Array:
    """Compute the exact second derivative times v, ``(..., p)``."""
    if loss.has_linear_operator:
        return linear_operator.product(network, loss, xp, theta, v, *event, exact=True)
    trace, first, C = _derivatives(network, loss, xp, theta, *event)
    return times(
        network, xp, trace, first, lambda y: output_hessian_times(C, y, mixed=loss.coupled_outputs), v, exact=True
    )


def residual_rows(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> Array:
    """Compute residuals rho and their derivatives J in one array ``(..., k n, 1 + p)``.

    J^T J is the Gauss-Newton matrix, J^T rho the gradient. The statistic must not couple outputs.
    """
    trace = forward(network, xp, theta, x)
    first = weighted(loss.first(xp, trace.y, data), weights)
    root = xp.sqrt(weighted(loss.fisher(xp, trace.y, data), weights))
    rho = xp.where(root > 0, first / xp.where(root > 0, root, xp.ones_like(root)), xp.zeros_like(root))
    J = jacobian(network, xp, theta, x) * root[..., None]
    packed = xp.concat([xp.broadcast_to(rho, J.shape[:-1])[..., None], J], axis=-1)
    return xp.reshape(packed, (*packed.shape[:-3], -1, packed.shape[-1]))


def _derivatives(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> tuple[Trace, Array, Array]:
    """Run the forward sweep; compute the first and exact second derivative of the statistic in its output."""
    trace = forward(network, xp, theta, x)
    first, second = loss.first(xp, trace.y, data), loss.second(xp, trace.y, data)
    return trace, weighted(first, weights), weighted(second, weights, coupled=loss.coupled_outputs)


def _fisher(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> tuple[Trace, Array, Array | None]:
    """Run the forward sweep; compute `Loss.fisher` and, for coupled outputs, its root, without weights."""
    trace = forward(network, xp, theta, x)
    if loss.has_linear_operator:  # needed for coordinates only
        return trace, weighted_columns(xp, loss.diagonal_fisher(xp, trace.y, data), weights), None
    C = weighted(loss.fisher(xp, trace.y, data), weights, coupled=loss.coupled_outputs)
    return trace, C, loss.root(xp, trace.y, data) if loss.coupled_outputs else None
