"""Threads over blocks: the same sums, errors and settings as without them."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import ffnn_xp as fx
from ffnn_xp.backends import threads
from ffnn_xp.objective.chunking import SumKind


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFNN_XP_THREADS", "2")


def join(a: list[int], b: list[int]) -> list[int]:
    return a + b


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize(
    ("ours", "theirs", "number"), [("3", "2", 3), (None, "2", 2), ("", "5", 5), ("0", "2", 2), ("many", "2", 2)]
)
def test_how_many(monkeypatch: pytest.MonkeyPatch, ours: str | None, theirs: str, number: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", theirs)
    if ours is None:
        monkeypatch.delenv("FFNN_XP_THREADS", raising=False)
    else:
        monkeypatch.setenv("FFNN_XP_THREADS", ours)
    assert threads.thread_count() == number


def test_as_many_as_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert threads.thread_count() >= 1


@pytest.mark.parametrize("number", ["1", "2", "3", "8"])
@pytest.mark.parametrize("items", [1, 2, 5, 16])
def test_the_order_of_the_items_is_kept(monkeypatch: pytest.MonkeyPatch, number: str, items: int) -> None:
    monkeypatch.setenv("FFNN_XP_THREADS", number)
    assert threads.sum_in_parts(lambda i: [i], range(items), join) == list(range(items))


def test_the_parts_run_beside_each_other(two: None) -> None:
    """Each waits for the other: one after the other they would wait for ever."""
    meeting = threading.Barrier(2, timeout=30)
    names = threads.sum_in_parts(lambda i: [meeting.wait() and threading.current_thread().name], range(2), join)
    assert len(names) == 2


def test_numpys_error_state_goes_along(two: None) -> None:
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        threads.sum_in_parts(lambda i: np.exp(np.full(2, 1000.0 * i)), range(2), np.add)
    with np.errstate(over="ignore"):
        assert np.all(np.isinf(threads.sum_in_parts(lambda i: np.exp(np.full(2, 1000.0 * i)), range(2), np.add)))


@pytest.mark.parametrize("bad", [0, 1])
def test_an_error_in_a_part_is_raised_and_the_next_sum_is_right(two: None, bad: int) -> None:
    def f(i: int) -> int:
        if i == bad:
            raise KeyError(i)
        return i

    with pytest.raises(KeyError):
        threads.sum_in_parts(f, range(2), lambda a, b: a + b)
    assert threads.sum_in_parts(lambda i: i, range(4), lambda a, b: a + b) == 6


def test_blas_is_held_and_restored() -> None:
    before = blas_threads()
    with threads.one_blas_thread():
        assert blas_threads() == {1}
    assert blas_threads() == before


def test_blas_is_restored_after_overlapping_users() -> None:
    """A begins, B begins, A ends, B ends, in two threads; a context inside another changes nothing."""
    before = blas_threads()
    a_inside, b_inside, a_done = (threading.Event() for _ in range(3))

    def first() -> None:
        with threads.one_blas_thread(), threads.one_blas_thread():
            a_inside.set()
            assert b_inside.wait(30)
            assert blas_threads() == {1}
        a_done.set()

    def second() -> None:
        assert a_inside.wait(30)
        with contextlib.suppress(KeyError), threads.one_blas_thread():
            assert blas_threads() == {1}
            b_inside.set()
            assert a_done.wait(30)
            raise KeyError

    with ThreadPoolExecutor(2) as pool:
        for end in [pool.submit(f) for f in (first, second)]:
            end.result()
    assert blas_threads() == before
    with threads.one_blas_thread():
        with threads.one_blas_thread():
            pass
        assert blas_threads() == {1}
    assert blas_threads() == before


def blas_in_a_child(queue: multiprocessing.Queue) -> None:  # pragma: no cover - measured in the child
    with threads.one_blas_thread():
        inside = blas_threads()
    queue.put((inside, blas_threads()))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_child_of_a_fork_in_a_fit_has_a_limit_of_its_own() -> None:
    before, context = blas_threads(), multiprocessing.get_context("fork")
    queue = context.Queue()
    with threads._limit, contextlib.ExitStack() as stack:  # the lock is held by another thread at the fork
        child = context.Process(target=blas_in_a_child, args=(queue,))
        child.start()
        stack.callback(child.kill)
        assert queue.get(timeout=30) == ({1}, before)
    child.join(5)


def wide_problem() -> tuple[fx.Model, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    model = fx.Model((4, 20, 20, 2), backend="numpy", seed=1)
    x = rng.normal(size=(30_000, 4))
    return model, x, rng.normal(size=(30_000, 2))


def test_a_wide_network_costs_the_same_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y = wide_problem()
    results = []
    for number in ("1", "2"):
        monkeypatch.setenv("FFNN_XP_THREADS", number)
        cost = fx.LeastSquares(x, y, 1.0, model)
        assert cost.objective._sizes.threads(SumKind(matrices=False)) == int(number)
        results.append((cost(model.parameters), cost.grad(model.parameters)))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-13)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=0, atol=1e-12 * np.max(np.abs(results[0][1])))


def in_a_child(queue: multiprocessing.Queue) -> None:  # pragma: no cover - measured in the child
    queue.put(threads.sum_in_parts(lambda i: i, range(10), lambda a, b: a + b))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_after_a_fork(two: None) -> None:
    """The parent's threads are not in the child: it makes its own, and does not wait for those for ever."""
    assert threads.sum_in_parts(lambda i: i, range(10), lambda a, b: a + b) == 45
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_a_child, args=(queue,))
    child.start()
    try:
        assert queue.get(timeout=30) == 45
    finally:
        child.join(5)
        child.kill()


def test_a_models_own_number_goes_before_the_environments(two: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is kept in pickles and copies; the sums are the same."""
    used: list[int] = []
    pool = threads._pool

    def watched(process: int, workers: int) -> object:
        used.append(workers + 1)
        return pool(process, workers)

    monkeypatch.setattr(threads, "_pool", watched)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40_000, 2))
    values = []
    for asked, want in ((None, 2), (1, 1), (3, 3)):
        used.clear()
        model = fx.Model((2, 20, 20, 1), backend="numpy", seed=1, threads=asked)
        again = pickle.loads(pickle.dumps(model))
        assert again.backend.threads == asked
        cost = fx.LeastSquares(x, x[:, 0], 0.1, again)
        values.append(cost(cost.start))
        assert set(used or [1]) == {want}
    np.testing.assert_allclose(values, values[0], rtol=1e-12)
    same = fx.get_backend(fx.get_backend("numpy"), threads=4)
    assert same.threads == 4


@pytest.mark.parametrize("threads", [0, -1, 1.5, True])
def test_threads_must_be_a_positive_number(threads: int) -> None:
    with pytest.raises(ValueError, match="`threads` must be a positive integer"):
        fx.Model((1, 1), threads=threads)
