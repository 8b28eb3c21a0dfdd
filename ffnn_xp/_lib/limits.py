"""Limits of a computation: a deadline, the user's callback, or Ctrl-C ends it early, with the best so far.

Code that takes long calls `stop_if_due`, which raises `StopMinimization` once the deadline of the `limited` block
around it has passed, or once the user has pressed Ctrl-C in the `Watch` around it. What has partial results runs in a
`stoppable` block, keeps them, and says why it was stopped.

The first Ctrl-C does no more than that, so that nothing is left half done; the second raises `KeyboardInterrupt` at
once. At the end of an `interruptible` block a script gets its `KeyboardInterrupt`; an interactive session goes on, and
gets what was kept. So does a program with a `Watch` of its own, which may hear other signals too.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np

from ffnn_xp._lib import journal

INTERRUPTED = "interrupted by the user"
TIME_IS_UP = "the time given by max_seconds is up"
PYTHONS_OWN = {signal.SIGINT: signal.default_int_handler}  # handlers; those of all other signals are SIG_DFL
EIGENVECTORS = 3e-10  # seconds of an eigen-decomposition over p^3, on one processor


class StopMinimization(Exception):  # noqa: N818, an ending and no error
    """An exception that ends a computation: its budget is used up, the user interrupted it, or a callback did."""


# Threads that share the work of a computation run in a copy of its context: its limits are theirs too.
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)  # None outside of `limited` blocks
_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@dataclass
class Stop:
    """The reason why a block was stopped; empty if it came to its end."""

    reason: str = ""

    def after(self, done: int, number: int, what: str) -> str:
        """Return the reason with how much was done; empty if the block came to its end."""
        return f"{self.reason}, after {done} of {number} {what}" if self.reason else ""


def deadline_of(max_seconds: Any, began: float) -> float:
    """Return the deadline of a computation that began at this `time.monotonic` value; infinite without a limit.

    Raises
    ------
    ValueError
        If the limit is no positive number.

    Examples
    --------
    >>> deadline_of(3, began=100.0), deadline_of(None, began=100.0)
    (103.0, inf)
    """
    if max_seconds is None:
        return np.inf
    if isinstance(max_seconds, bool) or not (isinstance(max_seconds, int | float | np.number) and max_seconds > 0):
        raise ValueError(f"`max_seconds` must be positive, got {max_seconds!r}")
    return began + float(max_seconds)


def deadline_in_force() -> float:
    """Return the deadline of the `limited` block around this code; infinite outside of one."""
    deadline = _deadline.get()
    return np.inf if deadline is None else deadline


def interrupted() -> bool:
    """Return True once the user has interrupted the computation."""
    watch = _watch.get()
    return watch is not None and watch.interrupted


def stop_if_due(seconds: float = 0.0) -> None:
    """Raise `StopMinimization` in a `limited` block if there are not so many seconds left, or Ctrl-C was pressed."""
    journal.tick()
    deadline = _deadline.get()
    if deadline is None:
        return
    if interrupted():
        raise StopMinimization(INTERRUPTED)
    if deadline < np.inf and time.monotonic() + seconds > deadline:
        raise StopMinimization(TIME_IS_UP)


def before_eigenvectors(p: int) -> None:
    """Raise `StopMinimization` if there is no time for eigenvectors ``(p, p)``, which nothing can stop."""
    stop_if_due(EIGENVECTORS * p**3)


class limited:  # noqa: N801, a block like those of `contextmanager`, which would cost more than a small evaluation
    """A block in which `stop_if_due` stops after the deadline; the deadline of a block around it holds too.

    Parameters
    ----------
    deadline : float or None
        `time.monotonic` value; infinite for Ctrl-C alone, None for a block that nothing stops.
    """

    __slots__ = ("deadline", "token")

    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline

    def __enter__(self) -> None:
        before, deadline = _deadline.get(), self.deadline
        self.token = _deadline.set(deadline if deadline is None or before is None or deadline < before else before)

    def __exit__(self, *error: object) -> None:
        _deadline.reset(self.token)


@contextmanager
def stoppable(deadline: float = np.inf) -> Iterator[Stop]:
    """Run a block until it is stopped, also by a callback that raises `KeyboardInterrupt`; the second one is raised.

    Parameters
    ----------
    deadline : float
        `time.monotonic` value after which `stop_if_due` stops it.

    Examples
    --------
    >>> with stoppable(deadline=time.monotonic() - 1) as stop:
    ...     stop_if_due()
    >>> stop.reason
    'the time given by max_seconds is up'
    """
    stop = Stop()
    try:
        with limited(deadline):
            yield stop
    except StopMinimization as reason:
        stop.reason = str(reason)
        journal.stopped_early()
    except KeyboardInterrupt:
        journal.stopped_early()
        watch = _watch.get()
        if watch is not None:
            if watch.interrupted:
                raise
            watch.interrupted = True
        stop.reason = INTERRUPTED


@dataclass
class Watch:
    """A block in which the first signal is noted, so that computations stop where they look for it; a later one raises.

    Signals that are ignored, as by ``nohup``, and those with a handler of the user's own stay what they are. Python
    tells the main thread alone of signals.

    Parameters
    ----------
    names : sequence of str
        The signals, of which each system has some.
    together : float
        Seconds within which signals are one.

    Attributes
    ----------
    interrupted : bool
        True once there was a signal.
    name : str
        The first signal.
    held : bool
        Set it to True to have later signals wait for the end of the block.

    Raises
    ------
    KeyboardInterrupt
        At a later signal, and instead of an exception after the first one; its argument is the name of the signal.
    """

    names: Sequence[str] = ("SIGINT",)
    together: float = 0.0
    interrupted: bool = field(default=False, init=False)
    name: str = field(default="SIGINT", init=False)
    held: bool = field(default=False, init=False)
    _patience: float = field(default=-np.inf, init=False)
    _before: dict[int, Any] = field(default_factory=dict, init=False)
    _token: Token[Watch | None] = field(init=False)

    def __enter__(self) -> Watch:
        self._token = _watch.set(self)
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in self.names if hasattr(signal, name)):
                if signal.getsignal(number) == PYTHONS_OWN.get(number, signal.SIG_DFL):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._note:
                signal.signal(number, handler)
        _watch.reset(self._token)
        if self.interrupted and isinstance(error, Exception):
            raise KeyboardInterrupt(self.name) from error

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.interrupted:
            self.interrupted, self.name, self._patience = True, signal.Signals(number).name, now + self.together
        elif now >= self._patience and not self.held:
            raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def interruptible() -> Iterator[Stop]:
    """Stop this block where it next looks for that when the user presses Ctrl-C, and at once when they press it again.

    At its end a script gets a `KeyboardInterrupt`. An interactive session goes on with what was kept, if the block says
    so by the `reason` of the object that it gets: what came too late to stop anything is a `KeyboardInterrupt` too. A
    block in a `Watch` is part of it. Threads other than the main one hear no Ctrl-C, but a callback may raise
    `KeyboardInterrupt`.
    """
    stop = Stop()
    if _watch.get() is not None:
        yield stop
        return
    with Watch() as watch:
        yield stop
        if watch.interrupted and not (INTERRUPTED in stop.reason and is_interactive()):
            raise KeyboardInterrupt


def is_interactive() -> bool:
    """Return True in a terminal session of Python or IPython, and in a notebook."""
    ipython = sys.modules.get("IPython")
    notebook = ipython is not None and ipython.get_ipython() is not None
    return bool(sys.flags.interactive) or hasattr(sys, "ps1") or notebook
