"""Networks walked side by side: each as it would be alone, in either precision, for as long as there is time."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
import ffnn_xp.fitting.regularization_path
from ffnn_xp import Backend
from ffnn_xp.fitting.prior_selection import shape_of_prior
from ffnn_xp.fitting.regularization_path import ENOUGH, NEAR, Part, Together, Walker
from ffnn_xp.minimizers import kronecker_lbfgs
from ffnn_xp.network.initialization import glorot
from ffnn_xp.objective.batch import Replicas, stack_objectives
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.objective.objective import Objective


def cost(backend: Backend | str = "numpy", n: int = 103, weights: bool = False, **options: Any) -> NetworkCost:
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (n, 2))
    y = np.sin(3 * x[:, 0]) + x[:, 1] + 0.1 * rng.normal(size=n)
    model = fx.Model((2, 9, 1), backend=backend, seed=1, **options)
    return fx.LeastSquares(x, y, 1.0, model, weights=rng.uniform(0.5, 2, n) if weights else None)


def parts_of(whole: NetworkCost, number: int = 4) -> list[Part]:
    fold = np.arange(whole.objective.events.n) % number
    return [Part(whole, np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(number)]


def starts(whole: NetworkCost, number: int) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [glorot(whole.objective.network.layout, rng) for _ in range(number)]


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [2], [1, 3]])
def test_events_of_their_own_side_by_side(backend: Backend, weights: bool, rows: list[int]) -> None:
    """Folds of 77 and 78 events: values and gradients are those of each alone, priors included."""
    whole = cost(backend, weights=weights)
    parts = parts_of(whole)
    assert {part.inside.events.n for part in parts} == {77, 78}
    precision = 0.3 * shape_of_prior(whole.objective.network)
    replicas = Replicas(stack_objectives([part.inside for part in parts]), precision)
    thetas = np.stack(starts(whole, 4))
    values, gradients = replicas.on_host(thetas[rows], np.array(rows))
    for row, value, gradient in zip(rows, values, gradients, strict=True):
        alone = parts[row].cost(precision).value_and_gradient(thetas[row])
        assert value == pytest.approx(alone[0], rel=1e-12)
        np.testing.assert_allclose(gradient, alone[1], rtol=1e-10, atol=1e-10)


def test_the_same_events_are_not_copied() -> None:
    whole = cost()
    assert stack_objectives([whole.objective] * 3) is whole.objective
    together = Together([whole.objective] * 3)
    assert together.n.tolist() == [103] * 3
    same = parts_of(cost(n=104))
    assert stack_objectives([part.inside for part in same]).events.weights is None  # all of one length: nothing to fill


def test_each_network_walks_as_it_would_alone(backend: Backend) -> None:
    """Over some steps: rounding parts them later."""
    whole = cost(backend)
    parts, precision = parts_of(whole), 0.3 * shape_of_prior(whole.objective.network)
    walk = Walker(np.inf)
    ends = walk(Together([part.inside for part in parts]), starts(whole, 4), precision, 15)
    asked = 0
    for part, start, end in zip(parts, starts(whole, 4), ends, strict=True):
        alone = part.cost(precision)
        unit = alone(start) / part.inside.events.n
        arrival = kronecker_lbfgs(alone, start, near=NEAR * unit, enough=ENOUGH * unit, most=15)
        np.testing.assert_allclose(end, arrival.theta, rtol=1e-5, atol=1e-7)
        asked += part.inside.events.n
    assert 15 * asked <= walk.events <= 18 * asked
    assert not walk.stopped


def test_kinks_are_left_to_plain_steps() -> None:
    x = np.linspace(-1, 1, 60)
    model = fx.Model((1, 6, 1), activation="relu", backend="numpy", seed=1)
    whole = fx.LeastSquares(x, np.abs(x), 0.1, model)
    walk = Walker(np.inf)
    begin = starts(whole, 3)
    precision = 1e-3 * shape_of_prior(model.network)
    ends = walk(Together([whole.objective] * 3), begin, precision, 30)
    one = Together([whole.objective]).cost(0, precision)
    for start, end in zip(begin, ends, strict=True):
        assert one(end) < 0.5 * one(start)
    assert walk.events >= 3 * 20 * 60


def test_a_start_without_a_value_stays_and_does_not_hold_up_the_others() -> None:
    x = np.linspace(-1, 1, 60)
    model = fx.Model((1, 4, 1), output="exp", backend="numpy", seed=1)
    whole = fx.Poisson(x, np.arange(60), model)
    begin = starts(whole, 3)
    begin[1] = np.full(whole.npar, 1e3)
    walk = Walker(np.inf)
    ends = walk(Together([whole.objective] * 3), begin, 1e-3 * shape_of_prior(model.network), 30)
    np.testing.assert_array_equal(ends[1], begin[1])
    assert not walk.stopped
    for i in (0, 2):
        assert whole(ends[i]) < 0.2 * whole(begin[i])


def test_single_precision_is_left_by_those_that_see_another_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the second of three, whose rough data have the other sign."""
    whole = cost()
    together, precision = Together([whole.objective] * 3), 0.1 * shape_of_prior(whole.objective.network)
    begin = starts(whole, 3)
    assert together.single is None  # too few events for it to be worth a copy
    alone = Walker(np.inf)(together, begin, precision, 40)
    events = whole.objective.events
    wrong = replace(whole.objective, events=replace(events, data=(-events.data[0], *events.data[1:])))
    pairs = [whole.objective, wrong, whole.objective]
    together = Together([whole.objective] * 3)
    monkeypatch.setitem(together.__dict__, "single", Together(pairs))
    walk = Walker(np.inf)
    ends = walk(together, begin, precision, 40)
    np.testing.assert_allclose(ends[1], alone[1], rtol=1e-4, atol=1e-5)
    one = together.cost(0, precision)
    for end, other in zip(ends, alone, strict=True):
        assert one(end) == pytest.approx(one(other), rel=0.05)
    assert walk.events < 103 * (3 * 45 + 45 + 10)  # one of them twice


def test_single_precision_is_taken_where_it_pays() -> None:
    whole = cost(n=1200)
    together = Together([part.inside for part in parts_of(whole)])
    assert whole.npar * 900 < 4e4
    assert together.single is None
    whole = cost(n=2000)
    together = Together([part.inside for part in parts_of(whole)])
    assert together.single is not None
    assert {o.backend.dtype for o in together.single.objectives} == {"float32"}
    assert Together([whole.objective] * 2).single is not None
    begin, precision = starts(whole, 4), 0.3 * shape_of_prior(whole.objective.network)
    rough = Walker(np.inf)(together, begin, precision, 60)
    for i, theta in enumerate(rough):
        one = together.cost(i, precision)
        assert one(theta) < 0.3 * one(begin[i])


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_when_time_is_up_the_best_points_are_kept(monkeypatch: pytest.MonkeyPatch, activation: str) -> None:
    whole = cost(activation=activation)
    together, precision = Together([whole.objective] * 2), 0.1 * shape_of_prior(whole.objective.network)
    begin, one = starts(whole, 2), Together([whole.objective]).cost(0, 0.1 * shape_of_prior(whole.objective.network))
    walk = Walker(time.monotonic() - 1)
    for end, start in zip(walk(together, begin, precision, 40), begin, strict=True):
        np.testing.assert_array_equal(end, start)
    assert "max_seconds" in walk.stopped
    calls = []
    original = Objective.value_and_gradient

    def until_ctrl_c(self: Objective, theta: np.ndarray) -> np.ndarray:
        calls.append(theta)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return original(self, theta)

    monkeypatch.setattr(Objective, "value_and_gradient", until_ctrl_c)
    walk = Walker(np.inf)
    ends = walk(together, begin, precision, 40)
    monkeypatch.undo()
    assert walk.stopped == "interrupted by the user"
    better = [one(end) < one(start) for end, start in zip(ends, begin, strict=True)]
    assert better == [True, activation == "tanh"]  # kinks are walked one after another
    if activation == "tanh":
        for row, end in enumerate(ends):
            assert one(end) == pytest.approx(min(one(theta[row]) for theta in calls[:-1]), rel=1e-12)


def test_members_join_as_time_is_left_for(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cost()
    P = 0.1 * shape_of_prior(whole.objective.network)
    found, strengths = starts(whole, 1), np.array([8.0, 4.0, 2.0, 1.0])
    drawn = iter(starts(whole, 4)[1:])
    ends = ffnn_xp.fitting.regularization_path.members(whole, found, drawn, strengths, P, Walker(np.inf), 3)
    one = Together([whole.objective]).cost(0, P)
    assert len(ends) == 3
    assert len(list(drawn)) == 1
    assert len({round(float(np.sum(np.abs(end))), 6) for end in ends}) == 3
    for end in ends:
        g = one.grad(end)
        assert 0.5 * g @ np.linalg.solve(one.gauss_newton(end), g) < 0.1
    late = ffnn_xp.fitting.regularization_path.members(
        whole, found, iter(starts(whole, 4)), strengths, P, Walker(time.monotonic() - 1), 3
    )
    assert len(late) == 1
    np.testing.assert_array_equal(late[0], found[0])
