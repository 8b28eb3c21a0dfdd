r"""L-BFGS in coordinates in which the Gauss-Newton matrix is the unit matrix: a long way with few matrices.

With :math:`B + \mu D = C C^T` (D = diag B) and :math:`\theta = \theta_0 + C^{-T} z`, S is nearly round in z, and L-BFGS
gains in tens of gradients what costs thousands in theta, where curvatures differ by ten orders of magnitude. It also
learns what B leaves out, the residuals' own curvature, where a damped Gauss-Newton step would have to be short. After
`STEPS` the coordinates are renewed; near the end B is the exact Hessian wherever that is positive definite. In these
coordinates :math:`\mathrm{EDM} = g_z^T g_z / 2`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from .._typing import HostArray
from .asking import answered, steps_in
from .problem import NOISE, Arrival, Problem, marquardt_diagonal

MEMORY = 20  # steps
STEPS = 60  # of L-BFGS before the coordinates are renewed
DAMPING = 3e-4  # mu, far from the end
NEAR = 1.0  # EDM in units of errordef below which the exact Hessian is tried
GAIN = 0.03  # of a round, in units of errordef: less is not worth another one, unless it leads to a better matrix
PATIENCE = 2  # rounds of less
WAIT = 8  # rounds at most (1, 2, 4, ...) between tries of an exact Hessian that was not positive definite
NEARER = 0.1  # fall of EDM after which it is tried at once


def preconditioned_lbfgs(
    problem: Problem,
    theta: HostArray,
    *,
    edm_goal: float,
    fine: float | None = None,
    max_rounds: int = 100,
    near: bool = False,
    hopeless: Callable[[HostArray, float], bool] | None = None,
) -> Arrival:
    """Walk to EDM < `edm_goal`, for a function without kinks.

    Parameters
    ----------
    problem : Problem
        All its derivatives are used.
    theta : array with shape (p,)
        The start.
    edm_goal : float
        In units of S.
    fine : float, optional
        Where to go once the exact Hessian's coordinates make the rest cheap; by default `edm_goal`.
    max_rounds : int
        Upper limit of renewals of the coordinates.
    near : bool
        Whether the start is believed to be near the end, so that the exact Hessian is tried at once.
    hopeless : callable, optional
        Called with theta and the smaller of EDM and the last round's gain; True ends the walk there.
    """
    value, g = problem.value_and_gradient(theta)
    fine = edm_goal if fine is None else fine
    tiny, poor, gain, exact = max(1e-12, 100 * problem.epsilon), 0, np.inf, False
    metric = _Metric(problem, tiny, near)
    for _ in range(max_rounds):
        C, edm, near = metric(theta, g)
        if poor > PATIENCE or (edm < edm_goal and (exact or edm < fine)):
            break
        if hopeless is not None and hopeless(theta, min(edm, gain)):
            return Arrival(theta, value, edm, converged=False, hopeless=True)
        exact = near
        if not near:
            C, _ = _coordinates(problem.gauss_newton(theta), DAMPING, g)
        if C is None:
            break
        walk = steps_in(_Cholesky(C), theta, value, g, memory=MEMORY, stay=_Round(np.sqrt(2 * fine / len(theta))))
        theta, reached, g = answered(walk, problem.value_and_gradient)
        gain, value = value - reached, reached
        least = max(GAIN * problem.errordef, NOISE * problem.epsilon * abs(value))
        poor = poor + 1 if gain < least else 0
    return Arrival(theta, value, edm, bool(edm < edm_goal))


@dataclass
class _Metric:
    """Coordinates and EDM at a point: by the exact Hessian near the end, and where that is positive definite.

    Else by the Gauss-Newton matrix, which is asked first unless the end is believed to be near.
    """

    problem: Problem
    mu: float
    near: bool
    refused: int = 0  # how often in a row
    wait: int = 0  # rounds until the next try
    lately: float = np.inf  # EDM at the last refusal

    def __call__(self, theta: HostArray, g: HostArray) -> tuple[HostArray | None, float, bool]:
        """C, EDM, and whether they are the exact Hessian's."""
        limit = NEAR * self.problem.errordef
        if self.near:
            C, edm = _coordinates(self.problem.hessian(theta), self.mu, g)
            if edm < limit:
                return C, edm, True
        C, edm = _coordinates(self.problem.gauss_newton(theta), self.mu, g)
        self.near, self.wait = False, self.wait - 1
        if edm < limit and (self.wait < 1 or edm < NEARER * self.lately):
            exact, exact_edm = _coordinates(self.problem.hessian(theta), self.mu, g)
            if exact is not None:
                self.near, self.refused = True, 0
                return exact, exact_edm, True
            self.wait, self.lately = min(2**self.refused, WAIT), edm
            self.refused += 1
        return C, edm, False


def _coordinates(B: HostArray, mu: float, g: HostArray) -> tuple[HostArray | None, float]:
    """C with B + mu diag(B) = C C^T, and EDM; None and infinity where B is not positive definite."""
    A = B.copy()
    A[np.diag_indices_from(A)] += mu * marquardt_diagonal(B)
    try:
        C = scipy.linalg.cholesky(A, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None, np.inf
    z = scipy.linalg.solve_triangular(C, g, lower=True, check_finite=False)
    edm = 0.5 * float(z @ z)
    return (C, edm) if np.isfinite(edm) else (None, np.inf)


@dataclass(frozen=True)
class _Cholesky:
    """Theta = theta_0 + C^-T z."""

    C: HostArray

    def back(self, z: HostArray) -> HostArray:
        return np.asarray(scipy.linalg.solve_triangular(self.C, z, lower=True, trans="T", check_finite=False))

    def forth(self, g: HostArray) -> HostArray:
        return np.asarray(scipy.linalg.solve_triangular(self.C, g, lower=True, check_finite=False))


@dataclass
class _Round:
    """At most `STEPS` steps, until no component of the gradient is larger than this."""

    gtol: float
    steps: int = -1

    def __call__(self, value: float, u: HostArray, asked: int) -> bool:
        self.steps += 1
        return self.steps < STEPS and float(np.max(np.abs(u))) > self.gtol
