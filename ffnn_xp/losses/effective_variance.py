r"""Chi-square of values measured at inputs that are uncertain themselves.

.. math:: s = \frac{(y(x) - t)^2}{V}, \qquad V = \sigma^2 + \sum_j \left(\sigma_j\,\partial y/\partial x_j\right)^2

with the effective variance V at the measured x (J. Orear, Am. J. Phys. 50 (1982) 912): for a straight line the exact
profile likelihood over the true x, hence without the logarithm of V. The derivative is a difference over a small part
of :math:`\sigma_j`, so that the statistic sees linear combinations of outputs, y and its slopes, and all its
derivatives in theta are those of the network.
"""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import device

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.losses.base import Data
from ffnn_xp.losses.normal import Measured

STEP = 1e-4  # in sigma of x: of the difference the square is lost, of the digits four


@dataclass(frozen=True)
class EffectiveVarianceLoss(Measured):
    """Chi-square with errors of y and of x; its data are t and 1 / sigma.

    To each event belong the columns x, and x plus and minus `STEP` errors of each input that has one. What it sees are
    u, ``(..., k (1 + c), n)``: the k outputs, then for each of these inputs the k slopes times its error.

    Parameters
    ----------
    inputs : tuple of int
        Which inputs have errors, c of them.

    Examples
    --------
    >>> import numpy as np
    >>> u, data = np.array([[5.0], [3.0]]), (np.array([[0.0]]), np.array([[0.25]]))
    >>> float(np.sum(EffectiveVarianceLoss((0,)).value(np, u, data)))  # (5 - 0)^2 / (4^2 + 3^2)
    1.0
    """

    inputs: tuple[int, ...]
    name = "least_squares"
    display_name = "chi2"
    is_chi_square = True
    has_linear_operator = True
    coupled_outputs = True
    needs_float64 = True

    @property
    def columns_of_event(self) -> int:
        """How many columns of x belong to each event."""
        return 1 + 2 * len(self.inputs)

    def linear_operator(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Outputs and slopes."""
        each = xp.reshape(y, (*y.shape[:-1], -1, self.columns_of_event))
        slopes = [(each[..., 1 + 2 * j] - each[..., 2 + 2 * j]) / (2 * STEP) for j in range(len(self.inputs))]
        return xp.concat([each[..., 0], *slopes], axis=-2)

    def adjoint(self, xp: Namespace, u: Array, data: Data) -> Array:
        """The transpose of `linear_operator`."""
        y, *slopes = self._parts(u)
        columns = [y]
        for s in slopes:
            columns += [s / (2 * STEP), -s / (2 * STEP)]
        return xp.reshape(xp.stack(columns, axis=-1), (*y.shape[:-1], -1))

    def diagonal_fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """As if the variance were known."""
        u = self.linear_operator(xp, y, data)
        first, *others = self._parts(xp.zeros_like(u))
        known = 2 / self._variance(u, data[1])
        return self.adjoint(xp, xp.concat([first + known, *others], axis=-2), data)

    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """Squared pulls, and their derivatives in outputs and slopes."""
        share, V, slopes = self._shared(y, data)
        first = [2 * share, *(-2 * share * share * s for s in slopes)]
        return share * share * V, xp.concat(first, axis=-2)

    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Exact, ``(..., k (1 + c), k (1 + c), n)``."""
        share, V, slopes = self._shared(y, data)
        rows = [[2 / V, *(-4 * share * s / V for s in slopes)]]
        for i, s in enumerate(slopes):
            bend = [8 * share * share * s * t / V - (2 * share * share if i == j else 0) for j, t in enumerate(slopes)]
            rows.append([rows[0][1 + i], *bend])
        return _by_output(xp, rows)

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """2 z' z'^T, z the pull: of Gauss and Newton."""
        share, V, slopes = self._shared(y, data)
        pull = [xp.ones_like(share), *(-share * s for s in slopes)]  # derivatives, times root V
        return _by_output(xp, [[2 * a * b / V for b in pull] for a in pull])

    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array | None) -> Array:
        """(t - y) / sqrt(V), of outputs and slopes."""
        assert auxiliary is not None
        return (measured - self._parts(y)[0]) / self.width(xp, y, auxiliary)

    def width(self, xp: Namespace, u: Array, auxiliary: Array) -> Array:
        """sqrt(V), ``(..., k, n)``."""
        return xp.sqrt(self._variance(u, auxiliary))

    def _shared(self, u: Array, data: Data) -> tuple[Array, Array, list[Array]]:
        """Residuals over V, V, and the slopes."""
        predicted, *slopes = self._parts(u)
        V = self._variance(u, data[1])
        return (predicted - data[0]) / V, V, slopes

    def _variance(self, u: Array, inverse_error: Array) -> Array:
        total = 1 / (inverse_error * inverse_error)
        for s in self._parts(u)[1:]:
            total = total + s * s
        return total

    def _parts(self, u: Array) -> list[Array]:
        """Outputs, and slopes in each input, ``(..., k, n)`` each."""
        k = u.shape[-2] // (1 + len(self.inputs))
        return [u[..., i * k : (i + 1) * k, :] for i in range(1 + len(self.inputs))]


def _by_output(xp: Namespace, rows: list[list[Array]]) -> Array:
    """Entries ``(..., k, n)`` as matrices ``(..., k q, k q, n)`` that do not mix outputs."""
    k = rows[0][0].shape[-2]
    one = xp.eye(k, dtype=rows[0][0].dtype, device=device(rows[0][0]))[:, :, None]
    full = [xp.concat([a[..., None, :, :] * one for a in row], axis=-2) for row in rows]
    return xp.concat(full, axis=-3)
