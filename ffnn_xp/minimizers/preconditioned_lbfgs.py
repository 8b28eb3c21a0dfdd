r"""L-BFGS in coordinates in which a Hessian is the unit matrix: a minimization with few matrices.

With :math:`B + \mu D = C C^T` (D = diag B) and :math:`\theta = \theta_0 + C^{-T} z`, S is well conditioned in z, and
L-BFGS gains in tens of gradients what costs thousands in theta, where curvatures differ by ten orders of magnitude. It
also corrects for what B leaves out, where a damped Newton step would have to be short. After some steps the coordinates
are renewed. In them :math:`\mathrm{EDM} = g_z^T g_z / 2`.

B is the exact Hessian, with the least mu that makes it positive definite: along a weakly determined direction the
Gauss-Newton matrix has next to no curvature, and only the residuals' own curvature is left. Far from the minimum, where
mu would have to be large, the Gauss-Newton matrix makes better steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.ask_tell import AskTellHessian, HessianRequest, evaluate_request, run_ask_tell
from ffnn_xp.minimizers.base import (
    UNLIMITED,
    Budget,
    MinimizerResult,
    Problem,
    Prune,
    Status,
    Tracker,
    Units,
    marquardt_diagonal,
    rounding_error,
)
from ffnn_xp.minimizers.quasi_newton import QuasiNewton


@dataclass(frozen=True)
class PreconditionedLBFGS:
    """L-BFGS preconditioned by the exact Hessian or the Gauss-Newton matrix, to EDM below the goal; for smooth S.

    Parameters
    ----------
    edm_goal : float
        EDM that ends it, in units of errordef.
    fine_goal : float, optional
        EDM that ends it in the coordinates of the exact Hessian, where more digits are cheap; by default `edm_goal`.
    max_rounds : int
        Upper limit of renewals of the coordinates.
    """

    edm_goal: float = tuned(1e-6, "smaller: a minimum to more digits, sometimes one more matrix")
    fine_goal: float | None = None
    max_rounds: int = tuned(100, "more: minimizations that gain slowly are ended later")
    min_steps: int = tuned(60, "more steps before the coordinates are renewed: fewer matrices, more gradients")
    parameters_per_step: int = tuned(8, "fewer: longer rounds for large networks, whose matrices cost more")
    gauss_newton_shift: float = tuned(3e-4, "larger: better conditioned Gauss-Newton matrix, less of its detail")
    first_shift: float = tuned(1e-6, "the first mu of the exact Hessian; smaller: more factorisations until one serves")
    largest_shift: float = tuned(1.1e-3, "larger: the exact Hessian is used farther from the minimum")
    shift_ratio: float = tuned(10.0, "larger: fewer factorisations, a larger shift than is needed")
    min_gain: float = tuned(2e-4, "gain of a step in units of errordef; larger: ends earlier where it gains slowly")
    patience: int = tuned(2, "more rounds of less gain before it ends")
    max_wait: int = tuned(8, "more rounds (1, 2, 4, ...) between tries of a Hessian that needs too large a shift")
    quasi_newton: QuasiNewton = field(default=QuasiNewton(memory=20))

    def run(self, problem: Problem, theta: HostArray, budget: Budget = UNLIMITED) -> MinimizerResult:
        """Minimise from theta with shape (p,); value, gradient and both matrices are used."""
        tracker = Tracker.of(problem, budget)
        steps = self.steps(tracker, theta, prune=tracker.budget.prune)
        return run_ask_tell(steps, partial(evaluate_request, tracker))

    def steps(self, units: Units, theta: HostArray, *, prune: Prune | None = None) -> AskTellHessian[MinimizerResult]:
        """Yield the points and matrices of the minimization.

        Parameters
        ----------
        units : Units
            The units of S; a `Problem` has them.
        theta : array with shape (p,)
            The start.
        prune : callable, optional
            Called with theta and the smaller of EDM, where that is known, and the last round's gain; True ends the
            minimization.
        """
        errordef, epsilon = units.errordef, units.epsilon
        edm_goal = self.edm_goal * errordef
        fine = edm_goal if self.fine_goal is None else self.fine_goal * errordef
        value, g = yield theta
        least_shift, poor, gain, mu = _least_shift(epsilon), 0, np.inf, np.inf
        preconditioner, status = _Preconditioner(self, least_shift, self.first_shift), Status.NO_GAIN
        steps = self.steps_per_round(len(theta))
        for _ in range(self.max_rounds):
            before = mu
            C, edm, mu = yield from preconditioner.at(theta, g)
            shifted = least_shift < mu < np.inf  # then EDM is too small
            converged = edm < edm_goal and not shifted
            if poor > self.patience or (converged and (max(before, mu) <= least_shift or edm < fine)):
                break
            if prune is not None and prune(theta, gain if shifted else min(edm, gain)):
                return MinimizerResult(theta, value, edm, Status.PRUNED)
            if C is None:
                break
            this = _Round(steps, np.sqrt(2 * fine / len(theta)))
            theta, reached, g = yield from self.quasi_newton.steps(_Cholesky(C), theta, value, g, this)
            gain, value = value - reached, reached
            least = max(steps * self.min_gain * errordef, rounding_error(epsilon, value))
            poor = poor + 1 if gain < least else 0
        else:
            mu, status = np.inf, Status.BUDGET_USED_UP  # mu was that before the last round
        status = Status.MINIMUM if converged else status
        return MinimizerResult(theta, value, edm, status, hessian_is_positive=bool(mu <= least_shift))

    def steps_per_round(self, p: int) -> int:
        """Return the number of steps before the coordinates are renewed; it grows with the cost of their matrix."""
        return max(self.min_steps, p // self.parameters_per_step)


def edm_by_matrix(B: HostArray, g: HostArray, epsilon: float) -> float:
    """Return EDM by a matrix at a point with this gradient; infinite where it is not positive definite."""
    return _factorise(B, _least_shift(epsilon), g)[1]


def _least_shift(epsilon: float) -> float:
    """Return the smallest mu that is above rounding."""
    return max(1e-12, 100 * epsilon)


@dataclass
class _Preconditioner:
    """The coordinates and EDM at each new point, from the exact Hessian with the least mu that makes it positive.

    Where that mu would be larger than is allowed, they come from the Gauss-Newton matrix. The object remembers the last
    mu, how often in a row the exact Hessian was refused, and for how many rounds it is not requested again.
    """

    options: PreconditionedLBFGS
    least_shift: float
    last: float
    refused: int = 0
    wait: int = 0

    def at(self, theta: HostArray, g: HostArray) -> AskTellHessian[tuple[HostArray | None, float, float]]:
        """Return C, EDM, and the exact Hessian's mu; infinite for the Gauss-Newton matrix."""
        self.wait -= 1
        if self.wait < 1:
            found = self._shifted((yield HessianRequest(theta, exact=True)), g)
            if found is not None:
                self.last, self.refused = found[2], 0
                return found
            self.wait = min(2**self.refused, self.options.max_wait)
            self.refused += 1
        B = yield HessianRequest(theta, exact=False)
        C = _factorise(B, self.options.gauss_newton_shift, g)[0]
        return C, _factorise(B, self.least_shift, g)[1], np.inf

    def _shifted(self, H: HostArray, g: HostArray) -> tuple[HostArray, float, float] | None:
        """Return C, EDM and the least mu that makes a Hessian positive definite; None if that mu is too large."""
        ratio = self.options.shift_ratio
        mu, following = self.least_shift, max(ratio * self.least_shift, self.last / ratio)
        while mu <= self.options.largest_shift:
            C, edm = _factorise(H, mu, g)
            if C is not None:
                return C, edm, mu
            mu, following = following, ratio * following
        return None


def _factorise(B: HostArray, mu: float, g: HostArray) -> tuple[HostArray | None, float]:
    """Return C with B + mu diag(B) = C C^T, and EDM; None and infinity where that is not positive definite."""
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
    """The map theta = theta_0 + C^-T z, by BLAS itself: SciPy takes longer to check a small matrix than to solve."""

    C: HostArray

    def back(self, z: HostArray) -> HostArray:
        return np.asarray(scipy.linalg.blas.dtrsv(self.C, z, lower=1, trans=1))

    def forth(self, g: HostArray) -> HostArray:
        return np.asarray(scipy.linalg.blas.dtrsv(self.C, g, lower=1))


@dataclass
class _Round:
    """A round of at most so many steps, which ends when no component of the gradient is larger than `gtol`."""

    most: int
    gtol: float
    steps: int = -1

    def __call__(self, value: float, edm: float, largest: float, evaluations: int) -> bool:
        self.steps += 1
        return self.steps < self.most and largest > self.gtol
