"""Into blocks of how many events a sum is cut, and over how many threads these are spread.

A block's temporaries fit the cache (CPU) or the memory that is free (GPU). All blocks of a sum are of one size: none is
short, threads have as many each, and of a compiler's blocks, which have one shape, hardly one is filled up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from ffnn_xp.backends import Backend
from ffnn_xp.backends.threads import processor_count, thread_count
from ffnn_xp.network.layout import Layout

CPU_BYTES = 5 * 2**18  # of the values of all layers in a block: what fits the cache, and is worth Python's time
CPU_BLOCK = (512, 16384)  # events, at least and at most
COMPILED = 2  # times as many for each processor where kernels are compiled
STEPS = 32  # to the most of these: sizes are whole numbers of them, so that a compiler sees few
MATRIX_BYTES = 2**25, 2**26  # of all temporaries of a block for matrices, at least and at most
OF_MATRIX = 4  # as much as so many matrices, between: the products of large ones are the longer the better
BATCH_BYTES = 2**22  # of the derivatives of an output, for a batch of networks
MATRIX_BLOCK = (16, 2048)  # events, at least and at most
BATCH_BLOCK = 48, 2**28  # the same at least for a batch, if that is no more bytes: short sums of many products are slow
GPU_BYTES = 2**31  # of all temporaries of a block, where a GPU does not say how much is free
GPU_SHARE = 0.5  # of what is free
STREAMED = 2**19  # events to a block that is copied while another one is computed with
RECORDED_BYTES = 2**27  # of temporaries: a GPU moves them in less time than their kernels take to launch
THREADS_FROM = 16, 100  # units of a layer, for matrices parameters: between shorter calls threads wait for each other
OF_THREAD = 4 * 10**6, 2 * 10**7  # multiplications for one more thread: events times p, for matrices times p^2


class Kind(NamedTuple):
    """What is summed: matrices or not, and of how many networks at once."""

    matrices: bool
    replicas: int = 1


@dataclass(frozen=True)
class BlockSizes:
    """How the sums over some events are cut; each size is decided once.

    Parameters
    ----------
    layout : Layout
        The network's.
    backend : Backend
        Where the events are.
    n, nodes, bytes_per_event : int
        Of these, see `Events`; the bytes where they are streamed.
    whole : bool
        Whether they are needed all at once.
    block : int, optional
        The size, asked for.

    Examples
    --------
    >>> from ffnn_xp.backends import get_backend
    >>> BlockSizes(Layout((8, 7, 9, 6)), get_backend("numpy"), 10_000).of(Kind(matrices=False))
    5000
    """

    layout: Layout
    backend: Backend
    n: int
    nodes: int = 1
    bytes_per_event: int = 0
    whole: bool = False
    block: int | None = None
    _found: dict[Kind, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, kind: Kind) -> int:
        """Events to a block."""
        if kind not in self._found:
            most = self.n if self.whole else self.block or self._even(self.most(kind), self.threads(kind))
            self._found[kind] = most
        return self._found[kind]

    def halve(self, kind: Kind) -> bool:
        """Half as many from now on, if that can be."""
        size = min(self.of(kind), self.n)
        if size <= 1 or self.whole:
            return False
        self._found[kind] = size // 2
        return True

    def threads(self, kind: Kind) -> int:
        """How many, each with enough to do."""
        p, widest = self.layout.n_parameters, max(self.layout.widths)
        if not self.backend.threads_help or (p if kind.matrices else widest) < THREADS_FROM[kind.matrices]:
            return 1
        work = self.n * self.nodes * kind.replicas * (p * p if kind.matrices else p)
        return max(1, min(self.backend.threads or thread_count(), work // OF_THREAD[kind.matrices]))

    def most(self, kind: Kind) -> int:
        """Events to a block, at most: on a CPU so many, within limits; on a GPU as many as fit."""
        per_event = self.temporaries(kind)
        if self.backend.computes is not None:  # two blocks are there at a time, of several
            per_event += 2 * self.bytes_per_event
        if self._device.on_gpu:
            fit = self._gpu_bytes // (per_event * self.nodes)
            return max(1, fit if self.backend.computes is None else min(fit, STREAMED))
        size, least, limit = self._matrix_block(kind) if kind.matrices else self._sweep_block(kind)
        return max(1, min(max(size, least), limit) // self.nodes)

    def temporaries(self, kind: Kind) -> int:
        """Their bytes for an event, about; of an integral's node as much."""
        widest = max(self.layout.widths)
        if kind.matrices:
            values = 8 * (max(a * b for a, b in self.layout.shapes) + widest**2)
        else:
            values = 4 * widest * len(self.layout.widths)
        return values * self._itemsize * kind.replicas

    def worth_recording(self, kind: Kind) -> bool:
        """Whether launching takes longer than computing, and a recording's temporaries may stay."""
        return self.backend.on_gpu and self.temporaries(kind) * self.n <= RECORDED_BYTES

    def _even(self, most: int, threads: int) -> int:
        if self.n <= most and threads == 1:
            return most
        count = max(threads, -(-self.n // most))
        count = -(-count // threads) * threads
        step = max(1, most // STEPS) if self._device.compiles else 1
        return min(most, -(-self.n // (count * step)) * step)

    def _sweep_block(self, kind: Kind) -> tuple[int, int, int]:
        """Events that fit, at least and at most."""
        least, limit = max(64, CPU_BLOCK[0] // kind.replicas), CPU_BLOCK[1]
        size = CPU_BYTES // (sum(self.layout.widths) * self._itemsize * kind.replicas)
        if self._device.compiles:
            size, limit = (COMPILED * processor_count() * events for events in (size, limit))
        return size, least, limit

    def _matrix_block(self, kind: Kind) -> tuple[int, int, int]:
        """The same where matrices are computed."""
        p, per_event = self.layout.n_parameters, self.temporaries(kind)
        size = min(max(OF_MATRIX * self._itemsize * p * p, MATRIX_BYTES[0]), MATRIX_BYTES[1]) // per_event
        if kind.replicas > 1:  # many small products instead of one large one: then the cache counts
            size = min(size, BATCH_BYTES // (p * self._itemsize * kind.replicas))
            size = max(size, min(BATCH_BLOCK[0], BATCH_BLOCK[1] // per_event))
        return size, *MATRIX_BLOCK

    @cached_property
    def _gpu_bytes(self) -> int:
        """For all temporaries of a block; asked for once."""
        free = self._device.free_memory()
        return GPU_BYTES if free is None else int(GPU_SHARE * free)

    @property
    def _device(self) -> Backend:
        """Where sums are computed."""
        return self.backend.computes or self.backend

    @property
    def _itemsize(self) -> int:
        return 8 if self.backend.dtype == "float64" else 4
