r"""Standardisation, and the exact way back from it.

The walk to a minimum wants inputs and targets of mean 0 and width 1; theta has raw units. An affine map of the input
is an augmented matrix X, :math:`(x_{std}, 1) = X \cdot (x, 1)`, and so is the map of an identity output, hence

.. math:: A_1 = A_1^{std} X, \qquad A_L = s_y A_L^{std} + (0, \ldots, 0, m_y)

which is affine in theta: it carries gradients, covariances and priors without any approximation. Outputs behind a
homogeneous nonlinearity (relu) are scaled and not shifted, behind any other left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.network.layout import Layout


@dataclass(frozen=True)
class Scaling:
    """Affine map between theta in raw units and theta of the standardised network, on the host.

    Parameters
    ----------
    layout : Layout
        Of the network.
    x_mean, x_scale : array with shape (d,)
        Inputs are standardised as ``(x - x_mean) / x_scale``.
    y_mean, y_scale : array with shape (k,)
        Targets as ``(y - y_mean) / y_scale``.

    Examples
    --------
    >>> s = Scaling(Layout((1, 1)), np.array([3.0]), np.array([2.0]), np.array([0.0]), np.array([10.0]))
    >>> s.to_raw(np.array([1.0, 0.5]))  # y_std = x_std + 0.5, so y = 10 ((x - 3) / 2 + 0.5)
    array([  5., -10.])
    """

    layout: Layout
    x_mean: HostArray
    x_scale: HostArray
    y_mean: HostArray
    y_scale: HostArray

    def to_raw(self, theta: HostArray) -> HostArray:
        """Theta in raw units from the standardised one; both ``(..., p)``."""
        return self.linear(theta) + self._shift

    def to_standard(self, theta: HostArray) -> HostArray:
        """The inverse of `to_raw`."""
        return self._on_matrices(theta - self._shift, self._input_inverse, 1 / self.y_scale)

    def linear(self, v: HostArray) -> HostArray:
        """The linear part M of `to_raw`, on each row of v ``(..., p)``."""
        return self._on_matrices(v, self._input, self.y_scale)

    def inverse(self, v: HostArray) -> HostArray:
        """M^-1 on each row: a change of raw theta becomes one of the standardised."""
        return self._on_matrices(v, self._input_inverse, 1 / self.y_scale)

    def inverse_transpose(self, g: HostArray) -> HostArray:
        """M^-T on each row: a standardised gradient becomes a raw one."""
        return self._on_matrices(g, self._input_inverse.T, 1 / self.y_scale)

    def transpose(self, g: HostArray) -> HostArray:
        """M^T on each row: a raw gradient becomes a standardised one."""
        return self._on_matrices(g, self._input.T, self.y_scale)

    @property
    def _input(self) -> HostArray:
        X = np.diag(np.append(1 / self.x_scale, 1.0))
        X[:-1, -1] = -self.x_mean / self.x_scale
        return X

    @property
    def _input_inverse(self) -> HostArray:
        X = np.diag(np.append(self.x_scale, 1.0))
        X[:-1, -1] = self.x_mean
        return X

    @property
    def _shift(self) -> HostArray:
        last = np.zeros(self.layout.shapes[-1])
        last[:, -1] = self.y_mean
        shift = np.zeros(self.layout.n_parameters)
        shift[self.layout.offsets[-2] :] = last.ravel()
        return shift

    def _on_matrices(self, theta: HostArray, right: HostArray, left: HostArray) -> HostArray:
        matrices = self.layout.matrices(np, theta)
        matrices[0] = matrices[0] @ right
        matrices[-1] = left[:, None] * matrices[-1]
        return np.asarray(self.layout.flatten(np, matrices))
