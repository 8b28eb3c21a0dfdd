"""What a user asks of a fit, on each array library: seconds the first time, where libraries compile, and again.

Each library runs in a process of its own. "Again" is the median of further runs with other data or points of the same
number; what took longer than ``--patience`` seconds the first time is not asked again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from header import header

import ffnn_xp as fx

EVENTS, NOISE, WIDTHS = 300, 0.1, (2, 6, 1)
LIBRARIES = ("numpy", "torch", "jax", "cupy")


def data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (EVENTS, 2))
    return x, np.sin(2 * x[:, 0]) + x[:, 1] + rng.normal(0, NOISE, EVENTS)


def bump(x: np.ndarray, height: float, place: float) -> np.ndarray:
    return height * np.exp(-0.5 * (x[:, 0] - place) ** 2)


def operations(library: str) -> Iterator[tuple[str, Callable[[int], Any]]]:
    """Name and function of a seed."""
    options = {"backend": library, "seed": 1}
    x, y = data(1)
    model = fx.Model(WIDTHS, **options)
    yield "`fit(x, y, 0.1, prior=3.0)`", lambda i: fx.Model(WIDTHS, **options).fit(*data(i), NOISE, prior=3.0)
    yield '`fit(x, y, prior="auto")`', lambda i: fx.Model(WIDTHS, **options).fit(*data(i), prior="auto", seed=i)
    fit = model.fit(x, y, NOISE, prior=3.0)
    yield "`model(x)`, all events", lambda i: fx.to_numpy(model(x + 0.01 * i))
    yield "`predict(x, return_std=True)`", lambda i: fx.to_numpy(model.predict(x + 0.01 * i, return_std=True)[1])
    yield "`band`, 5 points, profile", lambda i: fit.band(x[5 * i : 5 * i + 5], method="profile")
    yield "`band`, 5 points, mixture", lambda i: fit.band(x[5 * i : 5 * i + 5], method="mixture", seed=i)
    yield "`fit_replicas`, 200 toys", lambda i: model.fit_replicas(x, y, NOISE, prior=3.0, number=200, seed=i)
    yield "`goodness`, 30 toys", lambda i: fit.goodness(30, seed=i)
    yield "`coverage`, 20 toys", lambda i: fit.coverage(x[:5], number=20, seed=i)
    yield "`minuit_of`, 2 parameters", lambda i: fit.minuit_of(fit.names[2 * i : 2 * i + 2])
    cost = fx.LeastSquares(x, y, NOISE, model)
    theta = cost.start
    yield "exact Hessian, 25 parameters", lambda i: cost.matrix("hessian", theta + 1e-3 * i)
    both = fx.PlusFunction(cost, bump, height=0.1, place=0.0)
    v = both.start
    yield "`PlusFunction`, value and gradient", lambda i: both.value_and_gradient(v + 1e-3 * i)


def seconds(operation: Callable[[int], Any], runs: int, patience: float) -> tuple[float, float]:
    """Of the first run, and the median of others."""
    taken = []
    for i in range(1, runs + 2):
        began = time.perf_counter()
        operation(i)
        taken.append(time.perf_counter() - began)
        if taken[0] > patience:
            return taken[0], float("nan")
    return taken[0], statistics.median(taken[1:])


def measure(library: str, runs: int, patience: float) -> None:
    """A line for each operation, for `main` to read."""
    try:
        fx.get_backend(library, fallback=False)
    except fx.BackendUnavailableError as error:
        print(error, file=sys.stderr)
        return
    for name, operation in operations(library):
        print(name, *seconds(operation, runs, patience), sep="\t", flush=True)


def milliseconds(t: float) -> str:
    """To three digits, or all of an integer."""
    if np.isnan(t):
        return "not asked"
    return f"{1e3 * t:,.0f}" if t >= 0.1 else f"{1e3 * t:.3g}"


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=LIBRARIES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--patience", type=float, default=60.0)
    parser.add_argument("--only", choices=LIBRARIES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        measure(args.only, args.runs, args.patience)
        return
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for library in args.libraries:
        command = [sys.executable, __file__, "--only", library, "--runs", str(args.runs), "--patience"]
        done = subprocess.run([*command, str(args.patience)], stdout=subprocess.PIPE, text=True, env=os.environ)
        for line in done.stdout.splitlines():
            name, first, again = line.split("\t")
            found.setdefault(name, {})[library] = float(first), float(again)
    there = [library for library in args.libraries if any(library in row for row in found.values())]
    widths = "-".join(map(str, WIDTHS))
    print(f"# What is asked of a fit\n\n{header()}\n\n## {widths}, {EVENTS} events: ms the first time / again\n")
    print("| what | " + " | ".join(there) + " |\n| --- |" + " --- |" * len(there))
    for name, row in found.items():
        cells = (" / ".join(map(milliseconds, row[a])) if a in row else "failed" for a in there)
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
