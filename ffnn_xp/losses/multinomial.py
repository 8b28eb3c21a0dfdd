"""The statistic of k classes: the multinomial likelihood of softmax probabilities, or cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Mask, Namespace
from ffnn_xp.losses.base import Data, Loss, share, x_log


@dataclass(frozen=True)
class MultinomialLoss(Loss):
    r"""Deviance of counts t_i of k classes with probabilities :math:`p_i = e^{\eta_i} / \sum_j e^{\eta_j}`.

    .. math:: s_i = 2 t_i \log\frac{t_i}{N p_i}, \qquad \frac{\partial S}{\partial\eta} = 2(N p - t), \quad
              \frac{\partial^2 S}{\partial\eta^2} = 2 N (\mathrm{diag}(p) - p p^T)

    with N the sum of the counts of an event, its `auxiliary` number (S. Baker and R. D. Cousins, Nucl. Instrum. Meth.
    221 (1984) 437, eq. 11): -2 log of the likelihood over that of a perfect fit. A label is counts of 0 and one 1. The
    same number added to all outputs of an event changes nothing. Its data are t, the terms that do not depend on the
    output, and the outputs' shift.

    Examples
    --------
    >>> import numpy as np
    >>> t, zero = np.array([[1.0], [0.0]]), np.zeros((2, 1))
    >>> data = MultinomialLoss().columns(np, t, np.ones((1, 1)), zero, zero + 1)
    >>> round(float(np.sum(MultinomialLoss().value(np, zero, data))), 6)  # 2 log 2: as good as a coin
    1.386294
    """

    name = "multinomial"
    display_name = "deviance"
    target_kind = "class"
    link = "softmax"
    coupled_outputs = True

    def ndof_per_event(self, values: int) -> int:
        """Return one value less, since the sum of the counts is given."""
        return values - 1

    def columns(self, xp: Namespace, y: Array, auxiliary: Array, shift: Array, scale: Array) -> Data:
        """Return counts, the constant, the shift."""
        return y, x_log(xp, y, y / auxiliary), shift + xp.zeros_like(y)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute 2 t (log(t / N) - log p), and 2 (N p - t)."""
        t, constant, shift = data
        eta = y + shift
        below = eta - xp.max(eta, axis=-2, keepdims=True)
        weight = xp.exp(below)
        norm = xp.sum(weight, axis=-2, keepdims=True)
        total = xp.sum(t, axis=-2, keepdims=True)
        return 2 * (t * (xp.log(norm) - below) + constant), 2 * (total * weight / norm - t)

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute 2 N (diag(p) - p p^T), ``(..., k, k, n)``."""
        R = self.root(xp, y, data)
        return xp.sum(R[..., :, None, :, :] * R[..., None, :, :, :], axis=-2)

    def root(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute sqrt(2 N) (diag(sqrt(p)) - p sqrt(p)^T)."""
        p = _softmax(xp, y + data[2])
        k = p.shape[-2]
        size = xp.sqrt(2 * xp.sum(data[0], axis=-2, keepdims=True))
        half = xp.sqrt(p)
        columns = []
        for j in range(k):
            one, zero = half[..., j : j + 1, :], xp.zeros_like(p)
            own = xp.concat([zero[..., :j, :], one, zero[..., j + 1 :, :]], axis=-2)
            columns.append(size * (own - p * one))
        return xp.stack(columns, axis=-2)

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array) -> Array:
        """Compute (t - N p) / sqrt(N p (1 - p)), Pearson's residuals."""
        return (measured - auxiliary * y) / xp.sqrt(auxiliary * y * (1 - y))

    def without_end(self, measured: HostArray, possible: HostArray, some: Mask) -> str:
        """Say that there is one class only, or that classes are separated."""
        events = np.any(some, axis=0)
        where = share(events[None, :])
        if np.sum(np.any(measured[:, events] > 0, axis=1)) == 1:
            return f"there is one class only at {where}"
        what = "the classes are separated" if np.all(some[:, events]) else "not all classes occur"
        return f"{what} at {where}"

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw counts of the classes."""
        events = np.moveaxis(prediction, -2, -1)
        p = events / events.sum(axis=-1, keepdims=True)
        trials = np.broadcast_to(np.moveaxis(auxiliary, -2, -1)[..., 0], p.shape[:-1]).astype(np.int64)
        return np.moveaxis(rng.multinomial(trials, p).astype(np.float64), -1, -2)

    def constant_output(self, observed: HostArray, possible: HostArray) -> HostArray:
        """Return the logarithms of the classes' shares, less their mean, which changes nothing."""
        log = super().constant_output(observed, possible)
        return np.asarray(log - np.mean(log))


def _softmax(xp: Namespace, eta: Array) -> Array:
    weight = xp.exp(eta - xp.max(eta, axis=-2, keepdims=True))
    return weight / xp.sum(weight, axis=-2, keepdims=True)
