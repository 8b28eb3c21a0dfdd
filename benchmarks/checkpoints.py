"""Checkpoints: a fit and a coverage that are killed ten times each, beside the same calls that nobody disturbs.

Each call runs in a process of its own, which is killed by ``kill -9`` at a random time and started again with the same
file. A row says whether the digits are those of a call without a file, how much S differs, the seconds that were lost
by each kill (those of all processes, less those of a call with a file that was not killed, over the kills), and the
size of the file. Then calls with and without a file take turns, for what the writing costs. Times begin when data are
made, and fits that a coverage needs are done.

    python benchmarks/checkpoints.py
    python benchmarks/checkpoints.py --kills 3 --interval 0.5
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from header import header

import ffnn_xp as fx
from ffnn_xp._lib import journal

TURNS = 3  # of calls with and without a file


def fit(path: str | None) -> Callable[[], tuple[float, Any]]:
    """Prepare a fit from eight starts; it returns S and the parameters."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (2000, 2))
    y = np.sin(4 * x[:, 0]) * np.cos(3 * x[:, 1]) + 0.1 * rng.normal(size=2000)

    def call() -> tuple[float, Any]:
        model = fx.Model((2, 12, 12, 1), seed=1)
        result = model.fit(x, y, 0.1, prior=1.0, restarts=8, progress=False, checkpoint=path)
        return result.fval, result.parameters

    return call


def coverage(path: str | None) -> Callable[[], tuple[float, Any]]:
    """Prepare a coverage; it returns the averaged coverage, and that at each point."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, 300)
    model = fx.Model((1, 6, 1), seed=1)
    result = model.fit(x, np.sin(3 * x) + 0.1 * rng.normal(size=300), 0.1, prior=1.0, progress=False)

    def call() -> tuple[float, Any]:
        found = result.coverage(number=400, seed=3, progress=False, checkpoint=path)
        return float(found.averaged[0]), found.pointwise

    return call


CALLS = {"fit": fit, "coverage": coverage}


def child(name: str, path: str | None) -> None:
    """Make a call, and print its time and result."""
    warnings.simplefilter("ignore")
    call = CALLS[name](path)
    print("began", flush=True)
    began = time.perf_counter()
    value, digits = call()
    seconds = time.perf_counter() - began
    print(json.dumps([value, np.ascontiguousarray(digits).tobytes().hex(), seconds]), flush=True)


def started(name: str, path: Path | None, interval: float) -> subprocess.Popen[str]:
    """Start a call in a process of its own; return when its clock starts."""
    command = [sys.executable, __file__, "--child", name, "--interval", str(interval)]
    process = subprocess.Popen([*command, *(["--path", str(path)] if path else [])], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def result(process: subprocess.Popen[str]) -> list[Any]:
    """Return the value, the digits and the seconds of a call that comes to its end."""
    return list(json.loads(process.communicate()[0]))


def killed(name: str, path: Path, kills: int, seconds: float, interval: float) -> tuple[list[Any], int, float]:
    """Kill a call so often, about evenly over its time; return its result, the kills, and the seconds of them all."""
    rng, total, number = np.random.default_rng(1), 0.0, 0
    for _ in range(kills):
        process, began = started(name, path, interval), time.perf_counter()
        try:
            process.wait(seconds / kills * rng.uniform(0.5, 1.5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            number, total = number + 1, total + time.perf_counter() - began
            continue
        return result(process), number, total
    end = result(started(name, path, interval))
    return end, number, total + end[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds of `journal.INTERVAL`, by default 10")
    parser.add_argument("--child", choices=CALLS, help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    args = parser.parse_args()
    journal.INTERVAL, journal.OLD = args.interval, args.interval / 2
    if args.child:
        child(args.child, args.path)
        return
    print(header())
    print(f"\nThe interval is {args.interval:g} s.\n")
    print("| call | seconds alone | with a file | kills | same digits | difference of S | lost by a kill, s | bytes |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in CALLS:
        with tempfile.TemporaryDirectory() as folder:
            alone, kept = [], []
            for turn in range(TURNS):
                alone.append(result(started(name, None, args.interval)))
                kept.append(result(started(name, Path(folder, f"{turn}"), args.interval)))
            without, with_file = (min(run[2] for run in runs) for runs in (alone, kept))
            path = Path(folder, "killed")
            end, number, total = killed(name, path, args.kills, with_file, args.interval)
            same, lost = end[1] == alone[0][1], (total - with_file) / max(number, 1)
            print(
                f"| {name} | {without:.2f} | {with_file:.2f} | {number} | {'yes' if same else 'no'} | "
                f"{end[0] - alone[0][0]:.1e} | {lost:.2f} | {path.stat().st_size} |"
            )


if __name__ == "__main__":
    main()
