r"""Ask-and-tell L-BFGS in coordinates in which S is well conditioned.

The algorithm is that of J. Nocedal and S. J. Wright, Numerical Optimization (2006), chapter 7.2, with steps to points
that meet the strong Wolfe conditions (eq. 3.7), by the cubics of eq. 3.59. Near a minimum, values differ by less than
their rounding, while slopes are still exact; there the rise is computed from the slopes, as that of a parabola (which
turns Wolfe's conditions into the approximate ones of W. W. Hager and H. Zhang, SIAM J. Optim. 16, 170 (2005)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.ask_tell import AskTell

DECREASE, CURVATURE = 1e-4, 0.9  # Wolfe's constants, as usual for quasi-Newton steps
ROUNDING = 1e-11  # share of S below which differences count as rounding: with errors in x it is exact to some 1e-12
EPSILON = float(np.finfo(np.float64).eps)
SHORTEST = 1e-3  # share of the first try: of shorter steps the rise is not computed from slopes, which may be untrue


class Memory:
    r"""The last steps S and the changes Y of the gradient along them: a model of the inverse Hessian.

    .. math:: H = \gamma + (S\;\gamma Y) \begin{pmatrix} R^{-T}(D + \gamma Y^T Y)R^{-1} & -R^{-T} \\ -R^{-1} & 0
              \end{pmatrix} (S\;\gamma Y)^T

    with R the upper triangle of S^T Y, D its diagonal, and gamma that of the last step (Nocedal and Wright, eq. 7.24).

    Parameters
    ----------
    most : int
        Steps that are remembered.
    p : int
        Number of parameters.
    """

    def __init__(self, most: int, p: int) -> None:
        self._most, self._length, self._end = most, 0, 0
        self._S, self._Y = np.empty((2 * most, p)), np.empty((2 * most, p))  # twice as many, so that moves are rare
        self._SY, self._YY = np.zeros((most, most)), np.zeros((most, most))

    def __len__(self) -> int:
        return self._length

    def add(self, step: HostArray, change: HostArray) -> None:
        """Remember a step, unless the gradient along it did not grow."""
        if not float(step @ change) > EPSILON * float(change @ change):
            return
        if self._end == 2 * self._most:
            self._S[: self._most], self._Y[: self._most] = self._S[self._most :], self._Y[self._most :]
            self._end = self._most
        self._S[self._end], self._Y[self._end] = step, change
        self._end, self._length = self._end + 1, min(self._length + 1, self._most)
        S, Y = self._vectors()
        for products, vectors in ((self._SY, S), (self._YY, Y)):
            products[:-1, :-1] = products[1:, 1:]
            products[-self._length :, -1] = vectors @ change
        self._YY[-1] = self._YY[:, -1]

    def clear(self) -> None:
        """Forget all steps."""
        self._length = 0

    def direction(self, g: HostArray) -> HostArray:
        """Return the direction of the next step, -H g, from a point with this gradient."""
        if not self._length:
            return -g
        S, Y = self._vectors()
        SY, YY = self._SY[-self._length :, -self._length :], self._YY[-self._length :, -self._length :]
        gamma = SY[-1, -1] / YY[-1, -1]
        w, _ = scipy.linalg.lapack.dtrtrs(SY, S @ g)
        v, _ = scipy.linalg.lapack.dtrtrs(SY, SY.diagonal() * w + gamma * (YY @ w - Y @ g), trans=1)
        d: HostArray = v @ S
        d += gamma * (g - w @ Y)
        return -d

    def _vectors(self) -> tuple[HostArray, HostArray]:
        """Return S and Y, a row for each step, the last one last."""
        rows = slice(self._end - self._length, self._end)
        return self._S[rows], self._Y[rows]


class Step(NamedTuple):
    """A step along a direction: its length, value and gradient at its end, and the number of evaluated points."""

    t: float
    value: float
    gradient: HostArray
    evaluations: int


class Coordinates(Protocol):
    """A linear map W to coordinates z, theta = theta_0 + W z, in which S is well conditioned.

    Those that have a function ``together(r)`` of their class compute r of them at once, by what that returns: an object
    with ``put(i, W)``, and `back` and `forth` of chosen ones. Else one is computed after another.
    """

    def back(self, z: HostArray) -> HostArray:
        """Compute W z."""

    def forth(self, g: HostArray) -> HostArray:
        """Compute W^T g."""


@dataclass(frozen=True)
class LineSearch:
    """A line search for a step that meets the strong Wolfe conditions, with its options.

    Parameters
    ----------
    max_tries : int
        Points that are evaluated at most, also by steps that neither lower S by more than rounding nor halve its
        gradient.
    expansion : float
        Factor of a step that does not go far enough.
    edge : float
        Share of a bracket that its next point keeps off its ends; it is that near to the better one where S is not
        finite at the other.
    """

    max_tries: int = tuned(20, "more: shorter steps are tried before the direction is given up")
    expansion: float = tuned(4.0, "larger: fewer tries where first steps are too short, coarser steps")
    edge: float = tuned(0.1, "larger: nearer to bisection, smaller: trusts the cubic more")

    def along(self, theta: HostArray, value: float, g: HostArray, d: HostArray, t: float) -> AskTell[Step]:
        """Find a step t d; t = 0 if no lower point was found.

        Parameters
        ----------
        theta, g, d : arrays with shape (p,)
            Point, gradient, and a direction of descent.
        value : float
            S at the point.
        t : float
            The first step to try.
        """
        slope, shortest = float(g @ d), SHORTEST * t
        low, high = (0.0, 0.0, slope), (np.inf, np.inf, np.inf)
        best = Step(0.0, value, g, 0)
        if not slope < 0:  # by rounding
            return best
        for evaluations in range(1, self.max_tries + 1):
            new, there = yield theta + t * d
            s = float(there @ d)
            rise = new - value
            if abs(rise) <= ROUNDING * abs(value) and t >= shortest:
                rise = 0.5 * t * (slope + s)
            if not rise < DECREASE * t * slope or rise > low[1]:
                high = t, rise, s
            else:
                best = Step(t, new, there, evaluations)
                if abs(s) <= -CURVATURE * slope:
                    return best
                low, high = ((t, rise, s), high) if s < 0 else (low, (t, rise, s))
            t = self._between(low, high)
            if t in (low[0], high[0]):  # no number lies between them: the rest is rounding
                break
        return best._replace(evaluations=evaluations)

    def _between(self, low: tuple[float, float, float], high: tuple[float, float, float]) -> float:
        """Return the minimum of the cubic through two points (t, rise, slope); beyond them, while there is one."""
        a, b = low[0], high[0]
        if b == np.inf:
            return self.expansion * a
        width = b - a
        if not np.isfinite(high[1]):
            return a + self.edge * width
        d1 = low[2] + high[2] + 3 * (low[1] - high[1]) / width
        root = d1 * d1 - low[2] * high[2]
        bottom = high[2] - low[2] + 2 * np.sqrt(max(root, 0.0))
        share = 0.5 if root < 0 or bottom == 0 else 1 - float((high[2] + np.sqrt(root) - d1) / bottom)
        return a + min(max(share, self.edge), 1 - self.edge) * width


KeepGoing = Callable[[float, float, float, int], bool]
"""A function of S, EDM in z, the largest component of the gradient in z, and the points of the last step."""

End = tuple[HostArray, float, HostArray]
"""The last point of a descent, with value and gradient there."""


@dataclass(frozen=True)
class QuasiNewton:
    """L-BFGS in given coordinates, until its caller ends it, or nothing is left but rounding.

    Parameters
    ----------
    memory : int
        Steps that are remembered.
    first_length : float
        Length of the first step, along the gradient, at most.
    line_search : LineSearch
        The line search.
    """

    memory: int = tuned(20, "more steps remembered: fewer gradients, more time for each")
    first_length: float = tuned(1.0, "larger: a longer first step in the coordinates")
    line_search: LineSearch = field(default=LineSearch())

    def steps(
        self, W: Coordinates, theta: HostArray, value: float, g: HostArray, keep_going: KeepGoing
    ) -> Generator[Descent, End, End]:
        """Request a descent, and return its last point, with value and gradient there.

        Parameters
        ----------
        W : Coordinates
            The coordinates.
        theta, g : arrays with shape (p,)
            The start, and the gradient there.
        value : float
            S at the start.
        keep_going : callable
            Called with value, EDM and the largest component of the gradient, both in z, and the number of points that
            the last step evaluated (0 at the start).
        """
        return (yield Descent(self, W, theta, value, g, keep_going))


class Descent(NamedTuple):
    """A request for steps of `QuasiNewton`; the answer is the last point. `Descents` takes those of many together."""

    by: QuasiNewton
    W: Coordinates
    theta: HostArray
    value: float
    gradient: HostArray
    keep_going: KeepGoing

    def alone(self) -> AskTell[End]:
        """Yield the points."""
        by, W, theta, value, g, keep_going = self
        u = W.forth(g)
        memory, poor, least, evaluations = Memory(by.memory, len(u)), 0, np.inf, 0
        while (largest := float(np.max(np.abs(u)))) > 0 and keep_going(value, 0.5 * float(u @ u), largest, evaluations):
            d = memory.direction(u)
            D, fresh = W.back(d), not len(memory)
            first = min(1.0, by.first_length / max(math.sqrt(float(u @ u)), 1e-300)) if fresh else 1.0
            step = yield from by.line_search.along(theta, value, g, D, first)
            evaluations = step.evaluations
            if step.t > 0:
                gain, before = value - step.value, u
                theta, value, g = theta + step.t * D, step.value, step.gradient
                u = W.forth(g)
                memory.add(step.t * d, u - before)
                size, poor = math.sqrt(float(u @ u)), poor + evaluations
                if gain > ROUNDING * abs(value) or size < 0.5 * least:
                    poor, least = 0, size
                if poor >= by.line_search.max_tries:
                    break
            elif fresh:
                break
            else:
                memory.clear()
        return theta, value, g
