"""Kernels of PyTorch on a GPU, replayed as CUDA graphs: small problems spend their time in launching, not computing.

What a graph replays are the addresses that it was recorded with. So it belongs to one set of events, which it keeps
alive; theta is copied in, the result copied out.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Any

from ffnn_xp._lib.typing import Array

WORTH_RECORDING = 16  # calls with the same events: recording costs about as much as ten
KEPT = 4  # recordings of a kernel: of other events, or other numbers of replicas

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
    """

    def __init__(self, kernel: Kernel, moving: int, record: Callable[..., Kernel] | None = None) -> None:
        self.kernel, self.moving, self.record = kernel, moving, record
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
        return self._calls[key] == WORTH_RECORDING and len(self._recorded) < KEPT

    def _try(self, moving: tuple[Array, ...], fixed: tuple[Array | None, ...]) -> Kernel:
        try:
            return (self.record or _Recording)(self.kernel, moving, fixed)
        except RuntimeError:  # some kernel cannot be recorded, or memory is short
            return lambda *moving: self.kernel(*moving, *fixed)


def _place(a: Array) -> tuple[Any, ...]:
    return a.data_ptr(), tuple(a.shape), a.stride()


class _Recording:
    """A CUDA graph of a kernel, with the places that it reads from and writes to."""

    def __init__(self, kernel: Kernel, moving: tuple[Array, ...], fixed: tuple[Array | None, ...]) -> None:
        cuda = importlib.import_module("torch").cuda
        with cuda.device(moving[0].device):
            self.inputs = [a.clone() for a in moving]
            self.fixed = fixed  # else their places would be given to others
            here, aside = cuda.current_stream(), cuda.Stream()
            aside.wait_stream(here)
            with cuda.stream(aside):  # what a library sets up at its first call must not be recorded
                kernel(*self.inputs, *fixed)
            here.wait_stream(aside)
            self.graph = cuda.CUDAGraph()
            with cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.result = kernel(*self.inputs, *fixed)

    def __call__(self, *moving: Array) -> Any:
        for own, given in zip(self.inputs, moving, strict=True):
            own.copy_(given)
        self.graph.replay()
        if isinstance(self.result, dict):
            return {key: value.clone() for key, value in self.result.items()}
        return self.result.clone()
