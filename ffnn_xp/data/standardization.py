r"""Standardisation, and its exact inverse.

A minimization needs inputs and targets of mean 0 and width 1, while users' theta has raw units. An affine map of the
input is an augmented matrix X, :math:`(x_{std}, 1) = X \cdot (x, 1)`, and so is the map of an identity output, hence

.. math:: A_1 = A_1^{std} X, \qquad A_L = s_y A_L^{std} + (0, \ldots, 0, m_y)

which is affine in theta: it transforms gradients, covariances and priors without any approximation. Outputs with a
homogeneous nonlinearity (relu) are scaled and not shifted, outputs with any other are not changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.backends import Backend
from ffnn_xp.data.dataset import Dataset
from ffnn_xp.losses import Loss
from ffnn_xp.network import Layout, Network

ROOM = 1e2  # factor between the widths of columns and those whose squares overflow or underflow


@dataclass(frozen=True)
class Scaling:
    """The affine map between theta in raw units and theta of the standardised network, on the host.

    Parameters
    ----------
    layout : Layout
        The layout of the network's parameters.
    x_mean, x_scale : array with shape (d,)
        Inputs are standardised as ``(x - x_mean) / x_scale``.
    y_mean, y_scale : array with shape (k,)
        Targets are standardised as ``(y - y_mean) / y_scale``.

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
        """Return theta in raw units from standardised theta, both ``(..., p)``."""
        return self.linear(theta) + self._shift

    def to_standard(self, theta: HostArray) -> HostArray:
        """Return standardised theta from theta in raw units, both ``(..., p)``."""
        return self._on_matrices(theta - self._shift, self._input_inverse, 1 / self.y_scale)

    def linear(self, v: HostArray) -> HostArray:
        """Apply the linear part M of `to_raw` to each row of v ``(..., p)``."""
        return self._on_matrices(v, self._input, self.y_scale)

    def inverse(self, v: HostArray) -> HostArray:
        """Apply M^-1 to each row: a change of raw theta becomes one of standardised theta."""
        return self._on_matrices(v, self._input_inverse, 1 / self.y_scale)

    def inverse_transpose(self, g: HostArray) -> HostArray:
        """Apply M^-T to each row: a standardised gradient becomes a raw one."""
        return self._on_matrices(g, self._input_inverse.T, 1 / self.y_scale)

    def transpose(self, g: HostArray) -> HostArray:
        """Apply M^T to each row: a raw gradient becomes a standardised one."""
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


@dataclass(frozen=True)
class Moments:
    """The moments of data, of which their scaling is made; those of parts of the data add up.

    Attributes
    ----------
    n : int
        Number of events.
    x, y : array with shape (3, d), (3, k)
        Means, standard deviations, and the largest distances from the means, or bounds on these.
    observed, possible : array with shape (k,)
        Sums of y, and of what was possible, where a constant network is that of their ratio; else zeros.
    """

    n: int
    x: HostArray
    y: HostArray
    observed: HostArray
    possible: HostArray

    def __add__(self, other: Moments) -> Moments:
        n = self.n + other.n
        x, y = _joined(self.x, other.x, self.n / n), _joined(self.y, other.y, self.n / n)
        return Moments(n, x, y, self.observed + other.observed, self.possible + other.possible)


def _joined(a: HostArray, b: HostArray, share: float) -> HostArray:
    """Return the moments ``(3, d)`` of two sets of events; the share of the first lies between 0 and 1."""
    mean = share * a[0] + (1 - share) * b[0]
    away = [np.abs(part[0] - mean) for part in (a, b)]
    square = share * (a[1] ** 2 + away[0] ** 2) + (1 - share) * (b[1] ** 2 + away[1] ** 2)
    return np.stack([mean, np.sqrt(square), np.maximum(a[2] + away[0], b[2] + away[1])])


def moments_of(network: Network, backend: Backend, data: Dataset, loss: Loss) -> Moments:
    """Return the moments of these data."""
    xp = backend.xp
    observed = possible = np.zeros(data.n_values)
    with backend.context(), np.errstate(all="ignore"):
        rates = data.y if data.nodes is None else data.y / xp.sum(data.nodes, axis=0, keepdims=True)
        x, y = (backend.to_host(backend.bind(_mean_width_and_spread)(a)).T for a in (data.x, rates))
        if has_centred_argument(network, loss):
            out_of = xp.ones_like(data.y) if data.auxiliary is None else data.auxiliary
            if data.nodes is not None:
                out_of = out_of * xp.sum(data.nodes, axis=0, keepdims=True)
            observed, possible = backend.to_host(xp.stack([xp.sum(data.y, axis=-1), xp.sum(out_of, axis=-1)]))
    return Moments(data.n, x, y, observed, possible)


def scaling_of(network: Network, backend: Backend, moments: Moments, loss: Loss) -> Scaling:
    """Return the scaling of these data: inputs and, as far as the output's nonlinearity allows, targets.

    If the statistic contains the output's nonlinearity, the nonlinearity's argument is shifted only, by the logarithm
    of the mean count or the logit of the mean probability. Predicted logarithms of widths are shifted by that of the
    measured width.

    Raises
    ------
    ValueError
        If squares of the values, or of their inverse, overflow or underflow.
    """
    x_mean, x_width = _mean_and_width(backend, moments.x, "x")
    y_mean, y_width = _mean_and_width(backend, moments.y, "y")
    output = network.activations[-1]
    if has_centred_argument(network, loss):
        y_mean, y_width = loss.constant_output(moments.observed, moments.possible), np.ones_like(y_width)
    elif not output.linear or loss.target_kind != "real":
        y_width = np.sqrt(y_mean**2 + y_width**2) if output.homogeneous else np.ones_like(y_width)
        y_mean = np.zeros_like(y_mean)
    y_width = _or_one(y_width)
    return Scaling(network.layout, x_mean, _or_one(x_width), *loss.output_scaling(y_mean, y_width))


def has_centred_argument(network: Network, loss: Loss) -> bool:
    """Return True if the argument of the output's nonlinearity is shifted, by that of a constant network."""
    return loss.link is not None or (loss.target_kind == "count" and network.activations[-1].multiplicative)


def _mean_and_width(backend: Backend, moments: HostArray, name: str) -> tuple[HostArray, HostArray]:
    """Return mean and standard deviation over events; the latter is zero for a constant column."""
    center, scale, spread = moments
    limits = np.finfo(backend.dtype)
    least, most = ROOM * np.sqrt(float(limits.tiny)), np.sqrt(float(limits.max)) / ROOM
    varies = ~(spread <= 4 * backend.epsilon * np.abs(center))  # true of NaN, which comes from an overflow
    bad = varies & ~((spread > least) & (spread < most)) | ~(np.abs(center) < most)
    if np.any(bad):
        what = f"the squares of its values overflow or underflow in {backend.dtype}"
        raise ValueError(f"`{name}` cannot be standardised: {what}; choose other units")
    return center, np.where(scale > 4 * backend.epsilon * np.abs(center), scale, 0.0)


def _mean_width_and_spread(xp: Namespace, columns: Array) -> Array:
    """Return mean, standard deviation, and the largest distance from the mean, ``(d, 3)``."""
    mean = xp.mean(columns, axis=-1, keepdims=True)
    away = columns - mean
    width = xp.sqrt(xp.mean(away**2, axis=-1, keepdims=True))
    return xp.concat([mean, width, xp.max(xp.abs(away), axis=-1, keepdims=True)], axis=-1)


def _or_one(width: HostArray) -> HostArray:
    """Return the widths, with 1 for constant columns, which are not scaled."""
    return np.where(width > 0, width, 1.0)
