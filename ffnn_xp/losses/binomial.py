"""The statistic of binomial counts: k successes in N trials, such as an efficiency; with N = 1, yes or no."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Mask, Namespace
from ffnn_xp.losses.base import Data, Loss, share, x_log


@dataclass(frozen=True)
class BinomialLoss(Loss):
    r"""Deviance of k successes in N trials with probability :math:`p = 1/(1 + e^{-\eta})`; N = 1 is the default.

    .. math:: s = 2\left(k \log\frac{k}{N p} + (N - k) \log\frac{N - k}{N (1 - p)}\right)

    -2 log of the likelihood over that of a perfect fit (S. Baker and R. D. Cousins, Nucl. Instrum. Meth. 221 (1984)
    437, eq. 11, of two bins). In the logit it is computed from softplus, without a difference, so that
    it is exact for k = 0 and k = N and logits of any size. Its data are k, N - k, the terms that do not depend on the
    output, and the logit's shift.

    Examples
    --------
    >>> import numpy as np
    >>> k, N, one = np.array([[10.0]]), np.array([[10.0]]), np.array([[1.0]])
    >>> data = BinomialLoss().columns(np, k, N, 0 * one, one)
    >>> float(BinomialLoss().value(np, 1000 * one, data)[0, 0])
    0.0
    """

    name = "binomial"
    display_name = "deviance"
    target_kind = "successes"
    auxiliary = "trials"
    link = "logistic"

    def columns(self, xp: Namespace, y: Array, auxiliary: Array, shift: Array, scale: Array) -> Data:
        """Return k, N - k, the constant, the shift."""
        trials = auxiliary + xp.zeros_like(y)
        rest = trials - y
        constant = x_log(xp, y, y / trials) + x_log(xp, rest, rest / trials)
        return y, rest, constant, shift + xp.zeros_like(y)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute 2 (k softplus(-eta) + (N - k) softplus(eta)) and its derivative."""
        k, rest, constant, shift = data
        eta = y + shift
        small = xp.exp(-xp.abs(eta))
        log = xp.log1p(small)  # softplus of eta is this plus the positive part
        up, down = log + xp.maximum(-eta, xp.zeros_like(eta)), log + xp.maximum(eta, xp.zeros_like(eta))
        p, q = _probabilities(xp, eta, small)
        return 2 * (k * up + rest * down + constant), 2 * (rest * p - k * q)

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute 2 N p (1 - p)."""
        k, rest, _, shift = data
        eta = y + shift
        p, q = _probabilities(xp, eta, xp.exp(-xp.abs(eta)))
        return 2 * (k + rest) * p * q

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array) -> Array:
        """Compute (k - N p) / sqrt(N p (1 - p)), Pearson's residuals."""
        return (measured - auxiliary * y) / xp.sqrt(auxiliary * y * (1 - y))

    def without_end(self, measured: HostArray, possible: HostArray, some: Mask) -> str:
        """Say that there are no successes, or successes alone, or that the classes are separated."""
        k, rest = measured[some], (possible - measured)[some]
        if not np.any(k) or not np.any(rest):
            return f"there are {'successes alone' if np.any(k) else 'no successes'} at {share(some)}"
        return f"{'the classes' if np.all(possible == 1) else 'successes and failures'} are separated at {share(some)}"

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw numbers of successes."""
        return rng.binomial(auxiliary.astype(np.int64), np.clip(prediction, 0.0, 1.0)).astype(np.float64)

    def constant_output(self, observed: HostArray, possible: HostArray) -> HostArray:
        """Return the logit of the mean probability."""
        return np.asarray(np.log(np.maximum(observed, 0.5) / np.maximum(possible - observed, 0.5)))


def _probabilities(xp: Namespace, eta: Array, small: Array) -> tuple[Array, Array]:
    """Compute p and 1 - p, each with all its digits; `small` is exp(-abs(eta))."""
    large, little = 1 / (1 + small), small / (1 + small)
    return xp.where(eta >= 0, large, little), xp.where(eta >= 0, little, large)
