"""Events in parts: seconds of an evaluation, bytes, memory; whole fits; killed workers; more events than memory.

The events are those of a teacher with noise. Each section is printed by itself:

    python benchmarks/events_in_parts.py --evaluation   # in memory, from disk, on clusters of one and two workers
    python benchmarks/events_in_parts.py --fits         # 1e7 events: the same minimum everywhere
    python benchmarks/events_in_parts.py --kills        # a worker is killed in the middle of a fit, ten times
    python benchmarks/events_in_parts.py --memory       # a data set of three times the memory that a process may have

Times need free cores: compare with the load that is printed. Memory is what this process has beyond what it had before
(resident, without pages of files); that of `--memory` is limited by the operating system (RLIMIT_DATA).
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from header import header

import ffnn_xp as fx
from ffnn_xp.distributed import opening

SMALL, WIDE, LARGE = (5, 4, 1), (20, 2, 1), (8, 7, 9, 6)
BLOCK = 2500  # events that have a seed of their own


def events(layers: tuple[int, ...], n: int, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and measured values of a teacher with noise .1: n events from number `start` on, both even."""
    teacher, blocks = fx.Model(layers, seed=3, backend="numpy"), range(start, start + n, BLOCK)
    x, y = np.empty((n, layers[0])), np.empty((n, layers[-1]))
    for number in blocks:
        rng, some = np.random.default_rng([1, number]), slice(number - start, number - start + BLOCK)
        x[some] = rng.normal(size=x[some].shape)
        y[some] = 0.1 * rng.normal(size=y[some].shape) + np.reshape(np.asarray(teacher(x[some])), (-1, layers[-1]))
    return x, y


@contextmanager
def cluster(workers: int) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    options = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50, "memory_limit": 0}
    with LocalCluster(n_workers=workers, **options) as local, Client(local) as client:
        yield client


def in_dask(layers: tuple[int, ...], n: int, parts: int) -> tuple[Any, Any]:
    """Return the same events as arrays of Dask, which the workers make themselves."""
    import dask
    import dask.array as da

    each, width = n // parts, layers[0] + layers[-1]
    assert each * parts == n
    assert each % BLOCK == 0
    made = [dask.delayed(_side_by_side)(layers, each, each * i) for i in range(parts)]
    whole = da.concatenate([da.from_delayed(part, (each, width), np.float64) for part in made])
    return whole[:, : layers[0]], whole[:, layers[0] :]


def _side_by_side(layers: tuple[int, ...], n: int, start: int) -> np.ndarray:
    return np.hstack(events(layers, n, start))


def own_memory() -> float:
    """Return this process's resident memory in MB, without pages of files."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def header_of_table(*names: str) -> None:
    print(f"| {' | '.join(names)} |\n| {' | '.join(['---'] * len(names))} |", flush=True)


def problem(layers: tuple[int, ...], x: Any, y: Any) -> Any:
    """Return the cost of these events, as a fit makes it."""
    model = fx.Model(layers, seed=1, backend="numpy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x, y, 0.1, prior=None, restarts=1, max_seconds=1e-9, progress=False)


def seconds(f: Any, theta: np.ndarray, least: float = 1.0) -> float:
    """Return the median of wall seconds of f at different points, over a second or more."""
    took, began = [], time.perf_counter()
    while time.perf_counter() - began < least or len(took) < 3:
        theta = theta * (1 + 1e-9)
        start = time.perf_counter()
        f(theta)
        took.append(time.perf_counter() - start)
    return float(np.median(took))


def evaluation(most: int) -> None:
    p = fx.Model(LARGE, backend="numpy").n_parameters
    print(f"\n## One evaluation, {'-'.join(map(str, LARGE))}, {p} parameters\n")
    print(
        "| where | parts | events a part | value and gradient, ms | Hessian, ms | bytes a gradient | memory here, MB |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for each in (10_000, 100_000, 1_000_000):
        for parts in (1, 2, 8):
            n = each * parts
            if n > most:
                continue
            for where in ("memory", "disk", "one worker", "two workers"):
                with placed(where, LARGE, n, parts) as given:
                    before = own_memory()
                    fit = problem(LARGE, *given)
                    theta = 0.1 * np.random.default_rng(1).normal(size=p)
                    cost = fit.cost
                    gradient = seconds(cost.value_and_gradient, theta)
                    hessian = seconds(cost.hessian, theta)
                    moved = parts * 8 * (2 * p + 1) if "worker" in where else 0
                    memory = own_memory() - before
                    number = len(fit.problem.parts.sizes) if fit.problem.in_parts else 1
                print(
                    f"| {where} | {number} | {n // number} | {1e3 * gradient:.1f} | {1e3 * hessian:.0f} | {moved} "
                    f"| {memory:.0f} |",
                    flush=True,
                )


@contextmanager
def placed(where: str, layers: tuple[int, ...], n: int, parts: int) -> Iterator[tuple[Any, Any]]:
    """Yield the events as they are given to a fit, in memory, on disk or on a cluster."""
    if where == "memory":
        yield events(layers, n)
    elif where == "disk":
        with tempfile.TemporaryDirectory() as folder:
            for name, a in zip("xy", events(layers, n), strict=True):
                np.save(f"{folder}/{name}.npy", a)
            before, opening.free_memory, opening.ALWAYS_FIT = opening.free_memory, lambda: 0, 0
            yield tuple(np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in "xy")
            opening.free_memory = before
    else:
        with cluster(1 if where == "one worker" else 2):
            yield in_dask(layers, n, parts)


def fits(n: int) -> None:
    print(f"\n## A fit of {n:.0e} events, {'-'.join(map(str, SMALL))}, prior None, default starts\n")
    header_of_table("where", "parts", "valid", "S", "change of S", "of theta", "seconds", "memory here, MB")
    first = None
    for where in ("memory", "disk", "one worker", "two workers"):
        with placed(where, SMALL, n, 16) as given:
            before = own_memory()
            fit = fx.Model(SMALL, seed=1, backend="numpy").fit(*given, 0.1, prior=None, progress=False)
            memory = own_memory() - before
        first = fit if first is None else first
        number = len(fit.problem.parts.sizes) if fit.problem.in_parts else 1
        away = np.max(np.abs(fit.parameters - first.parameters) / first.errors)
        print(
            f"| {where} | {number} | {fit.valid} | {fit.fval:.6f} | {(fit.fval - first.fval) / first.fval:.1e} "
            f"| {away:.1e} | {fit.seconds:.0f} | {memory:.0f} |",
            flush=True,
        )
        fit = None


def kills(number: int) -> None:
    print(f"\n## A worker is killed in the middle of a fit, {number} times\n")
    given, options = in_dask(SMALL, 400_000, 8), {"prior": 3.0, "restarts": 3, "progress": False}
    with cluster(2) as client:
        for _ in range(2):  # the first one imports
            alone = fx.Model(SMALL, seed=1, backend="numpy").fit(*given, 0.1, **options)
        same, slower = 0, []
        for i in range(number):
            workers = list(client.run(os.getpid).values())

            def kill(state: fx.FitState, after: int = 3 * i + 2, workers: list[int] = workers) -> None:
                if state.calls > after and workers:
                    os.kill(workers[after % 2], signal.SIGKILL)
                    workers.clear()

            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                fit = fx.Model(SMALL, seed=1, backend="numpy").fit(*given, 0.1, callback=kill, **options)
            lost = any("is lost" in str(w.message) for w in caught)
            same += lost and fit.fval == alone.fval and np.array_equal(fit.parameters, alone.parameters)
            slower.append(fit.seconds - alone.seconds)
            client.wait_for_workers(2)
    print(f"the same digits of S and theta: {same} of {number}; a kill costs {np.median(slower):.1f} s (median)")


CHILD = """
import os, resource, sys, time
import numpy as np
import ffnn_xp as fx
path, kind, megabytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = fx.Model({layers}, seed=1, backend="numpy")
x = np.linspace(-1, 1, 100)
fx.Model((1, 2, 1), seed=1, backend="numpy").fit(x, x**2, 0.1, prior=None, progress=False)  # imports all that it needs
if megabytes:
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 2**20,) * 2)
if kind == "memmap":
    a = np.load(path, mmap_mode="r")
    given = (a[:, :-1], a[:, -1], 0.1)
else:
    given = (fx.EventFiles(path, x=list("abcdefghijklmnopqrst"), y="y", y_err=0.1),)
began = time.monotonic()
fit = model.fit(*given, prior=None, progress=False)
seconds = time.monotonic() - began
theta, times = fit.standardised, []
for i in range(3):
    start = time.perf_counter()
    fit.cost.value_and_gradient(theta * (1 + 1e-9 * (i + 1)))
    times.append(time.perf_counter() - start)
data = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmData")) // 1024
numbers = f"{{fit.fval:.6f}} | {{seconds:.0f}} | {{1e3 * min(times):.0f}} | {{data}}"
print(f"{{fit.valid}} | {{fit.problem.in_parts}} | {{numbers}}")
"""


def memory(n: int, megabytes: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    size = 8 * n * (WIDE[0] + WIDE[-1]) // 2**20
    print(f"\n## {n:.0e} events, {size} MB, {'-'.join(map(str, WIDE))}, in a process that may have {megabytes} MB\n")
    print("(its libraries alone take 280 MB; the last line is the same fit without a limit, in memory)\n")
    header_of_table("events", "limit, MB", "valid", "in parts", "S", "seconds", "ms an evaluation", "MB at the end")
    with tempfile.TemporaryDirectory() as folder:
        a = np.lib.format.open_memmap(f"{folder}/a.npy", mode="w+", dtype=np.float64, shape=(n, WIDE[0] + 1))
        schema = pa.schema([(name, pa.float64()) for name in "abcdefghijklmnopqrsty"])
        with parquet.ParquetWriter(f"{folder}/a.parquet", schema) as writer:
            for start in range(0, n, 100_000):
                x, y = events(WIDE, min(100_000, n - start), start)
                a[start : start + len(x)] = np.hstack([x, y])
                writer.write_table(pa.table(dict(zip("abcdefghijklmnopqrsty", [*x.T, y[:, 0]], strict=True))))
        a.flush()
        del a
        for kind, name, limit in (
            ("memmap", "a.npy", megabytes),
            ("parquet", "a.parquet", megabytes),
            ("memmap", "a.npy", 0),
        ):
            code = CHILD.format(layers=WIDE)
            command = [sys.executable, "-W", "ignore", "-c", code, f"{folder}/{name}", kind, str(limit)]
            env = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}  # the other one reserves a gigabyte
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
            result = done.stdout.strip() or done.stderr.strip().splitlines()[-1]
            print(f"| {kind} | {limit or 'none'} | {result} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("evaluation", "fits", "kills", "memory"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--most", type=float, default=4e6, help="events of an evaluation at most (default 4e6)")
    parser.add_argument("--events", type=float, default=1e7, help="events of the fits (default 1e7)")
    parser.add_argument("--megabytes", type=int, default=600, help="memory of --memory (default 600)")
    args = parser.parse_args()
    print("# Events in parts\n")
    print(header())
    print(f"- load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    everything = not (args.evaluation or args.fits or args.kills or args.memory)
    if args.evaluation or everything:
        evaluation(int(args.most))
    if args.fits or everything:
        fits(int(args.events))
    if args.kills or everything:
        kills(10)
    if args.memory or everything:
        memory(3 * args.megabytes * 2**20 // (8 * (WIDE[0] + 1)), args.megabytes)


if __name__ == "__main__":
    main()
