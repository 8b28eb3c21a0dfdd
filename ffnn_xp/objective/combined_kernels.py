r"""Kernels of statistics that see linear combinations of outputs, :math:`u = L y` (`losses.combined`).

With J the derivative of y in theta and C that of the statistic in u (which may mix those of an event), the Gauss-Newton
matrix is :math:`(L J)^T C (L J)`: the Jacobian is formed and combined. The exact Hessian adds the network's own second
derivatives, weighted with :math:`L^T \partial S/\partial u`.
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


def gauss_newton(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> BlockMatrix:
    """Lower blocks of (L J)^T C (L J)."""
    u = loss.linear_operator(xp, forward(network, xp, theta, x).y, data)
    return _square(network, loss, xp, theta, x, data, _curvature(loss, loss.fisher(xp, u, data), weights))


def hessian(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> BlockMatrix:
    """Lower blocks of the exact second derivative."""
    trace = forward(network, xp, theta, x)
    u = loss.linear_operator(xp, trace.y, data)
    y_bar = loss.adjoint(xp, _weighted(loss.first(xp, u, data), weights), data)
    outer = _square(network, loss, xp, theta, x, data, _curvature(loss, loss.second(xp, u, data), weights))
    inner = hessian_blocks(network, xp, trace, y_bar, xp.zeros_like(y_bar), exact=True)
    return {at: block + in_order(xp, network.layout, at, inner[at], theta.ndim - 1) for at, block in outer.items()}


def scores(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> BlockMatrix:
    """Lower blocks of the sum of the outer products of each event's gradient."""
    first = _weighted(loss.first(xp, loss.linear_operator(xp, forward(network, xp, theta, x).y, data), data), weights)
    g = xp.sum(_rows(network, loss, xp, theta, x, data) * first[..., None, :, :], axis=-2)
    return _blocks(network, g, g)


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
    """The exact second derivative, or the Gauss-Newton matrix, times v ``(..., p)``."""
    trace = forward(network, xp, theta, x)
    u = loss.linear_operator(xp, trace.y, data)
    C = _curvature(loss, loss.second(xp, u, data) if exact else loss.fisher(xp, u, data), weights)
    y_bar = loss.adjoint(xp, _weighted(loss.first(xp, u, data), weights), data)

    def bend(y: Array) -> Array:
        return loss.adjoint(
            xp, output_hessian_times(C, loss.linear_operator(xp, y, data), mixed=loss.coupled_outputs), data
        )

    return times(network, xp, trace, y_bar, bend, v, exact=exact)


def _square(network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, data: Any, C: Array) -> BlockMatrix:
    """Lower blocks of (L J)^T C (L J)."""
    rows = _rows(network, loss, xp, theta, x, data)
    weighted = (
        _swapped(xp, event_matrices_times(C, _swapped(xp, rows))) if loss.coupled_outputs else rows * C[..., None, :, :]
    )
    return _blocks(network, *(xp.reshape(a, (*a.shape[:-2], -1)) for a in (weighted, rows)))


def _rows(network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, data: Any) -> Array:
    """L J, ``(..., p, k, n)``."""
    J = jacobian(network, xp, theta, x)
    lead = tuple(range(J.ndim - 3))
    return loss.linear_operator(xp, xp.permute_dims(J, (*lead, *(len(lead) + i for i in (2, 0, 1)))), data)


def _swapped(xp: Namespace, a: Array) -> Array:
    """``(..., p, k, n)`` as ``(..., k, p, n)``, or back."""
    i = a.ndim - 3
    return xp.permute_dims(a, (*range(i), i + 1, i, i + 2))


def _blocks(network: Network, left: Array, right: Array) -> BlockMatrix:
    """Lower blocks of left right^T, both ``(..., p, n)``."""
    part = [slice(*ends) for ends in pairwise(network.layout.offsets)]
    L = network.layout.n_layers
    return {(m, l): left[..., part[m], :] @ right[..., part[l], :].mT for m in range(L) for l in range(m + 1)}


def _curvature(loss: Loss, C: Array, weights: Array | None) -> Array:
    """A second derivative, times the events' weights."""
    return C if weights is None else C * (weights[..., None, :, :] if loss.coupled_outputs else weights)


def _weighted(s: Array, weights: Array | None) -> Array:
    return s if weights is None else s * weights
