"""CUDA graphs that replay PyTorch's kernels: small problems on a GPU spend their time in launching, not computing.

What a graph replays are the addresses that it was recorded with. So it belongs to one set of events, which it keeps
alive; theta is copied in, the result copied out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ffnn_xp._lib.typing import Array
from ffnn_xp.backends.tuning import BackendTuning

Kernel = Callable[..., Any]


class Recorder:
    """A kernel that is recorded once it has been called often with the same events; until then, and else, it is run.

    Parameters
    ----------
    kernel : callable
        A pure function of arrays.
    moving : int
        How many of its first arguments differ from call to call; the others are events.
    record : callable
        ``record(kernel, moving, fixed)`` gives a function of the moving arguments, or raises a RuntimeError.
    tuning : BackendTuning
        After how many calls a graph is recorded, and how many are kept.
    """

    def __init__(self, kernel: Kernel, moving: int, record: Callable[..., Kernel], tuning: BackendTuning) -> None:
        self.kernel, self.moving, self.record, self.tuning = kernel, moving, record, tuning
        self._calls: dict[Any, int] = {}
        self._recorded: dict[Any, Kernel] = {}
        self._lock = threading.Lock()

    def __call__(self, *arrays: Array) -> Any:
        """Run it, or replay its recording; the result is an array of its own either way."""
        moving, fixed = arrays[: self.moving], arrays[self.moving :]
        key = (tuple(a.shape for a in moving), tuple(None if a is None else _place(a) for a in fixed))
        with self._lock:  # a recording has one place for theta and one for its result
            replay = self._recorded.get(key)
            if replay is None and self._worth(key):
                replay = self._recorded[key] = self._try(moving, fixed)
            if replay is not None:
                return replay(*moving)
        return self.kernel(*arrays)

    def _worth(self, key: Any) -> bool:
        self._calls[key] = self._calls.get(key, 0) + 1
        often = self._calls[key] == self.tuning.calls_before_graph
        return often and len(self._recorded) < self.tuning.graphs_kept

    def _try(self, moving: tuple[Array, ...], fixed: tuple[Array | None, ...]) -> Kernel:
        try:
            return self.record(self.kernel, moving, fixed)
        except RuntimeError:  # some kernel cannot be recorded, or memory is short
            return lambda *moving: self.kernel(*moving, *fixed)


def _place(a: Array) -> tuple[Any, ...]:
    return a.data_ptr(), tuple(a.shape), a.stride()
