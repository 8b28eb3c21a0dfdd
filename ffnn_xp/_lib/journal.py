"""Journals of long computations, kept in files: the same call goes on where a killed process was.

A computation is made of steps, in an order that is the same each time. `recorded` computes a step and keeps its result;
in a call with the same file it returns what is kept, so that all that follows is the same to the last bit. Steps may
have steps in them, which are kept until the outer one has a result. A minimization that takes long asks by `resumed`
where to begin: at the best point that is kept. Outside of a `keeping` block all of this costs next to nothing.

The file is written when half of `INTERVAL` has passed, at the end of the block, whatever ends it, and at SIGTERM. Once
a time limit, Ctrl-C or a callback has stopped a part of the computation, nothing more is kept: what follows is not what
would have followed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, is_dataclass
from enum import Enum
from types import FrameType
from typing import Any, TypeVar

import numpy as np

from ffnn_xp._lib.atomic import check_readable, check_writable, write_file
from ffnn_xp._lib.errors import FfnnXpWarning, outside_the_package
from ffnn_xp._lib.typing import HostArray, PathLike
from ffnn_xp._lib.validation import Seed
from ffnn_xp._lib.version import __version__

INTERVAL = 10.0  # seconds of work that a killed process loses at most; fewer: the file is written more often
OLD = 5.0  # seconds from which on a minimization is kept before its end; fewer: more fits differ in last digits
MAGIC = b"ffnn_xp checkpoint 1\n"
ARRAYS = ("_reconstruct", "scalar", "_frombuffer", "ndarray", "dtype")  # of NumPy, what pickles of arrays name
Result = TypeVar("Result")

_journal: ContextVar[Journal | None] = ContextVar("journal", default=None)


@dataclass
class Step:
    """A step of a computation: its result, or the steps in it and the best point so far, each as a pickle."""

    name: str
    result: bytes | None = None
    best: bytes | None = None
    inner: list[Step] = field(default_factory=list)

    def plain(self) -> tuple[Any, ...]:
        """Return the step as a tuple of builtin types."""
        return self.name, self.result, self.best, [step.plain() for step in self.inner]

    @classmethod
    def of(cls, name: str, result: bytes | None, best: bytes | None, inner: list[Any]) -> Step:
        """Return the step that a tuple describes."""
        return cls(name, result, best, [cls.of(*step) for step in inner])


@dataclass
class _Open:
    """A step that is being computed, how many of its inner steps have begun, and where its best point is known."""

    step: Step
    began: float
    at: int = 0
    best: Callable[[], HostArray | None] = lambda: None

    def note(self) -> None:
        """Keep the best point, if the step is old enough: short ones are computed again, to the same bits."""
        best = self.best() if time.monotonic() - self.began > OLD else None
        if best is not None:
            self.step.best = pickle.dumps(best)


class Journal:
    """The steps of a computation, and the file that keeps them.

    Parameters
    ----------
    path : path-like
        The file.
    identity : mapping of str to str
        What the computation is of, by names: a file with another identity is refused.

    Raises
    ------
    ValueError
        If the file is that of another call or version, or is damaged.
    OSError
        If it cannot be read.
    """

    def __init__(self, path: PathLike, identity: Mapping[str, str]) -> None:
        self.path, self.identity = path, dict(identity)
        self.closed, self.thread, self.kept = False, threading.get_ident(), b""
        self.written = time.monotonic()
        root = Step("all")
        if os.path.lexists(path):
            check_readable(path, "a checkpoint")
            with open(path, "rb") as file:
                self.kept = file.read()
            root = Step.of(*_loads(_body(os.fspath(path), self.kept, self.identity)))
        self.open = [_Open(root, self.written)]

    def step(self, name: str, compute: Callable[[], Result]) -> Result:
        """Return the result of the next step."""
        if self.closed:
            return compute()
        outer = self.open[-1]
        if outer.at == len(outer.step.inner):
            outer.step.inner.append(Step(name))
        step = outer.step.inner[outer.at]
        if step.name != name:
            raise ValueError(
                f"{os.fspath(self.path)!r} has {step.name!r} where this call has {name!r}: it was written by another "
                "version of ffnn_xp or on another machine; delete it, and the call begins anew"
            )
        outer.at += 1
        if step.result is not None:
            return _loads(step.result)  # type: ignore[no-any-return]
        own = _Open(step, time.monotonic())
        self.open.append(own)
        try:
            result = compute()
        except BaseException:
            own.note()
            raise
        finally:
            self.open.pop()
        if getattr(result, "stopped", ""):
            self.closed = True
        if not self.closed:
            step.result, step.best, step.inner = pickle.dumps(result, pickle.HIGHEST_PROTOCOL), None, []
        self.tick()
        return result

    def has(self, name: str) -> bool:
        """Return True if the next step has this name and a result."""
        outer = self.open[-1]
        following = outer.step.inner[outer.at : outer.at + 1]
        return not self.closed and any(step.name == name and step.result is not None for step in following)

    def tick(self) -> None:
        """Write the file if it is time to."""
        due = time.monotonic() - self.written > INTERVAL / 2
        if due and not self.closed and threading.get_ident() == self.thread:
            self.write()

    def write(self) -> None:
        """Write the file, unless it is as it should be; where it cannot be written, the computation goes on."""
        if not self.closed:
            self.open[-1].note()
        body = pickle.dumps(self.open[0].step.plain(), pickle.HIGHEST_PROTOCOL)
        head = {"version": __version__, "identity": self.identity, "sha256": hashlib.sha256(body).hexdigest()}
        content = MAGIC + json.dumps(head).encode() + b"\n" + body
        try:
            if content != self.kept:
                write_file(self.path, content)
                self.kept = content
        except OSError as error:
            warnings.warn(f"no checkpoint: {error}", FfnnXpWarning, stacklevel=outside_the_package())
        self.written = time.monotonic()


def recorded(name: str, compute: Callable[[], Result]) -> Result:
    """Return the result of a step: what is kept of it, or what is computed now, and kept.

    Parameters
    ----------
    name : str
        The name of the step, the same each time.
    compute : callable
        Computes the result, which can be pickled.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for _ in range(2):
    ...         with keeping(f"{folder}/sums.checkpoint", lambda: {"numbers": "1 2"}):
    ...             total = recorded("sum", lambda: print("computed") or 1 + 2)
    computed
    >>> total
    3
    """
    journal = _journal.get()
    return compute() if journal is None else journal.step(name, compute)


def is_recorded(name: str) -> bool:
    """Return True if the next step has this name and is kept."""
    journal = _journal.get()
    return journal is not None and journal.has(name)


def recorded_seed(seed: Seed) -> Seed:
    """Return a seed, or one at random where it is None, which is kept."""
    return recorded("seed", lambda: int(np.random.SeedSequence().generate_state(1)[0])) if seed is None else seed


def resumed(theta: HostArray, best: Callable[[], HostArray | None]) -> HostArray:
    """Return where the minimization of this step begins: at theta ``(p,)``, or at the best point that is kept of it.

    `best` returns the best point so far, while the step takes.
    """
    journal = _journal.get()
    if journal is None or journal.closed:
        return theta
    own = journal.open[-1]
    own.best = best
    return theta if own.step.best is None else np.asarray(_loads(own.step.best), dtype=np.float64)


def tick() -> None:
    """Write the file if it is time to; evaluations call it."""
    journal = _journal.get()
    if journal is not None:
        journal.tick()


def stopped_early() -> None:
    """Keep nothing more, since a part of the computation was stopped, and what follows depends on that."""
    journal = _journal.get()
    if journal is not None:
        journal.closed = True


@contextmanager
def keeping(path: PathLike | None, identity: Callable[[], Mapping[str, str]] = dict) -> Iterator[None]:
    """Keep the steps of a block in a file, and take from it those that are there; None keeps nothing.

    Parameters
    ----------
    path : path-like or None
        The file, new, or that of the same call.
    identity : callable
        Returns what the block computes from, as digests by names.

    Raises
    ------
    ValueError, OSError
        If the file is no checkpoint of this call, or cannot be read or written; it stays as it is.
    """
    if path is not None:
        check_file(path)
    journal = None if path is None else Journal(path, identity())
    token = _journal.set(journal)
    try:
        if journal is None:
            yield
            return
        try:
            with _at_the_end_of_the_process(journal.write):
                yield
        finally:
            journal.write()
    finally:
        _journal.reset(token)


def check_file(path: Any) -> None:
    """Raise now if this cannot be the file of a checkpoint.

    Raises
    ------
    TypeError, OSError
        If it is no path, or could not be written.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"`checkpoint` must be the name of a file, such as 'fit.checkpoint', got {path!r}")
    check_writable(path)


@contextmanager
def _at_the_end_of_the_process(write: Callable[[], None]) -> Iterator[None]:
    """Write when SIGTERM ends the process, as batch systems have it, unless a handler of the program's own hears it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        write()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _body(name: str, content: bytes, identity: Mapping[str, str]) -> bytes:
    """Return the pickle in a file, checked to be whole and of this call."""
    anew = "give another name, or delete it, and the call begins anew"
    if not content.startswith(MAGIC):
        raise ValueError(f"{name!r} is no checkpoint of ffnn_xp: give another name")
    line, _, body = content[len(MAGIC) :].partition(b"\n")
    try:
        head = json.loads(line)
        version, theirs, checksum = head["version"], dict(head["identity"]), head["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the checkpoint {name!r} is damaged: {anew}") from error
    if hashlib.sha256(body).hexdigest() != checksum:
        raise ValueError(f"the checkpoint {name!r} is damaged, its end is missing or has changed: {anew}")
    if version != __version__:
        raise ValueError(f"the checkpoint {name!r} was written by ffnn_xp {version}, and this is {__version__}: {anew}")
    others = [part for part in {**identity, **theirs} if identity.get(part) != theirs.get(part)]
    if others:
        raise ValueError(f"the checkpoint {name!r} is that of another call, with other {' and '.join(others)}: {anew}")
    return body


class _Unpickler(pickle.Unpickler):
    """Reads results: classes of this package that hold data, arrays, and builtin types."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function that a pickle names, if it may."""
        package = module.split(".")[0]
        if "." not in name and (package == "ffnn_xp" or (package == "numpy" and name in ARRAYS)):
            found = super().find_class(module, name)
            if package == "numpy" or (
                isinstance(found, type) and (is_dataclass(found) or issubclass(found, tuple | Enum))
            ):
                return found
        raise ValueError(f"a checkpoint has no {module}.{name} in it: do not use this one, ffnn_xp did not write it")


def _loads(content: bytes) -> Any:
    """Read a pickle of results."""
    return _Unpickler(io.BytesIO(content)).load()
