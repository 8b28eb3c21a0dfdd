"""What is computed of one block of events: pure functions of (network, loss, xp) and then of arrays.

The objective sums them over blocks; a library with a compiler compiles each once for a network and a loss.
"""

from __future__ import annotations

from typing import Any

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends.elementwise import in_one_pass, total
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
from ffnn_xp.objective import combined_kernels as combined

ASLEEP = 0.0025  # slope: 1 % of the largest of logistic, less of the others


def value(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> Array:
    """S, ``(...,)``."""
    s = loss.value(xp, loss.linear_operator(xp, forward(network, xp, theta, x).y, data), data)
    return total(xp, _weighted(s, weights))


def value_and_gradient(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> Array:
    """S and dS/dtheta packed, ``(..., 1 + p)``."""
    trace, S, y_bar = _swept(network, loss, xp, theta, x, weights, *data)
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
    """The same, and dS/dphi of q parameters of what is added to the output, ``(1 + p + q,)``.

    `slopes` are its derivatives in them at each event, ``(q k, n)``, those in one parameter together.
    """
    trace, S, y_bar = _swept(network, loss, xp, theta, x, weights, *data)
    packed = network.layout.packed(xp, S, pull_back_matrices(network, xp, trace, y_bar))
    own = total(xp, xp.reshape(slopes, (-1, *y_bar.shape)) * y_bar)
    return xp.concat([packed, xp.astype(own, packed.dtype)])


def _swept(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> tuple[Trace, Array, Array]:
    """The forward sweep, S, and its derivative in what the statistic sees, ``(..., k, n)``."""
    trace = forward(network, xp, theta, x)
    if loss.has_linear_operator or loss.coupled_outputs:
        s, first = loss.value_and_first(xp, loss.linear_operator(xp, trace.y, data), data)
    else:
        s, first = in_one_pass(xp, _value_and_first, loss)(trace.y, *data)
    return trace, total(xp, _weighted(s, weights)), _weighted(first, weights)


def _value_and_first(loss: Loss, xp: Namespace, y: Array, *data: Array) -> tuple[Array, Array]:
    return loss.value_and_first(xp, y, data)


def gauss_newton(network: Network, loss: Loss, xp: Namespace, theta: Array, *event: Any) -> BlockMatrix:
    """Lower blocks of J^T C J."""
    if loss.has_linear_operator:
        return combined.gauss_newton(network, loss, xp, theta, *event)
    trace, C, root = _fisher(network, loss, xp, theta, *event)
    return gauss_newton_blocks(network, xp, trace, C, root=root, weights=event[1])


def hessian(network: Network, loss: Loss, xp: Namespace, theta: Array, *event: Any) -> BlockMatrix:
    """Lower blocks of the exact second derivative."""
    if loss.has_linear_operator:
        return combined.hessian(network, loss, xp, theta, *event)
    trace, first, second = _derivatives(network, loss, xp, theta, *event)
    return hessian_blocks(network, xp, trace, first, second, exact=True, mixed=loss.coupled_outputs)


def scores(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> BlockMatrix:
    """Lower blocks of the sum over events of the outer products of each event's gradient, its weight included."""
    if loss.has_linear_operator:
        return combined.scores(network, loss, xp, theta, x, weights, *data)
    trace = forward(network, xp, theta, x)
    return score_blocks(network, xp, trace, _weighted(loss.first(xp, trace.y, data), weights))


def kronecker_factors(network: Network, loss: Loss, xp: Namespace, theta: Array, *event: Any) -> Array:
    """All factors of all layers in one vector: first those of the deltas, then those of the inputs."""
    trace, C, root = _fisher(network, loss, xp, theta, *event)
    if root is not None and event[1] is not None:
        root = root * xp.sqrt(xp.abs(event[1]))[..., None, :, :]
    found = factors(network, xp, trace, C, root=root, here=_here(xp, event[0], event[1]))
    return xp.concat([xp.reshape(a, (-1,)) for a in found])


def active_events(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> Array:
    """For each hidden unit, at how many events its slope is larger than `ASLEEP`, whatever their weight but none."""
    hidden = slopes(network, xp, forward(network, xp, theta, x))[:-1]
    here = _here(xp, x, weights)
    awake = [xp.astype(xp.abs(s) > ASLEEP, s.dtype) for s in hidden]
    counts = [xp.sum(s if here is None else s * here, axis=-1) for s in awake]
    return xp.concat([*counts, xp.zeros_like(theta[..., :0])], axis=-1)


def gauss_newton_product(network: Network, loss: Loss, xp: Namespace, theta: Array, v: Array, *event: Any) -> Array:
    """J^T C J v, ``(..., p)``."""
    if loss.has_linear_operator:
        return combined.product(network, loss, xp, theta, v, *event, exact=False)
    trace, C, _ = _fisher(network, loss, xp, theta, *event)
    return times(
        network, xp, trace, C, lambda y: output_hessian_times(C, y, mixed=loss.coupled_outputs), v, exact=False
    )


def hessian_product(network: Network, loss: Loss, xp: Namespace, theta: Array, v: Array, *event: Any) -> Array:
    """The exact second derivative times v, ``(..., p)``."""
    if loss.has_linear_operator:
        return combined.product(network, loss, xp, theta, v, *event, exact=True)
    trace, first, C = _derivatives(network, loss, xp, theta, *event)
    return times(
        network, xp, trace, first, lambda y: output_hessian_times(C, y, mixed=loss.coupled_outputs), v, exact=True
    )


def residual_rows(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> Array:
    """Residuals rho and their derivatives J in one array ``(..., k n, 1 + p)``: J^T J is Gauss-Newton's, J^T rho dS.

    For statistics whose outputs do not mix.
    """
    trace = forward(network, xp, theta, x)
    first = _weighted(loss.first(xp, trace.y, data), weights)
    root = xp.sqrt(_weighted(loss.fisher(xp, trace.y, data), weights))
    rho = xp.where(root > 0, first / xp.where(root > 0, root, xp.ones_like(root)), xp.zeros_like(root))
    J = jacobian(network, xp, theta, x) * root[..., None]
    packed = xp.concat([xp.broadcast_to(rho, J.shape[:-1])[..., None], J], axis=-1)
    return xp.reshape(packed, (*packed.shape[:-3], -1, packed.shape[-1]))


def _derivatives(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> tuple[Trace, Array, Array]:
    """The forward sweep, and first and exact second derivative of the statistic in its output."""
    trace = forward(network, xp, theta, x)
    first, second = loss.first(xp, trace.y, data), loss.second(xp, trace.y, data)
    return trace, _weighted(first, weights), _weighted(second, weights, mixed=loss.coupled_outputs)


def _fisher(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> tuple[Trace, Array, Array | None]:
    """The forward sweep, the curvature that is never negative, and where outputs mix its root, without weights."""
    trace = forward(network, xp, theta, x)
    if loss.has_linear_operator:  # asked for coordinates only
        return trace, _weighted_columns(xp, loss.diagonal_fisher(xp, trace.y, data), weights), None
    C = _weighted(loss.fisher(xp, trace.y, data), weights, mixed=loss.coupled_outputs)
    return trace, C, loss.root(xp, trace.y, data) if loss.coupled_outputs else None


def _here(xp: Namespace, x: Array, weights: Array | None) -> Array | None:
    """1 for each column of x whose event has a weight, 0 for one that only fills a block; None where all have."""
    if weights is None:
        return None
    each = xp.astype(weights != 0, x.dtype)[..., None]
    columns = xp.broadcast_to(each, (*weights.shape, x.shape[-1] // weights.shape[-1]))
    return xp.reshape(columns, (*weights.shape[:-1], -1))


def _weighted(s: Array, weights: Array | None, *, mixed: bool = False) -> Array:
    if weights is None:
        return s
    return s * (weights[..., None, :, :] if mixed else weights)


def _weighted_columns(xp: Namespace, s: Array, weights: Array | None) -> Array:
    """The same where each event has several columns, one after another."""
    if weights is None:
        return s
    each = xp.reshape(s, (*s.shape[:-1], weights.shape[-1], -1))
    return xp.reshape(each * weights[..., None], s.shape)
