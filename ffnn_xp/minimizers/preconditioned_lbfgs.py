r"""L-BFGS in coordinates in which a second derivative is the unit matrix: a long way with few matrices.

With :math:`B + \mu D = C C^T` (D = diag B) and :math:`\theta = \theta_0 + C^{-T} z`, S is nearly round in z, and L-BFGS
gains in tens of gradients what costs thousands in theta, where curvatures differ by ten orders of magnitude. It also
learns what B leaves out, where a damped Newton step would have to be short. After some steps the coordinates are
renewed. In them :math:`\mathrm{EDM} = g_z^T g_z / 2`.

B is the exact Hessian, with the least mu that makes it positive definite: along a valley the Gauss-Newton matrix has
next to no curvature, and the residuals' own is all there is to go by. Far from the end, where mu would have to be
large, the Gauss-Newton matrix leads farther.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.ask_tell import AskTellHessian, HessianRequest, answer, answered, steps_in
from ffnn_xp.minimizers.base import MinimizerResult, Problem, marquardt_diagonal, rounding_error

MEMORY = 20  # steps
STEPS = 60  # of L-BFGS, at least, before the coordinates are renewed
MORE = 8  # parameters to a step, where that is more: their matrices are dear
GAUSS_NEWTON = 3e-4  # mu of the Gauss-Newton matrix
LARGEST, FIRST = 1.1e-3, 1e-6  # mu of the exact Hessian: at most (1e-3, and rounding), and where to begin
APART = 10.0  # ratio of one try to the next; after none at all they begin so much below the last round's
GAIN = 2e-4  # of a step, in units of errordef: with less a round is not worth another one (MIGRAD's goal for EDM)
PATIENCE = 2  # rounds of less
WAIT = 8  # rounds at most (1, 2, 4, ...) between tries of an exact Hessian that needs too much


def preconditioned_lbfgs(
    problem: Problem,
    theta: HostArray,
    *,
    edm_goal: float,
    fine: float | None = None,
    max_rounds: int = 100,
    hopeless: Callable[[HostArray, float], bool] | None = None,
) -> MinimizerResult:
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
    hopeless : callable, optional
        Called with theta and the smaller of EDM, where that is known, and the last round's gain; True ends the walk.
    """
    walk = preconditioned_steps(
        theta,
        errordef=problem.errordef,
        epsilon=problem.epsilon,
        edm_goal=edm_goal,
        fine=edm_goal if fine is None else fine,
        max_rounds=max_rounds,
        hopeless=hopeless,
    )
    return answered(walk, partial(answer, problem))


def preconditioned_steps(
    theta: HostArray,
    *,
    errordef: float,
    epsilon: float,
    edm_goal: float,
    fine: float,
    max_rounds: int = 100,
    hopeless: Callable[[HostArray, float], bool] | None = None,
) -> AskTellHessian[MinimizerResult]:
    """The same as a conversation; `errordef` and `epsilon` as of a `Problem`."""
    value, g = yield theta
    tiny, poor, gain, mu = _tiny(epsilon), 0, np.inf, np.inf
    metric, steps = _Metric(tiny), max(STEPS, len(theta) // MORE)
    for _ in range(max_rounds):
        before = mu
        C, edm, mu = yield from metric(theta, g)
        shifted = tiny < mu < np.inf  # then EDM is too small
        arrived = edm < edm_goal and not shifted
        if poor > PATIENCE or (arrived and (max(before, mu) <= tiny or edm < fine)):
            break
        if hopeless is not None and hopeless(theta, gain if shifted else min(edm, gain)):
            return MinimizerResult(theta, value, edm, converged=False, hopeless=True)
        if C is None:
            break
        stay = _Round(steps, np.sqrt(2 * fine / len(theta)))
        theta, reached, g = yield from steps_in(_Cholesky(C), theta, value, g, memory=MEMORY, stay=stay)
        gain, value = value - reached, reached
        least = max(steps * GAIN * errordef, rounding_error(epsilon, value))
        poor = poor + 1 if gain < least else 0
    else:
        mu = np.inf  # that was before the last round
    return MinimizerResult(theta, value, edm, bool(arrived), no_saddle=bool(mu <= tiny))


def edm_by(B: HostArray, g: HostArray, epsilon: float) -> float:
    """EDM by a matrix at a point with this gradient; infinite where it is not positive definite."""
    return _coordinates(B, _tiny(epsilon), g)[1]


def _tiny(epsilon: float) -> float:
    """Mu that only keeps rounding away."""
    return max(1e-12, 100 * epsilon)


@dataclass
class _Metric:
    """Coordinates and EDM at a point: by the exact Hessian with the least mu that makes it positive definite.

    By the Gauss-Newton matrix where that would be more than `LARGEST`.
    """

    tiny: float
    last: float = FIRST
    refused: int = 0  # how often in a row
    wait: int = 0  # rounds until the next try

    def __call__(self, theta: HostArray, g: HostArray) -> AskTellHessian[tuple[HostArray | None, float, float]]:
        """C, EDM, and the exact Hessian's mu; infinite for the Gauss-Newton matrix."""
        self.wait -= 1
        if self.wait < 1:
            found = self._least((yield HessianRequest(theta, exact=True)), g)
            if found is not None:
                self.last, self.refused = found[2], 0
                return found
            self.wait = min(2**self.refused, WAIT)
            self.refused += 1
        B = yield HessianRequest(theta, exact=False)
        return _coordinates(B, GAUSS_NEWTON, g)[0], _coordinates(B, self.tiny, g)[1], np.inf

    def _least(self, H: HostArray, g: HostArray) -> tuple[HostArray, float, float] | None:
        """C, EDM and mu of a Hessian, mu the least that will do; None if that is too much."""
        mu, following = self.tiny, max(APART * self.tiny, self.last / APART)
        while mu <= LARGEST:
            C, edm = _coordinates(H, mu, g)
            if C is not None:
                return C, edm, mu
            mu, following = following, APART * following
        return None


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
    """Theta = theta_0 + C^-T z; by BLAS itself, since SciPy takes longer to check a small matrix than to solve."""

    C: HostArray

    def back(self, z: HostArray) -> HostArray:
        return np.asarray(scipy.linalg.blas.dtrsv(self.C, z, lower=1, trans=1))

    def forth(self, g: HostArray) -> HostArray:
        return np.asarray(scipy.linalg.blas.dtrsv(self.C, g, lower=1))


@dataclass
class _Round:
    """At most so many steps, until no component of the gradient is larger than this."""

    most: int
    gtol: float
    steps: int = -1

    def __call__(self, value: float, u: HostArray, asked: int) -> bool:
        self.steps += 1
        return self.steps < self.most and float(np.max(np.abs(u))) > self.gtol
