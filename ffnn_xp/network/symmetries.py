r"""Symmetries of networks: all theta of the same function have one form, with order, signs and scales of units fixed.

Permuting the hidden units of a layer changes theta and not the function; neither does a unit's sign, if its f has a
mirror, :math:`f(-z) = s f(z) + c` (tanh: -1, 0; logistic: -1, 1), nor its scale, if f is homogeneous
(H. J. Sussmann, Neural Networks 5 (1992) 589). Each change of a unit's incoming row is undone in the next matrix,
exactly. Other symmetries (rotations of an identity layer, periods of sine, exact copies) are not removed.
All of it runs on the host, on results.
"""

from __future__ import annotations

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray, Mask, Rows
from ffnn_xp.network.activations import Activation
from ffnn_xp.network.sweeps import Network

DIGITS = 9  # decimals, relative to a layer's largest value, that decide on the order of units: rounding is smaller


def canonical(network: Network, theta: HostArray) -> HostArray:
    """Return theta ``(p,)`` of the same function with order, signs and scales of its hidden units fixed.

    Layer by layer from the inputs, homogeneous units get an incoming row of norm 1, mirrored ones a positive largest
    element, and units are put in lexicographic order of their incoming rows.

    Examples
    --------
    >>> from ffnn_xp.network.activations import identity, tanh
    >>> from ffnn_xp.network.layout import Layout
    >>> network = Network(Layout((1, 2, 1)), (tanh, identity))
    >>> canonical(network, np.array([3.0, 0.0, -2.0, 1.0, 5.0, 7.0, 0.5]))
    array([ 2. , -1. ,  3. ,  0. , -7. ,  5. ,  0.5])
    """
    matrices = [A.copy() for A in network.layout.matrices(np, theta)]
    for l, f in enumerate(network.activations[:-1]):
        A, B = _scaled(f, matrices[l], matrices[l + 1])
        pivot = np.take_along_axis(A, np.argmax(np.abs(A), axis=1)[:, None], axis=1)[:, 0]
        A, B = _mirrored(f, A, B, pivot < 0)
        order = _order(A, B)
        matrices[l], matrices[l + 1] = A[order], _columns(B, order)
    return np.asarray(network.layout.flatten(np, matrices))


def aligned(network: Network, theta: HostArray, reference: HostArray) -> HostArray:
    """Return theta ``(p,)`` of the same function, with order, signs and scales of its units nearest to `reference`.

    Layer by layer the units are matched by their incoming rows, with the smallest sum of squared distances
    (`scipy.optimize.linear_sum_assignment`); homogeneous ones get the norm of the reference's rows.

    Examples
    --------
    >>> from ffnn_xp.network.activations import identity, tanh
    >>> from ffnn_xp.network.layout import Layout
    >>> network = Network(Layout((1, 2, 1)), (tanh, identity))
    >>> aligned(network, np.array([3.0, 0, -2, 1, 5, 7, 0.5]), np.array([2.1, -1, 3, 0, -7, 5, 0.5]))
    array([ 2. , -1. ,  3. ,  0. , -7. ,  5. ,  0.5])
    """
    matrices = [A.copy() for A in network.layout.matrices(np, theta)]
    for l, (f, R) in enumerate(zip(network.activations[:-1], network.layout.matrices(np, reference), strict=False)):
        A, B = _scaled(f, matrices[l], matrices[l + 1])
        norm = np.linalg.norm(R, axis=1) if f.homogeneous else np.ones(len(R))
        norm = np.where(norm > 0, norm, 1.0)
        unit = R / norm[:, None]
        near = np.sum((unit[:, None] - A) ** 2, axis=-1)
        far = np.sum((unit[:, None] + A) ** 2, axis=-1) if f.mirror is not None else np.full_like(near, np.inf)
        _, match = scipy.optimize.linear_sum_assignment(np.minimum(near, far))
        flip = (far < near)[np.arange(len(A)), match]
        A, B = _mirrored(f, A[match], _columns(B, match), flip)
        matrices[l], matrices[l + 1] = A * norm[:, None], B / np.append(norm, 1.0)
    return np.asarray(network.layout.flatten(np, matrices))


def _scaled(f: Activation, A: HostArray, B: HostArray) -> tuple[HostArray, HostArray]:
    """Scale incoming rows to norm 1 if f is homogeneous; a row of zeros stays as it is."""
    if not f.homogeneous:
        return A, B
    norm = np.linalg.norm(A, axis=1)
    norm = np.where(norm > 0, norm, 1.0)
    return A / norm[:, None], B * np.append(norm, 1.0)


def _mirrored(f: Activation, A: HostArray, B: HostArray, flip: Mask) -> tuple[HostArray, HostArray]:
    """Flip the signs of the units in `flip`: f(z) = s f(-z) + c, and the next matrix takes s and c."""
    if f.mirror is None:
        return A, B
    s, c = f.mirror
    B = B.copy()
    B[:, -1] += c * np.sum(B[:, :-1][:, flip], axis=1)
    B[:, :-1] *= np.where(flip, s, 1.0)
    return np.where(flip[:, None], -A, A), B


def _order(A: HostArray, B: HostArray) -> Rows:
    """Order units lexicographically by incoming row; equal ones by the sizes of their outgoing weights."""
    keys = [np.round(M / max(np.max(np.abs(M)), 1e-300), DIGITS) for M in (A, np.sort(np.abs(B[:, :-1]), axis=0).T)]
    return np.lexsort(np.hstack(keys).T[::-1])


def _columns(B: HostArray, order: Rows) -> HostArray:
    """Put the columns of a matrix in this order, its bias last."""
    return B[:, np.append(order, B.shape[1] - 1)]
