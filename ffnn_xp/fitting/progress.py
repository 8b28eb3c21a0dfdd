"""The progress line of a fit, and the user's callback."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ffnn_xp.fitting.search_result import FitState

Report = Callable[[FitState], bool | None]


@contextmanager
def progress_line(show: bool | None, callback: Report | None) -> Iterator[Report | None]:
    """Yield the function that a fit reports to: it updates the line, if tqdm is installed, and calls the callback.

    Parameters
    ----------
    show : bool or None
        Whether to show the line; None shows it if standard error is a terminal.
    callback : callable, optional
        The user's callback.
    """
    if show is None:
        show = sys.stderr is not None and sys.stderr.isatty()
    if not show or importlib.util.find_spec("tqdm") is None:
        yield callback
        return
    from tqdm.auto import tqdm

    with tqdm(desc="fit", unit=" calls", leave=False, delay=0.5) as bar:

        def report(state: FitState) -> bool | None:
            stage = f"start {state.start} of at most {state.starts}" if state.starts else "choice of the prior"
            bar.set_postfix_str(f"{stage}, cost {state.best:.6g}", refresh=False)
            bar.update(1)
            return callback(state) if callback is not None else None

        yield report
