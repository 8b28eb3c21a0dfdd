"""Value and gradient as one compiled loop over events: the sums are those of arrays, on CPUs and GPUs."""

from __future__ import annotations

import ctypes
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.backends import EventLoop, c_compiler
from ffnn_xp.backends.cupy import GpuLoop
from ffnn_xp.backends.event_loop import HostLoop
from ffnn_xp.data import Events
from ffnn_xp.losses import AddedLoss, CallableLoss, HuberLoss, Loss, ScatterLoss, StudentTLoss, get_loss
from ffnn_xp.network import ACTIVATIONS, Layout, Network
from ffnn_xp.objective import Objective, SumKind
from ffnn_xp.objective.batch import Replicas
from ffnn_xp.objective.compiled import event_loop

from ..export.models import MISH

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

LOSSES = [get_loss(name) for name in ("least_squares", "poisson", "binomial", "huber", "soft_l1", "student_t")]
LOSSES += [get_loss("poisson").for_output("exp"), AddedLoss(HuberLoss(0.7)), ScatterLoss(3.0), StudentTLoss(1.5)]
LAYOUTS = [(1, 10, 1), (3, 4, 5, 2), (2, 1), (2, 3, 4, 3, 1)]
SIZES = (1, 7, 32, 101)  # of some vectors of the processor, and of some tiles


def objective_of(
    widths: tuple[int, ...],
    n: int,
    *,
    loss: Loss = LOSSES[0],
    hidden: fx.Activation = ACTIVATIONS["tanh"],
    output: fx.Activation = ACTIVATIONS["identity"],
    weighted: bool = False,
    replicas: int = 0,
    compiled: bool = True,
    backend: fx.Backend | None = None,
) -> tuple[Objective, np.ndarray]:
    """An objective of random events, and a theta."""
    rng = np.random.default_rng(n)
    L, k = len(widths) - 1, widths[-1]
    network = Network(Layout(widths), (*[hidden] * (L - 1), output))
    shape = (replicas, k, n) if replicas else (k, n)
    y, aux = rng.poisson(3.0, size=shape).astype(float), rng.integers(9, 12, size=(k, n)).astype(float)
    if loss.name == "scatter":
        y, aux = y - 2.5, np.ones_like(aux)
    data = loss.columns(np, y, aux, np.full((k, 1), 0.1), np.full((k, 1), 1.0 if loss.name == "scatter" else 1.1))
    data = tuple(np.broadcast_to(a, shape) if replicas else np.broadcast_to(a, (k, n)) for a in data)
    weights = rng.uniform(0, 2, size=(*shape[:-2], 1, n)) if weighted else None
    x = np.concatenate([rng.normal(size=(widths[0], n)), np.ones((1, n))])
    backend = replace(backend or fx.get_backend("numpy"), compiled=compiled)
    events = Events(x, data, weights).each(backend.to_device)
    theta = 0.7 * rng.normal(size=(*shape[:-2], network.layout.n_parameters))
    return Objective(network, loss, events, backend), theta


def both(*args: Any, factor: float = 1.0, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """The sum by the loop, which must be there, and by arrays."""
    found = []
    for compiled in (True, False):
        S, theta = objective_of(*args, compiled=compiled, **options)
        assert S.is_one_loop == compiled
        with S.backend.context(), np.errstate(all="ignore"):
            packed = S.value_and_gradient(S.backend.to_device(factor * theta))
            found.append(S.backend.to_host(packed))
    return found[0], found[1]


def assert_equal(found: np.ndarray, expected: np.ndarray, digits: float = 1e-14) -> None:
    """Relative to the value and to the norm of the gradient."""
    assert found.shape == expected.shape
    np.testing.assert_array_less(abs(found - expected)[..., 0], digits * abs(expected[..., 0]) + 1e-300)
    error, size = (np.linalg.norm(a[..., 1:], axis=-1) for a in (found - expected, expected))
    np.testing.assert_array_less(error, digits * size + 1e-300)


@pytest.mark.slow
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("widths", LAYOUTS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("replicas", [0, 3])
def test_sums_are_those_of_arrays(widths: tuple[int, ...], n: int, weighted: bool, replicas: int) -> None:
    assert_equal(*both(widths, n, weighted=weighted, replicas=replicas))


@pytest.mark.slow
@pytest.mark.parametrize("f", [*ACTIVATIONS.values(), MISH], ids=lambda f: f.name)
def test_all_activations(f: fx.Activation) -> None:
    """Also a user's own, and as output."""
    assert_equal(*both((3, 4, 5, 2), 50, hidden=f, output=f, factor=0.3))


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.name}-{loss.link}")
@pytest.mark.parametrize("weighted", [False, True])
def test_all_statistics_of_one_number(loss: Loss, weighted: bool) -> None:
    output = ACTIVATIONS[loss.link or ("exp" if loss.name == "poisson" else "identity")]
    assert_equal(*both((3, 4, 2), 77, loss=loss, output=output, weighted=weighted))


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1e2, 1e10, 1e160, np.nan])
@pytest.mark.parametrize("name", ["tanh", "relu", "softplus", "exp"])
def test_what_overflows_is_not_finite(name: str, factor: float) -> None:
    """Or it is the same number: minimizers turn back where S is not finite."""
    found, expected = both((2, 3, 1), 20, hidden=ACTIVATIONS[name], factor=factor)
    assert np.isfinite(found[0]) == np.isfinite(expected[0])
    if np.isfinite(expected).all():
        assert_equal(found, expected, 1e-12)


@pytest.mark.slow
def test_many_events_are_added_in_parts() -> None:
    """And in chunks, which are views of the events."""
    assert_equal(*both((8, 7, 9, 6), 30_000))
    S, _ = objective_of((8, 7, 9, 6), 30_000)
    assert S._sizes.of(SumKind(matrices=False)) < S.n
    assert S.n > S.backend.tuning.loop_part


@pytest.mark.slow
def test_the_same_call_has_the_same_digits() -> None:
    S, theta = objective_of((1, 10, 1), 500)
    again, _ = objective_of((1, 10, 1), 500)
    first = S.value_and_gradient(theta)
    assert first.tobytes() == again.value_and_gradient(theta.copy()).tobytes() == S.value_and_gradient(theta).tobytes()


@pytest.mark.slow
def test_replicas_of_some_numbers() -> None:
    S, theta = objective_of((2, 3, 1), 40, replicas=4)
    plain, _ = objective_of((2, 3, 1), 40, replicas=4, compiled=False)
    rows = np.array([0, 3])
    found, expected = (Replicas(one).value_and_gradient(theta[rows], rows) for one in (S, plain))
    assert_equal(found, expected)


@pytest.mark.parametrize(
    ("loss", "hidden"),
    [
        (get_loss("multinomial"), ACTIVATIONS["tanh"]),
        (get_loss("normal"), ACTIVATIONS["tanh"]),
        (CallableLoss(np.log1p), ACTIVATIONS["tanh"]),
        (LOSSES[0], replace(MISH, f=lambda xp, z: z if z > 0 else 0 * z)),
    ],
)
def test_what_cannot_be_traced_is_left_to_arrays(loss: Loss, hidden: fx.Activation) -> None:
    network = Network(Layout((2, 3, 2)), (hidden, ACTIVATIONS["identity"]))
    assert event_loop(network, loss, 2) is None


def test_wide_networks_are_left_to_products_of_matrices() -> None:
    """And float32, and a backend that was not asked."""
    widest = fx.Backend.tuning.loop_width
    assert objective_of((2, widest, 1), 9)[0].is_one_loop
    assert not objective_of((2, widest + 1, 1), 9)[0].is_one_loop
    assert not objective_of((2, 3, 1), 9, compiled=False)[0].is_one_loop
    assert not objective_of((2, 3, 1), 9)[0].in_single_precision().is_one_loop


def test_one_source_serves_all_widths_of_the_same_activations() -> None:
    loops = [objective_of(widths, 9)[0]._loop for widths in ((1, 10, 1), (5, 3, 2))]
    assert loops[0].source == loops[1].source  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_fit_ends_in_the_same_minimum(rng: np.random.Generator) -> None:
    x = rng.uniform(-2, 2, size=100)
    y = np.tanh(2 * x) + 0.1 * rng.normal(size=100)
    fits = [
        fx.Model((1, 2, 1), backend=fx.get_backend("numpy", compiled=compiled), seed=1).fit(x, y, 0.1, prior=3.0)
        for compiled in (True, False)
    ]
    assert fits[0].valid
    assert fits[0].fval == pytest.approx(fits[1].fval, rel=1e-9)


HARNESS = """
#include <math.h>
#include <pthread.h>
#include <string.h>
struct Place { int x, y; };
static __thread Place threadIdx, blockIdx;
static Place blockDim, gridDim;
static pthread_barrier_t all_here;
static double memory[6 * 1024 + 1024];
#define __device__
#define __forceinline__ inline
#define __global__
#define __syncthreads() pthread_barrier_wait(&all_here)
@TEXT@
struct Call { void (*kernel)(void **); void **arguments; int thread; };
static void *one_thread(void *given) {
  Call *c = (Call *)given;
  threadIdx.x = c->thread;
  for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) {
      c->kernel(c->arguments);
      __syncthreads();
    }
  return 0;
}
static int run(void (*kernel)(void **), void **arguments, const int *grid, int threads, int bytes) {
  Call calls[128];
  pthread_t running[128];
  blockDim.x = threads, gridDim.x = grid[0], gridDim.y = grid[1];
  memset(memory, 0xff, sizeof memory); /* not a number */
  pthread_barrier_init(&all_here, 0, threads);
  for (int t = 0; t < threads; t++) {
    calls[t].kernel = kernel, calls[t].arguments = arguments, calls[t].thread = t;
    pthread_create(&running[t], 0, one_thread, &calls[t]);
  }
  for (int t = 0; t < threads; t++) pthread_join(running[t], 0);
  for (unsigned b = bytes; b < sizeof memory; b++)
    if (((unsigned char *)memory)[b] != 0xff) return 1; /* beyond what it may write to */
  return 0;
}
static void sum(void **a) { sum_parts((const Events *)a[0], (const number *)a[1], (double *)a[2]); }
static void add(void **a) { add_parts((const double *)a[0], (INT)a[1], (INT)a[2], (double *)a[3]); }
extern "C" int launch(int adds, void **arguments, const int *grid, int threads, int bytes) {
  return run(adds ? add : sum, arguments, grid, threads, bytes);
}
"""
"""The GPU's words in C++: the threads of a block are threads of the CPU, one block after another."""


class Module:
    """CuPy's compiler, with the compiler of C++ in its place."""

    def __init__(self, code: str) -> None:
        text = HARNESS.replace("@TEXT@", code.replace("extern __shared__ double memory[];", ""))
        self.launch = c_compiler.compiled(text, "launch")

    def get_function(self, name: str) -> Callable[..., None]:
        def kernel(grid: tuple[int, int], block: tuple[int], arguments: Any, shared_mem: int = 0) -> None:
            pointers = [a.ctypes.data if isinstance(a, np.ndarray) else int(a) for a in arguments]
            given = (ctypes.c_void_p * len(pointers))(*pointers)
            assert not self.launch(name == "add_parts", given, (ctypes.c_int * 2)(*grid), block[0], shared_mem)

        return kernel


def on_a_cpu(monkeypatch: pytest.MonkeyPatch, threads: int, parts: int) -> type[GpuLoop]:
    """The class of loops for GPUs, with NumPy in the place of CuPy and so many threads and blocks."""
    monkeypatch.setenv("CC", "c++ -x c++ -pthread")
    monkeypatch.setattr(c_compiler, "OPTIONS", ("-O1", "-w", "-fPIC", "-shared"))
    names = ("asarray", "ascontiguousarray", "empty", "isfinite", "linalg")
    library = SimpleNamespace(RawModule=Module, **{name: getattr(np, name) for name in names})
    monkeypatch.setitem(sys.modules, "cupy", library)

    class Loop(GpuLoop):
        PARTS = parts
        address = staticmethod(HostLoop.address)
        threads_of = classmethod(lambda cls, loop, dtype: threads)

    return Loop


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("threads", "parts", "replicas"), [(1, 1, 0), (1, 3, 2), (4, 2, 3), (7, 100, 0)])
def test_loops_for_gpus_compute_the_same_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, dtype: str, weighted: bool, threads: int, parts: int, replicas: int
) -> None:
    S, theta = objective_of((3, 4, 5, 2), 50, loss=LOSSES[5], weighted=weighted, replicas=replicas, compiled=False)
    expected, arrays = S.value_and_gradient(theta), [None if a is None else a.astype(dtype) for a in S.events.leaves]
    loop = event_loop(S.network, S.loss, 2)
    assert loop is not None
    asked: list[object] = []

    def plain(*given: object) -> np.ndarray:
        asked.append(given)
        return expected

    f = on_a_cpu(monkeypatch, threads, max(replicas, 1) * parts)(loop, plain, dtype)
    first, found = (f(theta.astype(dtype), *arrays) for _ in range(2))
    assert f.agrees
    assert len(asked) == 1
    assert first.tobytes() == found.tobytes()
    assert_equal(found, expected, 1e-12 if dtype == "float64" else 3e-5)


def test_a_loop_for_gpus_that_fails_or_differs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    S, theta = objective_of((2, 3, 1), 9, compiled=False)
    loop, right, first = event_loop(S.network, S.loss, 2), S.value_and_gradient(theta), [np.nan * theta]
    assert loop is not None

    def of(answer: np.ndarray | Exception) -> GpuLoop:
        class Answers(on_a_cpu(monkeypatch, 32, 1)):  # type: ignore[misc]
            def run(self, *_: object) -> np.ndarray:
                if isinstance(answer, Exception):
                    raise answer
                return answer

        return Answers(loop, lambda *_: first[0], "float64")

    for answer, agrees in ((right, True), (right * (1 + 1e-9), False), (RuntimeError("NVRTC"), False)):
        f = of(answer)
        first[0] = np.nan * right
        f(theta, *S.events.leaves)
        assert f.agrees is None  # nothing to compare with
        first[0] = right
        found = f(theta, *S.events.leaves)
        assert f.agrees is agrees
        assert found is right
    with pytest.raises(MemoryError):
        of(MemoryError())(theta, *S.events.leaves)


def test_a_block_of_a_gpu_has_place_for_narrow_networks() -> None:
    loops = [EventLoop("", widths, 2) for widths in ((1, 10, 1), (8, 7, 9, 6), (20, 20, 20, 1), (8, 64, 64, 6))]
    assert [GpuLoop.threads_of(loop, "float64") for loop in loops] == [128, 64, 32, 0]
    assert GpuLoop.bytes_of(loops[0], "float64", 128) == 8 * 32 + 8 * (2 + 10 + 11 + 1 + 1) * 129


@pytest.mark.parametrize("name", ["tanh", "softplus", "gelu", "elu"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_on_a_gpu(backend: fx.Backend, name: str, dtype: str) -> None:
    if not backend.on_gpu or backend.name != "cupy":
        pytest.skip("loops for GPUs are CuPy's")
    for replicas in (0, 3):
        for loss in LOSSES:
            S, theta = objective_of(
                (3, 4, 5, 2),
                10_000,
                loss=loss,
                hidden=ACTIVATIONS[name],
                output=ACTIVATIONS[loss.link or ("exp" if loss.name == "poisson" else "identity")],
                replicas=replicas,
                backend=replace(backend, dtype=dtype),
            )
            with S.backend.context():
                at = S.backend.to_device(theta)
                first, second = (S.backend.to_host(S.value_and_gradient(at)) for _ in range(2))
                f = next(iter(S._bound.values()))
                assert f.agrees, "the loop does not compute what arrays do"
                expected = S.backend.to_host(f.plain(at, *S.events.leaves))
            assert first.tobytes() == second.tobytes()
            assert_equal(first, expected, 1e-12 if dtype == "float64" else 1e-4)


def test_the_sources_are_beside_the_package() -> None:
    folder = Path(c_compiler.__file__).parent
    assert {path.name for path in folder.glob("event_loop_*")} == {"event_loop_cpu.c", "event_loop_gpu.cu"}
