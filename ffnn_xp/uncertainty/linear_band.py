r"""Linear error bands of predictions, in chunks of events, on the device.

The band is :math:`\sigma_y = \lVert J F \rVert` with :math:`\Sigma = F F^T`, computed for the standardised network,
where no digits are lost to offsets of the inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ffnn_xp._lib.limits import stop_if_due
from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.backends import Backend
from ffnn_xp.data import Scaling
from ffnn_xp.network import Activation, Network, forward, jacobian_through_output, raw_jacobian
from ffnn_xp.uncertainty.covariance import TOUCHES, Spectrum


@dataclass(frozen=True)
class LinearBand:
    """The error band of a fit that has a covariance.

    Parameters
    ----------
    theta : array with shape (p,)
        Parameters of the standardised network, on the host.
    scaling : Scaling
        The map between raw and standardised units.
    spectrum : Spectrum
        The Hessian's spectrum in standardised theta.
    jacobian_bytes : int
        Bytes of the derivatives of one chunk of events.
    """

    theta: HostArray
    scaling: Scaling
    spectrum: Spectrum
    jacobian_bytes: int = tuned(2**26, "larger: fewer kernels; smaller: less memory")

    @property
    def parameters(self) -> HostArray:
        """The network's parameters in raw units, ``(p,)``."""
        return self.scaling.to_raw(self.theta)

    def covariance_root(self, network: Network, backend: Backend, x: Array) -> Array:
        """Return A ``(n k, r)``, event by event, with A A^T the covariance of the outputs at raw inputs ``(d, n)``.

        Rows of predictions that the fit does not determine, or whose derivatives overflow, are infinite.
        """
        xp, parts = backend.xp, self._chunks(_covariance_root, network, backend, x)
        with backend.context():
            A = xp.permute_dims(xp.concat(parts, axis=1), (1, 0, 2))
            return xp.reshape(A, (A.shape[0] * A.shape[1], A.shape[2]))

    def prior_share(self, network: Network, backend: Backend, x: Array, precision: HostArray) -> Array:
        """Return the prior's share of each output's posterior precision, ``(k, n)`` at raw inputs ``(d, n)``.

        A prediction j^T theta has the variance v = j^T Sigma j, and Sigma^-1 is the sum of the data's part and the
        prior's, P: the share is j^T Sigma P Sigma j / v. It is NaN where the prediction is not determined.
        """
        to, xp = backend.to_device, backend.xp
        with backend.context():
            root = xp.sqrt(to(precision))[:, None] * to(self.spectrum.columns)
            return xp.concat(self._chunks(_prior_share, network, backend, x, root), axis=-1)

    def std(self, network: Network, backend: Backend, x: Array) -> Array:
        """Return the standard deviation of the network's output, ``(k, n)``, at raw inputs ``(d, n)``.

        It is infinite where a prediction depends on a direction that the fit does not determine, or where its
        derivatives overflow.
        """
        parts = self._chunks(_std, network, backend, x)
        with backend.context():
            return backend.xp.concat(parts, axis=-1)

    def _chunks(
        self, kernel: Callable[..., Array], network: Network, backend: Backend, x: Array, *more: Array
    ) -> list[Array]:
        """Call a kernel for each chunk of raw inputs, with `more` arrays and those of `_covariance_root`."""
        to, s, spectrum = backend.to_device, self.scaling, self.spectrum
        size = max(1, self.jacobian_bytes // (8 * network.layout.widths[-1] * len(self.theta)))
        f = backend.bind(kernel, network)
        with backend.context():
            units = [to(a[:, None]) for a in (s.x_mean, s.x_scale, s.y_scale, s.y_mean)]
            of_fit = [to(self.theta), to(spectrum.columns)]
            unidentified = [to(spectrum.scale), to(spectrum.unidentified)] if spectrum.n_unidentified else []
            n, parts = int(x.shape[-1]), []
            for i in range(0, max(n, 1), size):
                stop_if_due()
                parts.append(f(*more, x[:, i : min(i + size, n)], *units, *of_fit, *unidentified))
            return parts


def _covariance_root(
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
    unidentified: Array | None = None,
) -> Array:
    """Return A of each output at each of some raw inputs, ``(k, n, r)``.

    The arrays `lift` and `unidentified` are the spectrum's scale and unidentified directions, if there are any. Whether
    an output depends on these is asked of the argument of its nonlinearity, whose slope may be zero up to rounding.
    """
    inner, x = network.before_output(), (x - x_mean) / x_scale
    J = raw_jacobian(inner, xp, theta, x, y_scale, y_mean)
    z = J[..., 0] if network.activations[-1].linear else y_scale * forward(inner, xp, theta, x).y + y_mean
    A = jacobian_through_output(network, xp, z, J) @ factor
    A = xp.where(xp.isnan(A), float("inf"), A)
    if lift is None or unidentified is None:
        return A
    v = (_of_logits(network.activations[-1], xp, z, J) if network.activations[-1].coupled_outputs else J) * lift
    share = xp.sum((v @ unidentified) ** 2, axis=-1, keepdims=True)
    depends = share > TOUCHES * xp.sum(v * v, axis=-1, keepdims=True)
    return xp.where(depends, float("inf"), A)


def _of_logits(softmax: Activation, xp: Namespace, z: Array, J: Array) -> Array:
    """Return the derivatives of log p / (1 - p) of each probability from those of all arguments, ``(k, n, p)``."""
    rows = []
    for i in range(J.shape[0]):
        others = [j for j in range(J.shape[0]) if j != i]
        weights = softmax.f(xp, xp.stack([z[j, :] for j in others]))
        rows.append(J[i, ...] - sum(weights[m, :, None] * J[j, ...] for m, j in enumerate(others)))
    return xp.stack(rows)


def _std(network: Network, xp: Namespace, *arrays: Array) -> Array:
    """Return standard deviations ``(k, n)``; the arrays are those of `_covariance_root`."""
    A = _covariance_root(network, xp, *arrays)
    return xp.sqrt(xp.sum(A * A, axis=-1))


def _prior_share(network: Network, xp: Namespace, root: Array, *arrays: Array) -> Array:
    """Return the prior's shares ``(k, n)``; `root` is the root of its precision times the factor of Sigma."""
    A = _covariance_root(network, xp, *arrays)
    A = xp.where(xp.isfinite(A), A, float("nan"))
    return xp.sum((A @ root.mT) ** 2, axis=-1) / xp.sum(A * A, axis=-1)
