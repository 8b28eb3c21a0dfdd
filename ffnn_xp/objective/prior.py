r"""Priors of the parameters: a Gaussian around zero for each.

.. math:: \mathrm{prior}(\theta) = 2\,e \sum_i \frac{1}{2} \left(\frac{\theta_i}{\tau_i}\right)^2

with MINUIT's errordef e, so that the prior's pulls count as standard deviations in any statistic. It acts on the
parameters of the *standardised* network, where a width means the same for every input and every unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.text import Page, Shown, counted
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data import Scaling, has_centred_argument
from ffnn_xp.losses import Loss
from ffnn_xp.network import Layout, Network

BIAS_PRECISION = 1e-2  # of the logarithm of a rate, or a logit: a width of 10 is wide for the data, and holds it
MOST_WIDTHS = 12  # of different ones, which are listed one by one


@quiet
@dataclass(frozen=True, repr=False)
class GaussianPrior(Shown):
    """Independent normal distributions around zero for the standardised parameters.

    Parameters
    ----------
    precision : array with shape (p,)
        ``1 / tau**2``; zero for parameters without a prior.
    scaling : Scaling, optional
        The map to standardised units, if theta is in raw units.

    Examples
    --------
    >>> prior = GaussianPrior(np.array([1.0, 0.25]))
    >>> prior.value(np.array([1.0, 2.0])), prior.gradient(np.array([1.0, 2.0]))
    (2.0, array([2., 1.]))
    >>> prior
    Prior: Gaussian around zero, of 2 of 2 parameters
      width  parameters
          1           1
          2           1
    """

    precision: HostArray
    scaling: Scaling | None = None

    def value(self, theta: HostArray) -> float:
        """Sum the squared pulls of the parameters."""
        phi = self._standard(theta)
        return float((self.precision * phi) @ phi)

    def gradient(self, theta: HostArray) -> HostArray:
        """Compute the derivative in theta, ``(p,)``."""
        g = 2 * self.precision * self._standard(theta)
        return g if self.scaling is None else self.scaling.inverse_transpose(g)

    def value_and_gradient(self, theta: HostArray) -> tuple[float, HostArray]:
        """Compute the sum of squared pulls and its derivative in theta, ``(p,)``, at once."""
        phi = self._standard(theta)
        pull = self.precision * phi
        g = 2 * pull
        return float(pull @ phi), g if self.scaling is None else self.scaling.inverse_transpose(g)

    def hessian(self) -> HostArray:
        """Compute the second derivative, ``(p, p)``, which does not depend on theta."""
        H = np.diag(2 * self.precision)
        if self.scaling is None:
            return H
        half = self.scaling.inverse_transpose(H)
        return self.scaling.inverse_transpose(half.T)

    def product(self, v: HostArray) -> HostArray:
        """Multiply the second derivative by v, without the matrix."""
        if self.scaling is None:
            return np.asarray(2 * self.precision * v)
        return self.scaling.inverse_transpose(2 * self.precision * self.scaling.inverse(v))

    def share(self, factor: HostArray) -> float:
        """Compute the number of parameters that the prior determines, tr(precision F F^T), in standardised units.

        Since Sigma = 2 e H^-1 and the prior's part of H is 2 e precision, this is tr(H_prior H^-1).
        """
        return float(np.sum(self.precision[:, None] * factor**2))

    def _page(self) -> Page:
        """Return the widths, each with the number of parameters that have it."""
        precision, number = np.unique(self.precision[self.precision > 0], return_counts=True)
        widths = [f"{1 / np.sqrt(one):.4g}" for one in precision[::-1]]
        title = f"Gaussian around zero, of {int(number.sum())} of {counted(len(self.precision), 'parameter')}"
        if len(widths) > MOST_WIDTHS:
            return Page("Prior", title, [("widths", f"{widths[0]} to {widths[-1]}")])
        rows = [("width", "parameters"), *zip(widths, map(str, number[::-1]), strict=True)]
        return Page("Prior", title, rows=rows if widths else ())

    def _standard(self, theta: HostArray) -> HostArray:
        """Return theta in standardised units."""
        return theta if self.scaling is None else self.scaling.to_standard(theta)


def layer_precision(layout: Layout, tau: float) -> HostArray:
    """Return the precisions of the default prior on weights and hidden biases; output biases have none.

    Each weight has the variance tau^2 over the number of its row's weights, so that tau is the width of a unit's input,
    whatever the widths of the network.

    Examples
    --------
    >>> layer_precision(Layout((2, 1)), 1.0)
    array([2., 2., 0.])
    """
    parts, variance = [], float(tau) * float(tau)  # infinite, without an error, where there is no prior to speak of
    for l, (rows, columns) in enumerate(layout.shapes):
        P = np.full((rows, columns), (columns - 1) / variance)
        P[:, -1] = 0.0 if l == layout.n_layers - 1 else 1 / variance
        parts.append(P.ravel())
    return np.concatenate(parts)


def output_bias_precision(network: Network, loss: Loss) -> float:
    """Return the prior's precision of output biases.

    It is zero, but for logarithms of rates and for logits: these would go to infinity where there are no counts, or one
    class only, and a softmax's have a common shift that changes nothing.
    """
    return BIAS_PRECISION if has_centred_argument(network, loss) else 0.0


def network_precision(network: Network, tau: float, loss: Loss) -> HostArray:
    """Return `layer_precision` of a network, with output biases by `output_bias_precision`."""
    P = layer_precision(network.layout, tau)
    P[P == 0] = output_bias_precision(network, loss)
    return P
