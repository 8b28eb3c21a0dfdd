"""Progress of a long computation, by tqdm: one switch for a block of work, and bars where the work is done.

Public functions take ``progress=`` and run in a `showing` block; what takes long counts its steps in a `bar`, which
shows nothing outside of such a block. A bar appears once its work has taken a second, and leaves nothing behind, also
after an error or Ctrl-C. In a notebook it is a widget.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import numpy as np

from ffnn_xp._lib.optional import require

PURPOSE = "a progress bar"
DELAY = 1.0  # seconds before a bar appears that nobody asked for: most fits are done by then
WITHOUT_COUNT = "{desc} [{elapsed}{postfix}]"  # of work whose number of steps nobody knows

_delay: ContextVar[float | None] = ContextVar("delay", default=None)  # None where no bars are shown
_innermost: ContextVar[Bar | None] = ContextVar("innermost", default=None)


class Bar:
    """A bar of some steps of work; without a line it shows nothing."""

    def __init__(self, line: Any = None) -> None:
        self._line = line

    @property
    def shown(self) -> bool:
        """True if there is a line to write to."""
        return self._line is not None

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count steps as done, and write a note behind the count."""
        if self._line is None:
            return
        if note is not None:
            self._line.set_postfix_str(note, refresh=False)
        self._line.update(steps)


NO_BAR = Bar()


@contextmanager
def showing(progress: bool | None, delay: float = DELAY) -> Iterator[None]:
    """Show the bars of a block, or not: the meaning of all options ``progress=``.

    Parameters
    ----------
    progress : bool or None
        True shows them at once, wherever standard error goes. None shows them in a terminal and in a notebook, if tqdm
        is installed, for work that takes longer than the delay. False shows none.
    delay : float
        Seconds before a bar appears that nobody asked for.

    Raises
    ------
    TypeError
        If it is anything else.
    ImportError
        For True, if tqdm is not installed; the message says how to get it.

    Examples
    --------
    >>> with showing(False), bar("toys", 200) as toys:
    ...     toys.advance(10)
    """
    if progress is not None and not isinstance(progress, bool | np.bool_):
        raise TypeError(f"`progress` must be True, False or None, got {progress!r}")
    shown_after: float | None = None
    if progress:
        require("tqdm", "progress", PURPOSE)
        shown_after = 0.0
    elif progress is None and _is_watched():
        with suppress(ImportError):
            require("tqdm", "progress", PURPOSE)
            shown_after = delay
    token = _delay.set(shown_after)
    try:
        yield
    finally:
        _delay.reset(token)


@contextmanager
def bar(name: str, total: int | None = None, unit: str = "") -> Iterator[Bar]:
    """Yield a bar for a block of work; no two of them may overlap but as a block in a block.

    Parameters
    ----------
    name : str
        The work.
    total : int, optional
        Number of steps; without it the line shows the time and a note.
    unit : str
        What a step is, in the plural.
    """
    delay = _delay.get()
    if delay is None:
        yield NO_BAR
        return
    options: dict[str, Any] = {"bar_format": WITHOUT_COUNT} if total is None else {"unit": f" {unit}"}
    if not delay:
        options["disable"] = False  # else the environment's TQDM_DISABLE decides
    with _tqdm()(desc=name, total=total, leave=False, delay=delay, miniters=0, dynamic_ncols=True, **options) as line:
        shown = Bar(line)
        token = _innermost.set(shown)
        try:
            yield shown
        finally:
            _innermost.reset(token)


def tick() -> None:
    """Bring the time of the innermost bar up to date; evaluations call it, so that no bar seems to have stopped."""
    innermost = _innermost.get()
    if innermost is not None:
        innermost.advance(0)


def _tqdm() -> Any:
    """Return tqdm's class for this terminal or notebook."""
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # without ipywidgets a notebook has lines of text
        from tqdm.auto import tqdm
    return tqdm


def _is_watched() -> bool:
    """Return True if standard error is a terminal, or the output of a notebook."""
    ipython = sys.modules.get("IPython")
    if ipython is not None and hasattr(ipython.get_ipython(), "kernel"):
        return True
    with suppress(ValueError):  # of a stream that is closed
        return sys.stderr is not None and sys.stderr.isatty()
    return False
