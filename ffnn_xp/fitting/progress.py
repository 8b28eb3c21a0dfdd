"""The reports of a fit at each improvement: a note on its progress bar, and the user's callback."""

from __future__ import annotations

from collections.abc import Callable

from ffnn_xp._lib.progress import Bar
from ffnn_xp.fitting.search_result import FitState

Report = Callable[[FitState], bool | None]


def report_to(bar: Bar, callback: Report | None) -> Report | None:
    """Return the function that a fit reports to, which returns True to stop; None if nobody listens.

    Examples
    --------
    >>> report_to(Bar(), None) is None
    True
    """
    if not bar.shown:
        return callback

    def report(state: FitState) -> bool | None:
        stage = f"start {state.start} of at most {state.starts}" if state.starts else "choice of the prior"
        bar.advance(0, f"{stage}, cost {state.best:.6g}")
        return callback(state) if callback is not None else None

    return report
