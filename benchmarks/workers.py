"""Toys per second by the workers of executors, whether all give the same bits, and what a killed worker costs.

For each executor and number of workers: wall seconds of a batch of toys (median of `--repeats`, after one that starts
the workers), toys per second, the efficiency (speed over that of one worker of the same executor, over the number of
workers), and whether the parameters are those of this process to the last bit. The second table kills a worker in the
middle of a batch of toys and of a fit from many starts, again and again. Efficiency needs free cores: compare with the
load that is printed.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/workers.py
    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 mpiexec -n 3 python -m mpi4py.futures benchmarks/workers.py --executor mpi
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from header import header

import ffnn_xp as fx

Processes = list[int]


@contextmanager
def processes(number: int) -> Iterator[tuple[Executor, Processes]]:
    with ProcessPoolExecutor(number, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(time.sleep, [0.5] * number))  # all of them have begun
        yield pool, list(pool._processes)


@contextmanager
def loky(number: int) -> Iterator[tuple[Executor, Processes]]:
    from loky import ProcessPoolExecutor as Pool

    with Pool(number) as pool:
        list(pool.map(time.sleep, [0.5] * number))
        yield pool, list(pool._processes)


@contextmanager
def dask(number: int) -> Iterator[tuple[Executor, Processes]]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=number, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        yield client.get_executor(), list(client.run(os.getpid).values())


@contextmanager
def mpi(number: int) -> Iterator[tuple[Executor, Processes]]:
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor(number) as pool:
        yield pool, []


EXECUTORS = {"processes": processes, "loky": loky, "dask": dask, "mpi": mpi}


def points(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, n)
    return x, np.sin(3 * x) + 0.1 * rng.normal(size=n)


def toys(layers: tuple[int, ...], n: int, number: int, executor: Executor | None) -> tuple[np.ndarray, float]:
    """Return the parameters of toys, and wall seconds."""
    x, y = points(n)
    model = fx.Model(layers, backend="numpy", seed=1)
    model.fit(x, y, 0.1, prior=1.0, restarts=1, progress=False)
    began = time.monotonic()
    found = model.fit_replicas(x, y, 0.1, number=number, seed=2, executor=executor)
    return found.parameters, time.monotonic() - began


def starts(executor: Executor | None) -> tuple[np.ndarray, float]:
    """Return the parameters of a fit from eight starts, and wall seconds."""
    x, y = points(400)
    began = time.monotonic()
    model = fx.Model((1, 30, 30, 1), backend="numpy", seed=1)
    fit = model.fit(x, y, 0.1, prior=1.0, restarts=8, progress=False, executor=executor)
    return fit.parameters, time.monotonic() - began


def speeds(names: list[str], number: int, repeats: int) -> None:
    for layers, n in (((1, 10, 1), 200), ((1, 30, 30, 1), 400)):
        many = number if len(layers) == 3 else number // 10
        here, _ = toys(layers, n, many, None)
        alone = float(np.median([toys(layers, n, many, None)[1] for _ in range(repeats)]))
        print(f"\n{many} toys of {'-'.join(map(str, layers))}, {n} events; this process alone: {alone:.2f} s\n")
        print("| executor | workers | seconds | toys a second | efficiency | same bits |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name in names:
            one = np.nan
            for workers in (1, 2):
                with EXECUTORS[name](workers) as (executor, _):
                    found, _ = toys(layers, n, many, executor)
                    seconds = float(np.median([toys(layers, n, many, executor)[1] for _ in range(repeats)]))
                one = seconds if workers == 1 else one
                same = "yes" if np.array_equal(found, here) else "NO"
                print(
                    f"| {name} | {workers} | {seconds:.2f} | {many / seconds:.1f} | {one / seconds / workers:.2f} "
                    f"| {same} |",
                    flush=True,
                )


def killed(names: list[str], times: int) -> None:
    print("\n| executor | job | kills | same bits | seconds, median | without a kill |\n|" + " --- |" * 6)
    jobs: dict[str, Any] = {"toys": lambda e: toys((1, 10, 1), 200, 400, e), "starts": starts}
    for name in names:
        for job, run in jobs.items():
            here, _ = run(None)
            with EXECUTORS[name](2) as (executor, _):
                calm = run(executor)[1]
            same, seconds = 0, []
            for i in range(times):
                with EXECUTORS[name](2) as (executor, pids):
                    after = calm * (0.1 + 0.7 * i / times)
                    timer = threading.Timer(after, os.kill, (pids[i % 2], signal.SIGKILL))
                    timer.start()
                    found, took = run(executor)
                    timer.cancel()
                same, seconds = same + np.array_equal(found, here), [*seconds, took]
            print(
                f"| {name} | {job} | {times} | {same} of {times} | {np.median(seconds):.2f} | {calm:.2f} |", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executor", nargs="*", default=["processes", "loky", "dask"], choices=list(EXECUTORS))
    parser.add_argument("--toys", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    warnings.simplefilter("ignore", fx.FfnnXpWarning)
    print(f"# Workers\n\n{header()}\n- load before: {os.getloadavg()[0]:.1f}")
    speeds(options.executor, options.toys, options.repeats)
    if options.kills and options.executor != ["mpi"]:
        killed([name for name in options.executor if name != "mpi"], options.kills)


if __name__ == "__main__":
    main()
