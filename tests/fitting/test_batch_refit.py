"""Refits of toys and other replicas: by which minimizers, and that they end at minima."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend, Model, get_backend
from ffnn_xp._lib.limits import TIME_IS_UP
from ffnn_xp.fitting import batch_refit
from ffnn_xp.fitting.batch_refit import Refits, fit_toys, refit, seeds_of
from ffnn_xp.fitting.local_search import LocalSearchTuning
from ffnn_xp.fitting.tuning import DEFAULT_TUNING, RefitTuning, Tuning
from ffnn_xp.fitting.workers import Workers
from ffnn_xp.minimizers import (
    AskTellHessian,
    BatchedLBFGS,
    BatchResult,
    Budget,
    EDMBounds,
    MatrixFree,
    MinimizerResult,
    SaddleEscape,
    Status,
)
from ffnn_xp.objective.batch import Replicas
from ffnn_xp.uncertainty.covariance import Spectrum

from ..minimizers.test_batched_lbfgs import toys


@pytest.mark.parametrize(
    ("widths", "activation", "kinds"),
    [
        ((1, 4, 1), "relu", ["BatchedLevenbergMarquardt"]),
        ((1, 4, 1), "tanh", ["BatchedLevenbergMarquardt", "BatchedLBFGS"]),
        ((1, 25, 1), "tanh", ["BatchedLBFGS"]),
    ],
)
def test_steps_by_matrices_where_they_are_cheap_or_all_there_is(
    widths: tuple[int, ...], activation: str, kinds: list[str]
) -> None:
    """And always the end by the exact Hessian, unless S is not smooth, which it does not show."""
    usual, taken = DEFAULT_TUNING.refit, list[str]()
    steps = np.zeros(3, dtype=int)

    @dataclass(frozen=True)
    class Noted:
        minimizer: Any

        def run(self, *args: Any, **options: Any) -> BatchResult:
            taken.append(type(self.minimizer).__name__)
            end = self.minimizer.run(*args, **options)
            steps[:] += end.steps
            return end

    refit = replace(usual, first=Noted(usual.first), non_smooth=Noted(usual.non_smooth), last=Noted(usual.last))
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 60)
    y = np.abs(x) + 0.1 * rng.normal(size=60)
    model = Model(widths, activation=activation, backend="numpy", seed=1)
    found = model.fit_replicas(x, y, 0.1, prior=2.0, number=3, seed=1, tuning=Tuning(refit=refit))
    assert taken == kinds
    np.testing.assert_array_equal(found.steps, steps)
    assert found.valid.all() or activation == "relu"


def test_a_budget_that_is_used_up_in_the_first_steps_is_used_up() -> None:
    """What they reached is kept, and nothing follows."""
    problem, _, theta = toys(get_backend("numpy"))
    nothing: Any = None
    tuning = Tuning(refit=RefitTuning(last=nothing))
    end = batch_refit._refit_lot(problem, theta[0], 4, Budget(max_evaluations=2), tuning, matrices=True)
    assert "gradients" in end.stopped
    assert end.steps.tolist() == [3] * 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["toys", "bootstrap"])
def test_refits_of_a_deeper_network_reach_their_minima(kind: str) -> None:
    """Along its valleys steps by Gauss-Newton matrices alone leave most of them, after hundreds."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 2))
    model = Model((2, 10, 10, 1), backend="numpy", seed=1)
    y = model(x) + 0.1 * rng.normal(size=300)
    model.fit(x, y, 0.1, prior=3.0, restarts=3)
    found = model.fit_replicas(x, y, 0.1, prior=3.0, kind=kind, number=6, seed=1)
    assert found.valid.all()


@pytest.mark.parametrize("hidden", [4, 25])
def test_refits_know_where_hessians_curve_down(hidden: int) -> None:
    """Whether steps by matrices go before or not."""
    found: list[np.ndarray] = []

    class Noted(BatchedLBFGS):
        def run(self, *args: Any, negative_directions: Any = None) -> BatchResult:
            found.append(negative_directions(np.diag([4.0, -9.0, 1.0])))
            return super().run(*args)

    x, model = np.linspace(-1, 1, 60), Model((1, hidden, 1), backend="numpy", seed=1)
    tuning = Tuning(refit=replace(DEFAULT_TUNING.refit, last=Noted(DEFAULT_TUNING.refit.last.each)))
    model.fit_replicas(x, x**2, 0.1, prior=2.0, number=2, seed=1, tuning=tuning)
    (down,) = found
    assert down.shape == (3, 1)
    np.testing.assert_allclose(np.abs(down[:, 0]), [0.0, 1 / 3, 0.0], atol=1e-12)


NOISE, NUMBER = 0.1, 20


def toys_of_copies(last: BatchedLBFGS) -> tuple[Replicas, BatchResult]:
    """Refits of a curve with more units than it needs: at the fit's minimum several are copies of each other."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 1))
    model = Model((1, 10, 1), backend="numpy", seed=1)
    y = (model(x) + NOISE * rng.normal(size=(200, 1)))[:, 0]
    fit = model.fit(x, y, NOISE, prior=3.0, tuning=Tuning(refit=RefitTuning(last=last)))
    task, seeds = Refits(fit.problem, fit.standardised), seeds_of(1, NUMBER)
    return task.replicas(seeds), refit(task, seeds)


class Blind(BatchedLBFGS):
    """Steps that do not look for directions of negative curvature."""

    def run(self, *args: Any, negative_directions: object = None) -> BatchResult:
        return super().run(*args)


@pytest.mark.slow
def test_refits_leave_the_saddles_where_units_are_copies() -> None:
    """No gradient shows them, since it keeps copies what they are; S fell by up to 0.25 from some of these 20 toys."""
    usual = DEFAULT_TUNING.refit.last
    problem, end = toys_of_copies(usual)
    before = toys_of_copies(Blind(usual.each))[1]
    assert before.converged.sum() >= NUMBER - 1
    assert end.converged.sum() >= NUMBER - 1
    assert np.all(end.value < before.value + 1e-4)
    assert np.sum(end.value < before.value - 0.02) >= 3
    H = problem.numbers(problem.hessian(end.theta, np.arange(NUMBER)))
    H_before = problem.numbers(problem.hessian(before.theta, np.arange(NUMBER)))
    assert sum(Spectrum.of_hessian(h, 1.0).n_negative > 0 for h in H_before) >= 3
    assert sum(Spectrum.of_hessian(h, 1.0).n_negative > 0 for h in H) <= 1


def test_a_saddle_that_is_not_left_is_no_minimum() -> None:
    """Such replicas are neither valid nor have an EDM."""
    from_saddle = MinimizerResult(np.zeros(31), 1.0, 0.0, Status.SADDLE_POINT, saddles=8)

    class Stays(SaddleEscape):
        def steps(self, *args: object) -> AskTellHessian[MinimizerResult]:
            yield np.zeros(31)
            return from_saddle

    usual = DEFAULT_TUNING.refit.last
    _, end = toys_of_copies(replace(usual, escape=Stays()))
    assert end.status == (Status.SADDLE_POINT,) * NUMBER
    assert not end.converged.any()
    assert np.all(np.isinf(end.edm))


def curve(tuning: RefitTuning = DEFAULT_TUNING.refit, **options: Any) -> fx.FitResult:
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 60)
    y = np.tanh(2 * x) + 0.1 * rng.normal(size=60)
    model = Model((1, 3, 1), backend="numpy", seed=1)
    return model.fit(x, y, 0.1, prior=3.0, restarts=2, tuning=Tuning(refit=tuning), **options)


def in_lots(most: int, deadline: float = np.inf) -> BatchResult:
    fit = curve(RefitTuning(most=most))
    return refit(Refits(fit.problem, fit.standardised), seeds_of(1, 4), Workers(deadline=deadline))


def test_replicas_are_the_same_in_lots_of_any_size() -> None:
    whole, single = in_lots(4), in_lots(1)
    np.testing.assert_allclose(single.value, whole.value, rtol=1e-9)
    np.testing.assert_allclose(single.theta, whole.theta, atol=1e-4)
    assert single.converged.all()
    assert single.status == whole.status
    assert not single.stopped


class UntilTheSecond(BatchedLBFGS):
    """Last steps that are stopped in the second lot, which counts them."""

    def run(self, *args: Any, **options: Any) -> BatchResult:
        self.lots.append(len(args[1]))
        end = super().run(*args, **options)
        stopped = replace(end, stopped=TIME_IS_UP, converged=np.zeros(len(end.value), dtype=bool))
        return end if len(self.lots) == 1 else stopped

    @cached_property
    def lots(self) -> list[int]:
        return []


def test_lots_that_time_is_up_for_stay_where_they_were() -> None:
    fit = curve(RefitTuning(most=1, last=UntilTheSecond(DEFAULT_TUNING.refit.last.each)))
    end = refit(Refits(fit.problem, fit.standardised), seeds_of(1, 4))
    assert end.stopped == TIME_IS_UP
    assert end.converged.tolist() == [True, False, False, False]
    assert end.status[2:] == (Status.INTERRUPTED,) * 2
    np.testing.assert_array_equal(end.theta[2:], np.broadcast_to(fit.standardised, (2, 10)))
    np.testing.assert_array_equal(end.value[2:], np.inf)


@pytest.mark.parametrize("kind", ["toys", "bootstrap"])
def test_beyond_matrices_replicas_are_refitted_by_products(kind: str, forbid: Callable[..., None]) -> None:
    """They end at the minima that matrices lead to."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 60)
    y = np.tanh(2 * x) + 0.1 * rng.normal(size=60)
    model = Model((1, 3, 1), backend="numpy", seed=1)
    model.fit(x, y, 0.1, prior=2.0, restarts=2)
    options: dict[str, Any] = {"prior": 2.0, "kind": kind, "number": 3, "seed": 1}
    expected = model.fit_replicas(x, y, 0.1, **options)
    forbid("hessian", "gauss_newton", "scores")
    found = model.fit_replicas(x, y, 0.1, **options, tuning=Tuning(matrix_limit=9))
    assert found.valid.all()
    np.testing.assert_allclose(found.fval, expected.fval, rtol=1e-5)
    np.testing.assert_allclose(found.parameters, expected.parameters, atol=0.05)


def test_beyond_matrices_products_of_a_network_with_kinks_are_gauss_newtons(forbid: Callable[..., None]) -> None:
    """Its exact Hessian does not show the curvature of S."""
    forbid("hessian_product")
    x = np.linspace(-1, 1, 60)
    model = Model((1, 4, 1), activation="relu", backend="numpy", seed=1)
    found = model.fit_replicas(x, x**2, 0.1, prior=2.0, number=2, seed=1, tuning=Tuning(matrix_limit=5))
    expected = model.fit_replicas(x, x**2, 0.1, prior=2.0, number=2, seed=1)
    assert np.all(found.fval < expected.fval + 0.5)


def test_an_edm_that_has_no_upper_bound_is_not_known() -> None:
    class Unbounded(MatrixFree):
        def run(self, problem: object, theta: np.ndarray, budget: object = None) -> MinimizerResult:
            bounds = EDMBounds(np.zeros(10), lower=1e-6, upper=np.inf, iterations=1)
            return MinimizerResult(theta, 1.0, 1e-6, Status.NO_GAIN, bounds=bounds)

    x, tuning = np.linspace(-1, 1, 60), Tuning(matrix_limit=5, local_search=LocalSearchTuning(matrix_free=Unbounded()))
    found = Model((1, 3, 1), seed=1).fit_replicas(x, x, 0.1, prior=2.0, number=2, tuning=tuning)
    assert np.all(np.isinf(found.edm))
    assert not found.valid.any()


@pytest.mark.slow
def test_toys_of_a_lot_that_is_cut_short_do_not_count() -> None:
    """Those that are done by then were the quick ones: they would be a biased choice."""
    fit, last = curve(), UntilTheSecond(DEFAULT_TUNING.refit.last.each)
    hurried = replace(fit.problem, tuning=Tuning(refit=RefitTuning(last=last)))
    whole = fit_toys(fit.problem, fit.parameters, seeds_of(1, 200))
    cut = fit_toys(hurried, fit.parameters, seeds_of(1, 200))
    assert last.lots == [4, 16]
    assert len(whole.theta) == 200
    assert not whole.stopped
    assert cut.stopped == f"{TIME_IS_UP}, after 4 of 200 toys"
    np.testing.assert_array_equal(cut.theta, whole.theta[:4])


def sizes_of_lots(backend: Backend, number: int, tuning: RefitTuning = DEFAULT_TUNING.refit) -> list[int]:
    """Return how many toys of 2,000 events and 2 parameters are in each lot."""
    x = np.linspace(-1, 1, 2000)
    fit = Model((1, 1), backend=backend, seed=1).fit(x, x, 0.1, tuning=Tuning(refit=tuning), prior=None)
    return [len(lot) for lot in Refits(fit.problem, fit.standardised).lots(seeds_of(1, number))]


def test_lots_have_a_size_that_follows_from_the_problem() -> None:
    numpy = get_backend("numpy")
    assert sizes_of_lots(numpy, 250) == [4, 16, 64, 166]
    assert sizes_of_lots(numpy, 30, RefitTuning(work=40_000)) == [4, 10, 10, 6]
    assert sizes_of_lots(numpy, 3, RefitTuning(work=1)) == [1, 1, 1]


@pytest.mark.slow
def test_lots_of_a_library_that_compiles_are_as_large_as_can_be() -> None:
    pytest.importorskip("jax")
    assert sizes_of_lots(get_backend("jax"), 30, RefitTuning(work=1, most=12)) == [10, 10, 10]


@pytest.mark.parametrize("kind", ["toys", "bootstrap"])
def test_a_replica_is_that_of_its_seed(kind: str) -> None:
    """The fifth replica of a seed is the same, whatever the number of replicas, and those of other seeds are not."""
    fit = curve()
    few, many = (
        Refits(fit.problem, fit.standardised, kind).replicas(seeds_of(1, number)).objective.events for number in (5, 7)
    )
    drawn = [a for a in (*many.data, many.weights) if a is not None and a.ndim == 3]
    same = [a for a in (*few.data, few.weights) if a is not None and a.ndim == 3]
    assert drawn
    for a, b in zip(drawn, same, strict=True):
        np.testing.assert_array_equal(a[:5], b)
    assert len({replica.tobytes() for replica in (drawn[0] if kind == "toys" else drawn[-1])}) == 7


@pytest.mark.parametrize(
    "loss", [fx.HuberLoss(delta=1.0), "poisson", "binomial", "soft_l1", fx.StudentTLoss(nu=3.0), "least_squares"]
)
def test_toys_are_the_same_in_lots_of_any_size(loss: Any) -> None:
    """Whatever the statistic draws of each: a seed means the same toys with and without a deadline, on any library."""
    x = np.linspace(-1, 1, 40)
    counts = np.arange(40) % 2
    output = {"poisson": "exp", "binomial": "logistic"}.get(str(loss), "identity")
    model = Model((1, 1), output=output, backend="numpy", seed=1)
    fit = model.fit(x, counts, None if output != "identity" else 0.5, loss=loss, weights=1 + counts, prior=1.0)
    refits = Refits(fit.problem, fit.standardised)
    seeds = np.random.SeedSequence(1).spawn(7)
    whole, lots = refits.toys(seeds), [refits.toys(lot) for lot in (seeds[:1], seeds[1:3], seeds[3:])]
    np.testing.assert_array_equal(np.concatenate(lots), whole)
    assert len({toy.tobytes() for toy in whole}) == 7
