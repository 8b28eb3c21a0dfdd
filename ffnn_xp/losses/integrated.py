r"""Statistics of the contents of bins, which are integrals of a density: sums over Gauss-Legendre nodes."""

from __future__ import annotations

from dataclasses import dataclass

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.losses.base import Data
from ffnn_xp.losses.wrapped import WrappedLoss


@dataclass(frozen=True)
class IntegratedLoss(WrappedLoss):
    r"""A statistic of bins' contents, :math:`u_b = \sum_q w_{bq}\,y(x_{bq})`; the bins' nodes stand one after another.

    Its data are those of the contents' statistic, and the weights ``(q, n)``.

    Parameters
    ----------
    inner : Loss
        The statistic of the contents.

    Raises
    ------
    ValueError
        If that statistic is not one of independent contents.
    """

    has_linear_operator = True
    pull_nu = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.link is not None or self.coupled_outputs or not self.separable:
            raise ValueError(f"integrals over bins are for contents of independent bins, not for {self.name!r}")

    def unwrapped(self, y: Array, data: Data) -> tuple[Array, Data]:
        """Return contents and their data."""
        return y, data[:-1]

    def linear_operator(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute integrals over bins."""
        weights = data[-1]
        each = xp.reshape(y, (*y.shape[:-1], -1, weights.shape[0]))
        return xp.sum(each * xp.matrix_transpose(weights), axis=-1)

    def adjoint(self, xp: Namespace, u: Array, data: Data) -> Array:
        """Apply the transpose of `linear_operator`."""
        each = u[..., None] * xp.matrix_transpose(data[-1])
        return xp.reshape(each, (*u.shape[:-1], -1))

    def diagonal_fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute the diagonal for nodes that are independent."""
        return self.adjoint(xp, self.fisher(xp, self.linear_operator(xp, y, data), data), (data[-1] * data[-1],))
