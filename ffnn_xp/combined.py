r"""Kernels of statistics that see linear combinations of outputs, :math:`u = L y` (`losses.combined`).

With J the derivative of y in theta and C that of the statistic in u, the Gauss-Newton matrix is
:math:`(L J)^T C (L J)`: the Jacobian is formed and combined. The exact Hessian adds the network's own second
derivatives, weighted with :math:`L^T \partial S/\partial u`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ._typing import Array, Namespace
from .curvature import Blocks, hessian_blocks
from .curvature import hessian_product as times
from .losses import Loss
from .network import Network, forward, jacobian


def gauss_newton(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> Blocks:
    """Lower blocks of (L J)^T C (L J)."""
    u = loss.combine(xp, forward(network, xp, theta, x).y, data)
    return _square(network, loss, xp, theta, x, data, _weighted(loss.fisher(xp, u, data), weights))


def hessian(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> Blocks:
    """Lower blocks of the exact second derivative."""
    trace = forward(network, xp, theta, x)
    u = loss.combine(xp, trace.y, data)
    y_bar = loss.spread(xp, _weighted(loss.first(xp, u, data), weights), data)
    outer = _square(network, loss, xp, theta, x, data, _weighted(loss.second(xp, u, data), weights))
    inner = hessian_blocks(network, xp, trace, y_bar, xp.zeros_like(y_bar), exact=True)
    return {at: block + inner[at] for at, block in outer.items()}


def scores(
    network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, weights: Array | None, *data: Array
) -> Blocks:
    """Lower blocks of the sum of the outer products of each combination's gradient."""
    first = _weighted(loss.first(xp, loss.combine(xp, forward(network, xp, theta, x).y, data), data), weights)
    return _square(network, loss, xp, theta, x, data, first * first)


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
    u = loss.combine(xp, trace.y, data)
    C = _weighted(loss.second(xp, u, data) if exact else loss.fisher(xp, u, data), weights)
    y_bar = loss.spread(xp, _weighted(loss.first(xp, u, data), weights), data)

    def bend(y: Array) -> Array:
        return loss.spread(xp, C * loss.combine(xp, y, data), data)

    return times(network, xp, trace, y_bar, bend, v, exact=exact)


def _square(network: Network, loss: Loss, xp: Namespace, theta: Array, x: Array, data: Any, C: Array) -> Blocks:
    """Lower blocks of (L J)^T C (L J)."""
    J = jacobian(network, xp, theta, x)
    lead = tuple(range(J.ndim - 3))
    rows = loss.combine(xp, xp.permute_dims(J, (*lead, *(len(lead) + i for i in (2, 0, 1)))), data)
    rows = xp.reshape(rows, (*rows.shape[:-2], -1))
    weighted = rows * xp.reshape(C, (*C.shape[:-2], 1, -1))
    part = [slice(*ends) for ends in pairwise(network.layout.offsets)]
    turned = xp.matrix_transpose(rows)
    L = network.layout.n_layers
    return {(m, l): weighted[..., part[m], :] @ turned[..., :, part[l]] for m in range(L) for l in range(m + 1)}


def _weighted(s: Array, weights: Array | None) -> Array:
    return s if weights is None else s * weights
