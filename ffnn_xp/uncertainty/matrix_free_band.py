r"""Error bands without a p x p matrix, by one solve for each requested output.

With j the derivative of an output in the standardised parameters, its variance is :math:`2 e\, j^T H^{-1} j`, four
times e times the EDM of a gradient j, which conjugate gradients bound. The upper bound is taken: where H is too near to
singular for the allowed iterations, the band is rather too wide than too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from ffnn_xp._lib.progress import bar
from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.backends import Backend
from ffnn_xp.data import Scaling
from ffnn_xp.minimizers import ConjugateGradients, KroneckerCoordinates, Problem
from ffnn_xp.network import Network, raw_jacobian


class DifferentiableProblem(Problem, Protocol):
    """A minimizer's problem that can also call a function of theta on the device."""

    def derivatives(self, f: Callable[[Array], Array], theta: HostArray) -> HostArray:
        """Call f with theta on the device, and return its result on the host."""


@dataclass(frozen=True)
class MatrixFreeBand:
    """The error band of a fit that formed no matrices.

    Parameters
    ----------
    theta : array with shape (p,)
        Parameters of the standardised network, on the host.
    scaling : Scaling
        The map between raw and standardised units.
    problem : DifferentiableProblem
        The problem that was minimised, in standardised units, with its data.
    tolerance : float
        Relative precision of a variance; that of a standard deviation is half of it.
    """

    theta: HostArray
    scaling: Scaling
    problem: DifferentiableProblem
    tolerance: float = tuned(0.02, "larger: fewer products with the Hessian; smaller: a sharper bound of the variance")

    @property
    def parameters(self) -> HostArray:
        """The network's parameters in raw units, ``(p,)``."""
        return self.scaling.to_raw(self.theta)

    def std(self, network: Network, backend: Backend, x: Array) -> Array:
        """Return the standard deviation of the network's output, ``(k, n)``, at raw inputs ``(d, n)``, by k n solves.

        It is infinite where a prediction depends on a direction of negative curvature, or where its derivatives
        overflow.
        """
        s, problem = self.scaling, self.problem
        to = backend.to_device
        with backend.context():
            standard = (x - to(s.x_mean[:, None])) / to(s.x_scale[:, None])
        W = KroneckerCoordinates(problem.kronecker_factors(self.theta))
        product = problem.hessian_product if network.smooth else problem.gauss_newton_product
        solver = ConjugateGradients(tolerance=self.tolerance)
        std = np.empty((network.layout.widths[-1], x.shape[-1]))
        with bar("errors of predictions", std.size, "values") as line:
            for n in range(x.shape[-1]):
                here = partial(self._derivatives, network, backend, standard[:, n : n + 1])
                for k, j in enumerate(problem.derivatives(here, self.theta)):
                    found = solver.bounds(partial(product, self.theta), j, W.precondition, least=W.least)
                    std[k, n] = np.sqrt(4 * problem.errordef * found.upper) if np.all(np.isfinite(j)) else np.inf
                    line.advance()
        return to(std)

    def _derivatives(self, network: Network, backend: Backend, x: Array, theta: Array) -> Array:
        """Differentiate the raw outputs of one event ``(d, 1)`` in the standardised parameters, ``(k, p)``."""
        to = backend.to_device
        scale, shift = to(self.scaling.y_scale[:, None]), to(self.scaling.y_mean[:, None])
        return backend.bind(raw_jacobian, network)(theta, x, scale, shift)[:, 0, :]
