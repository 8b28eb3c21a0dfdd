"""Independent tasks, done here or by the workers of a `concurrent.futures.Executor`, with the same results.

A task is a function that can be pickled, of an item that holds all else that it needs, the seeds of random numbers
included. What an item is does not depend on the workers, and so neither does any result; how many items a worker gets
at a time follows from the seconds that they take. Results come in the order of the items.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import signal
import threading
import time
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from operator import length_hint
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from ffnn_xp._lib import journal
from ffnn_xp._lib.errors import FfnnXpWarning, WorkerError, outside_the_package
from ffnn_xp._lib.journal import is_recorded, keeping, recorded
from ffnn_xp._lib.limits import StopMinimization, limited, stop_if_due, stoppable
from ffnn_xp._lib.pickles import pickled
from ffnn_xp._lib.progress import tick
from ffnn_xp.backends import one_blas_thread

Item = TypeVar("Item")
Result = TypeVar("Result")

SECONDS = 1.0  # of work that a worker gets at a time; more: fewer messages, more is lost with a worker
AHEAD = 64  # pieces of work that wait for workers at most, so that each of so many workers has some
WAITING_BYTES = 2**28  # in pickles of tasks that wait
TASKS = 4  # that a worker keeps, unpickled
POLL = 0.05  # seconds after which the process that waits looks whether it should stop


@dataclass(frozen=True)
class Workers:
    """Runs independent tasks, in this process or by the workers of an executor.

    Parameters
    ----------
    executor : concurrent.futures.Executor, optional
        Any object with their method `submit`: processes, Dask's ``client.get_executor()``, mpi4py.futures, Parsl, loky.
    deadline : float
        `time.monotonic` value at which they stop.

    Raises
    ------
    TypeError
        If it is no executor.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import math
    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(Workers(pool).map(math.sqrt, [1.0, 4.0, 9.0]))
    [1.0, 2.0, 3.0]
    """

    executor: Executor | None = None
    deadline: float = np.inf

    def __post_init__(self) -> None:
        """Check that work can be given to the executor."""
        if self.executor is not None and not callable(getattr(self.executor, "submit", None)):
            hint = "Dask's Client has one, client.get_executor()" if hasattr(self.executor, "scheduler_info") else ""
            hint = hint or "such as concurrent.futures.ProcessPoolExecutor()"
            raise TypeError(f"`executor` must have the method `submit`, {hint}; got {self.executor!r}")

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the task's result for each item, in order; items are taken no earlier than workers need them.

        Results that a checkpoint has are those of the first items.

        Raises
        ------
        StopMinimization
            At the deadline, and after Ctrl-C. Work that no worker has begun is cancelled.
        TypeError
            If the task cannot be pickled; the message says which part.
        WorkerError
            If a worker failed twice at the same items.
        """
        name, left = getattr(task, "__name__", type(task).__name__), iter(items)
        if self.executor is None:
            for item in left:
                yield recorded(name, partial(_done_here, task, item, self.deadline))
            return
        while is_recorded(name) and (item := next(left, _NOTHING)) is not _NOTHING:
            yield recorded(name, partial(_done_here, task, item, self.deadline))
        for result in _Distribution(self.executor, task, left, self.deadline).results():
            yield recorded(name, partial(_same, result))


_NOTHING: Any = object()  # where there is no item left


def _same(result: Result) -> Result:
    return result


HERE = Workers()
"""This process, without a deadline."""


def _done_here(task: Callable[[Item], Result], item: Item, deadline: float) -> Result:
    """Do a task in this process."""
    with limited(deadline), one_blas_thread():
        stop_if_due()
        return task(item)


class _Done(NamedTuple):
    """The results of a worker, the seconds that they took, and why there are fewer than items, if so."""

    results: list[Any]
    seconds: float
    stopped: str = ""


@dataclass(frozen=True)
class _Piece(Generic[Item]):
    """Some items that a worker gets together."""

    first: int
    items: Sequence[Item]
    future: Future[_Done]
    attempt: int


class _Distribution(Generic[Item, Result]):
    """The distribution of items over the workers of an executor."""

    def __init__(
        self, executor: Executor, task: Callable[[Item], Result], items: Iterable[Item], deadline: float
    ) -> None:
        self.executor, self.task, self.deadline = executor, task, deadline
        self.left, self.number = iter(items), length_hint(items, 0)
        self.pickled = pickled(task)
        self.key = hashlib.sha256(self.pickled).hexdigest()
        self.ahead = int(np.clip(WAITING_BYTES // len(self.pickled), 4, AHEAD))
        self.broken = ""

    def results(self) -> Iterator[Result]:
        """Yield results in order, and cancel what is left when nobody asks for more."""
        waiting: deque[_Piece[Item]] = deque()
        given, done, seconds = 0, 0, 0.0
        try:
            while True:
                while len(waiting) < self.ahead and not self.broken:
                    each, most = seconds / done if done else SECONDS, 1 + max(self.number - given, 0) // self.ahead
                    number = int(np.clip(SECONDS / max(each, 1e-9), 1, most))
                    items = list(islice(self.left, number))
                    piece = self._given(given, items) if items else None
                    if piece is None:
                        self.left = chain(items, self.left)
                        break
                    waiting.append(piece)
                    given += len(items)
                if not waiting:
                    break
                piece = waiting.popleft()
                of_worker = self._taken(piece)
                done, seconds = done + len(piece.items), seconds + of_worker.seconds
                yield from of_worker.results
                if of_worker.stopped:
                    raise StopMinimization(of_worker.stopped)
            for item in self.left:  # nobody takes work any more
                yield self._done_alone(item)
        finally:
            for piece in waiting:
                piece.future.cancel()

    def _given(self, first: int, items: Sequence[Item], attempt: int = 0) -> _Piece[Item] | None:
        """Give items to the executor; return None if it takes none any more."""
        try:  # the attempt is an argument since Dask answers the same call by the same result, which may be an error
            seconds = self.deadline - time.monotonic()
            future = self.executor.submit(_done_there, self.key, self.pickled, items, time.time() + seconds, attempt)
        except Exception as error:
            if not first and not attempt:
                raise ValueError(
                    f"`executor` takes no work ({type(error).__name__}: {error}): make the call within its `with` block"
                ) from error
            self._breaks(error)
            return None
        return _Piece(first, items, future, attempt)

    def _taken(self, piece: _Piece[Item]) -> _Done:
        """Wait for a piece; do it again if a worker failed at it, here if the executor is broken."""
        try:
            return self._waited(piece.future)
        except (StopMinimization, KeyboardInterrupt):
            piece.future.cancel()
            raise
        except (BrokenExecutor, CancelledError) as error:
            self._breaks(error)
        except Exception as error:
            if piece.attempt:
                raise WorkerError(
                    f"a worker failed twice at parts {piece.first + 1} to {piece.first + len(piece.items)}: "
                    f"{type(error).__name__}: {error}"
                ) from error
            again = self._given(piece.first, piece.items, attempt=1)
            if again is not None:
                return self._taken(again)
        began = time.monotonic()
        results = [self._done_alone(item) for item in piece.items]
        return _Done(results, time.monotonic() - began)

    def _done_alone(self, item: Item) -> Result:
        """Do the task in this process as a worker would: a checkpoint has whole items alone."""
        with keeping(None):
            return _done_here(self.task, item, self.deadline)

    def _waited(self, future: Future[_Done]) -> _Done:
        """Return the result of a future, unless the deadline or Ctrl-C comes first."""
        while True:
            with limited(self.deadline):
                stop_if_due()
            tick()
            journal.tick()
            try:
                return future.result(timeout=POLL)
            except NotYetError:
                if future.done():  # it is the task's own error, or the result came just now
                    return future.result()

    def _breaks(self, error: BaseException) -> None:
        """Note that the executor takes no work any more, and say so once."""
        if not self.broken:
            self.broken = f"{type(error).__name__}: {error}"
            warnings.warn(
                "the executor is broken, perhaps since a worker was killed: this process does the rest of the work by "
                f"itself ({self.broken})",
                FfnnXpWarning,
                stacklevel=outside_the_package(),
            )


_tasks: OrderedDict[str, Callable[[Any], Any]] = OrderedDict()
_lock = threading.Lock()


def _done_there(key: str, task: bytes, items: Sequence[Any], until: float, attempt: int) -> _Done:
    """Do a task for some items in a worker, until a time of the clock."""
    began = time.monotonic()
    if multiprocessing.parent_process() is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that gave the work hears Ctrl-C, and stops it
    with _lock:
        if key not in _tasks:
            _tasks[key] = pickle.loads(task)
            while len(_tasks) > TASKS:
                _tasks.popitem(last=False)
        own = _tasks[key]
    results: list[Any] = []
    with keeping(None), stoppable(began + until - time.time()) as stop, one_blas_thread():
        for item in items:
            stop_if_due()
            results.append(own(item))
    return _Done(results, time.monotonic() - began, stop.reason)
