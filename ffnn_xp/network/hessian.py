r"""Second derivatives of S for one chunk of events, in closed form.

With :math:`\delta_m = \partial S/\partial z_m` and, for l <= m, the event-wise matrices
:math:`D_{ml} = \partial z_m/\partial z_l` and :math:`K_{ml} = \partial\delta_m/\partial z_l`,

.. math::
    D_{ll} = 1, \quad D_{m+1,l} = W_{m+1} F'_m D_{ml}, \qquad
    K_{Ll} = (F'_L C F'_L + \mathrm{diag}(f''_L \bar y)) D_{Ll}, \quad
    K_{ml} = F'_m W_{m+1}^T K_{m+1,l} + \mathrm{diag}(f''_m g_m) D_{ml}

where :math:`g_m = W_{m+1}^T \delta_{m+1}` and C is the second derivative of the statistic in y, the Hessian is

.. math::
    \frac{\partial^2 S}{\partial A_m[i'j']\,\partial A_l[ij]} =
    \sum_n K_{ml}[i'i]\,\tilde a_{m-1}[j']\,\tilde a_{l-1}[j]
    + \delta_m[i']\,(F'_{m-1} D_{m-1,l})[j'i]\,\tilde a_{l-1}[j]

with :math:`\tilde a = (a, 1)`; the second sum is absent for l = m and for the bias. Each sum over events is one matrix
product, whose cost does not grow with the number of outputs, and no Jacobian is formed. Without the terms in f'' and
delta it is the Gauss-Newton matrix :math:`J^T C J`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from array_api_compat import device

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends import multiplication, pairs
from ffnn_xp.network.block_matrix import BlockMatrix, permute
from ffnn_xp.network.layout import Layout, back_through, join, weights
from ffnn_xp.network.sweeps import Network, Trace, deltas, push_forward, second_derivatives, slopes

Term = tuple[Array | None, list[Array]]
"""A factor for each event ``(..., 1, n)``, and derivatives in z_l for each layer ``(..., h_l, n)``."""


def hessian_blocks(
    network: Network, xp: Namespace, trace: Trace, y_bar: Array, y_curvature: Array, *, exact: bool, mixed: bool = False
) -> BlockMatrix:
    """Compute the lower blocks of the exact Hessian or, if not `exact`, of the Gauss-Newton matrix.

    `y_bar` and `y_curvature` are the statistic's first and second derivative in y, ``(..., k, n)``; the second one
    ``(..., k, k, n)`` if it has outputs `mixed`.
    """
    slope = slopes(network, xp, trace)
    delta = deltas(xp, trace, slope, y_bar) if exact else []
    second = _second_order_terms(network, xp, trace, delta, y_bar) if exact else []
    inputs = trace.inputs
    L = network.layout.n_layers
    blocks: BlockMatrix = {}
    for l in range(L):
        D, E = _forward(xp, trace, slope, l)
        if mixed:
            K = slope[-1][..., :, None, :] * event_matrices_times(y_curvature, E[-1])
        else:
            K = (slope[-1] * y_curvature * slope[-1])[..., :, None, :] * D[-1]
        for m in range(L - 1, l - 1, -1):
            if m < L - 1:
                K = slope[m][..., :, None, :] * _left(xp, weights(trace.matrices[m + 1]).mT, K)
            if exact:
                K = K + second[m][..., :, None, :] * D[m - l]
            if m == l:
                blocks[m, m] = _of_pairs(xp, _lower(xp, K), inputs[m])
                continue
            block = _contract(xp, K, _products(inputs[m], inputs[l]))
            if exact:
                block = block + _input_term(xp, delta[m], E[m - 1 - l], inputs[l])
            blocks[m, l] = block
    return blocks


def gauss_newton_blocks(
    network: Network,
    xp: Namespace,
    trace: Trace,
    y_curvature: Array,
    *,
    root: Array | None = None,
    weights: Array | None = None,
) -> BlockMatrix:
    """Compute the lower blocks of the Gauss-Newton matrix by the cheaper of two algorithms.

    With few outputs i that is the sum of J_i^T c_i J_i, one reverse sweep for each; with many it is the closed form
    above, whose intermediate arrays do not grow with the number of outputs. With coupled outputs, `root` R with
    C = R R^T and the events' weights replace c, and J_i is the derivative of (R^T y)_i.
    """
    k = network.layout.widths[-1]
    way = cheapest(network.layout, k, multiplication(xp, trace.y))
    if way is None:
        mixed = root is not None
        return hessian_blocks(network, xp, trace, y_curvature, y_curvature, exact=False, mixed=mixed)
    slope = slopes(network, xp, trace)
    terms: list[Term] = []
    for i in range(k):
        if root is None:
            seed, c = _unit(xp, xp.ones_like(trace.y), i), y_curvature[..., i : i + 1, :]
        else:
            seed, c = root[..., :, i, :], weights
        terms.append((c, deltas(xp, trace, slope, seed)))
    return way(xp, terms, trace.inputs)


def score_blocks(network: Network, xp: Namespace, trace: Trace, y_bar: Array) -> BlockMatrix:
    """Compute the lower blocks of the sum over events of g g^T, g the derivative of the event's part of S in theta."""
    delta = deltas(xp, trace, slopes(network, xp, trace), y_bar)
    way = cheapest(network.layout, 1, multiplication(xp, y_bar)) or by_rows
    return way(xp, [(None, delta)], trace.inputs)


def by_rows(xp: Namespace, terms: list[Term], inputs: list[Array]) -> BlockMatrix:
    """Sum outer products of derivatives in theta over events and terms, from the derivatives of each event."""
    total: BlockMatrix = {}
    for c, delta in terms:
        rows = [_row(xp, d, a) for d, a in zip(delta, inputs, strict=True)]
        for m, row in enumerate(rows):
            left = row if c is None else c * row
            for l in range(m + 1):
                block = left @ rows[l].mT
                if (m, l) in total:
                    total[m, l] += block  # in place, where arrays can be written to
                else:
                    total[m, l] = block
    return total


def by_units(xp: Namespace, terms: list[Term], inputs: list[Array]) -> BlockMatrix:
    r"""Compute the sum of `by_rows` as :math:`\sum_n K_{ml}\, \tilde a_{m-1} \tilde a_{l-1}`, K summed over the terms.

    There is one product for each block, however many terms. A block of a layer with itself takes a quarter of the
    multiplications, since K is symmetric and so is the other factor.
    """
    blocks: BlockMatrix = {}
    for m in range(len(inputs)):
        weighted = [delta[m] if c is None else c * delta[m] for c, delta in terms]
        i, j, _ = pairs(xp, weighted[0].shape[-2], inputs[m])
        K = _summed(
            xp.take(w, i, axis=-2) * xp.take(d[m], j, axis=-2) for w, (_, d) in zip(weighted, terms, strict=True)
        )
        blocks[m, m] = _of_pairs(xp, K, inputs[m])
        for l in range(m):
            K = _summed(_products(w, d[l]) for w, (_, d) in zip(weighted, terms, strict=True))
            blocks[m, l] = _contract(xp, K, _products(inputs[m], inputs[l]))
    return blocks


def _summed(terms: Iterable[Array]) -> Array:
    """Add up arrays, in the first one's memory if it can be written to."""
    total = None
    for term in terms:
        if total is None:
            total = term
        else:
            total += term  # in place, where arrays can be written to
    return total


def kronecker_factors(
    network: Network,
    xp: Namespace,
    trace: Trace,
    y_curvature: Array,
    *,
    root: Array | None = None,
    here: Array | None = None,
) -> list[Array]:
    """Compute for each layer the sum over events and outputs of delta delta^T, and of the inputs' (a, 1) (a, 1)^T.

    Here delta is the derivative in z_l of an output, times the root of the statistic's second derivative. The array
    `here` is 0 for events that only fill up a chunk.
    """
    slope = slopes(network, xp, trace)
    inputs = trace.inputs
    if root is None:
        diagonal = xp.sqrt(xp.where(y_curvature > 0, y_curvature, xp.zeros_like(y_curvature))) + xp.zeros_like(trace.y)
    total: list[Array] = []
    for i in range(network.layout.widths[-1]):
        seed = _unit(xp, diagonal, i) if root is None else root[..., :, i, :]
        squares = [d @ d.mT for d in deltas(xp, trace, slope, seed)]
        total = squares if not total else [a + b for a, b in zip(total, squares, strict=True)]
    return total + [(a if here is None else a * here) @ a.mT for a in inputs]


def _unit(xp: Namespace, y: Array, i: int) -> Array:
    """Return row i of ``(..., k, n)`` with zeros in all other rows."""
    zero = xp.zeros_like(y)
    return xp.concat([zero[..., :i, :], y[..., i : i + 1, :], zero[..., i + 1 :, :]], axis=-2)


def _row(xp: Namespace, delta: Array, a: Array) -> Array:
    """Form the derivatives in a layer's parameters ``(..., p_l, n)``, event by event."""
    J = _products(delta, a)
    return xp.reshape(J, (*J.shape[:-3], -1, J.shape[-1]))


def output_hessian_times(C: Array, y: Array, *, mixed: bool) -> Array:
    """Multiply C ``(..., k, n)``, if `mixed` ``(..., k, k, n)``, by changes of the output ``(..., k, n)``."""
    return event_matrices_times(C, y[..., :, None, :])[..., :, 0, :] if mixed else C * y


def event_matrices_times(C: Array, T: Array) -> Array:
    """Multiply C ``(..., k, k, n)`` of each event by its matrix in T ``(..., k, h, n)``."""
    total = C[..., :, 0, :][..., None, :] * T[..., 0, :, :][..., None, :, :]
    for j in range(1, C.shape[-2]):
        total = total + C[..., :, j, :][..., None, :] * T[..., j, :, :][..., None, :, :]
    return total


def cheapest(
    layout: Layout, k: int, share: float
) -> Callable[[Namespace, list[Term], list[Array]], BlockMatrix] | None:
    """Choose the cheapest sum over k outputs' derivatives; None if the closed form is cheaper than any.

    The cost counts the numbers in intermediate arrays and, as this share of one each, the multiplications of products.
    """
    heights, columns = zip(*layout.shapes, strict=True)
    blocks = [(m, l) for m in range(layout.n_layers) for l in range(m + 1)]
    of_rows = sum(layout.sizes[m] * layout.sizes[l] for m, l in blocks)
    of_units = sum(layout.sizes[m] * layout.sizes[l] / (4 if m == l else 1) for m, l in blocks)
    above, beside = (sum(a[m] * a[l] for m, l in blocks) for a in (heights, columns))
    costs = {
        by_rows: k * (share * of_rows + layout.n_parameters),
        by_units: share * of_units + k * above + beside,
        None: share * of_units + 2 * above + beside,
    }
    return min(costs, key=costs.__getitem__)


def hessian_product(
    network: Network,
    xp: Namespace,
    trace: Trace,
    y_bar: Array,
    C: Callable[[Array], Array],
    v: Array,
    *,
    exact: bool,
) -> Array:
    r"""Multiply the exact Hessian, or the Gauss-Newton matrix, by v ``(..., p)`` without forming either.

    One forward and one reverse sweep with derivatives along v (the R-operator of Pearlmutter 1994):
    :math:`\dot\delta_l = f_l'(W_{l+1}^T\dot\delta_{l+1} + V_{l+1}^T\delta_{l+1}) + f_l'' \dot z_l g_l`. `C` multiplies
    changes of the output ``(..., k, n)`` by the statistic's second derivative.
    """
    slope = slopes(network, xp, trace)
    z_dot, a_dot = push_forward(network, xp, trace, slope, v)
    dots = deltas(xp, trace, slope, C(a_dot[-1]))
    if not exact:
        return network.layout.flatten(xp, [d @ a.mT for d, a in zip(dots, trace.inputs, strict=True)])
    delta = deltas(xp, trace, slope, y_bar)
    second = _second_order_terms(network, xp, trace, delta, y_bar)
    directions = network.layout.matrices(xp, v)
    L = network.layout.n_layers
    dot = dots[-1] + second[-1] * z_dot[-1]
    rows = []
    for l in range(L - 1, -1, -1):
        if l < L - 1:
            back = back_through(trace.matrices[l + 1], dot)
            back = back + back_through(directions[l + 1], delta[l + 1])
            dot = slope[l] * back + second[l] * z_dot[l]
        row = dot @ trace.inputs[l].mT
        if l > 0:
            change = delta[l] @ a_dot[l - 1].mT
            row = row + join(xp, change, xp.zeros_like(change[..., :1]))
        rows.append(row)
    return network.layout.flatten(xp, rows[::-1])


def _second_order_terms(network: Network, xp: Namespace, trace: Trace, delta: list[Array], y_bar: Array) -> list[Array]:
    """Compute f_m'' g_m for each layer, where g_m is the derivative of S in a_m."""
    g = [back_through(A, d) for A, d in zip(trace.matrices[1:], delta[1:], strict=True)]
    return [f2 * above for f2, above in zip(second_derivatives(network, xp, trace), [*g, y_bar], strict=True)]


def _forward(xp: Namespace, trace: Trace, slope: list[Array], l: int) -> tuple[list[Array], list[Array]]:
    """Compute D_{ml} for m = l ... L-1 and E_{ml} = F'_m D_{ml}, each ``(..., h_m, h_l, n)``."""
    h = slope[l].shape[-2]
    eye = xp.eye(h, dtype=slope[l].dtype, device=device(slope[l]))[:, :, None]
    D, E = [eye], [eye * slope[l][..., :, None, :]]
    for m in range(l + 1, len(slope)):
        D.append(_left(xp, weights(trace.matrices[m]), E[-1]))
        E.append(slope[m][..., :, None, :] * D[-1])
    return D, E


def _left(xp: Namespace, W: Array, T: Array) -> Array:
    """Multiply W by every event's matrix in T ``(..., h, h', n)``, as one product."""
    columns = xp.reshape(T, (*T.shape[:-2], -1))
    product = W @ columns
    return xp.reshape(product, (*product.shape[:-1], *T.shape[-2:]))


def _lower(xp: Namespace, K: Array) -> Array:
    """Take each pair of the symmetric ``(..., h, h, n)`` once: ``(..., h (h + 1) / 2, n)``."""
    h = K.shape[-2]
    i, j, _ = pairs(xp, h, K)
    return xp.take(xp.reshape(K, (*K.shape[:-3], h * h, K.shape[-1])), i * h + j, axis=-2)


def _of_pairs(xp: Namespace, K: Array, a: Array) -> Array:
    """Sum K ``(..., h (h + 1) / 2, n)`` times a a^T over events, each pair once, to a block that `in_order` unfolds."""
    i, j, _ = pairs(xp, a.shape[-2], a)
    squares = xp.take(a, i, axis=-2) * xp.take(a, j, axis=-2)
    return (K @ squares.mT)[..., None]


def _products(u: Array, v: Array) -> Array:
    """Form outer products of ``(..., a, n)`` and ``(..., b, n)`` event by event, ``(..., a, b, n)``."""
    return u[..., :, None, :] * v[..., None, :, :]


def _contract(xp: Namespace, left: Array, right: Array) -> Array:
    """Sum the outer products of ``(..., a, b, n)`` and ``(..., c, d, n)`` over events: ``(..., a, b, c, d)``."""
    n = left.shape[-1]
    product = xp.reshape(left, (*left.shape[:-3], -1, n)) @ (xp.reshape(right, (*right.shape[:-3], -1, n))).mT
    return xp.reshape(product, (*product.shape[:-2], *left.shape[-3:-1], *right.shape[-3:-1]))


def _input_term(xp: Namespace, delta: Array, E: Array, a: Array) -> Array:
    """Compute the second sum ``(..., h_m, h_l, h_{m-1} + 1, h_{l-1} + 1)``: theta changes later layers' inputs."""
    term = _contract(xp, _products(delta, a), E)
    term = permute(xp, term, (0, 3, 1, 2))
    return permute(xp, join(xp, term, xp.zeros_like(term[..., :1])), (0, 1, 3, 2))
