"""Refits of toys and other replicas: by which minimizers, and that they end at minima."""

from __future__ import annotations

from collections.abc import Callable
from functools import partialmethod
from typing import Any

import numpy as np
import pytest

from ffnn_xp import Model, get_backend
from ffnn_xp.fitting.batch_refit import RefitTuning, refit
from ffnn_xp.minimizers import (
    AskTellHessian,
    BatchedLBFGS,
    BatchedLevenbergMarquardt,
    BatchResult,
    Budget,
    MinimizerResult,
    SaddleEscape,
    Status,
)
from ffnn_xp.model import ensemble
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
