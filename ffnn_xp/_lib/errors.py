"""The library's exceptions and warnings, and helpers for their messages."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable


class BackendUnavailableError(RuntimeError):
    """The requested array library or device cannot be used, and no other may replace it."""


class NotFittedError(ValueError, AttributeError):
    """The model lacks something that only a fit (or explicit widths) can give it."""


class FileFormatError(ValueError):
    """A file is not a network saved by this library, or it is damaged."""


class WorkerError(RuntimeError):
    """A worker of an executor failed twice at the same work."""


class FfnnXpWarning(UserWarning):
    """Base class of the library's warnings."""


class BackendFallbackWarning(FfnnXpWarning):
    """The requested array library cannot be used, and NumPy on the CPU computes instead."""


class FitWarning(FfnnXpWarning):
    """A fit ended in a state that its user should know about."""


def outside_the_package() -> int:
    """Return the `stacklevel` with which a warning of the caller points at the user's line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "ffnn_xp":
        frame, level = frame.f_back, level + 1
    return level


def nearest(name: object, known: Iterable[str]) -> str:
    """Return a question that suggests the known name nearest to a wrong one; empty text if none is near.

    Examples
    --------
    >>> nearest("tnah", ["relu", "tanh"])
    "did you mean 'tanh'? "
    """
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}? " if near else ""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """List the known names, after the one that is nearest to a wrong name.

    Examples
    --------
    >>> did_you_mean("tnah", ["relu", "tanh"])
    "did you mean 'tanh'? Known are 'relu', 'tanh'"
    """
    names = list(known)
    near = nearest(name, names)
    return f"{near}{'K' if near else 'k'}nown are " + ", ".join(repr(n) for n in names)
