"""Tasks by the workers of an executor: the same results in the same order, and nothing lost where workers fail."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp._lib.errors import FfnnXpWarning, WorkerError
from ffnn_xp._lib.limits import TIME_IS_UP, StopMinimization, deadline_in_force
from ffnn_xp._lib.pickles import pickled
from ffnn_xp.fitting import workers
from ffnn_xp.fitting.workers import HERE, Workers

from ..executors import AtOnce


@contextmanager
def two_processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def square(x: float) -> float:
    return x * x


def pid(_: object) -> int:
    time.sleep(0.01)
    return os.getpid()


def dies_once(path: str) -> int:
    """End the process at the first call of all."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return 1
    os._exit(1)


def test_results_come_in_the_order_of_the_items() -> None:
    numbers = list(range(500))
    want = [square(x) for x in numbers]
    assert list(HERE.map(square, numbers)) == want
    with ThreadPoolExecutor(3) as pool:
        assert list(Workers(pool).map(square, numbers)) == want
    assert list(HERE.map(square, [])) == list(Workers(AtOnce()).map(square, [])) == []


@pytest.mark.slow
def test_a_worker_gets_as_many_items_as_take_about_a_second() -> None:
    executor = AtOnce()
    list(Workers(executor).map(square, range(5000)))
    sizes = [len(args[2]) for args in executor.calls]
    assert sizes[: workers.AHEAD] == [1] * workers.AHEAD  # each of so many workers has some at first
    assert max(sizes) == 1 + (5000 - workers.AHEAD) // workers.AHEAD
    slow = AtOnce()
    list(Workers(slow).map(pid, range(70)))
    assert max(len(args[2]) for args in slow.calls) == 1


@pytest.mark.slow
def test_other_processes_do_the_work() -> None:
    with two_processes() as pool:
        found = set(Workers(pool).map(pid, range(20)))
    assert os.getpid() not in found
    assert len(found) <= 2


@pytest.mark.slow
def test_a_fit_and_its_studies_are_the_same_to_the_last_bit() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, 60)
    y = np.sin(3 * x) + 0.1 * rng.normal(size=60)

    def everything(executor: Executor | None) -> list[np.ndarray]:
        model = fx.Model((1, 12, 12, 1), backend="numpy", seed=1)
        options: dict[str, Any] = {"max_seconds": 300, "executor": executor}
        fit = model.fit(x, y, 0.1, prior=1.0, restarts=3, **options)
        toys, copies = (
            model.fit_replicas(x, y, 0.1, kind=kind, number=5, seed=2, **options) for kind in ("toys", "bootstrap")
        )
        bands = [
            fit.band(x[:2], method=method, number=number, seed=3, **options)
            for method, number in (("replicas", 5), ("mixture", 3), ("profile", None))
        ]
        coverage, goodness = fit.coverage(x[:3], number=5, seed=4, **options), fit.goodness(5, seed=5, **options)
        arrays = [fit.parameters, toys.parameters, copies.parameters, coverage.bias, np.array(goodness.p_toys)]
        return [*arrays, *(end for band in bands for end in (band.low, band.high))]

    here = everything(None)
    with two_processes() as pool:
        there = everything(pool)
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_starts_end_where_one_is_good_enough() -> None:
    """The later ones are cancelled, and the result is that of this process."""
    x = np.linspace(-1, 1, 200)
    y = x**2 + 0.1 * np.random.default_rng(1).normal(size=200)
    executor = AtOnce()
    here, there = (
        fx.Model((1, 25, 25, 1), backend="numpy", seed=1).fit(x, y, 0.1, prior=3.0, executor=one)
        for one in (None, executor)
    )
    np.testing.assert_array_equal(here.parameters, there.parameters)
    assert [row.start for row in here.restarts] == [row.start for row in there.restarts]


@pytest.mark.slow
def test_networks_of_a_path_are_shared_where_they_are_too_large_for_a_batch() -> None:
    x = np.linspace(-1, 1, 60)
    y = np.tanh(2 * x) + 0.1 * np.random.default_rng(1).normal(size=60)
    heard: list[fx.FitState] = []

    def fit(together: int, executor: Executor | None) -> fx.FitResult:
        tuning = fx.fitting.Tuning(path=fx.fitting.regularization_path.PathTuning(together=together))
        model = fx.Model((1, 4, 1), backend="numpy", seed=1)
        return model.fit(x, y, 0.1, tuning=tuning, callback=heard.append, executor=executor)

    executor, unused = AtOnce(), AtOnce()
    here, there, batch, also = fit(1, None), fit(1, executor), fit(10**9, None), fit(10**9, unused)
    assert len(executor.calls) > 20
    assert not unused.calls
    assert heard
    np.testing.assert_array_equal(here.parameters, there.parameters)
    np.testing.assert_array_equal(batch.parameters, also.parameters)
    np.testing.assert_allclose(here.fval, batch.fval, rtol=1e-6)


def test_a_callback_hears_of_each_start_and_can_stop_the_others() -> None:
    x = np.linspace(-1, 1, 60)
    heard: list[fx.FitState] = []

    def stop_at_the_second(state: fx.FitState) -> bool:
        heard.append(state)
        return state.start == 2

    model = fx.Model((1, 20, 20, 1), backend="numpy", seed=1)
    fit = model.fit(x, x**2, 0.1, prior=1.0, restarts=4, callback=stop_at_the_second, executor=AtOnce())
    assert "the callback returned True" in fit.message
    assert {state.start for state in heard} == {1, 2}


@pytest.mark.slow
def test_restarts_beyond_a_lot_compete_in_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers get no callback, which may not be pickled."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    x = np.linspace(-1, 1, 30)
    y = np.tanh(2 * x) + 0.1 * np.random.default_rng(1).normal(size=30)
    tuning = fx.fitting.Tuning(multi_start=fx.fitting.tuning.MultiStartTuning(most_candidates=10))
    executor, heard = AtOnce(), list[fx.FitState]()
    options: dict[str, Any] = {"prior": 1.0, "restarts": 25, "tuning": tuning, "callback": lambda s: heard.append(s)}
    here, there = (
        fx.Model((1, 2, 1), backend="numpy", seed=1).fit(x, y, 0.1, **options, executor=one) for one in (None, executor)
    )
    assert len(executor.calls) == 3
    assert heard
    assert [row.start for row in here.restarts] == list(range(1, 26))
    np.testing.assert_array_equal(here.parameters, there.parameters)


def test_what_fails_once_is_done_again() -> None:
    executor = AtOnce(lambda call: MemoryError("full") if call == 2 else None)
    assert list(Workers(executor).map(square, [1, 2, 3])) == [1, 4, 9]
    assert [args[-1] for args in executor.calls] == [0, 0, 0, 1]  # Dask would answer the same call by the same error


def test_what_fails_twice_is_named() -> None:
    executor = AtOnce(lambda call: MemoryError("full") if call in {2, 4} else None)
    with pytest.raises(WorkerError, match=r"failed twice at parts 2 to 2: MemoryError: full"):
        list(Workers(executor).map(square, [1, 2, 3]))


def never_answers(x: float) -> float:
    raise TimeoutError("no answer")


def test_an_error_of_time_in_a_task_is_its_own() -> None:
    """It is not the end of the wait for the task."""
    with pytest.raises(WorkerError, match="failed twice at parts 1 to 1: TimeoutError: no answer"):
        list(Workers(AtOnce(), time.monotonic() + 5).map(never_answers, [1.0]))


def test_a_worker_that_stops_at_the_deadline_ends_the_work() -> None:
    """Its clock may be ahead; what it has done by then counts."""

    class Ahead(AtOnce):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            *others, until, attempt = args
            return super().submit(fn, *others, until - 200 * (len(self.calls) > 0), attempt)

    found: list[float] = []
    with pytest.raises(StopMinimization, match=TIME_IS_UP):
        found.extend(Workers(Ahead(), time.monotonic() + 100).map(square, [1, 2, 3]))
    assert found == [1]


def test_a_worker_keeps_the_last_tasks_only() -> None:
    """Each may hold the data of a fit."""
    for power in range(2 * workers.TASKS):
        assert list(Workers(AtOnce()).map(partial(pow, power), [2])) == [power**2]
    assert len(workers._tasks) == workers.TASKS


@pytest.mark.slow
def test_the_work_of_a_worker_that_was_killed_is_done_here(tmp_path: Any) -> None:
    marker = str(tmp_path / "killed")
    with two_processes() as pool, pytest.warns(FfnnXpWarning, match="this process does the rest of the work by itself"):
        assert list(Workers(pool).map(dies_once, [marker] * 20)) == [1] * 20


def test_an_executor_that_breaks_is_no_longer_asked() -> None:
    executor = AtOnce(lambda call: BrokenProcessPool("a process was killed") if call >= 3 else None)
    with pytest.warns(FfnnXpWarning, match="this process does the rest of the work by itself") as warned:
        assert list(Workers(executor).map(square, range(6))) == [0, 1, 4, 9, 16, 25]
    assert len(warned) == 1

    def fails_and_breaks(call: int) -> BaseException | None:
        if call == 1:
            return MemoryError("full")
        raise BrokenProcessPool("gone")

    with pytest.warns(FfnnXpWarning, match="this process does the rest of the work by itself"):
        assert list(Workers(AtOnce(fails_and_breaks)).map(square, [3])) == [9]

    class Broken(AtOnce):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            if self.calls:
                raise BrokenExecutor("gone")
            return super().submit(fn, *args, **kwargs)

    with pytest.warns(FfnnXpWarning, match="this process does the rest of the work by itself"):
        assert list(Workers(Broken()).map(square, [1, 2, 3])) == [1, 4, 9]


def test_executors_that_are_none_or_shut_down() -> None:
    for wrong in (4, "processes"):
        with pytest.raises(TypeError, match="must have the method `submit`, such as concurrent"):
            fx.Model((1, 1), seed=1).fit([0.0, 1.0], [0.0, 1.0], 0.1, prior=None, executor=wrong)  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as pool:
        pass
    with pytest.raises(ValueError, match=r"takes no work \(RuntimeError: .*\): make the call within its `with` block"):
        list(Workers(pool).map(square, [1]))


def test_a_deadline_ends_the_wait_and_cancels_the_rest() -> None:
    release = threading.Event()

    class Slow(AtOnce):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.calls.append(args)
            self.futures = [*getattr(self, "futures", []), Future[Any]()]
            return self.futures[-1]

    executor = Slow()
    with pytest.raises(StopMinimization, match=TIME_IS_UP):
        list(Workers(executor, time.monotonic() + 0.2).map(square, range(5)))
    assert all(future.cancelled() for future in executor.futures)
    release.set()


def until(_: object) -> float:
    return deadline_in_force()


def test_a_worker_knows_the_deadline() -> None:
    deadline = time.monotonic() + 1000
    for executor in (None, AtOnce()):
        (found,) = Workers(executor, deadline).map(until, [None])
        assert found == pytest.approx(deadline, abs=0.1)
        assert list(Workers(executor).map(until, [None])) == [np.inf]


def test_toys_that_time_is_up_for_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.linspace(-1, 1, 60)
    fit = fx.Model((1, 3, 1), backend="numpy", seed=1).fit(x, x**2, 0.1, prior=1.0)
    found = fit.goodness(1000, seed=1, max_seconds=1e-6, executor=AtOnce())
    assert found.stopped == f"{TIME_IS_UP}, after 0 of 1000 toys"


def test_what_cannot_be_pickled_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    own = fx.Activation(
        "own", lambda xp, z: xp.tanh(z), lambda xp, z, a: 1 - a * a, lambda xp, z, a: -2 * a * (1 - a * a)
    )
    x = np.linspace(-1, 1, 40)
    model = fx.Model((1, 3, 1), activation=own, backend="numpy", seed=1)
    fit = model.fit(x, x, 0.1, prior=1.0)
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(TypeError, match=r"f \(.*lambda.*\) of part 0 of _activations of model .* cannot be .*pickle"):
        fit.goodness(10, seed=1, executor=AtOnce())


def test_cloudpickle_takes_what_pickle_does_not() -> None:
    pytest.importorskip("cloudpickle")
    assert __import__("pickle").loads(pickled(lambda x: x + 1))(1) == 2
