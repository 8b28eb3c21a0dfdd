"""Ask-and-tell minimizers: generators that yield requests, and are sent the answers.

So many minimizations can be evaluated together (`run_batched`): networks of the same shape share one matrix product,
where each alone would wait for Python. A minimizer that calls the function itself, as SciPy's does, cannot be batched.
Requests are points, matrices, and whole descents by L-BFGS (`quasi_newton.Descent`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol, TypeVar

from ffnn_xp._lib.typing import HostArray
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


class Points(Protocol):
    """A request for what many points lead to, one after another."""

    def alone(self) -> AskTell[Any]:
        """Yield the points; the answer to the request is what is returned."""


AskTellHessian = Generator[HostArray | HessianRequest | Points, Any, Result]
"""A generator that yields points, `HessianRequest` and `Points`; it is sent value and gradient, a matrix, or an end."""


def run_ask_tell(steps: AskTellHessian[Result], evaluate: Callable[[Any], Any]) -> Result:
    """Run one minimization to its end, each request evaluated as it comes."""
    try:
        request: Any = next(steps)
        while True:
            alone = getattr(request, "alone", None)
            request = steps.send(evaluate(request) if alone is None else run_ask_tell(alone(), evaluate))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def evaluate_request(problem: Problem, request: HostArray | HessianRequest) -> tuple[float, HostArray] | HostArray:
    """Evaluate a request on a problem: value and gradient at a point, or a matrix."""
    if not isinstance(request, HessianRequest):
        return problem.value_and_gradient(request)
    return (problem.hessian if request.exact else problem.gauss_newton)(request.theta)
