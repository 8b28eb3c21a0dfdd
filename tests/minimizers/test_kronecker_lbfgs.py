"""L-BFGS in Kronecker coordinates: how long they are kept, and what ends it."""

from __future__ import annotations

import numpy as np
import pytest

from ffnn_xp.minimizers import KroneckerCoordinates, KroneckerLBFGS, Status, Tracker
from ffnn_xp.minimizers.kronecker_lbfgs import _Round
from ffnn_xp.network.initialization import glorot

from .problems import Saddle, network_cost

OPTIONS = KroneckerLBFGS()


@pytest.mark.slow
def test_coordinates_are_kept_as_long_as_they_pay() -> None:
    """At a quadratic's own coordinates L-BFGS needs one round; and any minimization ends at EDM below the goal."""
    cost = network_cost()
    calls: list[np.ndarray] = []
    original = cost.kronecker_factors
    cost.kronecker_factors = lambda theta: calls.append(theta) or original(theta)  # type: ignore[method-assign, func-returns-value]
    start = glorot(cost.objective.network.layout, np.random.default_rng(1))
    tracker = Tracker(cost)
    end = KroneckerLBFGS(edm_goal=1e-8).run(tracker, start)
    assert end.converged
    assert end.edm < 1e-8
    g = KroneckerCoordinates(original(calls[-1])).forth(cost.value_and_gradient(end.theta)[1])
    assert end.edm == pytest.approx(0.5 * g @ g, rel=1e-6)
    assert 2 < len(calls) < tracker.calls / 15  # fewer than with a change each ten steps
    again = KroneckerLBFGS(edm_goal=1e-7).run(Tracker(cost), end.theta)
    np.testing.assert_array_equal(again.theta, end.theta)
    end = KroneckerLBFGS(edm_goal=1e-11).run(Tracker(cost), end.theta)
    nothing_more = KroneckerLBFGS(edm_goal=0.0, min_gain=1.0).run(Tracker(cost), end.theta)
    assert nothing_more.status is Status.NO_GAIN
    assert nothing_more.value == pytest.approx(end.value, abs=1e-6)


@pytest.mark.parametrize(("value", "edm", "leaves"), [(49.0, 1.0, True), (0.0, 1.0, False), (49.0, 1e-4, False)])
def test_a_round_ends_when_its_last_steps_gain_less_than_its_average(value: float, edm: float, leaves: bool) -> None:
    """From 100 to 50 in 10 gradients, then to 49, or to 0, in 10; near the end the coordinates are kept."""
    steps = OPTIONS.check_every - 1
    stays = _Round(OPTIONS, 0.0, 1e-3, np.inf, start=100.0, evaluations=18, steps=steps, checked=(50.0, 10))
    assert stays(value, edm, 0.1, 2) != leaves
    assert (stays.evaluations, stays.edm) == (20, pytest.approx(edm))
    if edm == 1.0:
        assert stays.checked == (value, 20)


@pytest.mark.parametrize(("most", "calls"), [(7, 9), (np.inf, 10_000)])
def test_it_takes_no_more_gradients_than_it_may(most: float, calls: int) -> None:
    """But for those of a step that has begun. A banana's valley takes it longer."""

    class Banana(Saddle):
        def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
            t, u = theta
            bend = u - t * t
            return float(100 * bend**2 + (1 - t) ** 2), np.array([-400 * t * bend - 2 * (1 - t), 200 * bend])

    tracker = Tracker(Banana())
    end = KroneckerLBFGS(edm_goal=1e-12, max_evaluations=most).run(tracker, np.array([-1.2, 1.0]))
    assert tracker.calls - 1 <= calls  # one for the start
    assert end.status is (Status.MINIMUM if most == np.inf else Status.BUDGET_USED_UP)
