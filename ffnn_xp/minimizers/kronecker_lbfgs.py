r"""L-BFGS in the coordinates of Kronecker factors: to a minimum of 20,000 parameters without a p x p matrix.

For one layer the Gauss-Newton matrix is :math:`\sum_n \delta\delta^T \otimes \tilde a \tilde a^T`, nearly
:math:`G \otimes A / n` with :math:`G = \sum_n \delta\delta^T` and :math:`A = \sum_n \tilde a\tilde a^T` (J. Martens and
R. Grosse, ICML 2015). With a prior's precision it is diagonalised exactly by two small eigen-decompositions, so that
:math:`\theta = \theta_0 + W z` makes S nearly round in z. L-BFGS walks there; conjugate gradients with the same
coordinates tell EDM, and their solution is the last step of each round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import scipy  # its submodules load when they are first used

from .._typing import HostArray
from .conjugate_gradients import Distance, edm_by_products
from .lbfgs import MEMORY
from .problem import Arrival

STEPS = 150  # of L-BFGS before the coordinates are renewed
FLOOR = 1e-6  # of the largest element of A: what stands for a precision where the prior has none
FAR = 10.0  # gain of a round, in units of errordef, above which EDM is not yet asked for


class LargeProblem(Protocol):
    """What is asked of a function with too many parameters for matrices."""

    @property
    def errordef(self) -> float:
        """Rise at one standard deviation."""

    def value_and_gradient(self, theta: HostArray) -> tuple[float, HostArray]:
        """S and its gradient."""

    def gauss_newton_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """Gauss-Newton matrix times v."""

    def kronecker_factors(self, theta: HostArray) -> list[tuple[HostArray, HostArray, HostArray]]:
        """G ``(h, h)``, A / n ``(c, c)`` and the prior's part of the diagonal ``(h, c)``, for each layer."""


class KroneckerCoordinates:
    """W with W W^T = M^-1, where M is the Kronecker approximation of the Gauss-Newton matrix, prior included.

    Examples
    --------
    >>> G, A = np.diag([1.0, 2.0]), np.diag([3.0, 5.0])
    >>> W = KroneckerCoordinates([(G, A, np.ones((2, 2)))])
    >>> W.precondition(np.ones(4))  # 1 / (1 + 1 * 3), 1 / (1 + 1 * 5), 1 / (1 + 2 * 3), 1 / (1 + 2 * 5)
    array([0.25      , 0.16666667, 0.14285714, 0.09090909])
    """

    def __init__(self, factors: Sequence[tuple[HostArray, HostArray, HostArray]]) -> None:
        self._layers = []
        for G, A, prior in factors:
            gamma, U = scipy.linalg.eigh(G, check_finite=False)
            least = FLOOR * max(float(A.max()) * float(gamma[-1]), 1e-30)
            lam, V = scipy.linalg.eigh(A, np.diag(np.maximum(prior.mean(axis=0), least)), check_finite=False)
            root = 1 / np.sqrt(1 + np.maximum(gamma, 0)[:, None] * np.maximum(lam, 0))
            self._layers.append((U, V, root))

    def back(self, z: HostArray) -> HostArray:
        """W z."""
        return np.concatenate([(U @ (root * Z) @ V.T).ravel() for (U, V, root), Z in self._split(z)])

    def forth(self, g: HostArray) -> HostArray:
        """W^T g."""
        return np.concatenate([(root * (U.T @ X @ V)).ravel() for (U, V, root), X in self._split(g)])

    def precondition(self, g: HostArray) -> HostArray:
        """M^-1 g."""
        return self.back(self.forth(g))

    def _split(self, v: HostArray) -> list[tuple[tuple[HostArray, HostArray, HostArray], HostArray]]:
        out, at = [], 0
        for layer in self._layers:
            shape = layer[2].shape
            out.append((layer, v[at : at + layer[2].size].reshape(shape)))
            at += layer[2].size
        return out


def kronecker_lbfgs(
    problem: LargeProblem, theta: HostArray, *, edm_goal: float, max_rounds: int = 200
) -> tuple[Arrival, Distance]:
    """Walk until the upper bound of EDM is below `edm_goal`; the end, and what is known of EDM there.

    Parameters
    ----------
    problem : LargeProblem
        Value, gradient, products and factors are used.
    theta : array with shape (p,)
        The start.
    edm_goal : float
        In units of S.
    max_rounds : int
        Upper limit of renewals of the coordinates.
    """
    value, g = problem.value_and_gradient(theta)
    distance = Distance(np.zeros_like(theta), 0.0, np.inf, 0)
    gain = np.inf
    for _ in range(max_rounds):
        W = KroneckerCoordinates(problem.kronecker_factors(theta))
        if gain < FAR * problem.errordef:
            at = theta
            distance = edm_by_products(
                lambda v, at=at: problem.gauss_newton_product(at, v), g, W.precondition, goal=edm_goal
            )
            if distance.upper < edm_goal:
                break
            trial = theta - distance.step
            there = problem.value_and_gradient(trial)
            if there[0] < value:
                theta, (value, g) = trial, there
        theta, reached = _round(problem, theta, W)
        gain, (value, g) = value - reached, problem.value_and_gradient(theta)
    edm = distance.upper if np.isfinite(distance.upper) else distance.lower
    return Arrival(theta, value, edm, bool(distance.upper < edm_goal)), distance


def _round(problem: LargeProblem, theta: HostArray, W: KroneckerCoordinates) -> tuple[HostArray, float]:
    """At most `STEPS` of L-BFGS in z; where it ended, and the value there."""

    def f(z: HostArray) -> tuple[float, HostArray]:
        value, g = problem.value_and_gradient(theta + W.back(z))
        return value, W.forth(g)

    options = {"maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0, "maxiter": STEPS}
    result: Any = scipy.optimize.minimize(f, np.zeros_like(theta), jac=True, method="L-BFGS-B", options=options)
    return theta + W.back(result.x), float(result.fun)
