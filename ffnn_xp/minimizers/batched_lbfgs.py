"""L-BFGS for many replicas at once, each minimised by `PreconditionedLBFGS`; their gradients share one product.

It is meant for toys, bootstrap copies and other replicas that start near their minima. Levenberg-Marquardt takes a
matrix for each step, and hundreds of steps along a weakly determined direction; here one matrix serves for tens of
gradients, and EDM comes from the exact Hessian. That also shows saddle points, which no gradient does: where two units
of a network are copies of each other, gradients keep them so, also where a toy has its minimum elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ffnn_xp._lib.limits import stoppable
from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray, Rows
from ffnn_xp.minimizers.ask_tell import AskTellHessian, HessianRequest
from ffnn_xp.minimizers.base import UNLIMITED, Budget, Status
from ffnn_xp.minimizers.batched_base import BatchResult, ReplicaProblem
from ffnn_xp.minimizers.negative_curvature import NegativeDirections, SaddleEscape
from ffnn_xp.minimizers.preconditioned_lbfgs import PreconditionedLBFGS, edm_by_matrix
from ffnn_xp.minimizers.together import run_batched


@dataclass(frozen=True)
class BatchedLBFGS:
    """Minimise each replica to EDM below the goal, or until it gains no more, for smooth functions.

    Parameters
    ----------
    each : PreconditionedLBFGS
        The minimizer of a replica.
    escape : SaddleEscape
        The escape from saddle points, where directions of negative curvature are given.
    matrix_bytes : int
        Bytes of the matrices, one for each replica, that are kept at a time.
    """

    each: PreconditionedLBFGS = field(default=PreconditionedLBFGS(edm_goal=2e-4, fine_goal=2e-6))
    escape: SaddleEscape = field(default=SaddleEscape())
    matrix_bytes: int = 2**28
    patience: float = tuned(
        3.0, "replicas that go on for each that waits for a matrix; more: others wait less, more calls for matrices"
    )

    @np.errstate(all="ignore")  # a trial point may overflow: values that are not finite are rejected
    def run(
        self,
        problem: ReplicaProblem,
        theta: HostArray,
        budget: Budget = UNLIMITED,
        *,
        negative_directions: NegativeDirections | None = None,
    ) -> BatchResult:
        """Minimise all replicas; where the budget is used up, the best points are kept.

        Parameters
        ----------
        problem : ReplicaProblem
            The functions.
        theta : array with shape (r, p)
            The starts, on the host.
        budget : Budget
            The limits, of each replica; `prune` is not used.
        negative_directions : callable, optional
            If given, saddle points are escaped.

        Returns
        -------
        BatchResult
            EDM is that of the exact Hessian; where this is not positive definite, of the Gauss-Newton matrix.
        """
        batch = _Batch(self, problem, theta, budget, negative_directions)
        r, p = theta.shape
        size = max(1, self.matrix_bytes // (8 * p * p))
        with stoppable(budget.deadline) as stop:
            for first in range(0, r, size):
                run_batched(
                    [batch.minimization(i) for i in range(first, min(first + size, r))],
                    batch.evaluate,
                    matrices=batch.matrices,
                    first=first,
                    fixed_shape=problem.of_one_shape,
                    evaluations=batch.evaluations,
                    patience=self.patience,
                )
        edm_goal = self.each.edm_goal * problem.errordef
        converged = batch.edm < edm_goal
        return BatchResult(
            problem.on_device(batch.best),
            batch.value,
            batch.edm,
            converged,
            batch.evaluations,
            tuple(batch.status(i, converged=bool(converged[i])) for i in range(r)),
            stop.reason,
        )


class _Batch:
    """The state of all replicas: best points with value and gradient there, EDM, evaluations, and how each ended."""

    def __init__(
        self,
        options: BatchedLBFGS,
        problem: ReplicaProblem,
        theta: HostArray,
        budget: Budget,
        negative_directions: NegativeDirections | None,
    ) -> None:
        r = len(theta)
        self.options, self.problem, self.theta, self.budget = options, problem, theta, budget
        self.negative_directions = negative_directions
        self.best, self.value, self.gradient = theta.copy(), np.full(r, np.inf), np.zeros(theta.shape)
        self.edm, self.evaluations = np.full(r, np.inf), np.zeros(r, dtype=np.int64)
        self.ended: dict[int, Status] = {}
        self.requests, self.reported = 0, np.inf

    def evaluate(self, points: HostArray, rows: Rows) -> tuple[HostArray, HostArray]:
        """Return values and gradients of some replicas; a value that is not finite becomes infinite."""
        self.budget.check(self.requests)
        lowest = float(self.value.min())
        if lowest < self.reported:
            self.reported = lowest
            self.budget.tell(lowest, self.requests)
        self.requests += 1
        values, gradients = self.problem.on_host(points, rows)
        finite = np.isfinite(values) & np.all(np.isfinite(gradients), axis=1)
        values, gradients = np.where(finite, values, np.inf), np.where(finite[:, None], gradients, 0.0)
        lower = np.flatnonzero(values < self.value[rows])
        at = rows[lower]
        self.best[at], self.value[at], self.gradient[at] = points[lower], values[lower], gradients[lower]
        return values, gradients

    def matrices(self, points: HostArray, rows: Rows, exact: bool) -> HostArray:
        """Return exact Hessians or Gauss-Newton matrices, ``(r, p, p)``."""
        self.budget.check(self.requests)
        f = self.problem.hessian if exact else self.problem.gauss_newton
        return self.problem.numbers(f(self.problem.on_device(points), rows))

    def minimization(self, i: int) -> AskTellHessian[None]:
        """Yield the requests of one replica's minimization, and keep its EDM and status."""
        minimize = partial(self.options.each.steps, self.problem)
        steps = self.options.escape.steps(minimize, self.problem, self.theta[i], self.negative_directions)
        result = yield from steps
        saddle = result.status is Status.SADDLE_POINT
        edm = np.inf if saddle else result.edm
        if not (saddle or result.converged) and np.isfinite(result.value):  # EDM of a shifted matrix is too small
            B = yield HessianRequest(self.best[i], exact=False)
            edm = max(edm, edm_by_matrix(B, self.gradient[i], self.problem.epsilon))
        self.edm[i], self.ended[i] = edm, Status.SADDLE_POINT if saddle else Status.NO_GAIN

    def status(self, i: int, *, converged: bool) -> Status:
        """Return how a replica ended."""
        if i in self.ended and not np.isfinite(self.value[i]):
            return Status.NOT_FINITE
        return Status.MINIMUM if converged else self.ended.get(i, Status.INTERRUPTED)
