"""Streaming: while a device computes with one chunk of host arrays, the next is copied.

CUDA copies during a computation only from page-locked memory, on a stream of its own, and only contiguous memory; so
arrays are kept page-locked, and copied row by row. Two chunks are on the device at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.backends.base import Backend


class Chunk(Protocol):
    """Several arrays of the same events."""

    def each(self, f: Callable[[Array], Array]) -> Any:
        """Return the chunk with f applied to each array."""


class CopyStream(ABC):
    """A stream of copies to one device, by the CUDA interfaces of PyTorch and CuPy, which are alike."""

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
        """Return a CUDA event that completes with all computations requested so far."""

    def send(self, chunk: Chunk) -> tuple[Any, Any]:
        """Begin to copy a chunk; return its copy, and the CUDA event that completes with it."""
        with self.activate():
            there = chunk.each(self.copy)
        event = self.cuda.Event()
        event.record(self.stream)
        return there, event

    def wait_for(self, there: Any, event: Any) -> Any:
        """Return the copy of a chunk; computations requested from now on wait until it is complete."""
        self.current().wait_event(event)
        return there


def streamed(backend: Backend, chunks: Iterable[Chunk]) -> Iterator[Any]:
    """Copy chunks to the backend's device, one after another; each is freed at the request of the next but one."""
    copies = backend.copy_stream()
    if copies is None:
        for chunk in chunks:
            yield chunk.each(backend.to_device)
        return
    sent: tuple[Any, Any] | None = None
    used: tuple[Any, Any] | None = None
    for chunk in chunks:
        if used is not None:
            used[1].synchronize()
            used = None  # its memory is used again by the next chunk
        following = copies.send(chunk)
        if sent is not None:
            yield copies.wait_for(*sent)
            used = sent[0], copies.mark()
        sent = following
    if sent is not None:
        yield copies.wait_for(*sent)
        copies.mark().synchronize()


def returned(backend: Backend, a: Array) -> HostArray:
    """Copy a sum over streamed events, which is of theta's size, from the backend's device to the host."""
    return backend.as_numpy(a)
