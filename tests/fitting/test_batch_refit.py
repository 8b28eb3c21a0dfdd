"""Refits of toys and other replicas: by which minimizers, and that they end at minima."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partialmethod
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend, Model, get_backend
from ffnn_xp.fitting import batch_refit
from ffnn_xp.fitting.batch_refit import fit_toys, measure_again, refit
from ffnn_xp.fitting.tuning import DEFAULT_TUNING, RefitTuning, Tuning
from ffnn_xp.minimizers import (
    UNLIMITED,
    AskTellHessian,
    BatchedLBFGS,
    BatchedLevenbergMarquardt,
    BatchResult,
    Budget,
    EDMBounds,
    MatrixFree,
    MinimizerResult,
    SaddleEscape,
    Status,
)
from ffnn_xp.model import ensemble
from ffnn_xp.objective import Objective
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
    widths: tuple[int, ...], activation: str, kinds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And always the end by the exact Hessian, unless S is not smooth, which it does not show."""
    taken: list[str] = []
    steps = np.zeros(3, dtype=int)
    for kind in (BatchedLevenbergMarquardt, BatchedLBFGS):

        def noted(self: Any, *args: Any, original: Any = kind.run, **options: Any) -> BatchResult:
            taken.append(type(self).__name__)
            end = original(self, *args, **options)
            steps[:] += end.steps
            return end

        monkeypatch.setattr(kind, "run", noted)
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 60)
    y = np.abs(x) + 0.1 * rng.normal(size=60)
    model = Model(widths, activation=activation, backend="numpy", seed=1)
    found = model.fit_replicas(x, y, 0.1, prior=2.0, number=3, seed=1)
    assert taken == kinds
    np.testing.assert_array_equal(found.steps, steps)
    assert found.valid.all() or activation == "relu"


def test_a_budget_that_is_used_up_in_the_first_steps_is_used_up() -> None:
    """What they reached is kept, and nothing follows."""
    problem, _, theta = toys(get_backend("numpy"))
    nothing: Any = None
    end = refit(problem, theta[0], 4, Budget(max_evaluations=2), RefitTuning(last=nothing))
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
def test_refits_know_where_hessians_curve_down(hidden: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether steps by matrices go before or not."""
    found: list[np.ndarray] = []
    original = BatchedLBFGS.run

    def noted(*args: Any, negative_directions: Callable[[np.ndarray], np.ndarray]) -> BatchResult:
        found.append(negative_directions(np.diag([4.0, -9.0, 1.0])))
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(BatchedLBFGS, "run", noted)
    x = np.linspace(-1, 1, 60)
    Model((1, hidden, 1), backend="numpy", seed=1).fit_replicas(x, x**2, 0.1, prior=2.0, number=2, seed=1)
    (down,) = found
    assert down.shape == (3, 1)
    np.testing.assert_allclose(np.abs(down[:, 0]), [0.0, 1 / 3, 0.0], atol=1e-12)


NOISE, NUMBER = 0.1, 20
FAR = 1e12  # a deadline in a far future, for which the first lots are small


def caught_toys(monkeypatch: pytest.MonkeyPatch, *, look: bool) -> tuple[Replicas, BatchResult]:
    """Refits of a curve with more units than it needs: at the fit's minimum several are copies of each other."""
    caught: list[tuple[Replicas, BatchResult]] = []

    def watched(problem: Replicas, *args: object) -> BatchResult:
        caught.append((problem, refit(problem, *args)))  # type: ignore[arg-type]
        return caught[-1][1]

    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 1))
    model = Model((1, 10, 1), backend="numpy", seed=1)
    y = (model(x) + NOISE * rng.normal(size=(200, 1)))[:, 0]
    model.fit(x, y, NOISE, prior=3.0)
    with monkeypatch.context() as patched:
        patched.setattr(ensemble, "refit", watched)
        if not look:
            patched.setattr(BatchedLBFGS, "run", partialmethod(_without, BatchedLBFGS.run))
        model.fit_replicas(x, y, NOISE, prior=3.0, number=NUMBER, seed=1)
    return caught[0]


def _without(
    self: BatchedLBFGS, run: Callable[..., BatchResult], *args: object, negative_directions: object
) -> BatchResult:
    return run(self, *args)


@pytest.mark.slow
def test_refits_leave_the_saddles_where_units_are_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No gradient shows them, since it keeps copies what they are; S fell by up to 0.25 from some of these 20 toys."""
    problem, end = caught_toys(monkeypatch, look=True)
    before = caught_toys(monkeypatch, look=False)[1]
    assert before.converged.sum() >= NUMBER - 1
    assert end.converged.sum() >= NUMBER - 1
    assert np.all(end.value < before.value + 1e-4)
    assert np.sum(end.value < before.value - 0.02) >= 3
    H = problem.numbers(problem.hessian(end.theta, np.arange(NUMBER)))
    H_before = problem.numbers(problem.hessian(before.theta, np.arange(NUMBER)))
    assert sum(Spectrum.of_hessian(h, 1.0).n_negative > 0 for h in H_before) >= 3
    assert sum(Spectrum.of_hessian(h, 1.0).n_negative > 0 for h in H) <= 1


def test_a_saddle_that_is_not_left_is_no_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such replicas are neither valid nor have an EDM."""
    from_saddle = MinimizerResult(np.zeros(31), 1.0, 0.0, Status.SADDLE_POINT, saddles=8)

    def stays(*args: object) -> AskTellHessian[MinimizerResult]:
        yield np.zeros(31)
        return from_saddle

    monkeypatch.setattr(SaddleEscape, "steps", stays)
    _, end = caught_toys(monkeypatch, look=True)
    assert end.status == (Status.SADDLE_POINT,) * NUMBER
    assert not end.converged.any()
    assert np.all(np.isinf(end.edm))


def in_lots(tuning: RefitTuning, budget: Budget = UNLIMITED) -> BatchResult:
    problem, _, theta = toys(get_backend("numpy"))
    return refit(problem, theta[0], 4, budget, tuning)


def test_replicas_are_the_same_in_lots_of_any_size() -> None:
    whole, single = in_lots(RefitTuning()), in_lots(RefitTuning(first_lot=1, lot_growth=2), Budget(FAR))
    np.testing.assert_allclose(single.value, whole.value, rtol=1e-9)
    np.testing.assert_allclose(single.theta, whole.theta, atol=1e-4)
    assert single.converged.all()
    assert single.status == whole.status
    assert not single.stopped


def test_lots_that_time_is_up_for_stay_where_they_were() -> None:
    _, _, theta = toys(get_backend("numpy"))
    counts = [0]

    def after_the_first(value: float, evaluations: int) -> bool:
        counts.append(evaluations)
        return evaluations < counts[-2]  # each lot counts afresh

    end = in_lots(RefitTuning(first_lot=1, lot_growth=1, first_up_to=0), Budget(FAR, report=after_the_first))
    assert end.stopped == "the callback returned True"
    assert end.converged.tolist() == [True, False, False, False]
    assert end.status[1:] == (Status.INTERRUPTED,) * 3
    np.testing.assert_array_equal(end.theta[1:], np.broadcast_to(theta[0], (3, len(theta[0]))))
    np.testing.assert_array_equal(end.value[2:], np.inf)


@pytest.mark.parametrize("kind", ["toys", "bootstrap"])
def test_beyond_matrices_replicas_are_refitted_by_products(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They end at the minima that matrices lead to."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 60)
    y = np.tanh(2 * x) + 0.1 * rng.normal(size=60)
    model = Model((1, 3, 1), backend="numpy", seed=1)
    model.fit(x, y, 0.1, prior=2.0, restarts=2)
    options: dict[str, Any] = {"prior": 2.0, "kind": kind, "number": 3, "seed": 1}
    expected = model.fit_replicas(x, y, 0.1, **options)

    def forbidden(*_: object) -> None:
        raise AssertionError("a p x p matrix was formed")

    for name in ("hessian", "gauss_newton", "scores"):
        monkeypatch.setattr(Objective, name, forbidden)
    found = model.fit_replicas(x, y, 0.1, **options, tuning=Tuning(matrix_limit=9))
    assert found.valid.all()
    np.testing.assert_allclose(found.fval, expected.fval, rtol=1e-5)
    np.testing.assert_allclose(found.parameters, expected.parameters, atol=0.05)


def test_beyond_matrices_products_of_a_network_with_kinks_are_gauss_newtons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exact Hessian does not show the curvature of S."""

    def forbidden(*_: object) -> None:
        raise AssertionError("an exact product was computed")

    monkeypatch.setattr(Objective, "hessian_product", forbidden)
    x = np.linspace(-1, 1, 60)
    model = Model((1, 4, 1), activation="relu", backend="numpy", seed=1)
    found = model.fit_replicas(x, x**2, 0.1, prior=2.0, number=2, seed=1, tuning=Tuning(matrix_limit=5))
    expected = model.fit_replicas(x, x**2, 0.1, prior=2.0, number=2, seed=1)
    assert np.all(found.fval < expected.fval + 0.5)


def test_an_edm_that_has_no_upper_bound_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unbounded(self: MatrixFree, problem: object, theta: np.ndarray) -> MinimizerResult:
        bounds = EDMBounds(np.zeros(10), lower=1e-6, upper=np.inf, iterations=1)
        return MinimizerResult(theta, 1.0, 1e-6, Status.NO_GAIN, bounds=bounds)

    monkeypatch.setattr(MatrixFree, "run", unbounded)
    x = np.linspace(-1, 1, 60)
    found = Model((1, 3, 1), seed=1).fit_replicas(x, x, 0.1, prior=2.0, number=2, tuning=Tuning(matrix_limit=5))
    assert np.all(np.isinf(found.edm))
    assert not found.valid.any()


def test_toys_of_a_lot_that_is_cut_short_do_not_count() -> None:
    """Those that are done by then were the quick ones: they would be a biased choice."""
    x = np.linspace(-2, 2, 50)
    fit = Model((1, 3, 1), backend="numpy", seed=1).fit(x, np.tanh(2 * x), 0.1, prior=3.0, restarts=1)
    calls: list[int] = []

    def stop_in_the_second(value: float, evaluations: int) -> bool:
        calls.append(evaluations)
        return len(calls) > 100

    budget = Budget(FAR, report=stop_in_the_second)
    cut = fit_toys(fit.problem, fit.parameters, 200, np.random.default_rng(1), budget)
    whole = fit_toys(fit.problem, fit.parameters, 200, np.random.default_rng(1))
    assert len(whole.theta) == 200
    assert not whole.stopped
    assert len(cut.theta) in {4, 20, 84}
    assert cut.stopped == f"the callback returned True, after {len(cut.theta)} of 200 toys"
    np.testing.assert_array_equal(cut.measured, whole.measured[: len(cut.measured)])


def sizes_of_lots(
    monkeypatch: pytest.MonkeyPatch, backend: Backend, deadline: float, tuning: RefitTuning = DEFAULT_TUNING.refit
) -> list[int]:
    """Refit 30 toys of 2,000 events, 8 of which share a product, and say how many were minimised together."""
    together: list[int] = []

    def at_once(replicas: Replicas, theta: np.ndarray, number: int, *_: object, **__: object) -> BatchResult:
        together.append(number)
        nothing = np.zeros(number)
        start = replicas.on_device(np.broadcast_to(theta, (number, len(theta))))
        return BatchResult(start, nothing, nothing, nothing == 0, nothing.astype(int), (Status.MINIMUM,) * number)

    x = np.linspace(-1, 1, 2000)
    fit = Model((1, 1), backend=backend, seed=1).fit(x, x, 0.1, tuning=Tuning(refit=tuning), prior=None)
    monkeypatch.setattr(batch_refit, "_refit_lot", at_once)
    fit_toys(fit.problem, fit.parameters, 30, np.random.default_rng(1), Budget(deadline))
    return together


def test_small_first_lots_are_for_those_who_have_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one they would cost time for nothing: as many as share a product are as fast as can be."""
    assert sizes_of_lots(monkeypatch, get_backend("numpy"), np.inf) == [8, 22]
    assert sizes_of_lots(monkeypatch, get_backend("numpy"), FAR) == [4, 16, 10]


def test_lots_of_a_library_that_compiles_are_all_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    for deadline in (np.inf, FAR):
        sizes = sizes_of_lots(monkeypatch, get_backend("jax"), deadline, RefitTuning(compiled_lot=12))
        assert sizes == [10, 10, 10]


def test_no_lot_takes_more_than_its_share_of_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each replica takes a second here: of 20 seconds 16 are left after the first lot, and 70 % of these are 11."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tuning, sizes = RefitTuning(), []
    for lot in batch_refit._lots(toys(get_backend("numpy"))[0], 40, Budget(20.0), tuning):
        sizes.append(lot.stop - lot.start)
        now[0] += sizes[-1]
        if now[0] >= 20:
            break
    assert sizes == [4, 11, 3, 1, 1]


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
    whole, rng = measure_again(fit.problem, fit.parameters, 7, np.random.default_rng(1)), np.random.default_rng(1)
    lots = [measure_again(fit.problem, fit.parameters, number, rng) for number in (1, 2, 4)]
    np.testing.assert_array_equal(np.concatenate(lots), whole)
    assert len({toy.tobytes() for toy in whole}) == 7
