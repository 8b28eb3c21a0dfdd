"""Starts of a fit: which ones there are, and which of two points counts as the best."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp._lib.limits import TIME_IS_UP
from ffnn_xp.data import Measurements
from ffnn_xp.fitting import DEFAULT_TUNING, FitOptions, MultiStart, read_problem
from ffnn_xp.fitting.local_search import LocalMinimum
from ffnn_xp.fitting.search_log import SearchLog
from ffnn_xp.fitting.search_result import Restart, SearchResult
from ffnn_xp.minimizers import Status, Tracker
from ffnn_xp.network import glorot
from ffnn_xp.uncertainty import Spectrum

from ..executors import AtOnce

X = np.linspace(-2, 2, 60)
Y = np.tanh(2 * X) + 0.1 * np.random.default_rng(1).normal(size=60)


def network(*layers: int, seed: int = 1) -> fx.Model:
    return fx.Model(layers or (1, 2, 1), backend="numpy", seed=seed)


class TestTheBest:
    """Values of S that differ by rounding are the same value."""

    @pytest.fixture
    def log(self) -> SearchLog:
        job = read_problem(network(), Measurements(X, Y, 0.1), FitOptions())
        return SearchLog(MultiStart(job.cost(), job.local_search(job.cost())), SearchResult())

    def end(self, value: float) -> LocalMinimum:
        return LocalMinimum(np.zeros(7), value, 1e-9, Spectrum.of_hessian(np.eye(7), 1.0), Status.MINIMUM)

    def tracker(self, log: SearchLog, value: float) -> Tracker:
        tracker = Tracker(log.search.cost)
        tracker.best, tracker.best_value = np.ones(7), value
        return tracker

    @pytest.mark.parametrize("shift", [0.0, 1e-12, -1e-12, 1e-9])
    def test_a_minimum_stands_against_a_point_on_the_way_to_it(self, log: SearchLog, shift: float) -> None:
        """Which is lower by the last digits: the point has no spectrum, and the fit would have no covariance."""
        log.keep(1, self.tracker(log, 50.0), None)
        log.keep(1, self.tracker(log, 50.0), self.end(50.0 + shift))
        assert log.best is not None
        assert log.best.located

    def test_the_first_of_two_minima_stays(self, log: SearchLog) -> None:
        for index, value in enumerate((50.0, 50.0 - 1e-10, 50.0 + 1e-10), start=1):
            log.keep(index, self.tracker(log, value), self.end(value))
        assert log.best_start == 1

    def test_what_is_really_lower_counts(self, log: SearchLog) -> None:
        log.keep(1, self.tracker(log, 50.0), self.end(50.0))
        log.keep(2, self.tracker(log, 49.9), None)
        assert log.best is not None
        assert (log.best.located, log.best_start) == (False, 2)


def test_the_best_start_is_refined_in_its_own_row() -> None:
    """Also in a lot whose first start has another number than 1."""
    job = read_problem(network(), Measurements(X, Y, 0.1), FitOptions(prior=3.0))
    search = MultiStart(job.cost(), job.local_search(job.cost()))
    theta = glorot(job.layout, np.random.default_rng(1))
    rows = tuple(Restart(start, 1e9, np.inf, "pruned", 5, 0.0) for start in (11, 12, 13))
    before = SearchResult(LocalMinimum.unfinished(theta, 1e9), best_start=12, starts=rows)
    log = SearchLog(search, before)
    log.finish()
    first, refined, last = log.result().starts
    assert (first, last) == (rows[0], rows[2])
    assert refined.edm < 1e-4
    assert refined.calls > 5


def test_arrivals_at_the_best_minimum_are_counted() -> None:
    """Within a tenth of a standard deviation's rise of S, which may itself be small where errors are unknown."""
    job = read_problem(network(), Measurements(X, Y, 0.1), FitOptions())
    search = MultiStart(job.cost(), job.local_search(job.cost()))
    found = SearchResult(LocalMinimum.unfinished(np.zeros(7), 50.0), arrivals=(49.99, 50.05, 50.3, 60.0))
    assert [search.number_minima(found, unit).found for unit in (1.0, 0.1, 10.0)] == [2, 1, 3]
    deeper = replace(found, best=LocalMinimum.unfinished(np.zeros(7), 40.0))  # refined below all of them
    assert search.number_minima(deeper, 1.0).found == 1


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
@pytest.mark.parametrize("seed", range(3))
def test_a_line_is_certified_in_any_order_of_its_events(order: slice, seed: int) -> None:
    """Correlated values, whose chi-square is known to fewer digits: generalised least squares is the answer."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, 80)
    y = np.tanh(2 * x) + 0.1 * rng.normal(size=80)
    V = 0.01 * np.exp(-np.abs(x[:, None] - x[None, :])) + 1e-4 * np.eye(80)
    fit = network(1, 1).fit(x[order], y[order], y_cov=V[order, order], prior=None)
    A = np.stack([x, np.ones(80)], axis=1)
    covariance = np.linalg.inv(A.T @ np.linalg.solve(V, A))
    assert fit.valid
    np.testing.assert_allclose(fit.parameters, covariance @ A.T @ np.linalg.solve(V, y), rtol=1e-8)
    np.testing.assert_allclose(fit.errors, np.sqrt(np.diag(covariance)), rtol=1e-6)


class TestStart:
    @pytest.mark.slow
    def test_a_fit_starts_afresh(self) -> None:
        """A loop over folds with one model gives what new models give."""
        one = network(1, 3, 1)
        for part in (slice(0, 40), slice(20, 60), slice(0, 40)):
            again = network(1, 3, 1).fit(X[part], Y[part], 0.1, prior=3.0)
            np.testing.assert_array_equal(one.fit(X[part], Y[part], 0.1, prior=3.0).parameters, again.parameters)

    @pytest.mark.slow
    @pytest.mark.parametrize("options", [{}, {"minimizer": "lbfgs"}, {"minimizer": "migrad"}, {"prior": "auto"}])
    def test_the_current_parameters_are_the_first_and_only_start(self, options: dict[str, Any]) -> None:
        first = network().fit(X, Y, 0.1, prior=3.0)
        for given in ("current", first.parameters, list(first.parameters)):
            model = network()
            model.parameters = first.parameters
            fit = model.fit(X, Y, 0.1, **{"prior": 3.0, **options}, start=given)
            if "prior" in options:  # there is that of the path of priors too
                assert fit.valid
                assert fit.restarts[0].calls < 50
            else:
                assert len(fit.restarts) == 1
                np.testing.assert_allclose(fit.parameters, first.parameters, rtol=1e-3, atol=1e-3)

    def test_others_follow_on_request(self) -> None:
        first = network().fit(X, Y, 0.1, prior=3.0)
        fit = network().fit(X, Y, 0.1, prior=3.0, start=first.parameters, restarts=3)
        assert len(fit.restarts) == 3
        assert fit.restarts[0].calls < 20

    def test_starts_beside_the_path_of_priors(self) -> None:
        fit = network().fit(X, Y, 0.1, prior="auto", restarts=4)
        assert len(fit.restarts) == 4
        assert fit.valid

    @pytest.mark.slow
    def test_another_seed_is_another_stream(self) -> None:
        rows = [network().fit(X, Y, 0.1, prior=3.0, restarts=12, seed=seed).restarts for seed in (1, 1, 2)]
        assert [row.fval for row in rows[0]] == [row.fval for row in rows[1]]
        assert [row.fval for row in rows[0]] != [row.fval for row in rows[2]]

    def test_what_is_no_start(self) -> None:
        with pytest.raises(ValueError, match="did you mean 'current'"):
            network().fit(X, Y, 0.1, start="curent", prior=None)
        with pytest.raises(ValueError, match="`start` must hold 7 parameters, got 3"):
            network().fit(X, Y, 0.1, start=[1.0, 2.0, 3.0], prior="auto")
        for bad in ([np.nan] * 7, np.zeros((7, 1)), 3.0):
            with pytest.raises(ValueError, match=r"finite parameters with shape \(p,\)"):
                network().fit(X, Y, 0.1, start=bad, prior=None)


def test_a_number_of_starts_is_that_number() -> None:
    """Also of networks that do not compete, and where the first start is as good as can be."""
    for layers, number in (((1, 2, 1), 1), ((1, 2, 1), 5), ((1, 2, 1), 23), ((1, 30, 1), 3)):
        fit = network(*layers).fit(X, Y, 0.1, prior=3.0, restarts=number)
        assert len(fit.restarts) == number


class TestSample:
    """Where there are many events, starts are minimized on a sample of them, and the best with all."""

    x = np.random.default_rng(1).uniform(-2, 2, 3000)
    y = np.sin(3 * x) + 0.1 * np.random.default_rng(2).normal(size=3000)
    layers = (1, 22, 1)  # too large for successive halving

    def fit(
        self, many: float = 4.0, layers: tuple[int, ...] = layers, y: np.ndarray = y, **options: Any
    ) -> fx.FitResult:
        numbers = {"sample_per_parameter": 5, "least_sample": 300, "many": many}
        tuning = replace(DEFAULT_TUNING, multi_start=replace(DEFAULT_TUNING.multi_start, **numbers))
        return network(*layers).fit(self.x, y, **{"y_err": 0.1, "prior": 3.0, **options}, tuning=tuning)

    def test_the_minimum_is_as_deep_as_with_all_events(self) -> None:
        """Every start is in the table, with S of all events, of which none is below the best.

        The minima of this curve with this prior, by any seed, differ by 0.3; of others, last digits decide by more.
        """
        simple = np.tanh(2 * self.x) + self.y - np.sin(3 * self.x)
        some, every = (self.fit(many, y=simple, restarts=4, prior=1.0) for many in (4.0, np.inf))
        assert some.valid
        assert some.fval < every.fval + 1.0
        assert len(some.restarts) == 4
        refined = [row for row in some.restarts if row.status == "minimum"]
        assert [row.fval for row in refined] == [pytest.approx(some.fval, rel=1e-9)]
        assert all(some.fval < row.fval < 1.2 * some.fval for row in some.restarts if row not in refined)

    def test_a_seed_is_the_same_sample(self) -> None:
        """Also with workers; other seeds draw other events."""
        rows = [
            [(row.fval, row.calls) for row in self.fit(restarts=3, seed=seed, executor=executor).restarts]
            for seed, executor in ((1, None), (1, AtOnce()), (2, None))
        ]
        assert rows[0] == rows[1]
        assert rows[0] != rows[2]

    def test_others_have_one(self) -> None:
        """Or `test_who_has_no_sample` would say nothing."""
        ends = [self.fit(many, (1, 3, 1), restarts=1).restarts[0].calls for many in (4.0, np.inf)]
        assert ends[0] != ends[1]

    def test_a_start_that_is_good_enough_is_the_last(self) -> None:
        """By chi-square of all events."""
        assert len(self.fit().restarts) < len(self.fit(restarts=10).restarts) == 10

    @pytest.mark.parametrize("options", [{"start": "first"}, {"prior": None}, {"minimizer": "lbfgs"}])
    def test_who_has_no_sample(self, options: dict[str, Any]) -> None:
        """Given starts, which go on from where they are; fits without a prior; minimizers by name: the same digits."""
        if "start" in options:
            options = {"start": self.fit(layers=(1, 3, 1), restarts=1).parameters}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fx.FitWarning)  # without a prior there are undetermined directions
            ends = [self.fit(many, (1, 3, 1), restarts=1, **options) for many in (4.0, np.inf)]
        np.testing.assert_array_equal(*(end.parameters for end in ends))
        assert ends[0].restarts[0].calls == ends[1].restarts[0].calls

    @pytest.mark.parametrize("calls", [2, 30])
    def test_a_callback_ends_it_in_the_sample(self, calls: int) -> None:
        """The best value that it is told never rises."""
        heard = list[fx.FitState]()

        def stop(state: fx.FitState) -> bool:
            heard.append(state)
            return len(heard) == calls

        with pytest.warns(fx.FitWarning, match="callback"):
            fit = self.fit(restarts=3, callback=stop)
        assert len(heard) == calls
        best = [state.best for state in heard]
        assert best == sorted(best, reverse=True)
        assert fit.fval <= best[-1] * (1 + 1e-9)
        assert np.isfinite(fit.parameters).all()

    def test_time_ends_it(self) -> None:
        """At once, with the first start as the best."""
        job = read_problem(network(*self.layers), Measurements(self.x, self.y, 0.1), FitOptions(prior=3.0))
        cost, rng = job.cost(), np.random.default_rng(1)
        local = replace(job.local_search(cost), sample=cost.sample(300, rng))
        found = MultiStart(cost, local, n_starts=3, deadline=0.0).run([glorot(job.layout, rng) for _ in range(3)])
        assert found.stopped == TIME_IS_UP
        assert not found.located
        assert len(found.starts) == 1
