"""The descent of one start to a minimum: the long way roughly, the end in second derivatives, and round saddles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers import (
    WORTH,
    Distance,
    MinimizerResult,
    Tracker,
    answer,
    answered,
    escape_saddles,
    kronecker_lbfgs,
    lbfgs,
    levenberg_marquardt,
    lower_point,
    minimize_matrix_free,
    preconditioned_lbfgs,
    preconditioned_steps,
)
from ffnn_xp.objective import NetworkCost
from ffnn_xp.uncertainty import Spectrum

EDM_GOAL = 1e-6  # in units of errordef: far below what MIGRAD asks for, and cheap since the end is quadratic
CERTIFIED = 1e-4  # EDM in units of errordef that the walk without matrices goes to: half of MIGRAD's goal
FINE = 1e-15  # the same where the exact Hessian's coordinates lead
GOOD = 1e-7  # the same where another matrix would cost more than the rest of the way is worth
SADDLES = 30  # how many are gone round before giving up; along valleys that bend down there are many
FOLLOWED = 4  # rounds that S is followed for, down from a saddle
NON_SMOOTH: dict[str, Any] = {"ftol": 1e-5}  # farther, since the short rest gains little at kinks
FIRST: dict[str, Any] = {"ftol": 1e-3}  # where Kronecker factors then make better steps: at once, they lead astray
MANY = 500  # parameters from which on Kronecker factors are so much cheaper than a matrix that they go first
NEAR = 1.0  # gain in units of errordef at which single precision is left
LITTLE = 1e-2  # the same in double precision
ROUGHLY = 0.03  # EDM in the same units that single precision is good enough for, by matrices
ARRIVED = 1e-3  # EDM in Kronecker coordinates, in the same units, at which single precision is left at any rate
NEARER = 1e-10  # EDM in Kronecker coordinates, in units of errordef, after which one matrix is enough
DEAR = 1500  # parameters from which on a matrix costs more than a round: 15, 32, 203 gradients at p = 501, 726, 4,224
# Gradients, and as many more for each parameter, that are spent without matrices first where these are dear: what some
# rounds by matrices take, so that as much is lost, if they do not arrive, as the better way takes.
WITHOUT = 360, 1 / 2


@dataclass(frozen=True)
class LocalMinimum:
    """Where a start was walked to: the point, the value and EDM there, the shape of S around it, and a word on it.

    Beyond the memory for matrices there is no shape, but a distance with its bounds.
    """

    theta: HostArray
    value: float
    edm: float
    shape: Spectrum | None
    status: str
    distance: Distance | None = None


@dataclass(frozen=True)
class Descent:
    """How a function is walked down.

    Parameters
    ----------
    problem : NetworkCost
        In standardised units.
    smooth : bool
        Whether the exact Hessian misses part of the curvature.
    matrices : bool
        Whether p x p matrices may be formed; without them products and Kronecker factors have to do.
    may_be_rough : bool
        Whether the long way may be walked in single precision.
    """

    problem: NetworkCost
    smooth: bool = True
    matrices: bool = True
    may_be_rough: bool = True

    def approach(self, walk: Tracker, theta: HostArray, *, straight: bool) -> None:
        """From a random start into the basin of a minimum; `straight` if it will be walked to the end at any rate."""
        options = NON_SMOOTH if not self.smooth else FIRST if straight else {}
        with self._rough(walk) as rough:
            lbfgs(rough, theta, **options)
        if walk.best is None and rough is not walk:  # too large for single precision
            lbfgs(walk, theta, **options)

    def descend(
        self, walk: Tracker, theta: HostArray, hopeless: Callable[[HostArray, float], bool] | None = None
    ) -> LocalMinimum | None:
        """To EDM < goal, round saddles, and on; None if that is given up."""
        with self._rough(walk) as rough:
            way = self._come_near(rough, theta, hopeless)
        if not way.hopeless and abs(walk.best_value - way.value) > NEAR * walk.errordef:  # too rough: again, in double
            way = self._come_near(walk, theta if walk.best is None else walk.best, hopeless)
        if way.hopeless:
            return None
        theta = theta if walk.best is None else walk.best
        if not self.matrices:
            return self._descend_by_products(walk, theta, hopeless)
        if self.rounded(theta):
            nearer = self._without_matrices(walk, theta, hopeless)
            if nearer.hopeless:
                return None
            theta = nearer.theta if nearer.converged else self._roughly(walk, nearer.theta, hopeless)
        end, saddles, at_saddle = self._arrive(walk, theta, hopeless)
        if end.hopeless:
            return None
        shape = self._curvature(end.theta)
        if not at_saddle:
            shape = shape.with_negative_directions_unidentified()
        status = "minimum" if end.converged else "in a valley" if self.smooth else "at kinks"
        if at_saddle:
            status = "saddle"
        elif saddles:
            status += f" behind {saddles} saddle{'s' * (saddles > 1)}"
        return LocalMinimum(end.theta, end.value, end.edm, shape, status)

    def _arrive(
        self, walk: Tracker, theta: HostArray, hopeless: Callable[[HostArray, float], bool] | None
    ) -> tuple[MinimizerResult, int, bool]:
        """The end in second derivatives: where it is, behind how many saddles, and whether it is one."""
        goal = EDM_GOAL * walk.errordef
        if not self.smooth:
            return levenberg_marquardt(walk, theta, edm_goal=goal, hopeless=hopeless), 0, False
        fine = (GOOD if self.rounded(theta) else FINE) * walk.errordef
        e, epsilon = walk.errordef, walk.epsilon
        steps = partial(preconditioned_steps, errordef=e, epsilon=epsilon, edm_goal=goal, fine=fine, hopeless=hopeless)
        way = escape_saddles(steps, theta, self._falling, most=SADDLES, errordef=e, epsilon=epsilon)
        return answered(way, partial(answer, walk))

    def _falling(self, H: HostArray) -> HostArray:
        return Spectrum.of_hessian(H, self.problem.errordef, self.problem.epsilon).negative_directions_in_parameters

    def _come_near(
        self, walk: Tracker, theta: HostArray, hopeless: Callable[[HostArray, float], bool] | None
    ) -> MinimizerResult:
        """The part of the descent for which single precision is good enough."""
        if self.rounded(theta):
            near = ARRIVED * walk.errordef if self.matrices else 0.0  # which lead on from there
            enough = NEAR * walk.errordef
            return kronecker_lbfgs(walk, theta, near=near, enough=enough, hopeless=hopeless)
        if not self.smooth or walk.epsilon == self.problem.epsilon:
            return MinimizerResult(theta, np.inf, np.inf, converged=False)
        return preconditioned_lbfgs(walk, theta, edm_goal=NEAR * walk.errordef, hopeless=hopeless)

    def _without_matrices(
        self, walk: Tracker, theta: HostArray, hopeless: Callable[[HostArray, float], bool] | None
    ) -> MinimizerResult:
        """As far as Kronecker factors lead in double precision, where a matrix costs more than a round in its place."""
        if len(theta) < DEAR:
            return MinimizerResult(theta, np.inf, np.inf, converged=False)
        near, enough = NEARER * walk.errordef, LITTLE * walk.errordef
        most = WITHOUT[0] + WITHOUT[1] * len(theta)
        return kronecker_lbfgs(walk, theta, near=near, enough=enough, patient=False, most=most, hopeless=hopeless)

    def _roughly(
        self, walk: Tracker, theta: HostArray, hopeless: Callable[[HostArray, float], bool] | None
    ) -> HostArray:
        """As far by matrices as single precision is good enough for; where there is none, the same point."""
        with self._rough(walk) as rough:
            if rough is not walk:
                preconditioned_lbfgs(rough, theta, edm_goal=ROUGHLY * walk.errordef, hopeless=hopeless)
        return theta if walk.best is None else walk.best

    @contextmanager
    def _rough(self, walk: Tracker) -> Iterator[Tracker]:
        """A walk on the same function in single precision, if that is faster; its best point is kept, come what may."""
        single = self._single
        if single is None:
            yield walk
            return
        rough = Tracker(single, walk.deadline, walk.report, calls=walk.calls, most=walk.most)
        try:
            yield rough
        finally:
            walk.calls = rough.calls
            if rough.best is not None:
                walk.arrive(rough.best)

    @cached_property
    def _single(self) -> NetworkCost | None:
        return self.problem.in_single_precision() if self.may_be_rough else None

    def rounded(self, theta: HostArray) -> bool:
        """Whether the long way is taken in the coordinates of Kronecker factors."""
        return self.smooth and (len(theta) > MANY or not self.matrices)

    def _descend_by_products(
        self, walk: Tracker, theta: HostArray, hopeless: Callable[[HostArray, float], bool] | None
    ) -> LocalMinimum | None:
        """The same without matrices; EDM and its bounds come from products."""
        goal = CERTIFIED * walk.errordef
        end, distance, saddles = minimize_matrix_free(walk, theta, edm_goal=goal, exact=self.smooth, hopeless=hopeless)
        if end.hopeless:
            return None
        status = (
            "saddle"
            if distance.negative_directions is not None
            else "minimum"
            if end.converged
            else "at kinks or in a valley"
        )
        status += f" behind {saddles} saddle{'s' * (saddles > 1)}" if saddles and status == "minimum" else ""
        return LocalMinimum(end.theta, end.value, distance.upper, None, status, distance)

    def shape_at(self, theta: HostArray) -> tuple[Spectrum, HostArray | None]:
        """The curvature of S at a point, and a lower point if S falls from there.

        Of the exact Hessian or, where kinks would be missed, of the Gauss-Newton matrix. Where it is negative along
        some directions, S is followed down from the lowest point along them: if it falls by less than `WORTH`, this is
        the bottom of a valley, and they count as undetermined.
        """
        shape = self._curvature(theta)
        if not shape.n_negative:
            return shape, None
        problem = self.problem
        value, goal = problem.value_and_gradient(theta)[0], EDM_GOAL * problem.errordef
        beyond = lower_point(problem, theta, value, shape.negative_directions_in_parameters)
        if beyond is not None:
            end = preconditioned_lbfgs(problem, beyond, edm_goal=goal, max_rounds=FOLLOWED)
            if end.value < value - WORTH * problem.errordef:
                return shape, end.theta
        return shape.with_negative_directions_unidentified(), None

    def _curvature(self, theta: HostArray) -> Spectrum:
        problem = self.problem
        H = problem.hessian(theta) if self.smooth else problem.gauss_newton(theta)
        return Spectrum.of_hessian(H, problem.errordef, problem.epsilon)
