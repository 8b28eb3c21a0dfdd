"""Candidates compete: successive halving finds what single minimizations find."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp import Backend
from ffnn_xp.data import Measurements
from ffnn_xp.fitting import FitOptions, FitProblem, read_problem
from ffnn_xp.fitting.successive_halving import DEFAULT_HALVING, Candidate, distinct, halve_candidates
from ffnn_xp.minimizers import Status
from ffnn_xp.network import glorot

NOISE = 0.1


def bends(n: int = 80, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.linspace(-2, 2, n)
    return x, np.tanh(2 * x) - 0.5 * np.tanh(3 * x - 2) + NOISE * rng.normal(size=n)


def problem(backend: Backend, widths: tuple[int, ...] = (1, 3, 1), tau: float | None = 3.0) -> FitProblem:
    x, y = bends()
    model = fx.Model(widths, backend=backend, seed=1)
    return read_problem(model, Measurements(x, y, NOISE), FitOptions(prior=tau))


def starts(job: FitProblem, r: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    return np.stack([glorot(job.layout, rng) for _ in range(r)])


@pytest.mark.parametrize("n", [80, 20_000])
def test_halving_finds_what_single_starts_find(n: int, backend: fx.Backend) -> None:
    """Also where the first rounds see a sample of the events."""
    x, y = bends(n)
    model = fx.Model((1, 3, 1), backend=backend, seed=1)
    job = read_problem(model, Measurements(x, y, NOISE), FitOptions())
    cost = job.cost()
    ranking, _, stopped = halve_candidates(
        cost, starts(job, 30), far=1.5, unit=lambda _: 1.0, rng=np.random.default_rng(1)
    )
    assert not stopped
    assert sorted(c.start for c in ranking) == list(range(30))
    reached = cost.value_and_gradient(ranking[0].theta)[0]
    assert reached < 1.3 * n
    assert sum(c.status is Status.PRUNED for c in ranking) > 10


def test_a_minimum_is_one_of_all_events() -> None:
    """Candidates that the first round, on 256 of 400 events, dropped at its minimum are none."""
    x, y = bends(400)
    model = fx.Model((1, 1, 1), seed=1)
    job = read_problem(model, Measurements(x, y, NOISE), FitOptions(prior=3.0))
    cost, rng = job.cost(), np.random.default_rng(1)
    ranking, stage, _ = halve_candidates(cost, starts(job, 40), far=1.5, unit=lambda _: 1.0, rng=rng)
    assert stage.scale == 1
    minima = [c for c in ranking if c.status is Status.MINIMUM]
    assert 3 <= len(minima) <= 8
    for c in minima:
        assert c.value == pytest.approx(cost.value_and_gradient(c.theta)[0], rel=1e-5)


def test_a_start_at_the_minimum_stays_there_under_its_own_number(backend: Backend) -> None:
    job = problem(backend)
    cost, theta = job.cost(), starts(job, 30)

    def halved() -> list[Candidate]:
        return halve_candidates(cost, theta, far=1.5, unit=lambda _: 1.0, rng=np.random.default_rng(1))[0]

    best = halved()[0]
    theta[17] = best.theta
    end = next(c for c in halved() if c.start == 17)
    assert end.status is Status.MINIMUM
    np.testing.assert_allclose(end.theta, best.theta, atol=0.1)  # not another order of the units, nor other signs


@pytest.mark.slow
def test_the_same_starts_compete_on_every_library(backend: fx.Backend) -> None:
    """And so the same seed ends in the same minimum, which two of these thirty come to."""
    x, y = bends(150)

    def fitted(backend: fx.Backend | str) -> tuple[float, np.ndarray]:
        model = fx.Model((1, 3, 1), backend=backend, seed=1)
        rows = model.fit(x, y, restarts=30, progress=False, prior=None).restarts
        assert len(rows) == 30
        assert sum(row.status == "pruned" for row in rows) > 10
        return min(row.fval for row in rows), fx.to_numpy(model(x))

    (here, output), (there, outputs) = fitted(backend), fitted("numpy")
    assert here == pytest.approx(there, rel=1e-9)
    np.testing.assert_allclose(output, outputs, atol=1e-7)  # errors are 0.1


@pytest.mark.slow
def test_a_rough_curve_needs_many_starts_and_gets_them() -> None:
    """The lesson's kind of curve: a single start ends far above, the best of many at the floor, certified."""
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, 300)
    y = np.where(np.abs(x - 0.43) < 0.15, np.sin(22 * x), -1 + 3.5 * x - 2 * x**2) + 0.03 * rng.normal(size=300)

    def fit(restarts: int | str) -> fx.FitResult:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fx.FitWarning)
            return fx.Model((1, 5, 1), activation="logistic", backend="numpy", seed=1).fit(
                x,
                y,
                0.03,
                restarts=restarts,
                progress=False,
                prior=None,
            )

    many, one = fit("auto"), fit(1)
    assert many.valid
    assert many.chi2 < 1.6 * many.ndof
    assert one.chi2 > many.chi2 + 20
    assert len(many.restarts) == 60
    assert [row.start for row in many.restarts] == list(range(1, 61))
    best = min(row.fval for row in many.restarts)
    assert best == pytest.approx(many.fval, rel=1e-6)


def test_survivors_did_not_arrive_at_the_same_value() -> None:
    theta = np.zeros(1)

    def candidate(number: int, value: float, status: Status) -> Candidate:
        return Candidate(number, theta, value, 0.0, status, 1)

    ranked = [
        candidate(4, 10.0, Status.MINIMUM),
        candidate(2, 10.2, Status.MINIMUM),
        candidate(7, 10.3, Status.PRUNED),
        candidate(1, 10.4, Status.MINIMUM),
        candidate(3, 12.0, Status.MINIMUM),
        candidate(5, 13.0, Status.MINIMUM),
    ]
    assert DEFAULT_HALVING.survivors == 3
    assert [c.start for c in distinct(ranked, 0.5, 3)] == [4, 3, 5]
    assert [c.start for c in distinct(ranked, 0.15, 3)] == [4, 2, 1]
