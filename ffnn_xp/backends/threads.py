"""Threads over event chunks, for NumPy, whose products release the interpreter's lock.

BLAS itself is limited to one thread meanwhile (`threadpoolctl`): the matrices of small networks are too small for
several, and its threads wait for each other by spinning, which on a busy machine makes everything many times slower.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache, reduce
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Part = TypeVar("Part")

VARIABLES = ("FFNN_XP_THREADS", "OMP_NUM_THREADS")


def thread_count() -> int:
    """Return the number of threads, from FFNN_XP_THREADS, else OMP_NUM_THREADS, else the processors of this process.

    Joblib and Dask set OMP_NUM_THREADS for their workers, so that these do not take each other's processors.
    """
    for name in VARIABLES:
        value = os.environ.get(name, "").strip()
        if value.isdigit() and int(value) > 0:
            return int(value)
    return processor_count()


def processor_count() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_limit = threading.Lock()  # held by the one context, of all threads, that limits BLAS


def _after_fork() -> None:
    """Give a child a lock of its own: the thread that holds the parent's is not in the child."""
    global _limit
    _limit = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit NumPy's and SciPy's BLAS to one thread, unless it is limited already, by this or another thread.

    The context that set the limit ends it, from the same thread, as OpenBLAS may heed no other. Contexts of other
    threads that are still open then go on without a limit, which costs time alone.
    """
    limit = _limit
    if not limit.acquire(blocking=False):
        yield
        return
    try:
        with _libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        limit.release()


def sum_in_parts(
    f: Callable[[Item], Part],
    items: Sequence[Item],
    add: Callable[[Part, Part], Part],
    threads: int | None = None,
) -> Part:
    """Sum f over all items; each thread takes a run of neighbours, in order.

    The number of `threads` is that of the environment, if it is None.

    Examples
    --------
    >>> sum_in_parts(lambda i: i * i, range(1, 5), lambda a, b: a + b)
    30
    """
    parts = min(threads or thread_count(), len(items)) if len(items) > 1 else 1
    if parts < 2:
        return reduce(add, map(f, items))
    ends = [len(items) * i // parts for i in range(parts + 1)]

    def run(i: int) -> Part:
        return reduce(add, map(f, items[ends[i] : ends[i + 1]]))

    with one_blas_thread():
        others = [_pool(os.getpid(), parts - 1).submit(copy_context().run, run, i) for i in range(1, parts)]
        return reduce(add, [run(0), *(part.result() for part in others)])


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


@cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """Return the threads of a process, made once; they do not survive a fork."""
    return ThreadPoolExecutor(workers, thread_name_prefix="ffnn_xp")
