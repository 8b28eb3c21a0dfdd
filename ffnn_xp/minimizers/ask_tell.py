"""Ask-and-tell minimizers: generators that yield requests, and are sent the evaluated answers.

So many minimizations can be evaluated together (`run_batched`): networks of the same shape share one matrix product,
where each alone would wait for Python. A minimizer that calls the function itself, as SciPy's does, cannot be batched.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ffnn_xp._lib.typing import HostArray, Rows
from ffnn_xp.minimizers.base import Problem

Result = TypeVar("Result")
AskTell = Generator[HostArray, tuple[float, HostArray], Result]
"""A generator that yields points, is sent value and gradient there, and returns its result."""

Evaluate = Callable[[HostArray], tuple[float, HostArray]]
"""A function that returns value and gradient at a point."""


class HessianRequest(NamedTuple):
    """A request for a second derivative at a point: the exact one, or the Gauss-Newton matrix."""

    theta: HostArray
    exact: bool


AskTellHessian = Generator[HostArray | HessianRequest, Any, Result]
"""A generator that yields points and `HessianRequest`, and is sent value and gradient, or a matrix."""


def run_ask_tell(steps: AskTellHessian[Result], evaluate: Callable[[Any], Any]) -> Result:
    """Run one minimization to its end, each request evaluated as it comes."""
    try:
        request = next(steps)
        while True:
            request = steps.send(evaluate(request))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def evaluate_request(problem: Problem, request: HostArray | HessianRequest) -> tuple[float, HostArray] | HostArray:
    """Evaluate a request on a problem: value and gradient at a point, or a matrix."""
    if not isinstance(request, HessianRequest):
        return problem.value_and_gradient(request)
    return (problem.hessian if request.exact else problem.gauss_newton)(request.theta)


def map_answers(
    steps: AskTell[Result], convert: Callable[[float, HostArray], tuple[float, HostArray]]
) -> AskTell[Result]:
    """Run the steps on another function, whose value and gradient `convert` computes from the evaluated ones."""
    try:
        request = next(steps)
        while True:
            request = steps.send(convert(*(yield request)))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def run_batched(
    minimizations: Sequence[AskTellHessian[Result]],
    evaluate: Callable[[HostArray, Rows], tuple[HostArray, HostArray]],
    *,
    fixed_shape: bool = False,
    first: int = 0,
    matrices: Callable[[HostArray, Rows, bool], HostArray] | None = None,
) -> list[Result]:
    """Run many minimizations to their ends, the requests of all evaluated together.

    Requests of matrices wait until there are no others, so that many matrices are computed together.

    Parameters
    ----------
    minimizations : sequence of generators
        They yield points with shape (p,).
    evaluate : callable
        Called with points with shape (r, p), and the numbers (r,) of the minimizations that request them; returns
        values (r,) and gradients (r, p).
    fixed_shape : bool
        Whether all are evaluated each time, so that shapes stay the same; those that have ended at their last points.
    first : int
        Number of the first minimization.
    matrices : callable, optional
        Called with points, numbers, and True for the exact Hessian; returns matrices (r, p, p).
    """
    results: dict[int, Result] = {}
    last: dict[int, HostArray] = {}  # the last point of each
    points: dict[int, HostArray] = {}
    hessians: dict[bool, dict[int, HostArray]] = {True: {}, False: {}}

    def advance(number: int, answer: Any) -> None:
        try:
            request = next(minimizations[number]) if answer is None else minimizations[number].send(answer)
        except StopIteration as end:
            results[number] = end.value
            return
        if isinstance(request, HessianRequest):
            hessians[request.exact][number], last[number] = request.theta, request.theta
        else:
            points[number] = last[number] = request

    for number in range(len(minimizations)):
        advance(number, None)
    while points or any(hessians.values()):
        exact = None if points else bool(hessians[True])
        waiting = points.copy() if exact is None else hessians[exact].copy()
        rows = np.array(sorted(last if fixed_shape else waiting))
        at = np.stack([waiting.get(i, last[i]) for i in rows.tolist()])
        (points if exact is None else hessians[exact]).clear()
        if exact is None:
            values, gradients = evaluate(at, first + rows)
            answers: Iterable[Any] = zip(values.tolist(), gradients, strict=True)
        else:
            assert matrices is not None
            answers = matrices(at, first + rows, exact)
        for i, answer in zip(rows.tolist(), answers, strict=True):
            if i in waiting:
                advance(i, answer)
    return [results[i] for i in range(len(minimizations))]
