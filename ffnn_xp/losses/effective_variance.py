r"""The chi-square of values that were measured at inputs with errors.

.. math:: s = \frac{(y(x) - t)^2}{V}, \qquad V = \sigma^2 + \sum_j \left(\sigma_j\,\partial y/\partial x_j\right)^2

with the effective variance V at the measured x (J. Orear, Am. J. Phys. 50 (1982) 912): for a straight line it is the
exact profile likelihood over the true x, hence without the logarithm of V. The derivative is a difference over a small
part of :math:`\sigma_j`, so that y and its slopes are linear combinations of outputs, and derivatives in theta need the
network's own derivatives only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import device

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.losses.base import Data, PullLoss

STEP = 1e-4
"""Step of the difference in sigma of x: its square, 1e-8, is neglected, and rounding takes four of 16 digits."""


@dataclass(frozen=True)
class EffectiveVarianceLoss(PullLoss):
    """Chi-square with errors of y and of x; its data are t and 1 / sigma.

    Each event has the column x, and columns x plus and minus `STEP` errors of each input that has errors. The linear
    combinations of outputs are u, ``(..., k (1 + c), n)``: the k outputs, then for each of these inputs the k slopes
    times its error.

    Parameters
    ----------
    uncertain_inputs : tuple of int
        The inputs that have errors, c of them.

    Examples
    --------
    >>> import numpy as np
    >>> u, data = np.array([[5.0], [3.0]]), (np.array([[0.0]]), np.array([[0.25]]))
    >>> float(np.sum(EffectiveVarianceLoss((0,)).value(np, u, data)))  # (5 - 0)^2 / (4^2 + 3^2)
    1.0
    """

    uncertain_inputs: tuple[int, ...]
    name = "least_squares"
    display_name = "chi2"
    is_chi_square = True
    has_linear_operator = True
    coupled_outputs = True
    needs_float64 = True

    @property
    def columns_of_event(self) -> int:
        """The number of columns of x for each event."""
        return 1 + 2 * len(self.uncertain_inputs)

    def with_shifted(self, xp: Namespace, rows: Array, error: Array) -> Array:
        """Return each row of x ``(n, d)``, followed by copies that are shifted up and down in each uncertain input."""
        points = [rows]
        for j in self.uncertain_inputs:
            one = xp.arange(rows.shape[1], device=device(rows)) == j
            step = STEP * xp.where(one[None, :], error, xp.zeros_like(error))
            points += [rows + step, rows - step]
        return xp.reshape(xp.stack(points, axis=1), (-1, rows.shape[1]))

    def linear_operator(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute outputs and slopes."""
        each = xp.reshape(y, (*y.shape[:-1], -1, self.columns_of_event))
        slopes = [(each[..., 1 + 2 * j] - each[..., 2 + 2 * j]) / (2 * STEP) for j in range(len(self.uncertain_inputs))]
        return xp.concat([each[..., 0], *slopes], axis=-2)

    def adjoint(self, xp: Namespace, u: Array, data: Data) -> Array:
        """Apply the transpose of `linear_operator`."""
        y, *slopes = self._parts(u)
        columns = [y]
        for s in slopes:
            columns += [s / (2 * STEP), -s / (2 * STEP)]
        return xp.reshape(xp.stack(columns, axis=-1), (*y.shape[:-1], -1))

    def diagonal_fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute the diagonal for a variance that does not depend on theta."""
        u = self.linear_operator(xp, y, data)
        first, *others = self._parts(xp.zeros_like(u))
        known = 2 / self._variance(u, data[1])
        return self.adjoint(xp, xp.concat([first + known, *others], axis=-2), data)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Compute squared pulls, and their derivatives in outputs and slopes."""
        share, V, slopes = self._shared(y, data)
        first = [2 * share, *(-2 * share * share * s for s in slopes)]
        return share * share * V, xp.concat(first, axis=-2)

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute the exact second derivative, ``(..., k (1 + c), k (1 + c), n)``."""
        share, V, slopes = self._shared(y, data)
        rows = [[2 / V, *(-4 * share * s / V for s in slopes)]]
        for i, s in enumerate(slopes):
            row = [8 * share * share * s * t / V - (2 * share * share if i == j else 0) for j, t in enumerate(slopes)]
            rows.append([rows[0][1 + i], *row])
        return _by_output(xp, rows)

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute 2 z' z'^T, z the pull: the Gauss-Newton approximation."""
        share, V, slopes = self._shared(y, data)
        pull = [xp.ones_like(share), *(-share * s for s in slopes)]  # derivatives, times root V
        return _by_output(xp, [[2 * a * b / V for b in pull] for a in pull])

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array) -> Array:
        """Compute (t - y) / sqrt(V) from outputs and slopes."""
        return (measured - self._parts(y)[0]) / xp.sqrt(self._variance(y, auxiliary))

    def sample(self, rng: np.random.Generator, prediction: HostArray, auxiliary: HostArray) -> HostArray:
        """Draw normal values of y with the effective variances; x stays as it is."""
        width = np.sqrt(self._variance(prediction, auxiliary))
        return np.asarray(self._parts(prediction)[0] + width * rng.normal(size=width.shape))

    def _shared(self, u: Array, data: Data) -> tuple[Array, Array, list[Array]]:
        """Compute residuals over V, V, and the slopes."""
        predicted, *slopes = self._parts(u)
        V = self._variance(u, data[1])
        return (predicted - data[0]) / V, V, slopes

    def _variance(self, u: Array, inverse_error: Array) -> Array:
        total = 1 / (inverse_error * inverse_error)
        for s in self._parts(u)[1:]:
            total = total + s * s
        return total

    def _parts(self, u: Array) -> list[Array]:
        """Return outputs, and slopes in each input, ``(..., k, n)`` each."""
        k = u.shape[-2] // (1 + len(self.uncertain_inputs))
        return [u[..., i * k : (i + 1) * k, :] for i in range(1 + len(self.uncertain_inputs))]


def _by_output(xp: Namespace, rows: list[list[Array]]) -> Array:
    """Return matrices ``(..., k q, k q, n)`` that do not couple outputs, from entries ``(..., k, n)``."""
    k = rows[0][0].shape[-2]
    one = xp.eye(k, dtype=rows[0][0].dtype, device=device(rows[0][0]))[:, :, None]
    full = [xp.concat([a[..., None, :, :] * one for a in row], axis=-2) for row in rows]
    return xp.concat(full, axis=-3)
