"""Fits of many events: S, validity, CPU seconds and memory with the default restarts and with one.

The events are those of a teacher of 16 units with noise .1, which the fitted network of 10 units cannot copy, so that
no start is good enough and all are tried. Each fit runs in a process of its own, for its memory:

    python benchmarks/many_events.py                         # 1e5 and 1e6 events
    python benchmarks/many_events.py --before ../before      # beside those of another checkout of this project
    python benchmarks/many_events.py --seeds 5               # S of 1e5 events from five starts, for each seed
    python benchmarks/many_events.py --tuning                # the numbers of the sample, larger and smaller
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from header import header

HERE = Path(__file__).resolve().parents[1]
LAYERS, NOISE = (5, 10, 1), 0.1
LIMIT = 200.0  # seconds of wall time of a fit
TUNED = (
    {},
    {"sample_per_parameter": 100},
    {"sample_per_parameter": 900},
    {"sample_per_parameter": 100, "least_sample": 6_700},
    {"sample_per_parameter": 30, "least_sample": 2_000},
    {"least_sample": 60_000},
    {"many": 1.3},
    {"many": 12.0},
)


def events(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and measured values."""
    rng = np.random.default_rng(0)
    W, b, v = rng.normal(size=(LAYERS[0], 16)), rng.normal(size=16), rng.normal(size=16) / 4
    x, y = rng.normal(size=(n, LAYERS[0])), NOISE * rng.normal(size=n)
    for some in np.array_split(np.arange(n), max(1, n // 10_000)):  # in parts, as the fit's memory is to be seen
        y[some] += np.tanh(x[some] @ W + b) @ v
    return x, y


def one_fit(n: int, restarts: int | str, seed: int, **numbers: Any) -> dict[str, Any]:
    """Fit once; memory is the most that the process had beyond what it had before, with its data."""
    from dataclasses import replace

    import ffnn_xp as fx
    from ffnn_xp.fitting import DEFAULT_TUNING

    tuning = replace(DEFAULT_TUNING, multi_start=replace(DEFAULT_TUNING.multi_start, **numbers))
    x, y = events(n)
    model = fx.Model(LAYERS, backend="numpy", seed=seed)
    before, began = _peak(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)  # chi-square says that the network is too small
        fit = model.fit(x, y, NOISE, prior=3.0, restarts=restarts, max_seconds=LIMIT, tuning=tuning)
    seconds = time.process_time() - began
    return {
        "S": fit.fval,
        "valid": fit.valid,
        "CPU s": seconds,
        "MB": _peak() - before,
        "starts": len(fit.restarts),
        "calls": sum(row.calls for row in fit.restarts),
    }


def _peak() -> float:
    """Return the most memory that this process had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fitted(checkout: Path, *args: Any, **numbers: Any) -> dict[str, Any]:
    """Fit in a process of its own with the package of a checkout."""
    command = [sys.executable, __file__, "--one", json.dumps([args, numbers])]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def row(*cells: Any) -> None:
    """Print a row of a table."""
    print("| " + " | ".join(f"{c:.1f}" if isinstance(c, float) else str(c) for c in cells) + " |", flush=True)


def titles(*names: str) -> None:
    """Print the head of a table."""
    row(*names)
    row(*["---"] * len(names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="root of another checkout of this project")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        args, numbers = json.loads(options.one)
        print(json.dumps(one_fit(*args, **numbers)))
        return
    print(f"# Many events\n\n{header()}\n")
    checkouts = {"now": HERE} if options.before is None else {"before": options.before.resolve(), "now": HERE}
    if options.tuning:
        titles("numbers of `MultiStartTuning`", "events", "seed", "S", "valid", "CPU s", "gradients")
        for numbers in TUNED:
            for n, seed in ((100_000, 1), (100_000, 2), (300_000, 1)):
                end = fitted(HERE, n, "auto", seed, **numbers)
                named = ", ".join(f"{name} {value}" for name, value in numbers.items()) or "default"
                row(named, n, seed, end["S"], end["valid"], end["CPU s"], end["calls"])
        return
    titles("checkout", "events", "restarts", "seed", "S", "valid", "CPU s", "MB", "starts", "gradients")
    cases = [(n, restarts, 1) for n in (100_000, 1_000_000) for restarts in (1, "auto")]
    if options.seeds:
        cases = [(100_000, 5, seed) for seed in range(1, options.seeds + 1)]
    for case in cases:
        for name, checkout in checkouts.items():
            row(name, *case, *fitted(checkout, *case).values())


if __name__ == "__main__":
    main()
