"""Networks minimised together: each as it would be alone, in either precision, for as long as there is time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend
from ffnn_xp.fitting.folds import CostBatch, Fold
from ffnn_xp.fitting.regularization_path import PathMinimizer, PathTuning, follow_path, shape_of_prior
from ffnn_xp.fitting.workers import Workers
from ffnn_xp.minimizers import KroneckerLBFGS
from ffnn_xp.network.initialization import glorot
from ffnn_xp.objective.batch import Replicas, stack_objectives
from ffnn_xp.objective.host import NetworkCost


def cost(backend: Backend | str = "numpy", n: int = 103, weights: bool = False, **options: Any) -> NetworkCost:
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (n, 2))
    y = np.sin(3 * x[:, 0]) + x[:, 1] + 0.1 * rng.normal(size=n)
    model = fx.Model((2, 9, 1), backend=backend, seed=1, **options)
    return fx.LeastSquares(x, y, 1.0, model, weights=rng.uniform(0.5, 2, n) if weights else None)


def folds_of(whole: NetworkCost, number: int = 4) -> list[Fold]:
    fold = np.arange(whole.objective.events.n) % number
    return [Fold(whole, np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(number)]


def starts(whole: NetworkCost, number: int) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [glorot(whole.objective.network.layout, rng) for _ in range(number)]


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [2], [1, 3]])
def test_events_of_their_own_side_by_side(backend: Backend, weights: bool, rows: list[int]) -> None:
    """Folds of 77 and 78 events: values and gradients are those of each alone, priors included."""
    whole = cost(backend, weights=weights)
    folds = folds_of(whole)
    assert {fold.inside.events.n for fold in folds} == {77, 78}
    precision = 0.3 * shape_of_prior(whole.objective.network)
    replicas = Replicas(stack_objectives([fold.inside for fold in folds]), precision)
    thetas = np.stack(starts(whole, 4))
    values, gradients = replicas.on_host(thetas[rows], np.array(rows))
    for row, value, gradient in zip(rows, values, gradients, strict=True):
        alone = folds[row].cost(precision).value_and_gradient(thetas[row])
        assert value == pytest.approx(alone[0], rel=1e-12)
        np.testing.assert_allclose(gradient, alone[1], rtol=1e-10, atol=1e-10)


def test_the_same_events_are_not_copied() -> None:
    whole = cost()
    assert stack_objectives([whole.objective] * 3) is whole.objective
    batch = CostBatch([whole.objective] * 3)
    assert batch.n.tolist() == [103] * 3
    same = folds_of(cost(n=104))
    assert stack_objectives([fold.inside for fold in same]).events.weights is None  # all of one length: nothing to fill


def test_a_fold_leaves_a_poor_minimum() -> None:
    """The first starts where nothing but the output's bias has a gradient; the others describe its events better."""
    whole = cost()
    folds, P = folds_of(whole), shape_of_prior(whole.objective.network)
    thetas = [np.zeros(whole.npar), *starts(whole, 3)]
    strengths = np.array([0.1, 0.01, 0.001])
    ends = follow_path(folds, thetas, [], strengths, P, PathMinimizer()).thetas
    values = [fold.cost(0 * P)(theta) for fold, theta in zip(folds, ends, strict=True)]
    assert max(values) < 1.5 * np.median(values)
    alone = PathMinimizer().minimize(CostBatch([folds[0].inside]), thetas[:1], strengths[-1] * P, 60)
    assert folds[0].cost(0 * P)(alone[0]) > 10 * np.median(values)


def test_a_network_that_would_remember_the_held_out_events_stays_in_its_fold() -> None:
    """Of 37 parameters and 30 events: the fold whose own network is stuck has no other."""
    whole = cost(n=40)
    folds, P = folds_of(whole), shape_of_prior(whole.objective.network)
    thetas = [np.zeros(whole.npar), *starts(whole, 3)]
    ends = follow_path(folds, thetas, [], np.array([0.01, 0.001]), P, PathMinimizer()).thetas
    assert np.count_nonzero(ends[0]) == 1  # the output's bias
    assert all(np.count_nonzero(end) == whole.npar for end in ends[1:])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [9, 27, 34])
def test_a_path_does_not_end_before_anything_is_learnt(seed: int) -> None:
    """Under a strong prior these networks are straight lines, and score alike for seven strengths."""
    rng = np.random.default_rng(3000 + seed)
    x = rng.uniform(-2, 2, 150)
    y = np.sin(3 * x) / (1 + x**2) + 0.1 * rng.normal(size=150)
    fit = fx.Model((1, 8, 1), backend="numpy", seed=seed).fit(x, y, 0.1, prior="auto")
    assert fit.recipe is not None
    assert len(fit.recipe.path) > 10
    assert fit.chi2 / fit.ndof < 1.5


def test_each_network_ends_where_it_does_alone(backend: Backend) -> None:
    """Over some steps: rounding folds them later."""
    whole = cost(backend)
    folds, precision = folds_of(whole), 0.3 * shape_of_prior(whole.objective.network)
    minimizer = PathMinimizer()
    ends = minimizer.minimize(CostBatch([fold.inside for fold in folds]), starts(whole, 4), precision, 15)
    asked = 0
    for fold, start, end in zip(folds, starts(whole, 4), ends, strict=True):
        alone = fold.cost(precision)
        unit = alone(start) / fold.inside.events.n
        result = KroneckerLBFGS(max_evaluations=15, edm_goal=PathTuning().edm_goal * unit).run(alone, start)
        np.testing.assert_allclose(end, result.theta, rtol=1e-5, atol=1e-7)
        asked += fold.inside.events.n
    assert 15 * asked <= minimizer.events <= 18 * asked
    assert not minimizer.stopped


def test_non_smooth_networks_take_plain_steps() -> None:
    x = np.linspace(-1, 1, 60)
    model = fx.Model((1, 6, 1), activation="relu", backend="numpy", seed=1)
    whole = fx.LeastSquares(x, np.abs(x), 0.1, model)
    minimizer = PathMinimizer()
    begin = starts(whole, 3)
    precision = 1e-3 * shape_of_prior(model.network)
    ends = minimizer.minimize(CostBatch([whole.objective] * 3), begin, precision, 30)
    one = CostBatch([whole.objective]).cost(0, precision)
    for start, end in zip(begin, ends, strict=True):
        assert one(end) < 0.5 * one(start)
    assert minimizer.events >= 3 * 20 * 60


def test_a_start_without_a_value_stays_and_does_not_hold_up_the_others() -> None:
    x = np.linspace(-1, 1, 60)
    model = fx.Model((1, 4, 1), output="exp", backend="numpy", seed=1)
    whole = fx.Poisson(x, np.arange(60), model)
    begin = starts(whole, 3)
    begin[1] = np.full(whole.npar, 1e3)
    minimizer = PathMinimizer()
    ends = minimizer.minimize(CostBatch([whole.objective] * 3), begin, 1e-3 * shape_of_prior(model.network), 30)
    np.testing.assert_array_equal(ends[1], begin[1])
    assert not minimizer.stopped
    for i in (0, 2):
        assert whole(ends[i]) < 0.2 * whole(begin[i])


def test_single_precision_is_left_where_s_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the second of three, whose rough data have the other sign."""
    whole = cost()
    batch, precision = CostBatch([whole.objective] * 3), 0.1 * shape_of_prior(whole.objective.network)
    begin = starts(whole, 3)
    assert batch.single is None  # too few events for it to be worth a copy
    alone = PathMinimizer().minimize(batch, begin, precision, 40)
    events = whole.objective.events
    wrong = replace(whole.objective, events=replace(events, data=(-events.data[0], *events.data[1:])))
    pairs = [whole.objective, wrong, whole.objective]
    batch = CostBatch([whole.objective] * 3)
    monkeypatch.setitem(batch.__dict__, "single", CostBatch(pairs))
    minimizer = PathMinimizer()
    ends = minimizer.minimize(batch, begin, precision, 40)
    np.testing.assert_allclose(ends[1], alone[1], rtol=1e-4, atol=1e-5)
    one = batch.cost(0, precision)
    for end, other in zip(ends, alone, strict=True):
        assert one(end) == pytest.approx(one(other), rel=0.05)
    assert minimizer.events < 103 * (3 * 45 + 45 + 10)  # one of them twice


def test_single_precision_is_taken_where_it_pays() -> None:
    whole = cost(n=1200)
    batch = CostBatch([fold.inside for fold in folds_of(whole)])
    assert whole.npar * 900 < 4e4
    assert batch.single is None
    whole = cost(n=2000)
    batch = CostBatch([fold.inside for fold in folds_of(whole)])
    assert batch.single is not None
    assert {o.backend.dtype for o in batch.single.objectives} == {"float32"}
    assert CostBatch([whole.objective] * 2).single is not None
    begin, precision = starts(whole, 4), 0.3 * shape_of_prior(whole.objective.network)
    rough = PathMinimizer().minimize(batch, begin, precision, 60)
    for i, theta in enumerate(rough):
        one = batch.cost(i, precision)
        assert one(theta) < 0.3 * one(begin[i])


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_when_time_is_up_the_best_points_are_kept(before_each: Callable[..., None], activation: str) -> None:
    whole = cost(activation=activation)
    batch, precision = CostBatch([whole.objective] * 2), 0.1 * shape_of_prior(whole.objective.network)
    begin, one = starts(whole, 2), CostBatch([whole.objective]).cost(0, 0.1 * shape_of_prior(whole.objective.network))
    minimizer = PathMinimizer(Workers(deadline=time.monotonic() - 1))
    for end, start in zip(minimizer.minimize(batch, begin, precision, 40), begin, strict=True):
        np.testing.assert_array_equal(end, start)
    assert "max_seconds" in minimizer.stopped
    calls: list[np.ndarray] = []

    def ctrl_c_at_the_20th(theta: np.ndarray) -> None:
        calls.append(theta)
        if len(calls) == 20:
            raise KeyboardInterrupt

    before_each(ctrl_c_at_the_20th, "value_and_gradient")
    minimizer = PathMinimizer()
    ends = minimizer.minimize(batch, begin, precision, 40)
    assert minimizer.stopped == "interrupted by the user"
    better = [one(end) < one(start) for end, start in zip(ends, begin, strict=True)]
    assert better == [True, activation == "tanh"]  # non-smooth ones are minimised one after another
    if activation == "tanh":
        for row, end in enumerate(ends):
            assert one(end) == pytest.approx(min(one(theta[row]) for theta in calls[:19]), rel=1e-12)


def test_networks_join_the_path_as_time_is_left_for() -> None:
    whole = cost()
    folds, P = folds_of(whole), 0.1 * shape_of_prior(whole.objective.network)
    drawn, strengths = starts(whole, 8), np.array([8.0, 4.0, 2.0, 1.0])
    found = follow_path(folds, drawn[:4], drawn[4:], strengths, P, PathMinimizer())
    assert len({round(float(np.sum(np.abs(end))), 6) for end in [*found.thetas, *found.joined]}) == 8
    for fold, end in zip(folds, found.joined, strict=True):
        one = fold.cost(strengths[found.at] * P)
        g = one.grad(end)
        assert 0.5 * g @ np.linalg.solve(one.gauss_newton(end), g) < 0.1
    late = PathMinimizer(Workers(deadline=time.monotonic() - 1))
    assert follow_path(folds, drawn[:4], drawn[4:], strengths, P, late).joined == []
    assert follow_path(folds, drawn[:4], [], strengths, P, PathMinimizer()).joined == []


@pytest.mark.parametrize("together", [0, PathTuning().together])
@pytest.mark.parametrize(("best", "taken"), [(0, [1.0]), (3, [1.0, 4.0]), (7, [1.0, 4.0, 7.0, 8.0])])
def test_networks_that_join_take_larger_steps_and_end_at_the_best(together: int, best: int, taken: list[float]) -> None:
    """Of strengths 1 ... 9 every third and the best, in the folds' batch or later: a network that adds them up."""
    whole = cost()
    folds, nothing = folds_of(whole), np.zeros(whole.npar)

    class Adds(PathMinimizer):
        def minimize(self, costs: CostBatch, thetas: Any, precision: np.ndarray, evaluations: int) -> list[np.ndarray]:
            return [theta + 10.0 ** -precision[0] for theta in thetas]

    class Scored(Fold):
        def score(self, theta: np.ndarray) -> float:
            return abs(round(10**9 * theta[0]) - int("1" * (best + 1) + "0" * (8 - best)))

    scored = [Scored(whole, fold.fitted, fold.out) for fold in folds]
    minimizer = Adds(tuning=PathTuning(together=together))
    found = follow_path(scored, [nothing] * 4, [nothing] * 8, 1.0 + np.arange(9), np.ones(whole.npar), minimizer)
    assert found.at == best
    assert len(found.joined) == 8
    for end in found.joined:
        assert end[0] == pytest.approx(sum(10.0**-strength for strength in taken), rel=1e-12)
