r"""L-BFGS as a conversation: a walk asks for value and gradient at a point, and goes on with the answer.

So that many walks can be answered together (`run_batched`): networks of the same shape go through one product, where
each alone would wait for Python. A minimizer that calls the function, as SciPy's does, cannot be asked that. The
algorithm is that of J. Nocedal and S. J. Wright, Numerical Optimization (2006), chapter 7.2, with steps to points that
keep the strong Wolfe conditions (eq. 3.7), on the cubics of eq. 3.59. Near a minimum values differ by less than their
rounding where slopes still tell the way; there the rise is that of the parabola with these slopes (which makes of
Wolfe's conditions the approximate ones of W. W. Hager and H. Zhang, SIAM J. Optim. 16, 170 (2005)).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray, Rows
from ffnn_xp.minimizers.base import Problem

Result = TypeVar("Result")
AskTell = Generator[HostArray, tuple[float, HostArray], Result]
"""Asks for value and gradient at what it yields, and returns where it ended."""


class HessianRequest(NamedTuple):
    """Asks for a second derivative at a point instead: the exact one, or the Gauss-Newton matrix."""

    theta: HostArray
    exact: bool


AskTellHessian = Generator[HostArray | HessianRequest, Any, Result]
"""A walk that asks for matrices too."""

DECREASE, CURVATURE = 1e-4, 0.9  # Wolfe's constants, as usual for quasi-Newton steps
ROUNDING = 1e-11  # share of S below which differences are not believed: with errors in x it is good to some 1e-12
SHORT = 1e-3  # of the first try: where a step has to be shorter, slopes are not believed either
TRIES = 20  # of step lengths
PATIENCE = 40  # points of steps that neither lower S by more than that nor halve its gradient
FARTHER = 4.0  # at most, of a step that does not go far enough
SHORTER = 0.1  # of a step to a point without a finite value
FIRST = 1.0  # length of the first step, along the gradient, at most
EDGE = 0.1  # of a bracket, that its next point keeps off its ends


class Memory:
    r"""The last steps S and what the gradient did on them, Y: a model of the inverse Hessian, around the unit matrix.

    .. math:: H = \gamma + (S\;\gamma Y) \begin{pmatrix} R^{-T}(D + \gamma Y^T Y)R^{-1} & -R^{-T} \\ -R^{-1} & 0
              \end{pmatrix} (S\;\gamma Y)^T

    with R the upper triangle of S^T Y, D its diagonal, and gamma that of the last step (Nocedal and Wright, eq. 7.24).

    Parameters
    ----------
    most : int
        Steps that are remembered.
    p : int
        Parameters.
    """

    def __init__(self, most: int, p: int) -> None:
        self._most, self._known, self._end = most, 0, 0
        self._S, self._Y = np.empty((2 * most, p)), np.empty((2 * most, p))  # twice, so as to be moved seldom
        self._SY, self._YY = np.zeros((most, most)), np.zeros((most, most))

    def __len__(self) -> int:
        return self._known

    def learn(self, step: HostArray, change: HostArray) -> None:
        """Take note of a step, unless the gradient along it did not grow."""
        if not float(step @ change) > np.finfo(np.float64).eps * float(change @ change):
            return
        if self._end == 2 * self._most:
            self._S[: self._most], self._Y[: self._most] = self._S[self._most :], self._Y[self._most :]
            self._end = self._most
        self._S[self._end], self._Y[self._end] = step, change
        self._end, self._known = self._end + 1, min(self._known + 1, self._most)
        S, Y = self._vectors()
        for products, vectors in ((self._SY, S), (self._YY, Y)):
            products[:-1, :-1] = products[1:, 1:]
            products[-self._known :, -1] = vectors @ change
        self._YY[-1] = self._YY[:, -1]

    def forget(self) -> None:
        """Everything."""
        self._known = 0

    def direction(self, g: HostArray) -> HostArray:
        """Where to go from a point with this gradient: -H g."""
        if not self._known:
            return -g
        S, Y = self._vectors()
        SY, YY = self._SY[-self._known :, -self._known :], self._YY[-self._known :, -self._known :]
        gamma = SY[-1, -1] / YY[-1, -1]
        w, _ = scipy.linalg.lapack.dtrtrs(SY, S @ g)
        v, _ = scipy.linalg.lapack.dtrtrs(SY, np.diag(SY) * w + gamma * (YY @ w - Y @ g), trans=1)
        d: HostArray = v @ S
        d += gamma * (g - w @ Y)
        return -d

    def _vectors(self) -> tuple[HostArray, HostArray]:
        """S and Y, a row for each step, the last one last."""
        rows = slice(self._end - self._known, self._end)
        return self._S[rows], self._Y[rows]


class Step(NamedTuple):
    """How far along a direction, value and gradient there, and how many points were asked for."""

    t: float
    value: float
    gradient: HostArray
    asked: int


class Coordinates(Protocol):
    """W, in whose coordinates z, theta = theta_0 + W z, S is nearly round."""

    def back(self, z: HostArray) -> HostArray:
        """W z."""

    def forth(self, g: HostArray) -> HostArray:
        """W^T g."""


def steps_in(
    W: Coordinates,
    theta: HostArray,
    value: float,
    g: HostArray,
    *,
    memory: int,
    stay: Callable[[float, HostArray, int], bool],
) -> AskTell[tuple[HostArray, float, HostArray]]:
    """L-BFGS in these coordinates, and where it ends, at rounding at the latest: point, value, gradient.

    Parameters
    ----------
    W : Coordinates
        Linear.
    theta, g : arrays with shape (p,)
        The start, and the gradient there.
    value : float
        There.
    memory : int
        Steps that are remembered.
    stay : callable
        Whether to go on, told value, gradient in z, and how many points the last step has asked for (0 at the start).
    """
    u = W.forth(g)
    known, patience, least = Memory(memory, len(u)), PATIENCE, np.inf
    going = stay(value, u, 0)
    while going and np.any(u):
        d = known.direction(u)
        D, fresh = W.back(d), not len(known)
        first = min(1.0, FIRST / float(np.linalg.norm(u))) if fresh else 1.0
        step = yield from along(theta, value, g, D, first)
        if step.t > 0:
            gain, before = value - step.value, u
            theta, value, g = theta + step.t * D, step.value, step.gradient
            u = W.forth(g)
            known.learn(step.t * d, u - before)
            size, patience = float(np.linalg.norm(u)), patience - step.asked
            if gain > ROUNDING * abs(value) or size < 0.5 * least:
                patience, least = PATIENCE, size
            if patience <= 0:
                break
        elif fresh:
            break
        else:
            known.forget()
        going = stay(value, u, step.asked)
    return theta, value, g


def along(theta: HostArray, value: float, g: HostArray, d: HostArray, t: float) -> AskTell[Step]:
    """Find a step t d that goes far enough and not too far; t = 0 where nothing lower was found.

    Parameters
    ----------
    theta, g, d : arrays with shape (p,)
        Point, gradient, and direction, along which the value falls.
    value : float
        There.
    t : float
        What to try first.
    """
    slope, shortest = float(g @ d), SHORT * t
    low, high = (0.0, 0.0, slope), (np.inf, np.inf, np.inf)
    best = Step(0.0, value, g, 0)
    if not slope < 0:  # by rounding
        return best
    for asked in range(1, TRIES + 1):
        new, there = yield theta + t * d
        s = float(there @ d)
        rise = new - value
        if abs(rise) <= ROUNDING * abs(value) and t >= shortest:
            rise = 0.5 * t * (slope + s)
        if not rise < DECREASE * t * slope or rise > low[1]:
            high = t, rise, s
        else:
            best = Step(t, new, there, asked)
            if abs(s) <= -CURVATURE * slope:
                return best
            low, high = ((t, rise, s), high) if s < 0 else (low, (t, rise, s))
        t = _between(low, high)
        if t in (low[0], high[0]):  # no number is between them: what is left is rounding
            break
    return best._replace(asked=asked)


def _between(low: tuple[float, float, float], high: tuple[float, float, float]) -> float:
    """Of two points (t, rise, slope) on a line, the minimum of the cubic through them; beyond, while there is one."""
    a, b = low[0], high[0]
    if b == np.inf:
        return FARTHER * a
    width = b - a
    if not np.isfinite(high[1]):
        return a + SHORTER * width
    d1 = low[2] + high[2] + 3 * (low[1] - high[1]) / width
    root = d1 * d1 - low[2] * high[2]
    bottom = high[2] - low[2] + 2 * np.sqrt(max(root, 0.0))
    share = 0.5 if root < 0 or bottom == 0 else 1 - float((high[2] + np.sqrt(root) - d1) / bottom)
    return a + min(max(share, EDGE), 1 - EDGE) * width


def answered(walk: AskTellHessian[Result], answer: Callable[[Any], Any]) -> Result:
    """Walk one to its end, each question answered as it is asked."""
    try:
        at = next(walk)
        while True:
            at = walk.send(answer(at))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def answer(problem: Problem, question: HostArray | HessianRequest) -> tuple[float, HostArray] | HostArray:
    """What a problem says to a question of a walk."""
    if not isinstance(question, HessianRequest):
        return problem.value_and_gradient(question)
    return (problem.hessian if question.exact else problem.gauss_newton)(question.theta)


def translated(walk: AskTell[Result], answer: Callable[[float, HostArray], tuple[float, HostArray]]) -> AskTell[Result]:
    """The same walk, of whose answers others are made."""
    try:
        at = next(walk)
        while True:
            at = walk.send(answer(*(yield at)))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def run_batched(
    walks: Sequence[AskTellHessian[Result]],
    answer: Callable[[HostArray, Rows], tuple[HostArray, HostArray]],
    *,
    together: bool = False,
    first: int = 0,
    matrices: Callable[[HostArray, Rows, bool], HostArray] | None = None,
) -> list[Result]:
    """Walk many to their ends, each question of all answered at once.

    Matrices wait until nobody asks for anything else, so that there are many of them at once.

    Parameters
    ----------
    walks : sequence of generators
        They ask for points with shape (p,).
    answer : callable
        Of points with shape (r, p), and the numbers (r,) of the walks that ask: values (r,) and gradients (r, p).
    together : bool
        Whether all are asked for each time, those that have ended where they were last, so that shapes stay the same.
    first : int
        Number of the first walk.
    matrices : callable, optional
        Of points, numbers, and whether they are exact: matrices (r, p, p).
    """
    ends: dict[int, Result] = {}
    last: dict[int, HostArray] = {}  # where each was asked for
    points: dict[int, HostArray] = {}
    curved: dict[bool, dict[int, HostArray]] = {True: {}, False: {}}

    def go_on(number: int, told: Any) -> None:
        try:
            question = next(walks[number]) if told is None else walks[number].send(told)
        except StopIteration as end:
            ends[number] = end.value
            return
        if isinstance(question, HessianRequest):
            curved[question.exact][number], last[number] = question.theta, question.theta
        else:
            points[number] = last[number] = question

    for number in range(len(walks)):
        go_on(number, None)
    while points or any(curved.values()):
        exact = None if points else bool(curved[True])
        waiting = points.copy() if exact is None else curved[exact].copy()
        rows = np.array(sorted(last if together else waiting))
        at = np.stack([waiting.get(i, last[i]) for i in rows.tolist()])
        (points if exact is None else curved[exact]).clear()
        if exact is None:
            values, gradients = answer(at, first + rows)
            told: Iterable[Any] = zip(values.tolist(), gradients, strict=True)
        else:
            assert matrices is not None
            told = matrices(at, first + rows, exact)
        for i, answers in zip(rows.tolist(), told, strict=True):
            if i in waiting:
                go_on(i, answers)
    return [ends[i] for i in range(len(walks))]
