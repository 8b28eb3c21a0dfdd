r"""One of k classes: the multinomial likelihood of softmax probabilities, cross-entropy in other words."""

from __future__ import annotations

from dataclasses import dataclass

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.losses.base import Data, Loss
from ffnn_xp.losses.counts import _only, _xlog
from ffnn_xp.network import softmax


@dataclass(frozen=True)
class MultinomialLoss(Loss):
    r"""Counts t_i of k classes with probabilities :math:`p_i = e^{\eta_i} / \sum_j e^{\eta_j}`; for one event, 0 and 1.

    .. math:: s_i = 2 t_i \log\frac{t_i}{N p_i}, \qquad \frac{\partial S}{\partial\eta} = 2(N p - t), \quad
              \frac{\partial^2 S}{\partial\eta^2} = 2 N (\mathrm{diag}(p) - p p^T)

    with N the sum of the counts (S. Baker and R. D. Cousins, Nucl. Instrum. Meth. 221 (1984) 437, eq. 11): -2 log of
    the likelihood over that of a perfect fit. One direction of the outputs, all up by the same, changes nothing. Its
    data are t, what does not depend on the output, and the outputs' shift.

    Examples
    --------
    >>> import numpy as np
    >>> t, zero = np.array([[1.0], [0.0]]), np.zeros((2, 1))
    >>> data = MultinomialLoss().columns(np, t, None, zero, zero + 1)
    >>> round(float(np.sum(MultinomialLoss().value(np, zero, data))), 6)  # 2 log 2: as good as a coin
    1.386294
    """

    name = "multinomial"
    display_name = "deviance"
    target_kind = "class"
    link = "softmax"
    coupled_outputs = True

    def for_output(self, output: str) -> Loss:
        """Itself, of a softmax output."""
        return _only(self, output)

    def ndof_per_event(self, values: int) -> int:
        """One less: their sum is given."""
        return values - 1

    def columns(self, xp: Namespace, y: Array, auxiliary: Array | None, shift: Array, scale: Array) -> Data:
        """Counts, the constant, the shift."""
        total = xp.sum(y, axis=-2, keepdims=True)
        return y, _xlog(xp, y, y / total), shift + xp.zeros_like(y)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """2 t (log(t / N) - log p), and 2 (N p - t)."""
        t, constant, shift = data
        eta = y + shift
        below = eta - xp.max(eta, axis=-2, keepdims=True)
        weight = xp.exp(below)
        norm = xp.sum(weight, axis=-2, keepdims=True)
        total = xp.sum(t, axis=-2, keepdims=True)
        return 2 * (t * (xp.log(norm) - below) + constant), 2 * (total * weight / norm - t)

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """2 N (diag(p) - p p^T), ``(..., k, k, n)``."""
        R = self.root(xp, y, data)
        return xp.sum(R[..., :, None, :, :] * R[..., None, :, :, :], axis=-2)

    def root(self, xp: Namespace, y: Array, data: Data) -> Array:
        r"""sqrt(2 N) (diag(sqrt(p)) - p sqrt(p)^T)."""
        p = softmax.f(xp, y + data[2])
        k = p.shape[-2]
        size = xp.sqrt(2 * xp.sum(data[0], axis=-2, keepdims=True))
        half = xp.sqrt(p)
        columns = []
        for j in range(k):
            one, zero = half[..., j : j + 1, :], xp.zeros_like(p)
            own = xp.concat([zero[..., :j, :], one, zero[..., j + 1 :, :]], axis=-2)
            columns.append(size * (own - p * one))
        return xp.stack(columns, axis=-2)

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array | None) -> Array:
        """(t - N p) / sqrt(N p (1 - p)), Pearson's."""
        total = xp.sum(measured, axis=-2, keepdims=True)
        return (measured - total * y) / xp.sqrt(total * y * (1 - y))
