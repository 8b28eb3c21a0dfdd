"""The sizes of event chunks, and the numbers of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffnn_xp import Backend, LeastSquares, Model, get_backend
from ffnn_xp.backends import streamed_through
from ffnn_xp.network.layout import Layout
from ffnn_xp.objective.chunking import ChunkSizes, ChunkTuning, SumKind

TUNING = ChunkTuning()
SWEEP, MATRIX = SumKind(matrices=False), SumKind(matrices=True)


def sizes(widths: tuple[int, ...], n: int = 5, backend: str = "numpy", threads: int = 1) -> ChunkSizes:
    if backend == "jax":
        pytest.importorskip("jax")
        return ChunkSizes(Layout(widths), get_backend("jax", device="cpu", fallback=False), n)
    return ChunkSizes(Layout(widths), get_backend("numpy", threads=threads), n)


@given(n=st.integers(1, 10**7), h=st.integers(1, 300), matrices=st.booleans(), threads=st.integers(1, 8))
def test_chunks_are_of_one_size(n: int, h: int, matrices: bool, threads: int) -> None:
    """As few as can be, or for threads a multiple of them; the last one lacks less than one event for each."""
    found = sizes((4, h, 1), n, threads=threads)
    kind = SumKind(matrices)
    most, size, used = found.most(kind), found.of(kind), found.threads(kind)
    count = -(-n // size)
    assert size <= most
    assert used <= threads
    if used == 1:
        assert count == -(-n // most)
    else:
        assert count <= max(used, -(-n // most) + used - 1)
        assert count % used == 0 or size < count
    if count > 1:
        assert count * size - n < count


@pytest.mark.slow
@settings(deadline=None)  # the first one imports JAX
@given(n=st.integers(1, 10**6), h=st.integers(1, 300))
def test_of_a_compilers_chunks_hardly_one_is_filled_up(n: int, h: int) -> None:
    found = sizes((4, h, 1), n, "jax")
    for kind in (SWEEP, MATRIX):
        most, size = found.most(kind), found.of(kind)
        assert size <= most
        if n > most >= TUNING.compiled_sizes:
            assert size % (most // TUNING.compiled_sizes) == 0 or size == most
            assert -(-n // size) * size <= n * (1 + 1.5 * most / (TUNING.compiled_sizes * size))


@pytest.mark.slow
def test_a_compiler_sees_few_shapes() -> None:
    """Whatever the number of events; those of the folds of a cross-validation are mostly of one."""
    for kind in (SWEEP, MATRIX):
        most = sizes((8, 20, 20, 6), 10**6, "jax").most(kind)
        numbers = np.linspace(most + 1, 40 * most, 500, dtype=int)
        found = np.array([[sizes((8, 20, 20, 6), int(n), "jax").of(kind) for n in (m, m + 1)] for m in numbers])
        assert len(np.unique(found)) <= TUNING.compiled_sizes
        assert np.mean(found[:, 0] == found[:, 1]) > 0.9


def test_threads_get_what_is_worth_it() -> None:
    """Chunks of an evaluation wait for each other between calls; of few events and of narrow layers one is faster."""
    p = Layout((8, 20, 20, 6)).n_parameters
    enough = -(-2 * TUNING.work_per_thread[False] // p)
    assert sizes((8, 20, 20, 6), enough - 1, threads=2).threads(SWEEP) == 1
    assert sizes((8, 20, 20, 6), enough, threads=2).threads(SWEEP) == 2
    assert sizes((8, 20, 20, 6), enough, threads=1).threads(SWEEP) == 1
    assert sizes((8, 20, 20, 6), enough, threads=16).threads(SWEEP) == 2
    assert sizes((8, 20, 20, 6), 100 * enough, threads=16).threads(SWEEP) == 16
    assert sizes((8, 7, 9, 6), 10**7, threads=2).threads(SWEEP) == 1


def test_matrices_are_worth_threads_sooner() -> None:
    found = sizes((8, 7, 9, 6), 2000, threads=2)
    assert (found.threads(MATRIX), found.of(MATRIX)) == (2, 1000)
    assert found.threads(SWEEP) == 1
    assert sizes((8, 7, 9, 6), 100, threads=2).threads(MATRIX) == 1
    assert sizes((8, 7, 9, 6), 100, threads=2).threads(SumKind(True, replicas=20)) == 2
    assert sizes((1, 10, 1), 10**6, threads=2).threads(MATRIX) == 1


def test_only_numpy_gets_threads() -> None:
    found = sizes((8, 20, 20, 6), 10**6, "jax")
    assert found.threads(SWEEP) == found.threads(MATRIX) == 1


def test_what_is_streamed_through_a_device_is_not_cut_for_threads() -> None:
    """Chunks are computed one behind another there: the host's threads would only make them small."""
    here = get_backend("numpy", threads=8)
    streams = ChunkSizes(Layout((8, 20, 20, 6)), streamed_through(here), 10**5)
    assert ChunkSizes(Layout((8, 20, 20, 6)), here, 10**5).threads(MATRIX) == 8
    assert streams.threads(SWEEP) == streams.threads(MATRIX) == 1
    assert -(-(10**5) // streams.of(MATRIX)) == -(-(10**5) // streams.most(MATRIX))


def test_a_size_that_was_asked_for_and_events_that_are_needed_at_once() -> None:
    numpy = get_backend("numpy", threads=2)
    for kind in (SWEEP, MATRIX):
        assert ChunkSizes(Layout((8, 20, 6)), numpy, 10**6, size=7).of(kind) == 7
        whole = ChunkSizes(Layout((8, 20, 6)), numpy, 10**6, whole=True)
        assert whole.of(kind) == 10**6
        assert not whole.halve(kind)


def test_halves() -> None:
    found = sizes((2, 3, 1), 100)
    tried = [found.of(SWEEP)]
    while found.halve(SWEEP):
        tried.append(found.of(SWEEP))
    assert tried == [TUNING.events[1], 50, 25, 12, 6, 3, 1]


@pytest.mark.parametrize("name", ["gauss_newton", "hessian", "value_and_gradient"])
def test_sums_on_threads_are_those_on_one(name: str) -> None:
    rng = np.random.default_rng(1)
    n = 30_000 if name == "value_and_gradient" else 1500
    x, y = rng.normal(size=(n, 4)), rng.normal(size=(n, 3))
    found = []
    for threads in (1, 2, 3):
        cost = LeastSquares(x, y, 0.3, Model((4, 20, 20, 3), backend="numpy", threads=threads, seed=1))
        assert cost.objective._sizes.threads(SumKind(name != "value_and_gradient")) == threads
        found.append(getattr(cost.objective, name)(cost.model.parameters))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-12 * np.abs(found[0]).max())


def test_a_chunk_of_matrices_fits_in_memory() -> None:
    """At 200 units the largest temporary of a chunk of 2048 events would be 650 MB."""
    wide, small = sizes((2, 200, 200, 1)), sizes((8, 20, 20, 6))
    assert 16 <= wide.most(MATRIX) < wide.most(SWEEP) == TUNING.events[0]
    assert 16 <= wide.most(SumKind(False, 1000)) < 100
    assert wide.most(SumKind(True, 1000)) == 16  # a batch of networks is as large as one
    assert sizes((8, 7, 9, 6)).most(SumKind(True, 200)) == 48  # short sums are slow
    assert wide.most(MATRIX) * 200 * 201 * 8 <= 2**26
    assert 0.5 * 2**25 < small.most(MATRIX) * small.temporaries(MATRIX) <= 2**25  # a matrix has 4 MB


def test_a_compiler_gets_larger_chunks_the_more_processors_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy, jax = sizes((2, 64, 1)), sizes((2, 64, 1), backend="jax")
    found = []
    for count in (1, 2, 6):
        monkeypatch.setattr("ffnn_xp.objective.chunking.processor_count", lambda count=count: count)
        assert numpy.most(SWEEP) == 2445
        found.append(jax.most(SWEEP))
    assert found == [2 * 2445, 4 * 2445, 12 * 2445]


def test_the_values_of_all_layers_share_the_cache() -> None:
    """Not the widest layer's alone: networks of one hidden layer had chunks too small, those of three too large."""
    for widths in ((1, 10, 1), (5, 15, 1), (4, 10, 10, 10, 1), (8, 64, 64, 6)):
        assert TUNING.layer_bytes * 0.99 < sizes(widths).most(SWEEP) * sum(widths) * 8 <= TUNING.layer_bytes


class Gpu(Backend):
    """A GPU that has some bytes left."""

    on_gpu, left = True, None

    def free_memory(self) -> int | None:
        return self.left


class SmallGpu(Gpu):
    left = 2**30


class LargeGpu(Gpu):
    left = 2**34


def test_chunks_are_sized_by_what_a_gpu_has_free() -> None:
    assert get_backend("numpy").free_memory() is None
    found = [
        ChunkSizes(Layout((2, 3, 1)), kind(np, "gpu", "float64"), 5).most(SWEEP) for kind in (SmallGpu, LargeGpu, Gpu)
    ]
    assert found[1] == pytest.approx(16 * found[0], rel=1e-3)
    assert found[0] * 3 * 8 < 2**30
    assert 0 < found[2] * 3 * 8 < 2**31
