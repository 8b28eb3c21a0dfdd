"""Signals that end a program: during a fit they stop it with the best so far, as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")
TOGETHER = 1.0  # seconds within which signals are one: batch systems and `timeout` send it to the program and its group


class StopSignals:
    """A context in which the first signal that would end the program raises KeyboardInterrupt, so that a fit stops.

    Signals that the program was started to ignore, as by ``nohup``, stay ignored. A signal that comes a second later or
    more raises again, for a user who does not want to wait.

    Attributes
    ----------
    number : int or None
        The number of the first signal; None if there was none.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._since = 0.0
        self._held = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        known = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
        if threading.current_thread() is threading.main_thread():  # elsewhere Python has no signals
            ours = [number for number in known if signal.getsignal(number) not in (signal.SIG_IGN, None)]
            self._before = {number: signal.signal(number, self._stop) for number in ours}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def hold(self) -> bool:
        """Have later signals wait for the end of the context, and return True if one came before."""
        self._held = True
        return self.number is not None

    def _stop(self, number: int, frame: FrameType | None) -> None:
        again = self.number is not None and time.monotonic() - self._since < TOGETHER
        if self.number is None:
            self.number, self._since = number, time.monotonic()
        if not (again or self._held):
            raise KeyboardInterrupt(number)
