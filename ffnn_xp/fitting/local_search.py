"""The local minimization of one start: a coarse stage, then refinement with second derivatives, past saddle points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.beside import biases_of_units_that_are_off, lower_aside, lower_beside
from ffnn_xp.minimizers import (
    BFGS,
    EDMBounds,
    KroneckerLBFGS,
    LevenbergMarquardt,
    MatrixFree,
    Minimizer,
    MinimizerResult,
    PreconditionedLBFGS,
    SaddleEscape,
    ScipyLBFGS,
    Status,
    Tracker,
    Units,
    edm_goal,
    evaluate_request,
    run_ask_tell,
)
from ffnn_xp.objective import NetworkCost
from ffnn_xp.uncertainty import Spectrum, without_rounding

# In units of errordef: far below MIGRAD's goal, and cheap since the last steps converge quadratically.
_EDM_GOAL = 1e-6
NEWTON = 20.0  # times MIGRAD's goal: the EDM of Newton's step up to which a point is a minimum


@dataclass(frozen=True)
class LocalSearchTuning:
    """The minimizers of each stage, and the numbers that choose between them.

    Parameters
    ----------
    coarse, coarse_non_smooth, coarse_before_kronecker : ScipyLBFGS
        The coarse stage of most fits; of a non-smooth S, to a smaller goal, since refinement gains little there; and
        before steps in Kronecker coordinates, which are better but lead astray from a random start.
    kronecker : KroneckerLBFGS
        The single-precision stage of large networks, and of all where no matrices are formed.
    kronecker_double : KroneckerLBFGS
        The next stage, in double precision, where a matrix costs more than a round: once EDM is at its goal, one
        matrix is enough.
    single_precision : PreconditionedLBFGS
        The stage with matrices in single precision, of large networks after steps in Kronecker coordinates.
    refinement, refinement_after_kronecker : PreconditionedLBFGS
        The refinement; its goal is coarser where another matrix would cost more than what may still be gained.
    non_smooth : LevenbergMarquardt
        The refinement of a non-smooth S.
    along_kinks : BFGS
        What follows it, along kinks; and what looks whether S falls from a point that is to be certified.
    matrix_free : MatrixFree
        The refinement where no matrices are formed, to half of MIGRAD's goal.
    escape : SaddleEscape
        The escape from saddle points.
    """

    coarse: ScipyLBFGS = field(default=ScipyLBFGS(ftol=1e-4))
    coarse_non_smooth: ScipyLBFGS = field(default=ScipyLBFGS(ftol=1e-5))
    coarse_before_kronecker: ScipyLBFGS = field(default=ScipyLBFGS(ftol=1e-3))
    kronecker: KroneckerLBFGS = field(default=KroneckerLBFGS(edm_goal=0.0, min_gain=0.03))
    kronecker_double: KroneckerLBFGS = field(default=KroneckerLBFGS(edm_goal=1e-10, min_gain=3e-4))
    single_precision: PreconditionedLBFGS = field(default=PreconditionedLBFGS(edm_goal=0.03))
    refinement: PreconditionedLBFGS = field(
        default=PreconditionedLBFGS(edm_goal=_EDM_GOAL, fine_goal=1e-15, min_gain=1e-5)
    )
    refinement_after_kronecker: PreconditionedLBFGS = field(
        default=PreconditionedLBFGS(edm_goal=_EDM_GOAL, fine_goal=1e-7)
    )
    non_smooth: LevenbergMarquardt = field(default=LevenbergMarquardt(edm_goal=_EDM_GOAL))
    along_kinks: BFGS = field(default=BFGS())
    matrix_free: MatrixFree = field(default=MatrixFree(edm_goal=1e-4))
    escape: SaddleEscape = field(default=SaddleEscape())
    kronecker_above: int = tuned(500, "parameters; fewer: Kronecker factors also for networks whose matrices are cheap")
    kronecker_double_from: int = tuned(
        1500,  # a matrix costs 15, 32, 203 gradients at p = 501, 726, 4,224
        "parameters; fewer: the stage in double precision also where a matrix costs less than a round",
    )
    # As much as some rounds with matrices cost: if this stage does not converge, no more than that is lost.
    double_evaluations: float = tuned(
        0.7, "more gradients, for each parameter, are spent on that stage, which may be wasted"
    )


@dataclass(frozen=True)
class LocalMinimum:
    """The point where the local minimization of a start ended, and what is known of S there.

    Attributes
    ----------
    theta : array with shape (p,)
        The point.
    value, edm : float
        S and EDM there.
    spectrum : Spectrum or None
        The spectrum of the Hessian; None where no matrices are formed.
    status : Status
        A minimum, a saddle point, a weakly determined one, or a non-smooth point.
    saddles : int
        Saddle points that were escaped on the way.
    bounds : EDMBounds or None
        Bounds on EDM where no matrices are formed.
    """

    theta: HostArray
    value: float
    edm: float
    spectrum: Spectrum | None
    status: Status
    saddles: int = 0
    bounds: EDMBounds | None = None

    @property
    def description(self) -> str:
        """The status, with the number of saddle points that were escaped."""
        if not self.saddles or self.status is Status.SADDLE_POINT:
            return self.status.value
        return f"{self.status} behind {self.saddles} saddle{'s' * (self.saddles > 1)}"

    @classmethod
    def unfinished(cls, theta: HostArray, value: float) -> LocalMinimum:
        """Return a point at which the minimization has not ended; only S is known there."""
        return cls(theta, value, math.inf, None, Status.INTERRUPTED)

    @property
    def located(self) -> bool:
        """True if the point is the end of a local search, so that its spectrum or bounds of EDM are known."""
        return self.spectrum is not None or self.bounds is not None

    def unlocated(self) -> LocalMinimum:
        """Return the same point as one at which the minimization has not ended."""
        return LocalMinimum.unfinished(self.theta, self.value)


def negative_directions(units: Units, H: HostArray) -> HostArray:
    """Return the directions of negative curvature of a Hessian ``(p, p)`` as steps of the parameters, ``(p, q)``."""
    return Spectrum.of_hessian(H, units.errordef, units.epsilon).negative_directions_in_parameters


@dataclass(frozen=True)
class LocalSearch:
    """Local minimization of a cost.

    Parameters
    ----------
    problem : NetworkCost
        The cost in standardised units.
    smooth : bool
        Whether S is smooth, so that the exact Hessian describes all of its curvature.
    matrices : bool
        Whether p x p matrices may be formed; otherwise products and Kronecker factors replace them.
    may_use_single_precision : bool
        Whether the first stages may be in single precision, where that is faster.
    tuning : LocalSearchTuning
        The minimizers of each stage.
    minimizer : Minimizer or None
        The user's own, which takes the place of all stages.
    sample : NetworkCost or None
        The cost of a sample of the events, on which random starts are minimized first.
    """

    problem: NetworkCost
    smooth: bool = True
    matrices: bool = True
    may_use_single_precision: bool = True
    tuning: LocalSearchTuning = field(default=LocalSearchTuning())
    minimizer: Minimizer | None = None
    sample: NetworkCost | None = None

    def coarse_stage(self, tracker: Tracker, theta: HostArray, *, always_refine: bool) -> HostArray | None:
        """Minimise from a random start into the basin of a minimum; return the best point, None if none is finite.

        `always_refine` says that refinement follows in any case.
        """
        if self.minimizer is not None:
            tracker.value_and_gradient(theta)
            return tracker.best
        if self.sample is not None and self._falls_on_sample(self.sample, tracker, theta):
            return tracker.best
        t = self.tuning
        minimizer = t.coarse_non_smooth if not self.smooth else t.coarse_before_kronecker if always_refine else t.coarse
        with self._single_precision(tracker) as single:
            single.stage("coarse stage", partial(minimizer.run, single), theta)
        if tracker.best is None and single is not tracker:  # too large for single precision
            tracker.stage("coarse stage in double precision", partial(minimizer.run, tracker), theta)
        return tracker.best

    def _falls_on_sample(self, sample: NetworkCost, tracker: Tracker, theta: HostArray) -> bool:
        """Minimise S of a sample of the events; return True if S of all events has fallen by that.

        The end of each stage counts: where the sample determines the network badly, S of all events rises in the last.
        """
        before, _ = tracker.value_and_gradient(theta)
        local = replace(self, problem=sample, sample=None)
        with tracker.on(sample, same=False) as some:
            best = local.coarse_stage(some, theta, always_refine=self.uses_kronecker(theta))
        if best is not None:
            with tracker.on(sample, same=False) as some:
                local.refine(some, best)
        return tracker.best_value < before

    def refine(self, tracker: Tracker, theta: HostArray) -> LocalMinimum | None:
        """Minimise to EDM below the goal, past saddle points; None if the tracker's budget prunes that."""
        result = self._stages(tracker, theta) if self.minimizer is None else self._own_minimizer(tracker, theta)
        if result.pruned:
            return None
        spectrum, status = None, result.status
        if self.matrices:
            spectrum = self._spectrum(result.theta)
            if status is not Status.SADDLE_POINT:
                spectrum = spectrum.with_negative_directions_unidentified()
        if status not in (Status.MINIMUM, Status.SADDLE_POINT):
            status = Status.WEAKLY_DETERMINED if self.smooth else Status.NON_SMOOTH_POINT
        edm = result.edm if result.bounds is None else result.bounds.upper
        if spectrum is not None and not math.isfinite(edm) and status is not Status.SADDLE_POINT:
            edm = spectrum.edm(self.problem.value_and_gradient(result.theta)[1], self.problem.errordef)
            status = Status.MINIMUM if edm < edm_goal(self.problem.errordef) else status
        return LocalMinimum(result.theta, result.value, edm, spectrum, status, result.saddles, result.bounds)

    def _own_minimizer(self, tracker: Tracker, theta: HostArray) -> MinimizerResult:
        """Minimise by the user's minimizer; where that does not end at a minimum, the refinement goes on from there."""
        assert self.minimizer is not None
        result = tracker.stage("minimization", partial(self.minimizer.run, tracker), theta)
        if result.pruned or not (self.matrices and math.isfinite(result.value)):
            return result
        spectrum, gradient = self._spectrum(result.theta), self.problem.value_and_gradient(result.theta)[1]
        errordef = self.problem.errordef
        if self.smooth and not spectrum.n_negative and spectrum.edm(gradient, errordef) < edm_goal(errordef):
            return result
        return self._refinement(tracker, result.theta)

    def _stages(self, tracker: Tracker, theta: HostArray) -> MinimizerResult:
        """Minimise in single precision as far as that leads, and then with second derivatives."""
        with self._single_precision(tracker) as single:
            rough = self._rough_stage(single, theta)
        if rough is not None and not rough.pruned:
            error = abs(tracker.best_value - rough.value)
            if error > tracker.errordef:  # too rough: again, in double precision
                rough = self._rough_stage(tracker, theta if tracker.best is None else tracker.best)
        if rough is not None and rough.pruned:
            return rough
        theta = theta if tracker.best is None else tracker.best
        if self.matrices and self.uses_kronecker(theta):
            if len(theta) >= self.tuning.kronecker_double_from:
                result = self._double_precision_stage(tracker, theta)
                if result.pruned:
                    return result
                theta = result.theta if result.converged else self._single_precision_matrices(tracker, result.theta)
            else:
                theta = self._single_precision_matrices(tracker, theta)
        return self._refinement(tracker, theta) if self.matrices else self._matrix_free(tracker, theta)

    def uses_kronecker(self, theta: HostArray) -> bool:
        """Return True if the stages before refinement take steps in Kronecker coordinates."""
        return self.smooth and (len(theta) > self.tuning.kronecker_above or not self.matrices)

    def spectrum_at(self, theta: HostArray) -> tuple[Spectrum, HostArray | None]:
        """Return the spectrum of the Hessian at a point, and a lower point if there is one nearby.

        The Hessian is the exact one or, for non-smooth functions, the Gauss-Newton matrix. Where its curvature is
        negative along some directions, S is minimized further from the lowest point along them: if that gains next to
        nothing, they count as unidentified.
        """
        spectrum = self._spectrum(theta)
        if not spectrum.n_negative:
            return spectrum, None
        problem, escape = self.problem, self.tuning.escape
        value = problem.value_and_gradient(theta)[0]
        beyond = escape.lower_point(problem, theta, value, spectrum.negative_directions_in_parameters)
        if beyond is not None:
            result = replace(self.tuning.refinement, fine_goal=None).run(problem, beyond)
            if result.value < value - escape.min_gain * problem.errordef:
                return spectrum, result.theta
        return spectrum.with_negative_directions_unidentified(), None

    def lower_beside(self, theta: HostArray, spectrum: Spectrum | None) -> HostArray | None:
        """Return a point beside a minimum where S is lower than a minimum may be, if there is one; see `beside`."""
        problem, escape = self.problem, self.tuning.escape
        fall = NEWTON * edm_goal(problem.errordef)
        if spectrum is None:
            return None if self.smooth else lower_aside(problem, theta, escape, fall)
        beside = lower_beside(problem, theta, spectrum, fall)
        if beside is not None or self.smooth:
            return beside
        off = biases_of_units_that_are_off(problem, theta)
        return escape.lower_point(problem, theta, problem.value_and_gradient(theta)[0], off, fall)

    def _rough_stage(self, tracker: Tracker, theta: HostArray) -> MinimizerResult | None:
        """Minimise to the limit of single precision; return None where there is no such stage."""
        if self.uses_kronecker(theta):
            return tracker.stage("Kronecker coordinates", partial(self.tuning.kronecker.run, tracker), theta)
        if not self.smooth or tracker.epsilon == self.problem.epsilon:
            return None
        return tracker.stage("single precision", partial(self.tuning.single_precision.run, tracker), theta)

    def _double_precision_stage(self, tracker: Tracker, theta: HostArray) -> MinimizerResult:
        """Minimise in Kronecker coordinates in double precision, in at most the gradients that matrices would cost."""
        minimizer = replace(self.tuning.kronecker_double, max_evaluations=self.tuning.double_evaluations * len(theta))
        return tracker.stage("double precision", partial(minimizer.run, tracker), theta)

    def _single_precision_matrices(self, tracker: Tracker, theta: HostArray) -> HostArray:
        """Minimise with matrices to the limit of single precision, if it is used; return the best point."""
        with self._single_precision(tracker) as single:
            if single is not tracker:
                minimize = partial(self.tuning.single_precision.run, single)
                single.stage("matrices in single precision", minimize, theta)
        return theta if tracker.best is None else tracker.best

    def _refinement(self, tracker: Tracker, theta: HostArray) -> MinimizerResult:
        """Minimise with second derivatives, past saddle points."""
        minimize = self._with_hessians if self.smooth else self._non_smooth
        return tracker.stage("refinement", partial(minimize, tracker), theta)

    def _with_hessians(self, tracker: Tracker, theta: HostArray) -> MinimizerResult:
        """Minimise with exact Hessians, past saddle points."""
        t = self.tuning
        minimizer = t.refinement_after_kronecker if self.uses_kronecker(theta) else t.refinement
        minimize = partial(minimizer.steps, tracker, prune=tracker.budget.prune)
        steps = t.escape.steps(minimize, tracker, theta, partial(negative_directions, self.problem))
        return run_ask_tell(steps, partial(evaluate_request, tracker))

    def _non_smooth(self, tracker: Tracker, theta: HostArray) -> MinimizerResult:
        """Minimise with Gauss-Newton matrices, past saddle points between kinks; no Hessian has a kink's curvature."""
        t = self.tuning
        result = t.non_smooth.run(tracker, theta)
        for saddles in range(1, t.escape.max_saddles + 1):
            if not result.converged:
                break
            down = negative_directions(self.problem, tracker.hessian(result.theta))
            beyond = t.escape.lower_point(tracker, result.theta, result.value, down)
            if beyond is None:
                break
            result = replace(t.non_smooth.run(tracker, beyond), saddles=saddles)
        if result.pruned:
            return result
        return replace(t.along_kinks.run(tracker, result.theta), saddles=result.saddles)

    def _matrix_free(self, tracker: Tracker, theta: HostArray) -> MinimizerResult:
        """Minimise without matrices; EDM and its bounds come from products."""
        minimizer = replace(self.tuning.matrix_free, exact=self.smooth)
        return tracker.stage("refinement without matrices", partial(minimizer.run, tracker), theta)

    @contextmanager
    def _single_precision(self, tracker: Tracker) -> Iterator[Tracker]:
        """Yield a tracker of the same cost in single precision, if that is faster, else the same tracker."""
        if self._single is None:
            yield tracker
        else:
            with tracker.on(self._single) as single:
                yield single

    @cached_property
    def _single(self) -> NetworkCost | None:
        return self.problem.in_single_precision() if self.may_use_single_precision else None

    def _spectrum(self, theta: HostArray) -> Spectrum:
        problem = self.problem
        G = partial(problem.gauss_newton, theta)
        H = without_rounding(problem.hessian(theta), G, problem.epsilon) if self.smooth else G()
        return Spectrum.of_hessian(H, problem.errordef, problem.epsilon)
