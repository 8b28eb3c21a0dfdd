r"""L-BFGS in the coordinates of Kronecker factors: a long way with no p x p matrix.

S is nearly round in them where they were made, and less so with each step away. New ones cost some gradients, and what
L-BFGS has learnt of the curvature. When to change is the marginal value theorem's (E. L. Charnov, Theoretical
Population Biology 9 (1976) 129): as soon as the last steps gain less for each gradient than the whole round has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.ask_tell import AskTell, answered, steps_in
from ffnn_xp.minimizers.base import MinimizerResult, Problem, rounding_error
from ffnn_xp.minimizers.kronecker import KroneckerCoordinates

STEPS = 10  # between looks at whether the coordinates still pay
RENEWAL = 5.0  # gradients that new coordinates cost
UNIT = 30  # gradients: gains are compared with goals as if rounds had so many
LOOK = 2  # rounds between looks at whether the way is hopeless
CLOSE = 1e-3  # EDM in units of errordef where the end is not far
SLOW = 0.1  # fall of EDM in a round, there, that is too slow
HISTORY = 10


def kronecker_lbfgs(problem: Problem, theta: HostArray, **options: Any) -> MinimizerResult:
    """`kronecker_steps`, answered by the problem."""
    return answered(kronecker_steps(problem, theta, **options), problem.value_and_gradient)


def kronecker_steps(
    problem: Problem,
    theta: HostArray,
    *,
    known: tuple[float, HostArray] | None = None,
    near: float = 0.0,
    enough: float = 0.0,
    patient: bool = True,
    most: float = np.inf,
    max_rounds: int = 10_000,
    hopeless: Callable[[HostArray, float], bool] | None = None,
) -> AskTell[MinimizerResult]:
    """Walk until EDM, as the coordinates see it, is below `near`, or the gain below `enough`: a conversation.

    Parameters
    ----------
    problem : Problem
        Its factors are used; values and gradients are asked for.
    theta : array with shape (p,)
        The start.
    known : tuple of float and array with shape (p,), optional
        Value and gradient at the start, where they are known.
    near : float
        EDM in units of S. That of the coordinates is too small, by a factor that grows with their error.
    enough : float
        Ends after a round that gained less than this in `UNIT` gradients, or nothing beyond rounding.
    patient : bool
        Otherwise it ends also after a round that, close to the end, does not bring EDM down by a factor of 1 / `SLOW`.
    most : float
        Gradients after which it ends.
    max_rounds : int
        Upper limit of renewals of the coordinates.
    hopeless : callable, optional
        Called with theta and the gain of the last `LOOK` rounds; True ends the walk there.
    """
    before, edm, calls = np.inf, np.inf, 0
    value, g = (yield theta) if known is None else known
    for number in range(1, max_rounds + 1):
        W = KroneckerCoordinates(problem.kronecker_factors(theta))
        walk = _Round(near, CLOSE * problem.errordef, most - calls, start=value)
        theta, reached, g = yield from steps_in(W, theta, value, g, memory=HISTORY, stay=walk)
        calls += walk.calls
        gain, value = value - reached, reached
        edm, earlier = walk.edm, edm
        if edm < near:
            return MinimizerResult(theta, value, edm, converged=True)
        if number % LOOK == 1:
            before = value + gain
        elif hopeless is not None and hopeless(theta, before - value):
            return MinimizerResult(theta, value, edm, converged=False, hopeless=True)
        if calls >= most or gain * UNIT < enough * walk.calls or gain <= rounding_error(problem.epsilon, value):
            break
        if not patient and CLOSE * problem.errordef > edm > SLOW * earlier:
            break
    return MinimizerResult(theta, value, edm, converged=False)


@dataclass
class _Round:
    """Whether steps in coordinates still pay."""

    near: float
    close: float
    most: float
    start: float
    calls: int = 0
    edm: float = np.inf
    steps: int = -1
    checked: tuple[float, int] = field(default=(np.inf, 0))

    def __call__(self, value: float, u: HostArray, asked: int) -> bool:
        """No, if EDM is small enough, or if, far from the end, the last steps gained less than the round's average."""
        self.calls, self.steps, self.edm = self.calls + asked, self.steps + 1, 0.5 * float(u @ u)
        if self.edm < self.near or self.calls >= self.most:
            return False
        if self.steps % STEPS or self.edm <= self.close:
            return True
        (before, calls), self.checked = self.checked, (value, self.calls)
        return not (before - value) * (self.calls + RENEWAL) < (self.start - value) * (self.calls - calls)
