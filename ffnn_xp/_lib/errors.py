"""What can go wrong, by name: a small tree of exceptions and warnings."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable


class BackendUnavailableError(RuntimeError):
    """The array library or device that was asked for cannot be used here, and falling back was ruled out."""


class NotFittedError(ValueError, AttributeError):
    """The model lacks something that only a fit (or explicit widths) can give it."""


class FileFormatError(ValueError):
    """A file is not a network saved by this library, or it is damaged."""


class FfnnXpWarning(UserWarning):
    """Base class of the library's warnings."""


class BackendFallbackWarning(FfnnXpWarning):
    """The work goes on with NumPy on the CPU instead of the library that was asked for."""


class FitWarning(FfnnXpWarning):
    """A fit ended in a state that its user should know about."""


def outside_the_package() -> int:
    """The stacklevel with which the caller's warning points at the user's line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "ffnn_xp":
        frame, level = frame.f_back, level + 1
    return level


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Sentence that lists the known names, the nearest one first.

    Examples
    --------
    >>> did_you_mean("tnah", ["relu", "tanh"])
    "did you mean 'tanh'? Known are 'relu', 'tanh'"
    """
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    listed = "nown are " + ", ".join(repr(n) for n in names)
    return f"did you mean {near[0]!r}? K{listed}" if near else f"k{listed}"
