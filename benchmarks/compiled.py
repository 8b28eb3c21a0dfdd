"""What one compiled loop over events brings on a CPU: value and gradient, whole fits, and the time of the compiler.

Beside the arrays of NumPy, jax.jit and torch's automatic differentiation, called as MINUIT calls a cost: a new host
vector in, host numbers out. Medians. With ``--tuned`` the numbers that were tuned: up to which width the loop wins,
from where on a stage in float32 is faster than the loop, and how many events it sums before it adds them.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/compiled.py
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from header import header
from objective import NOISE, by_jax, by_torch, events, median_time

import ffnn_xp as fx
from ffnn_xp.backends import c_compiler
from ffnn_xp.backends.numpy import NumpyBackend

WIDTHS = ((1, 10, 1), (8, 7, 9, 6), (8, 64, 64, 6))
EVENTS = (100, 300, 1000, 10_000)
UNITS = (8, 16, 24, 32, 48, 64)
CROSSING = (((1, 10, 1), (1000, 3000, 10_000, 30_000)), ((8, 7, 9, 6), (300, 1000, 2000, 3000)))
PARTS = (2**8, 2**10, 2**12, 2**14, 2**20)
FITS = (((1, 10, 1), 200), ((8, 7, 9, 6), 300))
SEEDS = 10
SECONDS = 0.3


def cost_of(widths: tuple[int, ...], n: int, *, compiled: bool = False, dtype: str = "float64") -> fx.LeastSquares:
    x, y, _ = events(widths, n)
    backend = fx.get_backend("numpy", compiled=compiled, dtype=dtype, fallback=False)
    return fx.LeastSquares(x, y, NOISE, fx.Model(widths, backend=backend, seed=1))


def microseconds(f: Callable[[np.ndarray], object], theta: np.ndarray) -> float:
    def call() -> None:
        theta[0] += 1e-9  # else it would be remembered
        f(theta)

    return 1e6 * median_time(call, SECONDS)


def differences(widths: tuple[int, ...], n: int) -> tuple[float, float]:
    """Of value and gradient by the loop and by arrays, relative to the value and to the norm of the gradient."""
    loop, arrays = (cost_of(widths, n, compiled=c) for c in (True, False))
    (s, g), (t, h) = (cost.value_and_gradient(cost.start + 0.1) for cost in (loop, arrays))
    return abs(s / t - 1), float(np.linalg.norm(g - h) / np.linalg.norm(h))


def table(*columns: str) -> None:
    print(f"\n| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|")


def row(*cells: object) -> None:
    text = (
        f"{c:.3g}" if isinstance(c, float) and c < 100 else f"{c:.0f}" if isinstance(c, float) else c for c in cells
    )
    print(f"| {' | '.join(map(str, text))} |", flush=True)


def named(widths: tuple[int, ...]) -> str:
    return "-".join(map(str, widths))


def evaluations() -> None:
    print("\n## Value and gradient, µs")
    peers = {"jax.jit": by_jax, "torch": by_torch}
    found = {name: make for name, make in peers.items() if importlib.util.find_spec(name.partition(".")[0])}
    table("widths", "events", "arrays", "loop", *found, "arrays / loop", "S differs by", "gradient by")
    for widths in WIDTHS:
        for n in EVENTS:
            times = [microseconds((c := cost_of(widths, n, compiled=k)).value_and_gradient, c.start) for k in (0, 1)]
            x, y, model = events(widths, n)
            others = [microseconds(make(x, y, widths), np.asarray(model.parameters)) for make in found.values()]
            ratio = f"{times[0] / times[1]:.1f}"
            row(named(widths), n, *times, *others, ratio, *(f"{d:.0e}" for d in differences(widths, n)))


def widest() -> None:
    print("\n## `BackendTuning.loop_width`: arrays / loop for 4-h-h-1")
    table("h", *(f"{n} events" for n in EVENTS))
    for h in UNITS:
        ratios = []
        for n in EVENTS:
            costs = [cost_of((4, h, h, 1), n, compiled=k) for k in (False, True)]
            a, b = (microseconds(c.value_and_gradient, c.start) for c in costs)
            ratios.append(f"{a / b:.2f}")
        row(h, *ratios)


def single_precision() -> None:
    print("\n## `HostTuning.single_precision_from_loop`: arrays in float32 beside the loop in float64, µs")
    table("widths", "events", "events times parameters", "float32", "loop", "float32 / loop")
    for widths, sizes in CROSSING:
        for n in sizes:
            a = microseconds((c := cost_of(widths, n, dtype="float32")).value_and_gradient, c.start)
            b = microseconds((c := cost_of(widths, n, compiled=True)).value_and_gradient, c.start)
            row(named(widths), n, n * c.npar, a, b, f"{a / b:.2f}")


def parts() -> None:
    print("\n## `BackendTuning.loop_part`: 8-7-9-6 in one call, and S of 10^6 terms beside NumPy's pairwise sum")
    table("events of a part", "100 events, µs", "4000 events, µs", "10^6 events: S differs by", "gradient by")
    library, before = NumpyBackend, NumpyBackend.tuning
    for part in PARTS:
        library.tuning = replace(before, loop_part=part)
        small, large = (cost_of((8, 7, 9, 6), n, compiled=True) for n in (100, 4000))
        few = [microseconds(c.value_and_gradient, c.start) for c in (small, large)]
        costs = [cost_of((8, 7, 9, 6), 10**6, compiled=k) for k in (True, False)]
        packed = [replace(c.objective, chunk_size=10**6).value_and_gradient(c.start + 0.1) for c in costs]
        error = abs(packed[0][0] / packed[1][0] - 1)
        change = np.linalg.norm(packed[0][1:] - packed[1][1:]) / np.linalg.norm(packed[1][1:])
        row(part, *few, f"{error:.0e}", f"{change:.0e}")
    library.tuning = before


def fits() -> None:
    print(
        f"\n## Fits with one start, prior of width 3: ms of processor time, means of {SEEDS} seeds, each the best of 3"
    )
    table("widths", "events", "arrays", "loop", "seeds with the same S", "gradients by arrays", "by the loop")
    warnings.simplefilter("ignore", fx.FitWarning)
    for widths, n in FITS:
        x, y, _ = events(widths, n)
        y = y if y.shape[1] > 1 else y[:, 0]
        times, values, gradients = np.zeros((2, SEEDS)), np.zeros((2, SEEDS)), np.zeros((2, SEEDS))
        for compiled in (0, 1):
            backend = fx.get_backend("numpy", compiled=bool(compiled))
            for seed in range(SEEDS):
                each = []
                for _ in range(3):
                    model = fx.Model(widths, backend=backend, seed=seed)
                    began = time.process_time()
                    fit = model.fit(x, y, NOISE, prior=3.0, restarts=1)
                    each.append(1e3 * (time.process_time() - began))
                times[compiled, seed], values[compiled, seed], gradients[compiled, seed] = (
                    min(each),
                    fit.fval,
                    fit.restarts[0].calls,
                )
        same = int(np.sum(np.isclose(*values, rtol=1e-6)))
        row(named(widths), n, *times.mean(axis=1).tolist(), f"{same} of {SEEDS}", *gradients.mean(axis=1).tolist())


def compiler() -> None:
    print("\n## The compiler, seconds: once for the nonlinearities and the statistic, whatever the widths")
    table("", "seconds")
    for what in ("nothing is kept", "in the cache"):
        for cached in (c_compiler.compiled, c_compiler._version, c_compiler._processor):
            cached.cache_clear()
        began = time.perf_counter()
        cost = cost_of((8, 7, 9, 6), 100, compiled=True)
        first = time.perf_counter()
        cost.value_and_gradient(cost.start)
        row(f"check of the compiler, {what}", first - began)
        row(f"first value and gradient, {what}", time.perf_counter() - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tuned", action="store_true", help="the tuned numbers alone")
    tuned = parser.parse_args().tuned
    title = "Tuned numbers of the compiled loop over events" if tuned else "One compiled loop over events, on a CPU"
    print(f"# {title}\n\n{header()}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(XDG_CACHE_HOME=folder, FFNN_XP_THREADS="1")
        NumpyBackend.tuning = replace(NumpyBackend.tuning, loop_width=1000)  # loops whatever the width
        cost_of((1, 1), 10).value_and_gradient(np.zeros(2))
        for measure in (widest, single_precision, parts) if tuned else (compiler, evaluations, fits):
            measure()


if __name__ == "__main__":
    main()
