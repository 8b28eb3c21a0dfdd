"""CUDA graphs that replay PyTorch's kernels: small problems on a GPU spend their time in launching, not computing.

A graph replays kernels at the addresses with which it was captured. So it belongs to one set of events, which it keeps
alive; theta is copied in, the result copied out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ffnn_xp._lib.typing import Array
from ffnn_xp.backends.tuning import BackendTuning

Kernel = Callable[..., Any]


class GraphedKernel:
    """A kernel that a CUDA graph replays, once it has been called often with the same events.

    Parameters
    ----------
    kernel : callable
        A pure function of arrays.
    moving : int
        Number of its first arguments that change from call to call; the others are events.
    capture : callable
        ``capture(kernel, moving, fixed)`` returns a function of the moving arguments, or raises a RuntimeError.
    tuning : BackendTuning
        The number of calls before a graph is captured, and of graphs that are kept.
    """

    def __init__(self, kernel: Kernel, moving: int, capture: Callable[..., Kernel], tuning: BackendTuning) -> None:
        self.kernel, self.moving, self.capture, self.tuning = kernel, moving, capture, tuning
        self._calls: dict[Any, int] = {}
        self._graphs: dict[Any, Kernel] = {}
        self._lock = threading.Lock()

    def __call__(self, *arrays: Array) -> Any:
        """Run the kernel, or replay its graph; the result is a new array in both cases."""
        moving, fixed = arrays[: self.moving], arrays[self.moving :]
        key = (tuple(a.shape for a in moving), tuple(None if a is None else _place(a) for a in fixed))
        with self._lock:  # a graph has one place for theta and one for its result
            replay = self._graphs.get(key)
            if replay is None and self._worth(key):
                replay = self._graphs[key] = self._try(moving, fixed)
            if replay is not None:
                return replay(*moving)
        return self.kernel(*arrays)

    def _worth(self, key: Any) -> bool:
        self._calls[key] = self._calls.get(key, 0) + 1
        often = self._calls[key] == self.tuning.calls_before_graph
        return often and len(self._graphs) < self.tuning.graphs_kept

    def _try(self, moving: tuple[Array, ...], fixed: tuple[Array | None, ...]) -> Kernel:
        try:
            return self.capture(self.kernel, moving, fixed)
        except RuntimeError:  # some kernels cannot be captured, or memory is short
            return lambda *moving: self.kernel(*moving, *fixed)


def _place(a: Array) -> tuple[Any, ...]:
    return a.data_ptr(), tuple(a.shape), a.stride()
