"""`run_batched`: many minimizations, as generators, whose requests are answered together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from ffnn_xp._lib.typing import HostArray, Rows
from ffnn_xp.minimizers.ask_tell import AskTellHessian, HessianRequest, run_ask_tell
from ffnn_xp.minimizers.descents import Descents
from ffnn_xp.minimizers.quasi_newton import Descent

Result = TypeVar("Result")


def run_batched(
    minimizations: Sequence[AskTellHessian[Result]],
    evaluate: Callable[[HostArray, Rows], tuple[HostArray, HostArray]],
    *,
    fixed_shape: bool = False,
    first: int = 0,
    matrices: Callable[[HostArray, Rows, bool], HostArray] | None = None,
    evaluations: Rows | None = None,
    patience: float = 0.0,
) -> list[Result]:
    """Run many minimizations to their ends, the requests of all answered together.

    Requests of matrices wait, so that many matrices are computed together.

    Parameters
    ----------
    minimizations : sequence of generators
        They yield points with shape (p,), and requests of matrices and of descents.
    evaluate : callable
        Called with points with shape (r, p), and the numbers (r,) of the minimizations that request them; returns
        values (r,) and gradients (r, p).
    fixed_shape : bool
        Whether all are evaluated each time, so that shapes stay the same; those that have ended at their last points.
    first : int
        Number of the first minimization.
    matrices : callable, optional
        Called with points, numbers, and True for the exact Hessian; returns matrices (r, p, p).
    evaluations : array of int, optional
        Counts the points that each minimization, by its number, requests.
    patience : float
        Matrices wait until no more minimizations than so many times those that wait for them request points.
    """
    if len(minimizations) == 1:  # for one, arrays of many take longer

        def answer(request: HostArray | HessianRequest) -> Any:
            if isinstance(request, HessianRequest):
                assert matrices is not None
                return matrices(request.theta[None], np.array([first]), request.exact)[0]
            if evaluations is not None:
                evaluations[first] += 1
            values, gradients = evaluate(request[None], np.array([first]))
            return float(values[0]), gradients[0]

        return [run_ask_tell(minimizations[0], answer)]
    run = _Run(minimizations)
    while len(run.results) < len(minimizations):
        rows, kind = run.waiting(patience)
        everyone = np.flatnonzero(run.begun) if fixed_shape else rows
        wanted = slice(None) if len(everyone) == len(rows) else np.isin(everyone, rows)
        points, numbers = run.last[everyone], first + everyone
        if kind is None:
            if evaluations is not None:
                evaluations[first + rows] += 1
            values, gradients = evaluate(points, numbers)
            run.tell(rows, values[wanted], gradients[wanted])
        else:
            assert matrices is not None
            run.tell_matrices(rows, kind, matrices(points, numbers, kind)[wanted])
    return [run.results[i] for i in range(len(minimizations))]


class _Run:
    """The minimizations, what each has requested, and the results of those that have ended.

    Attributes
    ----------
    results : dict
        The result of each that has ended, by its number.
    begun : boolean array with shape (r,)
        Those that have requested anything.
    last : array with shape (r, p)
        The last points that they requested anything at.
    """

    def __init__(self, minimizations: Sequence[AskTellHessian[Any]]) -> None:
        r = len(minimizations)
        self._minimizations = minimizations
        self._descents: Descents | None = None
        self._asks = {kind: np.zeros(r, dtype=bool) for kind in (None, True, False)}
        """The minimizations that ask for value and gradient at a point, an exact Hessian, or a Gauss-Newton matrix."""
        self.results, self.begun, self.last = dict[int, Any](), np.zeros(r, dtype=bool), np.empty((r, 0))
        for i in range(r):
            self._advance(i, None)

    def waiting(self, patience: float) -> tuple[Rows, bool | None]:
        """Return those that wait for the same, and what it is: points (None), exact (True) or other matrices."""
        asks = self._asks[None]
        if self._descents is not None and np.any(going := self._descents.going):
            self.last[going] = self._descents.points[going]
            asks = asks | going
        exact = bool(np.any(self._asks[True]))
        matrices, points = np.flatnonzero(self._asks[exact]), np.flatnonzero(asks)
        return (points, None) if len(points) > patience * len(matrices) else (matrices, exact)

    def tell(self, rows: Rows, values: HostArray, gradients: HostArray) -> None:
        """Tell these minimizations their values and gradients."""
        alone = self._asks[None][rows]
        if self._descents is not None and not np.all(alone):
            steps = ~alone
            for i, end in self._descents.tell(rows[steps], values[steps], gradients[steps]):
                self._advance(i, end)
        self._asks[None][rows[alone]] = False
        for i, value, gradient in zip(rows[alone].tolist(), values[alone].tolist(), gradients[alone], strict=True):
            self._advance(i, (value, gradient))

    def tell_matrices(self, rows: Rows, exact: bool, matrices: HostArray) -> None:
        """Tell these minimizations their matrices."""
        self._asks[exact][rows] = False
        for i, matrix in zip(rows.tolist(), matrices, strict=True):
            self._advance(i, matrix)

    def _advance(self, i: int, answer: Any) -> None:
        """Send a minimization an answer, and take its next request or its result."""
        try:
            steps = self._minimizations[i]
            request: Any = next(steps) if answer is None else steps.send(answer)
        except StopIteration as end:
            self.results[i] = end.value
            return
        kind = request.exact if isinstance(request, HessianRequest) else None
        point = request.theta if isinstance(request, (HessianRequest, Descent)) else request
        if not self.last.shape[1]:
            self.last = np.zeros((len(self.last), len(point)))
        self.begun[i], self.last[i] = True, point
        if not isinstance(request, Descent):
            self._asks[kind][i] = True
            return
        if self._descents is None:
            self._descents = Descents(len(self.last), request)
        for _, reached in self._descents.begin(i, request):
            self._advance(i, reached)
