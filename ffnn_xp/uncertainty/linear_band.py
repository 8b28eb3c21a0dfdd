r"""Predictions and their linear error bands, in blocks of events, on the device.

The band is :math:`\sigma_y = \lVert J F \rVert` with :math:`\Sigma = F F^T`, computed for the standardised network,
where it loses no digits to offsets of the inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.backends import Backend
from ffnn_xp.data.standardization import Scaling
from ffnn_xp.network.evaluation import raw_jacobian
from ffnn_xp.network.sweeps import Network
from ffnn_xp.uncertainty.covariance import TOUCHES, Spectrum

JACOBIAN_BYTES = 2**26


@dataclass(frozen=True)
class Band:
    """What a fit knows about the errors of its predictions.

    Parameters
    ----------
    theta : array with shape (p,)
        Of the standardised network, on the host.
    scaling : Scaling
        Between raw and standardised units.
    curvature : Curvature
        Of S in standardised theta.
    """

    theta: HostArray
    scaling: Scaling
    curvature: Spectrum

    def spread(self, network: Network, backend: Backend, x: Array) -> Array:
        """A, whose A A^T is the covariance of the outputs at raw inputs ``(d, n)``: ``(n k, r)``, event by event.

        Rows of predictions that the fit does not determine are infinite.
        """
        xp, parts = backend.xp, self._parts(_spread, network, backend, x)
        with backend.context():
            A = xp.permute_dims(xp.concat(parts, axis=1), (1, 0, 2))
            return xp.reshape(A, (-1, A.shape[-1]))

    def prior_share(self, network: Network, backend: Backend, x: Array, precision: HostArray) -> Array:
        """By how much the prior, and not the data, holds each output up: ``(k, n)`` at raw inputs ``(d, n)``.

        A prediction j^T theta has the variance v = j^T Sigma j, and Sigma^-1 is the sum of the data's part and the
        prior's, P: the share is j^T Sigma P Sigma j / v. NaN where the prediction is not determined.
        """
        to, xp = backend.to_device, backend.xp
        with backend.context():
            root = xp.sqrt(to(precision))[:, None] * to(self.curvature.factor)
            return xp.concat(self._parts(_prior_share, network, backend, x, root), axis=-1)

    def std(self, network: Network, backend: Backend, x: Array) -> Array:
        """Standard deviation of the network's output, ``(k, n)``, at raw inputs ``(d, n)``.

        Infinite where a prediction depends on a direction that the fit does not determine.
        """
        parts = self._parts(_std, network, backend, x)
        with backend.context():
            return backend.xp.concat(parts, axis=-1)

    def _parts(
        self, kernel: Callable[..., Array], network: Network, backend: Backend, x: Array, *more: Array
    ) -> list[Array]:
        """A kernel of more arrays and those of `_spread`, for one block of raw inputs after another."""
        to, s, curvature = backend.to_device, self.scaling, self.curvature
        size = max(1, JACOBIAN_BYTES // (8 * network.layout.widths[-1] * len(self.theta)))
        f = backend.bind(kernel, network)
        with backend.context():
            units = [to(a[:, None]) for a in (s.x_mean, s.x_scale, s.y_scale, s.y_mean)]
            of_fit = [to(self.theta), to(curvature.factor)]
            null = [to(curvature.scale), to(curvature.null)] if curvature.n_null else []
            blocks = [x[:, i : min(i + size, x.shape[-1])] for i in range(0, x.shape[-1], size)]
            return [f(*more, block, *units, *of_fit, *null) for block in blocks]


def _spread(
    network: Network,
    xp: Namespace,
    x: Array,
    x_mean: Array,
    x_scale: Array,
    y_scale: Array,
    y_mean: Array,
    theta: Array,
    factor: Array,
    lift: Array | None = None,
    null: Array | None = None,
) -> Array:
    """A of each output at each of some raw inputs, ``(k, n, r)``; `lift` and `null` are of undetermined directions."""
    J = raw_jacobian(network, xp, theta, (x - x_mean) / x_scale, y_scale, y_mean)
    A = J @ factor
    if lift is None or null is None:
        return A
    v = J * lift
    share = xp.sum((v @ null) ** 2, axis=-1, keepdims=True)
    return xp.where(share > TOUCHES * xp.sum(v * v, axis=-1, keepdims=True), float("inf"), A)


def _std(network: Network, xp: Namespace, *arrays: Array) -> Array:
    A = _spread(network, xp, *arrays)
    return xp.sqrt(xp.sum(A * A, axis=-1))


def _prior_share(network: Network, xp: Namespace, root: Array, *arrays: Array) -> Array:
    A = _spread(network, xp, *arrays)
    A = xp.where(xp.isfinite(A), A, float("nan"))
    return xp.sum((A @ root.mT) ** 2, axis=-1) / xp.sum(A * A, axis=-1)
