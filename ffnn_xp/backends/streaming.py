"""Blocks of host arrays on their way to a device: while one is computed with, the next is copied.

CUDA copies beside a computation only from page-locked memory, on a stream of its own, and only whole stretches of it;
so arrays are kept page-locked, and go row by row. Two blocks are on the device at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.backends.base import Backend


class Block(Protocol):
    """Several arrays of the same events."""

    def each(self, f: Callable[[Array], Array]) -> Any:
        """Return the block that f makes of each array."""


class CopyStream(ABC):
    """A stream of copies to one device, in the words of PyTorch's and CuPy's CUDA."""

    cuda: Any
    stream: Any

    @abstractmethod
    def activate(self) -> AbstractContextManager[Any]:
        """Make this the current stream."""

    @abstractmethod
    def copy(self, a: HostArray) -> Array:
        """Begin to copy an array."""

    @abstractmethod
    def current(self) -> Any:
        """Return the stream of computations."""

    @abstractmethod
    def mark(self) -> Any:
        """Return the event that all computations asked for until now are over."""

    def send(self, block: Block) -> tuple[Any, Any]:
        """Return the block that will be there, and the event that it is."""
        with self.activate():
            there = block.each(self.copy)
        event = self.cuda.Event()
        event.record(self.stream)
        return there, event

    def arrived(self, there: Any, event: Any) -> Any:
        """Return the block, for computations that start when it is there."""
        self.current().wait_event(event)
        return there


def streamed(backend: Backend, blocks: Iterable[Block]) -> Iterator[Any]:
    """Bring blocks to the backend's device, one after another; each is gone when the next but one is asked for."""
    copies = backend.copy_stream()
    if copies is None:
        for block in blocks:
            yield block.each(backend.to_device)
        return
    sent: tuple[Any, Any] | None = None
    used: tuple[Any, Any] | None = None
    for block in blocks:
        if used is not None:
            used[1].synchronize()
            used = None  # its memory is taken by what comes now
        following = copies.send(block)
        if sent is not None:
            yield copies.arrived(*sent)
            used = sent[0], copies.mark()
        sent = following
    if sent is not None:
        yield copies.arrived(*sent)
        copies.mark().synchronize()


def returned(backend: Backend, a: Array) -> HostArray:
    """Copy a sum over streamed events, which is of theta's size, from the backend's device to the host."""
    return backend.as_numpy(a)
