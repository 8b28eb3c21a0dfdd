"""SciPy's L-BFGS as the coarse stage."""

from __future__ import annotations

import numpy as np

from ffnn_xp.minimizers import ScipyLBFGS, Status, Tracker

from .problems import Residuals, rosenbrock


def test_it_leaves_the_end_to_others() -> None:
    tracker = Tracker(rosenbrock())
    end = ScipyLBFGS(ftol=1e-4).run(tracker, np.array([-1.2, 1.0]))
    assert tracker.best_value < 0.1
    assert end.value == tracker.best_value
    assert tracker.calls < 60
    assert end.status is Status.NO_GAIN
    assert end.edm == np.inf


def test_it_says_what_ended_it() -> None:
    assert ScipyLBFGS(max_iterations=2).run(rosenbrock(), np.array([-1.2, 1.0])).status is Status.BUDGET_USED_UP
    nowhere = Residuals(lambda t: np.array([np.nan * t[0]]), lambda t: np.array([[np.nan]]))
    assert ScipyLBFGS().run(nowhere, np.ones(1)).status is Status.NOT_FINITE
