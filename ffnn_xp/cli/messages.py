"""Messages of the command line: an error is one line on stderr and an exit code, never a traceback.

The exit code 0 is success; 1 a fit that is not valid, or a missing library; 2 bad usage, data that cannot be used, or a
file that cannot be read or written; 128 and the number of the signal that ended it, so 130 for Ctrl-C, 143 for SIGTERM.
Names of columns and files may hold any characters: those that would steer a terminal are written as escapes.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TextIO, TypeVar

from ffnn_xp._lib.errors import BackendUnavailableError, FfnnXpWarning
from ffnn_xp._lib.text import visible

NOT_VALID, MISSING_LIBRARY, BAD_INPUT = 1, 1, 2
P = ParamSpec("P")
R = TypeVar("R")

OF_USERS = (OSError, ValueError, TypeError, BackendUnavailableError, MemoryError)  # errors that users can cause


def exit_code(name: str = "SIGINT") -> int:
    """Return the exit code of a program that a signal ended.

    Examples
    --------
    >>> exit_code("SIGTERM")
    143
    """
    return 128 + signal.Signals[name]


def say(text: object) -> None:
    """Print one line on stderr, since stdout is for results; where nobody can read it, work goes on."""
    with suppress(OSError):
        _print(f"ffnn-xp: {visible(' '.join(str(text).split()))}\n", sys.stderr)


def show(text: str) -> None:
    """Print a result on stdout; a reader who has closed the pipe, as ``head`` does, has what he wants.

    Raises
    ------
    OSError
        If stdout cannot be written: its disk is full, or it is closed.
    """
    write("".join(f"{visible(line)}\n" for line in text.splitlines()))


def write(content: str | bytes) -> None:
    """Write text or bytes to stdout as they are, in the manner of `show`."""
    try:
        _print(content, sys.stdout)
    except BrokenPipeError:
        pass
    except OSError as error:
        raise OSError(error.errno, f"cannot write the result to standard output: {error.strerror}") from error


def _print(text: str | bytes, stream: TextIO | None) -> None:
    """Write to a stream now; if that fails, the stream leads nowhere from then on, also at the end of the program."""
    if stream is None:
        raise OSError(errno.EBADF, "it is closed")
    try:
        stream.flush()
        data = text if isinstance(text, bytes) else text.encode(stream.encoding, stream.errors or "strict")
        while data:  # without Python's buffer (PYTHONUNBUFFERED) a full disk takes a part, and says so at the next one
            data = data[stream.buffer.write(data) :]
        stream.flush()
    except OSError:
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        raise


@contextmanager
def going_on(failures: list[Exception]) -> Iterator[None]:
    """Print an error in writing a result and note it, so that the other results are written all the same."""
    try:
        yield
    except OF_USERS as error:
        say(_words(error))
        failures.append(error)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn errors that users can cause into a line and an exit code, and warnings into lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", FfnnXpWarning)
        warnings.showwarning = _show_warning
        try:
            yield
        except ImportError as error:
            say(f"{error.name} is not installed: pip install 'ffnn_xp[cli]'" if error.name else error)
            sys.exit(MISSING_LIBRARY)
        except OF_USERS as error:
            say(_words(error))
            sys.exit(BAD_INPUT)
        except KeyboardInterrupt as error:
            say("interrupted")
            sys.exit(exit_code(*error.args))


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Return a command that turns errors and warnings into lines; see `plain_errors`."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with plain_errors():
            return command(*args, **kwargs)

    return run


@contextmanager
def plain_usage_errors() -> Iterator[None]:
    """Print wrong options as typer does, which repeats them, in visible characters."""
    try:
        yield
    except Exception as error:
        if not hasattr(error, "show"):  # the class of typer's errors is another in each of its versions
            raise
        text = io.StringIO()
        error.show(text)
        with suppress(OSError):
            _print("".join(f"{visible(line)}\n" for line in text.getvalue().splitlines()), sys.stderr)
        sys.exit(BAD_INPUT)


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    return str(error) or "not enough memory"


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")
