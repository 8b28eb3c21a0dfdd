"""Local search: its stages, saddles that it escapes, and what it says of where it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.data import Measurements
from ffnn_xp.fitting import FitOptions, read_problem
from ffnn_xp.fitting.local_search import LocalMinimum, LocalSearch, LocalSearchTuning
from ffnn_xp.minimizers import (
    UNLIMITED,
    AskTellHessian,
    Budget,
    KroneckerLBFGS,
    LevenbergMarquardt,
    MinimizerResult,
    PreconditionedLBFGS,
    SaddleEscape,
    Status,
    Tracker,
    Units,
)
from ffnn_xp.network.layout import Layout
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.objective.prior import GaussianPrior, layer_precision
from ffnn_xp.uncertainty import Spectrum

from ..minimizers.problems import Bent

ESCAPE = SaddleEscape()


def search(problem: Any, *, smooth: bool = True, **tuning: Any) -> LocalSearch:
    return LocalSearch(problem, smooth, may_use_single_precision=False, tuning=LocalSearchTuning(**tuning))


class Refined(NamedTuple):
    """Where a local search ended, how many minimizations it took, and how many exact Hessians."""

    end: LocalMinimum | None
    runs: int
    matrices: int


@pytest.mark.parametrize(("c", "falls"), [(0.05, True), (10.0, False)])
def test_s_is_followed_down_from_a_saddle(c: float, falls: bool) -> None:
    """Though it falls by next to nothing on a line; what falls little in the end is weakly determined."""
    problem = Bent(c)
    assert (problem.depth > ESCAPE.min_gain) is falls
    spectrum, beyond = search(problem).spectrum_at(np.zeros(2))
    if falls:
        assert spectrum.n_negative == 1
        assert beyond is not None
        assert problem.value_and_gradient(beyond)[0] == pytest.approx(-problem.depth, rel=1e-3)
    else:
        assert beyond is None
        assert (spectrum.n_negative, spectrum.n_unidentified) == (0, 1)


@pytest.mark.parametrize(("c", "saddles", "description"), [(0.05, 1, "minimum behind 1 saddle"), (10.0, 0, "minimum")])
def test_a_single_fit_goes_on_from_there(c: float, saddles: int, description: str) -> None:
    """From the saddle itself; where it may go round none it says so."""
    problem = Bent(c)
    end = search(problem).refine(Tracker(problem), np.zeros(2))
    assert end is not None
    assert (end.status, end.saddles, end.description) == (Status.MINIMUM, saddles, description)
    assert end.value == pytest.approx(-problem.depth, rel=1e-3)
    assert end.spectrum is not None
    assert end.spectrum.n_negative == 0
    end = search(problem, escape=SaddleEscape(max_saddles=0)).refine(Tracker(problem), np.zeros(2))
    assert end is not None
    assert end.status is Status.SADDLE_POINT


def test_it_is_pruned_behind_a_saddle() -> None:
    problem, asked = Bent(0.05), []

    def prune(theta: np.ndarray, gain: float) -> bool:
        asked.append(theta)
        return bool(abs(theta[0]) > 1e-3)

    assert search(problem).refine(Tracker(problem, Budget(prune=prune)), np.zeros(2)) is None
    assert abs(asked[0][0]) > 1e-3


class Scripted(Bent):
    """Curves down everywhere along t; is lower near by, or not."""

    def __init__(self, lower: bool) -> None:
        super().__init__(1.0)
        self.lower, self.matrices = lower, 0

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        return -99.0 if self.lower else 9.0, np.zeros(2)

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        self.matrices += 1
        return np.diag([-1.0, 2.0])


def refined(values: list[float], *, lower: bool = True, prune: bool = False, **tuning: Any) -> Refined:
    """Where a local search ends whose minimizations come to these values, and what that took."""
    problem, runs = Scripted(lower), 0

    class Steps(PreconditionedLBFGS):
        def steps(self, units: Units, theta: np.ndarray, *, prune: object = None) -> AskTellHessian[MinimizerResult]:
            nonlocal runs
            runs += 1
            yield theta
            status = Status.PRUNED if pruned and runs == len(values) else Status.NO_GAIN
            return MinimizerResult(theta, values[runs - 1], 1.0, status)

    pruned = prune
    end = search(problem, refinement=Steps(), **tuning).refine(Tracker(problem), np.zeros(2))
    return Refined(end, runs, problem.matrices)


@pytest.mark.parametrize(("values", "lower"), [([9.0, 9.0 - 0.9 * ESCAPE.min_gain, 0.0], True), ([9.0, 0.0], False)])
def test_where_s_hardly_falls_directions_are_weakly_determined(values: list[float], lower: bool) -> None:
    """Followed, and where nothing lower is near."""
    end, runs, _ = refined(values, lower=lower)
    assert end is not None
    assert end.spectrum is not None
    assert (end.status, runs) == (Status.WEAKLY_DETERMINED, len(values) - 1)
    assert (end.spectrum.n_negative, end.spectrum.n_unidentified) == (0, 1)


def test_it_escapes_so_many_saddles() -> None:
    end, runs, _ = refined([9.0, 8.0, 7.0, 6.0, 5.0], escape=SaddleEscape(max_saddles=3))
    assert end is not None
    assert (end.status, end.value, runs) == (Status.SADDLE_POINT, 6.0, 4)


def test_of_what_is_pruned_no_hessian_is_computed() -> None:
    assert refined([9.0], prune=True) == (None, 1, 0)
    assert refined([9.0, 8.0], prune=True) == (None, 2, 1)


def test_where_s_is_not_smooth_it_is_pruned_too() -> None:
    """By the steps of Levenberg and Marquardt, and by those along kinks that follow them."""

    class Steps(LevenbergMarquardt):
        def run(self, problem: Any, theta: np.ndarray, budget: Budget = UNLIMITED) -> MinimizerResult:
            pruned = problem.budget.prune(theta, 1.0)
            return MinimizerResult(theta, 9.0, 1.0, Status.PRUNED if pruned else Status.NO_GAIN)

    problem = Scripted(lower=False)
    local = search(problem, smooth=False, non_smooth=Steps(), along_kinks=Steps())
    assert local.refine(Tracker(problem, Budget(prune=lambda theta, gain: True)), np.zeros(2)) is None
    end = local.refine(Tracker(problem, Budget(prune=lambda theta, gain: False)), np.zeros(2))
    assert end is not None
    assert (end.status, problem.matrices) == (Status.NON_SMOOTH_POINT, 0)


def large_cost() -> NetworkCost:
    """A network of 541 parameters, of events in units that need no standardisation."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1000, 4))
    y = np.sin(x).sum(axis=1) + 0.1 * rng.normal(size=1000)
    model = fx.Model((4, 90, 1), backend="numpy", seed=1)
    prior = GaussianPrior(layer_precision(Layout((4, 90, 1)), 1.0))
    return fx.LeastSquares(x, y, 0.1, model, prior=prior)


class Stage(NamedTuple):
    """A minimizer that was run: its kind, whether in single precision, and its options."""

    kind: str
    single: bool
    options: Any


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[Stage]:
    seen: list[Stage] = []
    for kind in (KroneckerLBFGS, PreconditionedLBFGS):

        def steps(self: Any, units: Any, theta: np.ndarray, *, original: Any = kind.steps, **options: Any) -> Any:
            seen.append(Stage(type(self).__name__, units.epsilon > 1e-10, self))
            return original(self, units, theta, **options)

        monkeypatch.setattr(kind, "steps", steps)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(("dear", "first"), [(541, True), (542, False)])
def test_before_matrices_no_more_gradients_than_they_would_take(stages: list[Stage], dear: int, first: bool) -> None:
    """And none in float64 where a matrix costs less than the gradients of a round."""
    cost = large_cost()
    local = LocalSearch(cost, tuning=LocalSearchTuning(kronecker_double_from=dear))
    end = local.refine(Tracker(cost), cost.start)
    assert end is not None
    assert end.status is Status.MINIMUM
    kronecker = [s for s in stages if s.kind == "KroneckerLBFGS"]
    most = [s.options.max_evaluations for s in kronecker if np.isfinite(s.options.max_evaluations)]
    assert most == [0.7 * 541] * first
    assert kronecker[0].options == LocalSearchTuning().kronecker  # where single precision is left
    assert not first or ("KroneckerLBFGS", False) in [s[:2] for s in stages]


@pytest.mark.slow
@pytest.mark.parametrize(("dear", "rough_end"), [(10**6, True), (0, False)])
def test_single_precision_is_first_with_matrices_too(stages: list[Stage], dear: int, rough_end: bool) -> None:
    """Of networks with more than 500 parameters; Kronecker factors lead in float64 only where matrices are dear."""
    cost = large_cost()
    local = LocalSearch(cost, tuning=LocalSearchTuning(kronecker_double_from=dear))
    end = local.refine(Tracker(cost), cost.start)
    assert end is not None
    assert end.status is Status.MINIMUM
    kinds = [s[:2] for s in stages]
    assert kinds[0] == ("KroneckerLBFGS", True)
    assert kinds[-1] == ("PreconditionedLBFGS", False)
    assert (("KroneckerLBFGS", False) in kinds) is not rough_end
    assert ("PreconditionedLBFGS", True) in kinds


@pytest.mark.parametrize("minimizer", ["auto", "lbfgs", "levenberg_marquardt"])
def test_a_saddle_point_between_kinks_is_left(minimizer: str) -> None:
    """With all weights zero no gradient is left, and the Gauss-Newton matrix sees no negative curvature."""
    x = np.linspace(-2, 2, 40)
    fit = fx.Model((1, 3, 1), output="leaky_relu", backend="numpy", seed=1).fit(
        x, 2 + np.sin(x), 0.1, start=np.r_[np.zeros(9), 2.0], prior=None, minimizer=minimizer
    )
    assert fit.chi2 < 50 < 2 * np.sum((np.sin(x) / 0.1) ** 2)


class Counted(NetworkCost):
    """A cost that counts its evaluations at new points."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.points = set[bytes]()
        super().__init__(*args, **kwargs)

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        self.points.add(theta.tobytes())
        return super().value_and_gradient(theta)


class TestSample:
    """Random starts are minimized on a sample of the events first."""

    @pytest.fixture
    def local(self, request: pytest.FixtureRequest) -> LocalSearch:
        rng = np.random.default_rng(1)
        x = rng.uniform(-2, 2, 2000)
        model = fx.Model((1, getattr(request, "param", 1), 1), backend="numpy", seed=1)
        y = np.tanh(3 * x) + 0.1 * rng.normal(size=2000)
        job = read_problem(model, Measurements(x, y, 0.1), FitOptions(prior=3.0))
        cost = Counted(job.objective, n_values=2000, prior=job.prior)
        return LocalSearch(cost, may_use_single_precision=False, sample=cost.sample(300, rng))

    def end_of_start(self, local: LocalSearch) -> tuple[Tracker, int]:
        """Return the tracker after the coarse stage from a start, and how many points saw all events."""
        tracker, theta = Tracker(local.problem), 0.3 * np.random.default_rng(2).normal(size=local.problem.npar)
        local.problem.points.clear()
        local.coarse_stage(tracker, theta, always_refine=False)
        return tracker, len(local.problem.points)

    @pytest.mark.parametrize(("local", "ends_there"), [(1, True), (3, False)], indirect=["local"])
    def test_a_start_ends_at_the_minimum_of_the_sample(self, local: LocalSearch, ends_there: bool) -> None:
        """With the value of all events, which see its beginning and the ends of both stages.

        Three units are more than the sample determines: S of all events is lower before the last stage.
        """
        tracker, points = self.end_of_start(local)
        assert points == 3
        assert tracker.best_value == local.problem.value_and_gradient(tracker.best)[0]
        assert local.sample is not None
        gradient = local.sample.value_and_gradient(tracker.best)[1]
        edm = Spectrum.of_hessian(local.sample.hessian(tracker.best), 1.0).edm(gradient, 1.0)
        assert (edm < 1e-4) is ends_there
        assert tracker.best_value < 1.1 * 2000

    def test_all_events_take_over_where_the_sample_leads_astray(self, local: LocalSearch) -> None:
        """The sample of another curve: S of all events rises towards its minimum."""
        sample = local.problem.sample(300, np.random.default_rng(1))
        x, (y, *others) = sample.objective.events.x, sample.objective.events.data
        sample.objective = replace(
            sample.objective, events=replace(sample.objective.events, x=x, data=(20 - 30 * y, *others))
        )
        tracker, points = self.end_of_start(replace(local, sample=sample))
        assert points > 10
        assert tracker.best_value < 1.5 * 2000
