"""Escape from saddle points: it looks for lower points along directions of negative curvature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.ask_tell import AskTell, AskTellHessian, HessianRequest, run_ask_tell
from ffnn_xp.minimizers.base import MinimizerResult, Problem, Status, Units, rounding_error

NegativeDirections = Callable[[HostArray], HostArray]
"""A function that returns the directions ``(p, q)`` of negative curvature of an exact Hessian ``(p, p)``."""

SHORTEST = 1e-12  # of theta's length: shorter steps are rounding


@dataclass(frozen=True)
class SaddleEscape:
    """The escape from saddle points along directions of negative curvature, with its options.

    Parameters
    ----------
    line_steps : tuple of float
        Steps that are tried either way along a direction, in units of theta's length.
    negligible_fall : float
        Decrease of S along a line, in units of errordef, below which a direction counts as weakly determined.
    min_gain : float
        Gain of the minimization from the lower point, in the same units, below which a direction counts as weakly
        determined too.
    max_saddles : int
        Saddle points that are escaped at most; along weakly determined directions there may be many.
    """

    line_steps: tuple[float, ...] = tuned(
        (1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3), "more: a lower point is missed less often, two evaluations for each"
    )
    negligible_fall: float = tuned(1e-3, "larger: fewer saddle points are found where no matrices are formed")
    min_gain: float = tuned(3e-2, "larger: more saddles count as weakly determined (a sixth of a standard deviation)")
    max_saddles: int = 30

    def lower_points(
        self, theta: HostArray, value: float, directions: HostArray, fall: float
    ) -> AskTell[HostArray | None]:
        """Yield points along each direction ``(p, q)``; return the lowest, None if S is nowhere lower by `fall`.

        `value` is S at theta. Even a small decrease may lead far down: near a saddle point curvatures of either sign
        may be much smaller than elsewhere. Where S is nowhere lower, shorter steps follow until it rises no more: the
        decrease may lie between walls that are closer than the shortest step.
        """
        size = max(1.0, float(np.linalg.norm(theta)))
        least, lowest = value - fall, None
        for direction in directions.T:
            unit = direction * (size / np.linalg.norm(direction))
            for step in (*(-s for s in self.line_steps), *self.line_steps):
                point = theta + step * unit
                there, _ = yield point
                if there < least:
                    least, lowest = there, point
            step = self.line_steps[0] / 10
            while lowest is None and step > SHORTEST:
                point = theta + step * unit
                there, _ = yield point
                if there < least:
                    lowest, least = point, there
                step = step / 10 if not there - value < fall else 0.0
        return lowest

    def lower_point(
        self, problem: Problem, theta: HostArray, value: float, directions: HostArray, fall: float = 0.0
    ) -> HostArray | None:
        """Return the lowest point of a problem along directions, one of which may be ``(p,)``; None if there is none.

        S has to fall by more than `fall` and by more than its rounding.

        Examples
        --------
        >>> class Saddle:
        ...     errordef, epsilon = 1.0, 2.2e-16
        ...
        ...     def value_and_gradient(self, t):
        ...         return t[0] ** 2 - t[1] ** 2 + t[1] ** 4, None
        >>> SaddleEscape().lower_point(Saddle(), np.zeros(2), 0.0, np.array([0.0, 2.0])).tolist()
        [0.0, -0.3]
        >>> SaddleEscape().lower_point(Saddle(), np.zeros(2), 0.0, np.array([2.0, 0.0]))  # S rises there
        """
        fall = max(fall, rounding_error(problem.epsilon, value))
        steps = self.lower_points(theta, value, directions.reshape(len(theta), -1), fall)
        return run_ask_tell(steps, problem.value_and_gradient)

    def steps(
        self,
        minimize: Callable[[HostArray], AskTellHessian[MinimizerResult]],
        units: Units,
        theta: HostArray,
        negative_directions: NegativeDirections | None,
    ) -> AskTellHessian[MinimizerResult]:
        """Minimise, and go on from a lower point next to each saddle point, until that gains less than `min_gain`.

        Parameters
        ----------
        minimize : callable
            Called with a point; yields the points of a minimization from there.
        units : Units
            The units of S; a `Problem` has them.
        theta : array with shape (p,)
            The start.
        negative_directions : callable, optional
            Returns the directions of negative curvature; None looks for no saddle points.

        Returns
        -------
        MinimizerResult
            The result of the last minimization, with the number of saddle points; `Status.SADDLE_POINT` where there
            were too many.
        """
        result, saddles = (yield from minimize(theta)), 0
        while negative_directions is not None and not (result.hessian_is_positive or result.pruned):
            if not np.isfinite(result.value):
                break
            down, before = negative_directions((yield HessianRequest(result.theta, exact=True))), result.value
            if saddles == self.max_saddles:
                status = Status.SADDLE_POINT if down.shape[1] > 0 else result.status
                return replace(result, saddles=saddles, status=status)
            fall = rounding_error(units.epsilon, before)
            beyond = yield from self.lower_points(result.theta, before, down, fall)
            if beyond is None:
                break
            result = yield from minimize(beyond)
            if before - result.value < self.min_gain * units.errordef:
                break
            saddles += 1
        return replace(result, saddles=saddles)
