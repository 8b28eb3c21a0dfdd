"""Blocks of host arrays on their way to a device: while one is computed with, the next is copied.

CUDA copies beside a computation only from page-locked memory, on a stream of its own, and only whole stretches of it;
so arrays are kept page-locked, and go row by row. Two blocks are on the device at a time.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.backends.arrays import to_numpy
from ffnn_xp.backends.backend import Backend

BY_LANE = ("cupy", "torch")


class Block(Protocol):
    """Several arrays of the same events."""

    def each(self, f: Callable[[Array], Array]) -> Any:
        """The block that f makes of each array."""


def streamed(backend: Backend, blocks: Iterable[Block]) -> Iterator[Any]:
    """The blocks on the backend's device, one after another; each is gone when the next but one is asked for."""
    if not _has_lane(backend):
        for block in blocks:
            yield block.each(backend.to_device)
        return
    lane = _lane(backend)
    sent: tuple[Any, Any] | None = None
    used: tuple[Any, Any] | None = None
    for block in blocks:
        if used is not None:
            used[1].synchronize()
            used = None  # its memory is taken by what comes now
        following = lane.send(block)
        if sent is not None:
            yield lane.arrived(*sent)
            used = sent[0], lane.mark()
        sent = following
    if sent is not None:
        yield lane.arrived(*sent)
        lane.mark().synchronize()


def page_locked(backend: Backend, a: HostArray) -> HostArray:
    """A copy of a host array that this backend's device can be copied to from while it computes."""
    if not _has_lane(backend):
        return np.array(a, dtype=backend.dtype, order="C")
    if backend.name == "torch":
        locked: HostArray = importlib.import_module("torch").empty(a.shape, dtype=backend.real, pin_memory=True).numpy()
    else:
        locked = importlib.import_module("cupyx").empty_pinned(a.shape, dtype=backend.dtype)
    locked[...] = a
    return locked


def returned(a: Array) -> HostArray:
    """A sum over streamed events, on the host where these are: of theta's size."""
    return np.asarray(to_numpy(a))


def _has_lane(backend: Backend) -> bool:
    return backend.on_gpu and backend.name in BY_LANE


class _Lane:
    """A stream of copies to one device."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.module = backend, importlib.import_module(backend.name)
        self.torch, self.cuda = backend.name == "torch", self.module.cuda
        with backend.context():
            self.stream = self.cuda.Stream(backend.device) if self.torch else self.cuda.Stream(non_blocking=True)

    def send(self, block: Block) -> tuple[Any, Any]:
        """The block that will be there, and the event that it is."""
        with self.cuda.stream(self.stream) if self.torch else self.stream:
            there = block.each(self._copy)
        event = self.cuda.Event()
        event.record(self.stream)
        return there, event

    def _copy(self, a: HostArray) -> Array:
        where = {"device": self.backend.device} if self.torch else {}
        there = self.module.empty(a.shape, dtype=self.backend.real, **where)
        for row in np.ndindex(a.shape[:-1]):
            if self.torch:
                there[row].copy_(self.module.from_numpy(a[row]), non_blocking=True)
            else:
                there[row].set(a[row], stream=self.stream)
        return there

    def arrived(self, there: Any, event: Any) -> Any:
        """The block, for computations that start when it is there."""
        current = self.cuda.current_stream(self.backend.device) if self.torch else self.cuda.get_current_stream()
        current.wait_event(event)
        return there

    def mark(self) -> Any:
        """The event that all computations asked for until now are over."""
        event = self.cuda.Event()
        event.record(self.cuda.current_stream(self.backend.device)) if self.torch else event.record()
        return event


@lru_cache(maxsize=16)
def _lane(backend: Backend) -> _Lane:
    """One for each device: memory that its copies leave free is taken by the next."""
    return _Lane(backend)
