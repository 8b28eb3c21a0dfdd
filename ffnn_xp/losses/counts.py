r"""Counts: Poisson, binomial.

Each is -2 log of the likelihood over that of a perfect fit, which is a chi-square where counts are large (S. Baker and
R. D. Cousins, Nucl. Instrum. Meth. 221 (1984) 437).
"""

from __future__ import annotations

from dataclasses import dataclass

from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.losses.base import Data, Loss


class Poisson(Loss):
    r"""Counts t with expectation :math:`\lambda = e \mu`, :math:`s = 2(\lambda - t + t \log(t/\lambda))`.

    (Baker and Cousins, eq. 6.) The exposure e of each count is its time, volume or bin width; 1 if not given. A network
    with ``output="exp"`` is fitted in :math:`\log\mu`; any other output has to stay positive by itself.
    """

    name = "poisson"
    display_name = "deviance"
    target_kind = "count"
    auxiliary = "exposure"

    def for_output(self, output: str) -> Loss:
        """In log mu where the output is an exponential."""
        return PoissonLogLoss() if output == "exp" else PoissonLoss()

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array | None) -> Array:
        """(t - lambda) / sqrt(lambda), Pearson's."""
        expected = y if auxiliary is None else y * auxiliary
        return (measured - expected) / xp.sqrt(expected)


@dataclass(frozen=True)
class PoissonLoss(Poisson):
    r"""`Poisson` in :math:`\mu`; infinite where that is not positive. Its data are t and the exposure.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.array([[1.0]])
    >>> float(PoissonLoss().value(np, 2 * one, (0 * one, one))[0, 0])  # nothing seen where 2 are expected
    4.0
    """

    def columns(self, xp: Namespace, y: Array, auxiliary: Array | None, shift: Array, scale: Array) -> Data:
        """Counts, and exposure times the output's scale."""
        return y, (xp.ones_like(y) if auxiliary is None else auxiliary) * scale

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """2 (lambda - t + t log(t / lambda)), and 2 e (1 - t / lambda)."""
        t, e = data
        expected = e * y
        fine = (expected > 0) | ((expected == 0) & (t == 0))
        safe = xp.where(expected > 0, expected, xp.ones_like(expected))
        least = xp.where(t > 0, t, xp.ones_like(t))
        value = 2 * (expected - t + t * xp.log(least / safe))
        return xp.where(fine, value, float("inf")), 2 * e * (1 - t / safe)

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """2 t / y^2."""
        return 2 * data[0] / xp.where(y > 0, y * y, xp.ones_like(y))

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """2 e / y, the expectation."""
        return 2 * data[1] / xp.where(y > 0, y, xp.ones_like(y))


@dataclass(frozen=True)
class PoissonLogLoss(Poisson):
    r"""`Poisson` in :math:`\eta = \log\mu`. Its data are t, and :math:`\log(e/\max(t, 1))`.

    With :math:`d = \eta + \log(e/\max(t, 1))` it is :math:`2(\max(t, 1)\,e^d - t - t d)`, which keeps its digits where
    expectation and count are large and nearly equal.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.array([[1.0]])
    >>> data = PoissonLogLoss().columns(np, 0 * one, None, 0 * one, one)
    >>> round(float(PoissonLogLoss().value(np, np.log(2 * one), data)[0, 0]), 12)
    4.0
    """

    link = "exp"

    def columns(self, xp: Namespace, y: Array, auxiliary: Array | None, shift: Array, scale: Array) -> Data:
        """Counts, and what has to be added to the output."""
        offset = shift - xp.log(xp.maximum(y, xp.ones_like(y)))
        return y, offset if auxiliary is None else offset + xp.log(auxiliary)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """2 (lambda - t - t d), and 2 (lambda - t)."""
        t, d = data[0], y + data[1]
        least = xp.maximum(t, xp.ones_like(t))
        excess = least * xp.expm1(d) + (least - t)
        return 2 * (excess - t * d), 2 * excess

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """2 lambda."""
        t = data[0]
        return 2 * xp.maximum(t, xp.ones_like(t)) * xp.exp(y + data[1])


@dataclass(frozen=True)
class BinomialLoss(Loss):
    r"""k of N with probability :math:`p = 1/(1 + e^{-\eta})`: efficiencies; with N = 1, the default, yes and no.

    .. math:: s = 2\left(k \log\frac{k}{N p} + (N - k) \log\frac{N - k}{N (1 - p)}\right)

    (Baker and Cousins, eq. 11, of two bins.) In the logit it is computed from softplus, without a difference, so that
    it is exact for k = 0 and k = N and logits of any size. Its data are k, N - k, what does not depend on the output,
    and the logit's shift.

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
    target_kind = "part"
    auxiliary = "trials"
    link = "logistic"

    def for_output(self, output: str) -> Loss:
        """Itself, of a logistic output."""
        return _only(self, output)

    def columns(self, xp: Namespace, y: Array, auxiliary: Array | None, shift: Array, scale: Array) -> Data:
        """k, N - k, the constant, the shift."""
        trials = xp.ones_like(y) if auxiliary is None else auxiliary + xp.zeros_like(y)
        rest = trials - y
        constant = _xlog(xp, y, y / trials) + _xlog(xp, rest, rest / trials)
        return y, rest, constant, shift + xp.zeros_like(y)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """2 (k softplus(-eta) + (N - k) softplus(eta)) and its derivative."""
        k, rest, constant, shift = data
        eta = y + shift
        small = xp.exp(-xp.abs(eta))
        log = xp.log1p(small)  # softplus of eta is this plus the positive part
        up, down = log + xp.maximum(-eta, xp.zeros_like(eta)), log + xp.maximum(eta, xp.zeros_like(eta))
        p, q = _probabilities(xp, eta, small)
        return 2 * (k * up + rest * down + constant), 2 * (rest * p - k * q)

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """2 N p (1 - p)."""
        k, rest, _, shift = data
        eta = y + shift
        p, q = _probabilities(xp, eta, xp.exp(-xp.abs(eta)))
        return 2 * (k + rest) * p * q

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array | None) -> Array:
        """(k - N p) / sqrt(N p (1 - p)), Pearson's."""
        trials = 1.0 if auxiliary is None else auxiliary
        return (measured - trials * y) / xp.sqrt(trials * y * (1 - y))


def _only(loss: Loss, output: str) -> Loss:
    """It, if that is its link."""
    if output != loss.link:
        raise ValueError(
            f"loss {loss.name!r} needs a network with output={loss.link!r}, whose values are probabilities, "
            f"got output={output!r}: {did_you_mean(output, [str(loss.link)])}"
        )
    return loss


def _probabilities(xp: Namespace, eta: Array, small: Array) -> tuple[Array, Array]:
    """p and 1 - p, each with all its digits; `small` is exp(-abs(eta))."""
    large, little = 1 / (1 + small), small / (1 + small)
    return xp.where(eta >= 0, large, little), xp.where(eta >= 0, little, large)


def _xlog(xp: Namespace, x: Array, share: Array) -> Array:
    """x log(share), 0 where x is."""
    return x * xp.log(xp.where(x > 0, share, xp.ones_like(share)))
