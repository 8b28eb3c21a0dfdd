"""The tracker, which outlives any interruption, and the statuses."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ffnn_xp.minimizers import Budget, PreconditionedLBFGS, Status, StopMinimization, Tracker

from .problems import Residuals, rosenbrock


def test_a_tracker_remembers_the_best() -> None:
    tracker = Tracker(rosenbrock())
    for t in ([0.0, 0.0], [1.0, 1.0], [2.0, 0.0]):
        tracker.value_and_gradient(np.array(t))
    np.testing.assert_array_equal(tracker.best, [1, 1])
    assert tracker.best_value == 0
    assert tracker.calls == 3


def test_what_is_not_finite_is_infinitely_bad() -> None:
    tracker = Tracker(Residuals(lambda t: np.array([np.nan * t[0]]), lambda t: np.array([[np.nan]])))
    assert tracker.value_and_gradient(np.ones(1))[0] == np.inf
    assert tracker.best is None


@pytest.mark.parametrize("ask", ["value_and_gradient", "gauss_newton", "hessian", "kronecker_factors"])
def test_it_stops_at_the_deadline(ask: str) -> None:
    tracker = Tracker(rosenbrock(), Budget(deadline=time.monotonic() - 1))
    with pytest.raises(StopMinimization, match="max_seconds"):
        getattr(tracker, ask)(np.zeros(2))


@pytest.mark.parametrize("ask", ["gauss_newton_product", "hessian_product"])
def test_the_clock_is_looked_at_in_products_too(ask: str) -> None:
    with pytest.raises(StopMinimization, match="max_seconds"):
        getattr(Tracker(rosenbrock(), Budget(deadline=0.0)), ask)(np.zeros(2), np.zeros(2))


def test_it_stops_after_so_many_evaluations() -> None:
    tracker = Tracker(rosenbrock(), Budget(max_evaluations=4))
    with pytest.raises(StopMinimization, match="the 4 gradients"):
        PreconditionedLBFGS().run(tracker, np.array([-1.2, 1.0]))
    assert tracker.calls == 5


def test_a_report_may_end_it() -> None:
    reported: list[float] = []

    def report(value: float, evaluations: int) -> bool:
        reported.append(value)
        return value < 1

    tracker = Tracker(rosenbrock(), Budget(report=report))
    with pytest.raises(StopMinimization, match="callback"):
        PreconditionedLBFGS(edm_goal=1e-10).run(tracker, np.array([-1.2, 1.0]))
    assert tracker.best_value == reported[-1] < 1
    assert reported == sorted(reported, reverse=True)


def test_another_form_of_the_problem_shares_the_budget_and_gives_its_best_point_back() -> None:
    """Also where it is interrupted; the value is that of the first form."""
    double, single = rosenbrock(), rosenbrock()
    single.r = lambda t: 1.01 * np.array([10 * (t[1] - t[0] ** 2), 1 - t[0]])
    tracker = Tracker(double, Budget(max_evaluations=3))
    tracker.value_and_gradient(np.array([3.0, 0.0]))

    def run() -> None:
        with tracker.on(single) as other:
            for t in (2.0, 0.5, 0.4, 0.3):
                other.value_and_gradient(np.array([t, 0.0]))

    with pytest.raises(StopMinimization):
        run()
    assert tracker.calls == 4
    np.testing.assert_array_equal(tracker.best, [0.4, 0.0])
    assert tracker.best_value == double.value_and_gradient(np.array([0.4, 0.0]))[0]


def test_another_problem_is_reported_by_s_of_this_one_and_prunes_nothing() -> None:
    """Such as that of a sample of the events, whose S is another."""
    other, reported = rosenbrock(), list[tuple[float, int]]()
    other.r = lambda t: np.array([t[0], t[1]])

    def report(value: float, calls: int) -> bool:
        reported.append((value, calls))
        return len(reported) == 3

    tracker = Tracker(rosenbrock(), Budget(report=report, prune=lambda theta, gain: True))
    first, _ = tracker.value_and_gradient(np.array([3.0, 0.0]))

    def run() -> None:
        with tracker.on(other, same=False) as some:
            assert some.budget.prune is None
            for t in (2.0, 0.5):
                some.value_and_gradient(np.array([t, 0.0]))

    with pytest.raises(StopMinimization, match="callback"):
        run()
    assert reported == [(first, 1), (first, 2), (first, 3)]
    assert tracker.best_value == rosenbrock().value_and_gradient(np.array([0.5, 0.0]))[0]


def test_a_tracker_goes_on_in_its_own_budget() -> None:
    tracker = Tracker(rosenbrock(), Budget(deadline=0.0))
    assert Tracker.of(tracker, Budget()) is tracker
    assert Tracker.of(tracker, Budget(max_evaluations=1)).problem is tracker
    assert Tracker.of(tracker.problem, Budget()).calls == 0


@pytest.mark.parametrize("status", list(Status))
def test_each_status_has_a_sentence(status: Status) -> None:
    assert status.sentence.endswith(".")
    assert f"{status}" == str(status) == status.value
