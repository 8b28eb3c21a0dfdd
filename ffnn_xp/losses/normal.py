r"""Chi-squares: least squares with known errors, and measurements whose width is predicted too."""

from __future__ import annotations

from dataclasses import dataclass

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.losses.base import Data, Loss


class Measured(Loss):
    r"""Statistics of the pull :math:`z = (y - t)/\sigma`; their data are t and :math:`1/\sigma`."""

    auxiliary = "y_err"
    as_measured = True

    def columns(self, xp: Namespace, y: Array, auxiliary: Array | None, shift: Array, scale: Array) -> Data:
        """Standardised values and their inverse errors."""
        assert auxiliary is not None
        return (y - shift) / scale, auxiliary * scale

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array | None) -> Array:
        """(t - y) / sigma."""
        assert auxiliary is not None
        return (measured - y) * auxiliary


@dataclass(frozen=True)
class LeastSquaresLoss(Measured):
    r"""Chi-square with known errors, :math:`s = ((y - t)/\sigma)^2`; its data are t and :math:`1/\sigma`.

    Examples
    --------
    >>> import numpy as np
    >>> float(LeastSquaresLoss().value(np, np.array(3.0), (np.array(2.0), np.array(2.0))))
    4.0
    """

    name = "least_squares"
    display_name = "chi2"
    is_chi_square = True

    def value(self, xp: Namespace, y: Array, data: Data) -> Array:
        """The squared pull."""
        pull = (y - data[0]) * data[1]
        return pull * pull

    def first(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Twice the pull over the error."""
        target, inverse_error = data
        return 2 * (y - target) * (inverse_error * inverse_error)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """The squared pull, and twice the pull over the error."""
        pull = (y - data[0]) * data[1]
        first = pull * data[1]
        first += first
        return pull * pull, first

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Twice the inverse variance."""
        return 2 * data[1] * data[1]


@dataclass(frozen=True)
class NormalLoss(Loss):
    r"""-2 log L of normal values with a predicted width: outputs are m means, then the logarithms of m widths.

    .. math:: s = z^2 + 2\ell, \qquad z = (t - \mu) e^{-\ell}, \quad y = (\mu, \ell)

    up to a constant (D. A. Nix and A. S. Weigend, Proc. ICNN 1994, eq. 4). The second derivative mixes mean and width;
    its expectation, diag(2 / width^2, 4), does not. S has no lower bound where the width of a value can go to zero: use
    a prior.

    Examples
    --------
    >>> import numpy as np
    >>> y, t = np.array([[1.0], [0.0]]), np.array([[3.0]])
    >>> float(np.sum(NormalLoss().value(np, y, (t,))))
    4.0
    """

    name = "normal"
    coupled_outputs = True

    def columns(self, xp: Namespace, y: Array, auxiliary: Array | None, shift: Array, scale: Array) -> Data:
        """Standardised values."""
        m = y.shape[-2]
        return ((y - shift[:m, :]) / scale[:m, :],)

    def outputs(self, values: int) -> int:
        """A mean and a width for each."""
        return 2 * values

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """z^2 and 2 l below each other; -2 z / width and 2 - 2 z^2."""
        inverse, z, log_width = self._pull(xp, y, data)
        value = xp.concat([z * z, 2 * log_width], axis=-2)
        return value, xp.concat([-2 * z * inverse, 2 - 2 * z * z], axis=-2)

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """(2 / width^2, 4 z / width; 4 z / width, 4 z^2) for each mean and its width."""
        inverse, z, _ = self._pull(xp, y, data)
        return _two_by_two(xp, 2 * inverse * inverse, 4 * z * inverse, 4 * z * z)

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Its expectation."""
        inverse, z, _ = self._pull(xp, y, data)
        zero = xp.zeros_like(z)
        return _two_by_two(xp, 2 * inverse * inverse, zero, 4 + zero)

    def root(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Of the expectation: it is diagonal."""
        inverse, z, _ = self._pull(xp, y, data)
        zero = xp.zeros_like(z)
        return _two_by_two(xp, 2**0.5 * inverse, zero, 2 + zero)

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array | None) -> Array:
        """(t - mean) / width."""
        m = y.shape[-2] // 2
        return (measured - y[..., :m, :]) * xp.exp(-y[..., m:, :])

    def _pull(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array, Array]:
        """1 / width, z, log width."""
        m = y.shape[-2] // 2
        log_width = y[..., m:, :]
        inverse = xp.exp(-log_width)
        return inverse, (data[0] - y[..., :m, :]) * inverse, log_width


def _two_by_two(xp: Namespace, upper: Array, off: Array, lower: Array) -> Array:
    """Matrices ``(..., 2 m, 2 m, n)`` of four diagonal blocks from their diagonals ``(..., m, n)``."""
    m = upper.shape[-2]

    def block(d: Array) -> Array:
        rows = []
        for i in range(m):
            zero = xp.zeros_like(d)
            rows.append(xp.concat([zero[..., :i, :], d[..., i : i + 1, :], zero[..., i + 1 :, :]], axis=-2))
        return xp.stack(rows, axis=-3)

    across = block(off)
    return xp.concat([xp.concat([block(upper), across], axis=-2), xp.concat([across, block(lower)], axis=-2)], axis=-3)
