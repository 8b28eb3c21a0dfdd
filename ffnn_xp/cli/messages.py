"""Messages of the command line: an error is one line on stderr and an exit code, never a traceback.

The exit code 0 is success; 1 a fit that is not valid, or a missing library; 2 bad usage or data that cannot be used;
130 Ctrl-C.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ffnn_xp._lib.errors import BackendUnavailableError, FfnnXpWarning

NOT_VALID, MISSING_LIBRARY, BAD_INPUT, INTERRUPTED = 1, 1, 2, 130


def say(text: object) -> None:
    """Print one line on stderr, since stdout is for results."""
    print(f"ffnn-xp: {' '.join(str(text).split())}", file=sys.stderr)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn errors that users can cause into a line and an exit code, and warnings into lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", FfnnXpWarning)
        warnings.showwarning = _show
        try:
            yield
        except BrokenPipeError:
            raise  # the reader of a pipe has closed it: typer ends quietly
        except ImportError as error:
            say(f"{error.name} is not installed: pip install 'ffnn_xp[cli]'" if error.name else error)
            sys.exit(MISSING_LIBRARY)
        except (ValueError, TypeError, BackendUnavailableError, MemoryError) as error:
            say(str(error) or "not enough memory")
            sys.exit(BAD_INPUT)
        except OSError as error:
            say(error if error.strerror is None else f"{error.strerror}: {error.filename}")
            sys.exit(BAD_INPUT)
        except KeyboardInterrupt:
            say("interrupted")
            sys.exit(INTERRUPTED)


def _show(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")
