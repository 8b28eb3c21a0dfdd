"""`Tuning`: all numbers of a fit that were tuned, in one frozen object that is passed in.

Each number says what it trades; `benchmarks/tuning.py` varies them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ffnn_xp._lib.tuning import tuned
from ffnn_xp.distributed import PartsTuning
from ffnn_xp.fitting.basin_hopping import HoppingTuning
from ffnn_xp.fitting.local_search import LocalSearchTuning
from ffnn_xp.fitting.regularization_path import PathTuning
from ffnn_xp.fitting.successive_halving import HalvingTuning
from ffnn_xp.fitting.width_selection import WidthTuning
from ffnn_xp.minimizers import BatchedLBFGS, BatchedLevenbergMarquardt, Migrad, edm_goal

REFIT_GOAL = edm_goal(1.0)  # EDM in units of errordef: MINUIT's goal at its default tolerance


@dataclass(frozen=True)
class MultiStartTuning:
    """Tuned numbers of a multi-start minimization: how many starts there are, and which are refined."""

    far: float = tuned(1.5, "starts whose chi-square is up to so many times the goal (or the best) are refined")
    sigmas: float = tuned(
        3.0, "standard deviations of chi-square above its expectation that are good enough to stop at"
    )
    starts: int = tuned(10, "starts at most where chi-square can end the search")
    most_candidates: int = tuned(500, "starts that compete at once: more need more memory")
    candidates: int = tuned(60, "starts of small networks: more find deeper minima in more time")
    unknown: int = tuned(2000, "over the number of parameters: starts of large networks with unknown errors")
    most_unknown: int = tuned(16, "upper limit of these")
    least_unknown: int = tuned(3, "lower limit of these")
    halving: int = tuned(8, "starts from which on there is successive halving; fewer are tried one by one")
    sample_per_parameter: int = tuned(
        300, "events for each parameter on which starts compete; more: nearer to the minimum of all events, slower"
    )
    least_sample: int = tuned(20_000, "lower limit of these; smaller: fits of fewer events have a sample")
    many: float = tuned(4.0, "times the sample from which starts have one; smaller: where it gains little, too")
    gain: float = tuned(0.5, "Glorot gain of networks too large for halving: nearly linear ones find deep minima")


@dataclass(frozen=True)
class TimeTuning:
    """Numbers that share `max_seconds` out among the steps of a fit; without a limit they change nothing.

    `benchmarks/time_limits.py` measures them.

    Parameters
    ----------
    starts : float
        Share in which starts but the first are minimised; more leaves less time to refine the best.
    minima : float
        Share after which starts are not compared any more for the minima that they came to.
    path : float
        Share of the path of priors; more leaves less time to calibrate and to certify.
    certificate : float
        Share after which nothing is certified; more: more fits are certified, and limits are exceeded more.
    """

    starts: float = 0.6
    minima: float = 0.7
    path: float = 0.7
    certificate: float = 1.1

    def until(self, share: float, began: float, deadline: float) -> float:
        """Return the end of this share of the time; infinite without a deadline."""
        return began + share * (deadline - began)


@dataclass(frozen=True)
class YErrorTuning:
    """Tuned numbers of the estimate of errors of y, which alternates with the minimization."""

    rounds: int = tuned(24, "turns at most; more: slowly converging errors settle")
    settled: float = tuned(2e-3, "relative change of the errors that needs no further turn")


@dataclass(frozen=True)
class CertificationTuning:
    """Tuned numbers of the certification by MINUIT, and the minimizer that is asked."""

    migrad: Migrad = field(default=Migrad())
    runs: int = tuned(4, "runs of MIGRAD, where it ends at no minimum: more get nearer to one")
    unnoticed: float = tuned(
        100.0, "EDMs by which S may depend on events on their way to infinity; larger: weak ones are taken for such too"
    )
    most_unnoticed: float = tuned(0.02, "upper limit of that, over errordef; larger: where EDM is large, too")


@dataclass(frozen=True)
class PriorSelectionTuning:
    """Tuned numbers of the choice of the prior's width."""

    steps: int = tuned(26, "prior widths of the path at most, each half of the one before: how weak a prior may get")
    folds: int = tuned(5, "folds of the cross-validation: more use the data better and take more time")
    one_fold: int = tuned(2000, "events from which on one fold is enough")
    larger: float = tuned(
        0.02,
        "share of held-out S that a larger network has to gain; smaller: taken more often",
    )
    few_members: int = tuned(10, "networks of the ensemble: more predict better and take more time")
    fewest_members: int = tuned(6, "the same where there are many events")
    most_members: int = tuned(30, "networks at most, where they scatter; more: predict better and take more time")
    scatter: float = tuned(
        0.05, "share of held-out squares that the networks' scatter may add; smaller: more networks, slower"
    )
    many_events: int = tuned(5000, "events from which on there are the fewest networks")
    certificate: float = tuned(2.0, "gradients that the certificate may cost, over those of the choice itself")


@dataclass(frozen=True)
class RefitTuning:
    """The minimizers of refits, and the number that chooses between them.

    Parameters
    ----------
    first : BatchedLevenbergMarquardt
        The first steps of small networks, by matrices; the minimum is near, so that they are hardly damped.
    non_smooth : BatchedLevenbergMarquardt
        All steps of a non-smooth S.
    last : BatchedLBFGS
        The last steps, which are those of single fits.
    first_lot, lot_growth : int
        Replicas of the first lot, and by how much lots grow. Smaller: some are done sooner, slower in all.
    most, work : int
        Replicas, and replicas times events times parameters, of a lot at most. More: faster for small networks, fewer
        lots for workers to share, and more is lost of one that is cut short.
    """

    first: BatchedLevenbergMarquardt = field(
        default=BatchedLevenbergMarquardt(edm_goal=REFIT_GOAL, max_iterations=30, damping=1e-4)
    )
    non_smooth: BatchedLevenbergMarquardt = field(
        default=BatchedLevenbergMarquardt(edm_goal=REFIT_GOAL, max_iterations=300, damping=1e-4)
    )
    last: BatchedLBFGS = field(default=BatchedLBFGS())
    first_lot: int = 4
    lot_growth: int = 4
    most: int = 200
    work: int = 4_000_000


@dataclass(frozen=True)
class Tuning:
    """All tuned numbers of a fit."""

    matrix_limit: int = tuned(6000, "parameters up to which p x p matrices are formed: memory 8 p^2 each, time p^3")
    small: int = tuned(
        64, "parameters up to which matrices cost little: many starts compete, refits begin by them, and HESSE runs"
    )
    multi_start: MultiStartTuning = field(default=MultiStartTuning())
    local_search: LocalSearchTuning = field(default=LocalSearchTuning())
    halving: HalvingTuning = field(default=HalvingTuning())
    hopping: HoppingTuning = field(default=HoppingTuning())
    y_error: YErrorTuning = field(default=YErrorTuning())
    certification: CertificationTuning = field(default=CertificationTuning())
    prior_selection: PriorSelectionTuning = field(default=PriorSelectionTuning())
    path: PathTuning = field(default=PathTuning())
    width: WidthTuning = field(default=WidthTuning())
    refit: RefitTuning = field(default=RefitTuning())
    time: TimeTuning = field(default=TimeTuning())
    parts: PartsTuning = field(default=PartsTuning())


DEFAULT_TUNING = Tuning()
