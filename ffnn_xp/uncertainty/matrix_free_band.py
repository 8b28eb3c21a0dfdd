r"""Error bands without a p x p matrix: one solve for each output that is asked for.

With j the derivative of an output in the standardised parameters, its variance is :math:`2 e\, j^T H^{-1} j`, which is
what conjugate gradients compute of EDM for a gradient j, with the same bounds. The upper one is taken: where H is too
near to singular for the iterations that there are, the band is rather too wide than too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.backends import Backend
from ffnn_xp.data.standardization import Scaling
from ffnn_xp.minimizers import ConjugateGradients, KroneckerCoordinates
from ffnn_xp.network.evaluation import raw_jacobian
from ffnn_xp.network.sweeps import Network
from ffnn_xp.objective.host import NetworkCost

TOLERANCE = 0.02  # of a variance: 1 % of a standard deviation


@dataclass(frozen=True)
class ProductBand:
    """What a fit that formed no matrices knows about the errors of its predictions.

    Parameters
    ----------
    theta : array with shape (p,)
        Of the standardised network, on the host.
    scaling : Scaling
        Between raw and standardised units.
    cost : NetworkCost
        What was minimised, in standardised units: it holds the data.
    """

    theta: HostArray
    scaling: Scaling
    cost: NetworkCost

    def std(self, network: Network, backend: Backend, x: Array) -> Array:
        """Standard deviation of the network's output, ``(k, n)``, at raw inputs ``(d, n)``: k n solves.

        Infinite where S curves down in a direction that the prediction depends on.
        """
        s, cost = self.scaling, self.cost
        to = backend.to_device
        with backend.context():
            standard = (x - to(s.x_mean[:, None])) / to(s.x_scale[:, None])
        W = KroneckerCoordinates(cost.kronecker_factors(self.theta))
        product = cost.hessian_product if network.smooth else cost.gauss_newton_product
        solver = ConjugateGradients(tolerance=TOLERANCE)
        std = np.empty((network.layout.widths[-1], x.shape[-1]))
        for n in range(x.shape[-1]):
            here = partial(self._derivatives, network, backend, standard[:, n : n + 1])
            for k, j in enumerate(cost.derivatives(here, self.theta)):
                found = solver.bounds(partial(product, self.theta), j, W.precondition, least=W.least)
                std[k, n] = np.sqrt(4 * cost.errordef * found.upper)
        return to(std)

    def _derivatives(self, network: Network, backend: Backend, x: Array, theta: Array) -> Array:
        """Of the raw outputs of one event ``(d, 1)`` in the standardised parameters, ``(k, p)``."""
        to = backend.to_device
        scale, shift = to(self.scaling.y_scale[:, None]), to(self.scaling.y_mean[:, None])
        return backend.bind(raw_jacobian, network)(theta, x, scale, shift)[:, 0, :]
