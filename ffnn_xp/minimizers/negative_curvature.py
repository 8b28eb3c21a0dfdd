"""Round saddles: whether S is really lower along the directions in which it curves down, and where."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.ask_tell import AskTell, AskTellHessian, HessianRequest, answered
from ffnn_xp.minimizers.base import MinimizerResult, Problem, rounding_error

FLAT = 1e-3  # fall of S along a line, in units of errordef, that is not worth following: the bottom of a valley
WORTH = 3e-2  # the same of the walk that follows it: a sixth of a standard deviation
STEPS = (1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3)  # either way, in units of theta's length


def lower_points(theta: HostArray, value: float, directions: HostArray, fall: float) -> AskTell[HostArray | None]:
    """The lowest of some points along each direction ``(p, q)``, as a conversation; None if S falls by less to all.

    `value` is that at theta. However little it is, S may fall far from there: near a saddle it is as flat as it is
    curved elsewhere.
    """
    size = max(1.0, float(np.linalg.norm(theta)))
    least, lowest = value - fall, None
    for direction in directions.T:
        unit = direction * (size / np.linalg.norm(direction))
        for step in (*(-s for s in STEPS), *STEPS):
            point = theta + step * unit
            there, _ = yield point
            if there < least:
                least, lowest = there, point
    return lowest


def lower_point(
    problem: Problem, theta: HostArray, value: float, directions: HostArray, fall: float = 0.0
) -> HostArray | None:
    """The same of a problem, of whose rounding S falls by more at least; one direction may be ``(p,)``.

    Examples
    --------
    >>> class Saddle:
    ...     errordef, epsilon = 1.0, 2.2e-16
    ...
    ...     def value_and_gradient(self, t):
    ...         return t[0] ** 2 - t[1] ** 2 + t[1] ** 4, None
    >>> lower_point(Saddle(), np.zeros(2), 0.0, np.array([0.0, 2.0])).tolist()
    [0.0, -0.3]
    >>> lower_point(Saddle(), np.zeros(2), 0.0, np.array([2.0, 0.0]))  # S rises there
    """
    fall = max(fall, rounding_error(problem.epsilon, value))
    steps = lower_points(theta, value, directions.reshape(len(theta), -1), fall)
    return answered(steps, problem.value_and_gradient)


def escape_saddles(
    walk: Callable[[HostArray], AskTellHessian[MinimizerResult]],
    theta: HostArray,
    negative_directions: Callable[[HostArray], HostArray] | None,
    *,
    most: int,
    errordef: float,
    epsilon: float,
) -> AskTellHessian[tuple[MinimizerResult, int, bool]]:
    """Walk, and on from below each saddle, as a conversation, until S falls by less than `WORTH`.

    Parameters
    ----------
    walk : callable
        From a point downwards, as a conversation.
    theta : array with shape (p,)
        The start.
    falling : callable
        Of an exact Hessian the directions in which it curves down, ``(p, q)``; None asks for none.
    most : int
        Saddles that are gone round before it is given up.
    errordef, epsilon : float
        As of a `Problem`.

    Returns
    -------
    end : Arrival
        Of the last walk.
    gone : int
        How many saddles were worth it.
    at_saddle : bool
        Whether it was given up at one.
    """
    end, gone = (yield from walk(theta)), 0
    while negative_directions is not None and not (end.no_saddle or end.hopeless) and np.isfinite(end.value):
        down, before = negative_directions((yield HessianRequest(end.theta, exact=True))), end.value
        if gone == most:
            return end, gone, down.shape[1] > 0
        beyond = yield from lower_points(end.theta, before, down, rounding_error(epsilon, before))
        if beyond is None:
            break
        end = yield from walk(beyond)
        if before - end.value < WORTH * errordef:
            break
        gone += 1
    return end, gone, False
