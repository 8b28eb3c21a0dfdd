r"""Kernels of statistics of linear combinations of outputs, :math:`u = L y` (`Loss.has_linear_operator`).

With J the derivative of y in theta and C the second derivative of the statistic in u, which may couple the u of an
event, the Gauss-Newton matrix is :math:`(L J)^T C (L J)`: the Jacobian is formed, and L applied to it. The exact
Hessian adds the network's own second derivatives, weighted by :math:`L^T \partial S/\partial u`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.losses import Loss
from ffnn_xp.network import (
    BlockMatrix,
    Network,
    event_matrices_times,
    forward,
    hessian_blocks,
    in_order,
    jacobian,
    output_hessian_times,
)
from ffnn_xp.network import hessian_product as times
from ffnn_xp.objective.event_weights import weighted


def gauss_newton(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> BlockMatrix:
    """Compute the lower blocks of (L J)^T C (L J)."""
    u = loss.linear_operator(xp, forward(network, xp, theta, x).y, data)
    return _outer_product(
        network, loss, xp, theta, x, data, weighted(loss.fisher(xp, u, data), weights, coupled=loss.coupled_outputs)
    )


def hessian(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> BlockMatrix:
    """Compute the lower blocks of the exact second derivative."""
    trace = forward(network, xp, theta, x)
    u = loss.linear_operator(xp, trace.y, data)
    y_bar = loss.adjoint(xp, weighted(loss.first(xp, u, data), weights), data)
    outer = _outer_product(
        network, loss, xp, theta, x, data, weighted(loss.second(xp, u, data), weights, coupled=loss.coupled_outputs)
    )
    inner = hessian_blocks(network, xp, trace, y_bar, xp.zeros_like(y_bar), exact=True)
    return {at: block + in_order(xp, network.layout, at, inner[at], theta.ndim - 1) for at, block in outer.items()}


def scores(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> BlockMatrix:
    """Compute the lower blocks of the sum of the outer products of each event's gradient."""
    first = weighted(loss.first(xp, loss.linear_operator(xp, forward(network, xp, theta, x).y, data), data), weights)
    g = xp.sum(_transformed_jacobian(network, loss, xp, theta, x, data) * first[..., None, :, :], axis=-2)
    return _lower_blocks(network, g, g)


def product(
    network: Network,
    loss: Loss,
    xp: Namespace,
    theta: Array,
    v: Array,
    x: Array,
    weights: Array | None,
    *data: Array,
    exact: bool,
) -> Array:
    """Compute the exact second derivative, or the Gauss-Newton matrix, times v ``(..., p)``."""
    trace = forward(network, xp, theta, x)
    u = loss.linear_operator(xp, trace.y, data)
    second = loss.second(xp, u, data) if exact else loss.fisher(xp, u, data)
    C = weighted(second, weights, coupled=loss.coupled_outputs)
    y_bar = loss.adjoint(xp, weighted(loss.first(xp, u, data), weights), data)

    def apply_second(y: Array) -> Array:
        return loss.adjoint(
            xp, output_hessian_times(C, loss.linear_operator(xp, y, data), mixed=loss.coupled_outputs), data
        )

    return times(network, xp, trace, y_bar, apply_second, v, exact=exact)


def _outer_product(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, data: Any, C: Array
) -> BlockMatrix:
    """Compute the lower blocks of (L J)^T C (L J)."""
    rows = _transformed_jacobian(network, loss, xp, theta, x, data)
    product = (
        _with_swapped_axes(xp, event_matrices_times(C, _with_swapped_axes(xp, rows)))
        if loss.coupled_outputs
        else rows * C[..., None, :, :]
    )
    return _lower_blocks(network, *(xp.reshape(a, (*a.shape[:-2], -1)) for a in (product, rows)))


def _transformed_jacobian(network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, data: Any) -> Array:
    """Compute L J, ``(..., p, k, n)``."""
    J = jacobian(network, xp, theta, x)
    lead = tuple(range(J.ndim - 3))
    return loss.linear_operator(xp, xp.permute_dims(J, (*lead, *(len(lead) + i for i in (2, 0, 1)))), data)


def _with_swapped_axes(xp: Namespace, a: Array) -> Array:
    """Swap two axes: return ``(..., k, p, n)`` from ``(..., p, k, n)``."""
    i = a.ndim - 3
    return xp.permute_dims(a, (*range(i), i + 1, i, i + 2))


def _lower_blocks(network: Network, left: Array, right: Array) -> BlockMatrix:
    """Compute the lower blocks of left right^T, both ``(..., p, n)``."""
    layer = [slice(*ends) for ends in pairwise(network.layout.offsets)]
    L = network.layout.n_layers
    return {(m, l): left[..., layer[m], :] @ right[..., layer[l], :].mT for m in range(L) for l in range(m + 1)}
