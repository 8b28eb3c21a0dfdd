"""An executor that notes what it is given, for tests of those that take one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class AtOnce(Executor):
    """Runs everything where it is submitted, but fails at some of the calls."""

    def __init__(self, fails: Callable[[int], BaseException | None] = lambda call: None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fails = fails

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls.append(args)
        future: Future[Any] = Future()
        error = self.fails(len(self.calls))
        if error is not None:
            future.set_exception(error)
            return future
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as of_task:
            future.set_exception(of_task)
        return future
