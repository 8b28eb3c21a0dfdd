r"""L-BFGS in the coordinates of Kronecker factors: to a minimum of 20,000 parameters without a p x p matrix.

For one layer the Gauss-Newton matrix is :math:`\sum_n \delta\delta^T \otimes \tilde a \tilde a^T`, nearly
:math:`G \otimes A / n` with :math:`G = \sum_n \delta\delta^T` and :math:`A = \sum_n \tilde a\tilde a^T` (J. Martens and
R. Grosse, ICML 2015). With a prior's precision it is diagonalised exactly by two small eigen-decompositions, so that
:math:`\theta = \theta_0 + W z` makes S nearly round in z. L-BFGS walks there; conjugate gradients with the same
coordinates tell EDM, and their solution is the last step of each round.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy  # its submodules load when they are first used

from .._typing import HostArray
from .conjugate_gradients import Distance, edm_by_products
from .lbfgs import MEMORY
from .problem import NOISE, Arrival, Factors, Problem

STEPS = 30  # of L-BFGS before the coordinates are renewed: 150 take twice as long, 10 as well
LOOK = 2  # rounds between looks at whether the way is hopeless
FLOOR = 1e-6  # of the largest element of A: what stands for a precision where the prior has none
FLAT = 1e-3  # fall of S, in units of errordef, that is not worth following
GAIN = 0.1  # of a round, in units of the goal: less is not worth another one
PATIENCE = 2  # rounds of less
NEWTON = 1e-3  # share of EDM that the last steps may leave
SHARES = (1.0, 0.5, 0.25, 0.125)  # of a Newton step that are tried
FAR = 2.0  # gain of a round, in units of errordef, above which EDM is not yet asked for


class KroneckerCoordinates:
    """W with W W^T = M^-1, where M is the Kronecker approximation of the Gauss-Newton matrix, prior included.

    Examples
    --------
    >>> G, A = np.diag([1.0, 2.0]), np.diag([3.0, 5.0])
    >>> W = KroneckerCoordinates([(G, A, np.ones((2, 2)))])
    >>> W.precondition(np.ones(4))  # 1 / (1 + 1 * 3), 1 / (1 + 1 * 5), 1 / (1 + 2 * 3), 1 / (1 + 2 * 5)
    array([0.25      , 0.16666667, 0.14285714, 0.09090909])
    """

    def __init__(self, factors: Factors) -> None:
        self._layers = []
        self.least = np.inf
        """Below all eigenvalues of the preconditioned Gauss-Newton matrix, if every parameter has a prior (but an
        output's bias, which the data hold); infinite if that is not known."""
        for G, A, prior in factors:
            gamma, U = scipy.linalg.eigh(G, check_finite=False)
            least = FLOOR * max(float(A.max()) * float(gamma[-1]), 1e-30)
            lam, V = scipy.linalg.eigh(A, np.diag(np.maximum(prior.mean(axis=0), least)), check_finite=False)
            root = 1 / np.sqrt(1 + np.maximum(gamma, 0)[:, None] * np.maximum(lam, 0))
            self._layers.append((U, V, root))
            self.least = min(self.least, _held_up(float(gamma[-1]), A, prior))

    def back(self, z: HostArray) -> HostArray:
        """W z."""
        return np.concatenate([(U @ (root * Z) @ V.T).ravel() for (U, V, root), Z in self._split(z)])

    def forth(self, g: HostArray) -> HostArray:
        """W^T g."""
        return np.concatenate([(root * (U.T @ X @ V)).ravel() for (U, V, root), X in self._split(g)])

    def precondition(self, g: HostArray) -> HostArray:
        """M^-1 g."""
        return self.back(self.forth(g))

    @property
    def effective(self) -> float:
        """Effective number of parameters in this approximation: tr(G (G + P)^-1)."""
        return sum(self.effective_by_layer)

    @property
    def effective_by_layer(self) -> tuple[float, ...]:
        """The same, one number for each layer."""
        return tuple(float(np.sum(1 - root * root)) for _, _, root in self._layers)

    def _split(self, v: HostArray) -> list[tuple[tuple[HostArray, HostArray, HostArray], HostArray]]:
        out, at = [], 0
        for layer in self._layers:
            shape = layer[2].shape
            out.append((layer, v[at : at + layer[2].size].reshape(shape)))
            at += layer[2].size
        return out


def _held_up(gamma: float, A: HostArray, prior: HostArray) -> float:
    """Smallest eigenvalue that a prior guarantees, P / (gamma A + P) at most; infinite where there is no prior."""
    P = prior.min(axis=0)
    held = P > 0
    if not np.any(held[:-1]):
        return np.inf
    largest = scipy.linalg.eigvalsh(A[np.ix_(held, held)], np.diag(P[held]), check_finite=False)[-1]
    return 1 / (1 + gamma * float(largest))


def kronecker_lbfgs(
    problem: Problem,
    theta: HostArray,
    *,
    edm_goal: float,
    max_rounds: int = 1000,
    enough: float = 0.0,
    saddles: bool = False,
    hopeless: Callable[[HostArray, float], bool] | None = None,
) -> tuple[Arrival, Distance]:
    """Walk until the upper bound of EDM is below `edm_goal`; the end, and what is known of EDM there.

    Parameters
    ----------
    problem : Problem
        Value, gradient, products and factors are used.
    theta : array with shape (p,)
        The start.
    edm_goal : float
        In units of S.
    max_rounds : int
        Upper limit of renewals of the coordinates.
    enough : float
        Ends after a round that gained less, without asking for EDM: others go on from there.
    saddles : bool
        Whether to look for a falling direction before that end, and to go on along it.
    hopeless : callable, optional
        Called with theta and the gain of the last `LOOK` rounds; True ends the walk there.
    """
    value, g = problem.value_and_gradient(theta)
    distance = Distance(np.zeros_like(theta), 0.0, np.inf, 0)
    gain, poor, before = np.inf, 0, value
    for number in range(1, max_rounds + 1):
        W = KroneckerCoordinates(problem.kronecker_factors(theta))
        if gain < FAR * problem.errordef:
            distance = edm_by_products(partial(problem.gauss_newton_product, theta), g, W.precondition, goal=edm_goal)
            step = distance.step
            if edm_goal <= distance.upper < problem.errordef:  # the exact Hessian's step goes all the way
                exact = edm_by_products(partial(problem.hessian_product, theta), g, W.precondition, tolerance=NEWTON)
                below = None if exact.falling is None else lower_along(problem, theta, value, exact.falling)
                if below is not None:
                    theta, gain, before = below, np.inf, np.inf
                    value, g = problem.value_and_gradient(theta)
                    continue
                distance, step = distance if exact.falling is not None else exact, exact.step
            poor = poor + 1 if gain < GAIN * edm_goal else 0
            if distance.upper < edm_goal or poor > PATIENCE:
                break
            theta, value, g = _downhill(problem, theta, value, g, step)
        theta, reached = _round(problem, theta, W)
        gain, (value, g) = value - reached, problem.value_and_gradient(theta)
        if number % LOOK == 0:
            if hopeless is not None and hopeless(theta, before - value):
                return Arrival(theta, value, np.inf, converged=False, hopeless=True), distance
            before = value
        if enough and gain < max(enough, NOISE * problem.epsilon * abs(value)):
            below = _beyond(problem, theta, value, g, W) if saddles else None
            if below is None:
                break
            theta, gain, before = below, np.inf, np.inf
            value, g = problem.value_and_gradient(theta)
    edm = distance.upper if np.isfinite(distance.upper) else distance.lower
    return Arrival(theta, value, edm, bool(distance.upper < edm_goal)), distance


def _beyond(
    problem: Problem, theta: HostArray, value: float, g: HostArray, W: KroneckerCoordinates
) -> HostArray | None:
    """A lower point along a direction of negative curvature, if conjugate gradients meet one on their way."""
    found = edm_by_products(partial(problem.hessian_product, theta), g, W.precondition)
    return None if found.falling is None else lower_along(problem, theta, value, found.falling)


def _downhill(
    problem: Problem, theta: HostArray, value: float, g: HostArray, step: HostArray
) -> tuple[HostArray, float, HostArray]:
    """The first lower point of the whole way back along a step, half of it, and so on; if there is none, the start."""
    for share in SHARES:
        trial = theta - share * step
        there = problem.value_and_gradient(trial)
        if there[0] < value:
            return trial, *there
    return theta, value, g


def lower_along(problem: Problem, theta: HostArray, value: float, direction: HostArray) -> HostArray | None:
    """The lowest of some points along a direction, either way; None if S falls by less than `FLAT` to it."""
    unit = direction * (max(1.0, float(np.linalg.norm(theta))) / float(np.linalg.norm(direction)))
    trials = [theta + step * unit for step in (-0.1, -0.03, -0.01, -3e-3, -1e-3, 1e-3, 3e-3, 0.01, 0.03, 0.1)]
    values = [problem.value_and_gradient(trial)[0] for trial in trials]
    lowest = int(np.argmin(values))
    fall = max(FLAT * problem.errordef, NOISE * problem.epsilon * abs(value))
    return trials[lowest] if values[lowest] < value - fall else None


def exact_distance(problem: Problem, theta: HostArray, *, enough: float = 0.0) -> Distance:
    """EDM by the exact Hessian, which also sees where S falls along a direction of the gradient's Krylov space.

    Its upper bound leans on the prior, if there is one, and ends when it is below `enough`.
    """
    W = KroneckerCoordinates(problem.kronecker_factors(theta))
    g = problem.value_and_gradient(theta)[1]
    return edm_by_products(partial(problem.hessian_product, theta), g, W.precondition, enough=enough, least=W.least)


def _round(problem: Problem, theta: HostArray, W: KroneckerCoordinates) -> tuple[HostArray, float]:
    """At most `STEPS` of L-BFGS in z; where it ended, and the value there."""

    def f(z: HostArray) -> tuple[float, HostArray]:
        value, g = problem.value_and_gradient(theta + W.back(z))
        return value, W.forth(g)

    options = {"maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0, "maxiter": STEPS}
    result: Any = scipy.optimize.minimize(f, np.zeros_like(theta), jac=True, method="L-BFGS-B", options=options)
    return theta + W.back(result.x), float(result.fun)
