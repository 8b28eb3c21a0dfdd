r"""L-BFGS in the coordinates of Kronecker factors: a long way with no p x p matrix.

S is nearly round in them where they were made, and less so with each step away. New ones cost some gradients, and what
L-BFGS has learnt of the curvature. When to change is the marginal value theorem's (E. L. Charnov, Theoretical
Population Biology 9 (1976) 129): as soon as the last steps gain less for each gradient than the whole round has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy  # its submodules load when they are first used

from .._typing import HostArray
from .kronecker import KroneckerCoordinates
from .lbfgs import MEMORY
from .problem import NOISE, Arrival, Problem

STEPS = 10  # between looks at whether the coordinates still pay
RENEWAL = 5.0  # gradients that new coordinates cost
UNIT = 30  # gradients: gains are compared with goals as if rounds had so many
LOOK = 2  # rounds between looks at whether the way is hopeless
CLOSE = 1e-3  # EDM in units of errordef where the end is not far
SLOW = 0.1  # fall of EDM in a round, there, that is too slow
HISTORY = MEMORY // 2


def kronecker_lbfgs(
    problem: Problem,
    theta: HostArray,
    *,
    near: float = 0.0,
    enough: float = 0.0,
    patient: bool = True,
    most: float = np.inf,
    max_rounds: int = 10_000,
    hopeless: Callable[[HostArray, float], bool] | None = None,
) -> Arrival:
    """Walk until EDM, as the coordinates see it, is below `near`, or the gain below `enough`.

    Parameters
    ----------
    problem : Problem
        Value, gradient and factors are used.
    theta : array with shape (p,)
        The start.
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
    value, before, edm, calls = problem.value_and_gradient(theta)[0], np.inf, np.inf, 0
    for number in range(1, max_rounds + 1):
        walk = _Round(problem, theta, KroneckerCoordinates(problem.kronecker_factors(theta)), near, most - calls)
        theta, reached = walk.run()
        calls += walk.calls
        gain, value = value - reached, reached
        edm, earlier = walk.edm, edm
        if edm < near:
            return Arrival(theta, value, edm, converged=True)
        if number % LOOK == 1:
            before = value + gain
        elif hopeless is not None and hopeless(theta, before - value):
            return Arrival(theta, value, edm, converged=False, hopeless=True)
        if calls >= most or gain * UNIT < enough * walk.calls or gain <= NOISE * problem.epsilon * abs(value):
            break
        if not patient and CLOSE * problem.errordef > edm > SLOW * earlier:
            break
    return Arrival(theta, value, edm, converged=False)


@dataclass
class _Round:
    """Steps of L-BFGS in z, as long as these coordinates pay."""

    problem: Problem
    origin: HostArray
    W: KroneckerCoordinates
    near: float
    most: float = np.inf
    calls: int = 0
    edm: float = np.inf
    steps: int = 0
    start: float = np.inf
    checked: tuple[float, int] = field(default=(np.inf, 0))

    def run(self) -> tuple[HostArray, float]:
        """Where it ended, and the value there."""
        options = {"maxcor": HISTORY, "ftol": 0.0, "gtol": 0.0, "maxiter": 10**6, "maxfun": 10**7}
        self.start, _ = self._value_and_gradient(np.zeros_like(self.origin))
        if self.edm < self.near:
            return self.origin, self.start
        self.checked = self.start, self.calls
        result = scipy.optimize.minimize(
            self._value_and_gradient,
            np.zeros_like(self.origin),
            jac=True,
            method="L-BFGS-B",
            options=options,
            callback=self._look,
        )
        return self.origin + self.W.back(result.x), float(result.fun)

    def _value_and_gradient(self, z: HostArray) -> tuple[float, HostArray]:
        self.calls += 1
        value, g = self.problem.value_and_gradient(self.origin + self.W.back(z))
        g = self.W.forth(g)
        self.edm = 0.5 * float(g @ g)
        return value, g

    def _look(self, intermediate_result: scipy.optimize.OptimizeResult) -> None:
        """Whether to leave: EDM is small enough, or the last steps gained less than the round's average."""
        self.steps += 1
        if self.edm < self.near or self.calls >= self.most:
            raise StopIteration
        if self.steps % STEPS == 0 and self.edm > CLOSE * self.problem.errordef:
            value, (before, calls) = float(intermediate_result.fun), self.checked
            if (before - value) * (self.calls + RENEWAL) < (self.start - value) * (self.calls - calls):
                raise StopIteration
            self.checked = value, self.calls
