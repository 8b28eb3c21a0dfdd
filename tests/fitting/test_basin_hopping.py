"""Basin hopping: from the best networks to deeper minima, by one new hidden unit at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.data import Measurements
from ffnn_xp.fitting import DEFAULT_TUNING, FitOptions, FitProblem, read_problem
from ffnn_xp.fitting.basin_hopping import DEFAULT_HOPPING, _with_new_unit, hop
from ffnn_xp.fitting.successive_halving import Candidate, Stage
from ffnn_xp.minimizers import Budget, Status
from ffnn_xp.network import Layout, glorot


def curve() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The data of docs/minuit.md, whose 1-2-1 network has minima at 228.3, 205.7 and 201.7."""
    rng = np.random.default_rng(1)
    x, y_err = rng.uniform(0, 1, 200), rng.uniform(0.05, 0.15, 200)
    return x, np.sin(5 * x) / (0.5 + x) + y_err * rng.normal(size=200), y_err


def problem(tau: float | None = None, hidden: int = 2) -> FitProblem:
    return read_problem(fx.Model((1, hidden, 1), seed=1), Measurements(*curve()), FitOptions(prior=tau))


def found(job: FitProblem, theta: np.ndarray) -> tuple[Stage, Candidate]:
    """The stage of all events, and a minimum of it."""
    stage = Stage.of(job.cost(), 10**6, 1.0, np.random.default_rng(0))
    end = stage.minimize(theta[None], 300, Budget())
    return stage, Candidate(0, end.theta[0], float(end.value[0]), float(end.edm[0]), end.status[0], 1)


@pytest.fixture(scope="module")
def deepest() -> np.ndarray:
    """The parameters at the deepest minimum with a prior of width 3."""
    return fx.Model((1, 2, 1), seed=1).fit(*curve(), prior=3.0).parameters


def test_one_unit_is_new_and_the_others_stay() -> None:
    layout, rng = Layout((2, 3, 4, 1)), np.random.default_rng(3)
    theta, seen, silent = rng.normal(size=layout.n_parameters), set(), 0
    for _ in range(200):
        before = layout.matrices(np, theta)
        after = layout.matrices(np, _with_new_unit(layout, theta, rng))
        into = [np.flatnonzero(np.any(A != B, axis=1)) for A, B in zip(before, after, strict=True)]
        outof = [np.flatnonzero(np.any(A != B, axis=0)) for A, B in zip(before, after, strict=True)]
        layer = next(i for i, A in enumerate(into) if len(A))  # the first matrix that has changed leads to the unit
        assert len(into[layer]) == 1
        assert outof[layer + 1].tolist() == into[layer].tolist()  # and the next one away from it
        assert all(len(A) == 0 for A in (*into[:layer], *into[layer + 2 :]))
        seen.add((layer, int(into[layer][0])))
        silent += bool(np.all(after[layer + 1][:, into[layer][0]] == 0))
    assert seen == {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)}
    assert 60 < silent < 140


@pytest.mark.slow
def test_it_leaves_a_shallow_minimum() -> None:
    """One start in ten finds 201.7; this one does not."""
    job = problem()
    single = fx.Model((1, 2, 1), seed=1).fit(*curve(), restarts=1, prior=None)
    stage, shallow = found(job, job.scaling.to_standard(single.parameters))
    end = hop(stage, job.layout, [shallow], rng=np.random.default_rng(1))
    assert shallow.value == pytest.approx(228.3, abs=0.1)
    assert end.best[0].value < 203
    assert [c.value for c in end.best] == sorted(c.value for c in end.best)
    assert np.diff([c.value for c in end.best]).min() >= 0.1
    rounds, rest = divmod(end.tried, DEFAULT_HOPPING.batch)
    assert rest == 0
    assert rounds > DEFAULT_HOPPING.most_patience  # which begins anew at each gain
    assert not end.stopped


@pytest.mark.slow
def test_it_ends_soon_where_many_starts_agree_and_late_where_one_is_alone(deepest: np.ndarray) -> None:
    """With a prior there is one deep minimum, to which networks come back; patience counts from the last gain."""
    job = problem(tau=3.0)
    stage, best = found(job, job.scaling.to_standard(deepest))
    assert best.status is Status.MINIMUM
    rounds = {
        enough: hop(
            stage, job.layout, [best] * 5, rng=np.random.default_rng(1), tuning=replace(DEFAULT_HOPPING, enough=enough)
        ).tried
        // DEFAULT_HOPPING.batch
        for enough in (5, 10**9)
    }
    assert rounds == {5: DEFAULT_HOPPING.few_rounds, 10**9: DEFAULT_HOPPING.most_patience}


@pytest.mark.slow
def test_arrivals_are_those_from_elsewhere(deepest: np.ndarray) -> None:
    """Networks that fall back to where they came from are none: they would count for ever in any minimum."""
    job = problem(tau=3.0)
    stage, best = found(job, job.scaling.to_standard(deepest))
    alone = hop(stage, job.layout, [best], rng=np.random.default_rng(1), tuning=replace(DEFAULT_HOPPING, population=1))
    assert alone.best[0].value == pytest.approx(best.value, abs=1e-3)
    assert sum(value < best.value + 0.1 for value in alone.arrivals) == 1


def test_a_budget_ends_it() -> None:
    job = problem()
    stage, best = found(job, glorot(job.layout, np.random.default_rng(5)))
    end = hop(stage, job.layout, [best], rng=np.random.default_rng(1), budget=Budget(deadline=0.0))
    assert "max_seconds" in end.stopped
    assert end.best[0].theta is best.theta
    assert end.tried == DEFAULT_HOPPING.batch


@pytest.mark.slow
@pytest.mark.parametrize(("hidden", "tau"), [(2, None), (3, 3.0), (4, None), (10, 3.0)])
def test_the_minimum_does_not_depend_on_the_seed(hidden: int, tau: float | None) -> None:
    """S of each seed is that of the best, known from 500 single starts, but for 0.1."""
    deepest = {2: 201.687, 3: 204.706, 4: 184.154, 10: 201.539}[hidden]
    fits = [fx.Model((1, hidden, 1), seed=seed).fit(*curve(), prior=tau) for seed in range(8)]
    assert all(fit.valid for fit in fits)
    assert max(fit.fval for fit in fits) < deepest + 0.1


@pytest.mark.slow
def test_libraries_come_to_the_same_minimum(backend: fx.Backend) -> None:
    """Their sums differ in the last digits, and so would the paths of many hundred steps."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-2, 2, (150, 2))
    y = np.tanh(x.sum(axis=1, keepdims=True)) * np.ones((1, 2)) + 0.1 * rng.normal(size=(150, 2))
    here, there = (fx.Model((2, 4, 2), backend=b, seed=1).fit(x, y, 0.1, prior=None).fval for b in (backend, "numpy"))
    assert here == pytest.approx(there, abs=1e-3)


@pytest.mark.slow
def test_a_fit_says_how_often_its_minimum_was_found() -> None:
    fit = fx.Model((1, 2, 1), seed=1).fit(*curve(), prior=3.0, restarts=40)
    assert len(fit.restarts) == 40
    assert fit.hops > 0
    assert fit.found >= 5
    assert f"40 starts and {fit.hops} networks of basin hopping, {fit.found} of them at the best minimum" in repr(fit)
    few = fx.Model((1, 2, 1), seed=1).fit(*curve(), prior=3.0, restarts=3)
    assert (len(few.restarts), few.hops, few.found) == (3, 0, 0)


@pytest.mark.slow
def test_lots_of_starts_share_their_arrivals() -> None:
    """More starts than compete at once come in lots: the number is that at the best minimum of all of them."""
    tuning = replace(DEFAULT_TUNING, multi_start=replace(DEFAULT_TUNING.multi_start, most_candidates=20))
    fit = fx.Model((1, 2, 1), seed=1).fit(*curve(), prior=3.0, restarts=50, tuning=tuning)
    assert [row.start for row in fit.restarts] == list(range(1, 51))
    one = fx.Model((1, 2, 1), seed=1).fit(*curve(), prior=3.0, restarts=20, tuning=tuning)
    assert fit.fval == pytest.approx(one.fval, abs=1e-6)
    assert fit.found > one.found > 0
