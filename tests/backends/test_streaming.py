"""Blocks on their way to a device: in order, two at a time, each waited for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ffnn_xp import Backend
from ffnn_xp.backends import returned, streamed
from ffnn_xp.backends.numpy import NumpyBackend
from ffnn_xp.backends.streaming import CopyStream
from ffnn_xp.data.events import Events


class Event:
    """What CUDA calls so, with a note of what is done to it."""

    def __init__(self, log: list[str], name: str = "event") -> None:
        self.log, self.name = log, name

    def record(self, stream: object = None) -> None:
        self.log.append("sent")

    def synchronize(self) -> None:
        self.log.append(f"{self.name} over")


class NotedStream(CopyStream):
    """A stream of copies that notes what is asked of it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.cuda, self.stream = self, None
        self.marks = 0

    def Event(self) -> Event:  # noqa: N802, as CUDA's modules write it
        return Event(self.log)

    def activate(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def copy(self, a: np.ndarray) -> np.ndarray:
        return a.copy()

    def current(self) -> Any:
        return self

    def wait_event(self, event: Event) -> None:
        self.log.append("waited for")

    def mark(self) -> Event:
        self.marks += 1
        return Event(self.log, f"block {self.marks}")


def test_the_next_block_is_sent_before_this_one_is_used() -> None:
    stream, x = NotedStream(), np.arange(6.0).reshape(1, 6)

    class Streaming(NumpyBackend):
        def copy_stream(self) -> CopyStream:
            return stream

    found, backend = [], Streaming(np, "cpu", "float64")
    for block in streamed(backend, Events(x, ()).chunks(2)):
        stream.log.append("used")
        found.append(block.x)
    np.testing.assert_array_equal(np.concatenate(found, axis=1), x)
    first = ["sent", "sent", "waited for", "used"]
    rest = ["block 1 over", "sent", "waited for", "used", "waited for", "used", "block 3 over"]
    assert stream.log == first + rest
    assert list(streamed(backend, [])) == []


def test_a_sum_comes_back(backend: Backend, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 7))
    events = streamed(backend, Events(backend.page_locked(x), ()).chunks(3))
    total = returned(backend, sum(backend.xp.sum(block.x, axis=1) for block in events))
    assert type(total) is np.ndarray
    np.testing.assert_allclose(total, x.sum(axis=1), rtol=1e-12)


def test_a_page_locked_copy_has_the_dtype_of_the_device(backend: Backend) -> None:
    single, a = backend.in_single_precision(), np.asfortranarray(np.ones((2, 3)))
    copy = single.page_locked(a)
    assert copy.dtype == np.float32
    assert copy.flags.c_contiguous
    assert not np.shares_memory(copy, a)
