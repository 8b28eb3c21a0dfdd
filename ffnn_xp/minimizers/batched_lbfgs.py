"""Many replicas walked down side by side, each by `preconditioned_lbfgs`: their gradients go through one product.

For toys, bootstrap copies and whatever else begins near its end. Steps of Levenberg and Marquardt take a matrix each,
and along a valley hundreds of them; here one serves for tens of gradients, and the exact Hessian says where the end is.
It also sees saddles, which no gradient shows: where two units of a network are copies of each other, gradients keep
them so, though the data of a toy may want them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ffnn_xp._lib.typing import HostArray, Rows
from ffnn_xp.minimizers.ask_tell import AskTellHessian, HessianRequest, run_batched
from ffnn_xp.minimizers.base import MinimizerResult, StopMinimization
from ffnn_xp.minimizers.batched_base import BatchResult, ReplicaProblem
from ffnn_xp.minimizers.negative_curvature import escape_saddles
from ffnn_xp.minimizers.preconditioned_lbfgs import edm_by, preconditioned_steps

Result = TypeVar("Result")

MATRICES = 2**28  # bytes of the matrices, one for each replica, that are kept at a time
SADDLES = 8  # that each goes round before it gives up
FINE = 1e-2  # of the goal: where a round ends, since its coordinates lead there


@np.errstate(all="ignore")  # a trial may overflow: what is not finite is seen, and not taken
def batched_lbfgs(
    problem: ReplicaProblem,
    theta: HostArray,
    *,
    edm_goal: float,
    max_rounds: int = 60,
    watch: Callable[[float, int], None] | None = None,
    negative_directions: Callable[[HostArray], HostArray] | None = None,
) -> BatchResult:
    """Walk each replica to EDM < `edm_goal`, or until it gains no more, for functions without kinks.

    Parameters
    ----------
    problem : ReplicaProblem
        The functions.
    theta : array with shape (r, p)
        The starts, on the host.
    edm_goal : float
        In units of S.
    max_rounds : int
        Upper limit of renewals of the coordinates.
    watch : callable, optional
        Called with (best value, number of the question) before each gradient; may raise `StopMinimization`, which keeps what
        was found.
    falling : callable, optional
        Of an exact Hessian the directions in which it curves down, ``(p, q)``: then walks go on round saddles.

    Returns
    -------
    BatchArrival
        EDM is that of the exact Hessian; where this is not positive definite, of the Gauss-Newton matrix.
    """
    r, p = theta.shape
    best, value, gradient = theta.copy(), np.full(r, np.inf), np.zeros((r, p))
    edm, ended, steps = np.full(r, np.inf), np.zeros(r, dtype=bool), np.zeros(r, dtype=np.int64)
    saddle, errordef, epsilon = np.zeros(r, dtype=bool), problem.errordef, problem.epsilon
    questions, stopped, lot = 0, "", max(1, MATRICES // (8 * p * p))

    def answer(points: HostArray, rows: Rows) -> tuple[HostArray, HostArray]:
        nonlocal questions
        if watch is not None:
            watch(float(value.min()), questions)
        questions += 1
        values, gradients = problem.on_host(points, rows)
        fine = np.isfinite(values) & np.all(np.isfinite(gradients), axis=1)
        values, gradients = np.where(fine, values, np.inf), np.where(fine[:, None], gradients, 0.0)
        lower = np.flatnonzero(values < value[rows])
        at = rows[lower]
        best[at], value[at], gradient[at] = points[lower], values[lower], gradients[lower]
        return values, gradients

    def matrices(points: HostArray, rows: Rows, exact: bool) -> HostArray:
        f = problem.hessian if exact else problem.gauss_newton
        return problem.numbers(f(problem.on_device(points), rows))

    def counted(i: int, walk: AskTellHessian[Result]) -> AskTellHessian[Result]:
        """The same, its gradients counted here, since some may be answered in vain."""
        told: Any = None
        while True:
            try:
                question = walk.send(told)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            steps[i] += not isinstance(question, HessianRequest)
            told = yield question

    def down_from(start: HostArray) -> AskTellHessian[MinimizerResult]:
        return preconditioned_steps(
            start,
            errordef=errordef,
            epsilon=epsilon,
            edm_goal=edm_goal,
            fine=FINE * edm_goal,
            max_rounds=max_rounds,
        )

    def walked(i: int) -> AskTellHessian[None]:
        way = escape_saddles(down_from, theta[i], negative_directions, most=SADDLES, errordef=errordef, epsilon=epsilon)
        end, _, saddle[i] = yield from counted(i, way)
        left = np.inf if saddle[i] else end.edm
        if not (saddle[i] or end.converged) and np.isfinite(end.value):  # of a matrix with a shift EDM is too small
            B = yield HessianRequest(best[i], exact=False)
            left = max(left, edm_by(B, gradient[i], epsilon))
        edm[i], ended[i] = left, True

    try:
        for first in range(0, r, lot):
            walks = [walked(i) for i in range(first, min(first + lot, r))]
            run_batched(walks, answer, matrices=matrices, first=first, together=problem.of_one_shape)
    except (StopMinimization, KeyboardInterrupt) as stop:
        stopped = str(stop) or "interrupted by the user"
    converged = edm < edm_goal
    words = np.where(converged, "converged", np.where(saddle, "saddle", np.where(ended, "no gain", "stopped")))
    status = np.where(ended & ~np.isfinite(value), "no finite value", words).tolist()
    return BatchResult(problem.on_device(best), value, edm, converged, steps, status, stopped)
