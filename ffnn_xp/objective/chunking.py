"""Event chunks: the sizes of the chunks of a sum over events, and the threads that share them.

A chunk's temporaries fit into the cache (CPU) or into the free memory (GPU). All chunks of a sum have nearly one size:
none is short, and threads have equal numbers of them; where chunks are compiled for one shape, hardly any is filled up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from ffnn_xp._lib.tuning import tuned
from ffnn_xp.backends import Backend, processor_count, thread_count
from ffnn_xp.network import Layout


class SumKind(NamedTuple):
    """The kind of a sum over events: whether it is of matrices, and the number of networks."""

    matrices: bool
    replicas: int = 1


@dataclass(frozen=True)
class ChunkTuning:
    """Tuned numbers of sums over events."""

    layer_bytes: int = tuned(
        5 * 2**18, "bytes of all layers' values in a chunk; larger: less time in Python; smaller: fits smaller caches"
    )
    events: tuple[int, int] = tuned(
        (512, 16384), "least and most events of a chunk on a CPU; larger: less time in Python, more memory"
    )
    compiled_factor: int = tuned(
        2, "so many chunks' events for each processor if kernels are compiled; larger: fewer calls, more memory"
    )
    compiled_sizes: int = tuned(
        32, "sizes of chunks where they are compiled; larger: fewer filled events; smaller: fewer compilations"
    )
    matrix_bytes: tuple[int, int] = tuned(
        (2**25, 2**26), "least and most bytes of temporaries for matrices; larger: longer products, more memory"
    )
    matrix_multiple: int = tuned(
        4, "temporaries in units of the matrix, between those bytes; larger: longer products, more memory"
    )
    batch_bytes: int = tuned(
        2**22, "bytes of an output's derivatives in a batch of networks; larger: longer products; smaller: fits caches"
    )
    matrix_events: tuple[int, int] = tuned(
        (16, 2048), "least and most events of a chunk for matrices; larger: longer products, more memory"
    )
    batch_events: int = tuned(48, "least events for matrices of a batch; larger: longer products, more memory")
    batch_events_bytes: int = tuned(2**28, "bytes that these least events may take; larger: longer products")
    gpu_bytes: int = tuned(
        2**31, "bytes of temporaries where a GPU's free memory is not known; larger: fewer kernels, more memory"
    )
    gpu_share: float = tuned(0.5, "share of a GPU's free memory to use; larger: fewer kernels, less left for others")
    streamed_events: int = tuned(
        2**19, "most events of a chunk that is copied to a GPU while another is used; larger: fewer, longer copies"
    )
    recorded_bytes: int = tuned(
        2**27, "bytes of temporaries up to which kernels are captured; larger: fewer launches, more memory kept"
    )
    threads_from: tuple[int, int] = tuned(
        (16, 100), "units of a layer, or parameters for matrices, from which threads help; smaller: threads more often"
    )
    work_per_thread: tuple[int, int] = tuned(
        (4 * 10**6, 2 * 10**7), "multiplications for one more thread, also for matrices; smaller: threads more often"
    )
    panel_bytes: int = tuned(
        2**22, "bytes of a matrix that are unfolded at a time; larger: fewer calls; smaller: fits smaller caches"
    )


TUNING = ChunkTuning()


@dataclass(frozen=True)
class ChunkSizes:
    """The sizes of the chunks of sums over some events; each size is decided once.

    Parameters
    ----------
    layout : Layout
        The layout of the network's parameters.
    backend : Backend
        The backend of the events.
    n, nodes, bytes_per_event : int
        Numbers of events and of the nodes of each, see `Events`; bytes of an event, if events are streamed.
    whole : bool
        Whether all events have to be in one chunk.
    size : int, optional
        The size of all chunks; by default it is chosen for the device.
    tuning : ChunkTuning
        Tuned numbers.

    Examples
    --------
    >>> from ffnn_xp.backends import get_backend
    >>> ChunkSizes(Layout((8, 7, 9, 6)), get_backend("numpy"), 10_000).of(SumKind(matrices=False))
    5000
    """

    layout: Layout
    backend: Backend
    n: int
    nodes: int = 1
    bytes_per_event: int = 0
    whole: bool = False
    size: int | None = None
    tuning: ChunkTuning = TUNING
    _found: dict[SumKind, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, kind: SumKind) -> int:
        """Return the number of events of a chunk."""
        if kind not in self._found:
            size = self.n if self.whole else self.size or self._even(self.most(kind), self.threads(kind))
            self._found[kind] = size
        return self._found[kind]

    def halve(self, kind: SumKind) -> bool:
        """Make chunks half as large from now on; return False if they cannot be smaller."""
        size = min(self.of(kind), self.n)
        if size <= 1 or self.whole:
            return False
        self._found[kind] = size // 2
        return True

    def threads(self, kind: SumKind) -> int:
        """Return the number of threads, such that each has enough work."""
        p, widest = self.layout.n_parameters, max(self.layout.widths)
        if not self.backend.threads_help:
            return 1
        if (p if kind.matrices else widest) < self.tuning.threads_from[kind.matrices]:  # shorter calls wait for Python
            return 1
        work = self.n * self.nodes * kind.replicas * (p * p if kind.matrices else p)
        return max(1, min(self.backend.threads or thread_count(), work // self.tuning.work_per_thread[kind.matrices]))

    def most(self, kind: SumKind) -> int:
        """Return the most events of a chunk, by the cache of a CPU or the memory of a GPU."""
        per_event = self.temporaries(kind)
        if self.backend.computes is not None:  # two streamed chunks are on the device at a time
            per_event += 2 * self.bytes_per_event
        if self._device.on_gpu:
            fit = self._gpu_bytes // (per_event * self.nodes)
            return max(1, fit if self.backend.computes is None else min(fit, self.tuning.streamed_events))
        size, least, limit = self._matrix_chunk(kind) if kind.matrices else self._sweep_chunk(kind)
        return max(1, min(max(size, least), limit) // self.nodes)

    def temporaries(self, kind: SumKind) -> int:
        """Estimate the bytes of the temporaries of an event, or of a node of an integral."""
        widest = max(self.layout.widths)
        if kind.matrices:
            values = 8 * (max(a * b for a, b in self.layout.shapes) + widest**2)
        else:
            values = 4 * widest * len(self.layout.widths)
        return values * self._itemsize * kind.replicas

    def worth_a_graph(self, kind: SumKind) -> bool:
        """Return True if launching takes longer than computing, and there is memory for a graph's temporaries."""
        return self.backend.on_gpu and self.temporaries(kind) * self.n <= self.tuning.recorded_bytes

    def _even(self, most: int, threads: int) -> int:
        """Return the size of the fewest equal chunks, the same number for each thread, with at most `most` events."""
        if self.n <= most and threads == 1:
            return most
        count = max(threads, -(-self.n // most))
        count = -(-count // threads) * threads
        step = max(1, most // self.tuning.compiled_sizes) if self._device.compiles else 1
        return min(most, -(-self.n // (count * step)) * step)

    def _sweep_chunk(self, kind: SumKind) -> tuple[int, int, int]:
        """Return the number of events whose sweeps fit into the cache, and the least and most of a chunk."""
        least, limit = self.tuning.events
        least = max(64, least // kind.replicas)
        size = self.tuning.layer_bytes // (sum(self.layout.widths) * self._itemsize * kind.replicas)
        if self._device.compiles:
            size, limit = (self.tuning.compiled_factor * processor_count() * events for events in (size, limit))
        return size, least, limit

    def _matrix_chunk(self, kind: SumKind) -> tuple[int, int, int]:
        """Return the number of events whose matrices fit into memory, and the least and most of a chunk."""
        p, per_event, tuning = self.layout.n_parameters, self.temporaries(kind), self.tuning
        low, high = tuning.matrix_bytes
        size = min(max(tuning.matrix_multiple * self._itemsize * p * p, low), high) // per_event
        if kind.replicas > 1:  # many small products instead of one large one: then the cache counts
            size = min(size, tuning.batch_bytes // (p * self._itemsize * kind.replicas))
            size = max(size, min(tuning.batch_events, tuning.batch_events_bytes // per_event))
        return size, *tuning.matrix_events

    @cached_property
    def _gpu_bytes(self) -> int:
        """The bytes that a chunk's temporaries may take on a GPU, computed once."""
        free = self._device.free_memory()
        return self.tuning.gpu_bytes if free is None else int(self.tuning.gpu_share * free)

    @property
    def _device(self) -> Backend:
        """The backend on which sums are computed."""
        return self.backend.computes or self.backend

    @property
    def _itemsize(self) -> int:
        """The bytes of a number."""
        return 8 if self.backend.dtype == "float64" else 4
