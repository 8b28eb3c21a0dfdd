"""Which minimum a fit ends in on each array library, for the same data and seeds; no prior, so that many differ.

For each problem one process of each library fits it from three seeds, and the first seed again: S over the lowest that
any library found, in units of -2 log L, and seconds. Errors of y that are not given are estimated: there -2 log L is
n log of the estimated variance, whose degrees of freedom are counted: a parameter that is determined or not makes 1.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from header import header
from lesson_curve import NOISE, SIGMOIDS
from lesson_curve import events as lesson

import ffnn_xp as fx

LIBRARIES = ("numpy", "torch", "jax", "cupy")
SEEDS = (1, 2, 3)


class Problem(NamedTuple):
    """Data, what `Model` is told, and what `fit` is told."""

    x: np.ndarray
    y: np.ndarray
    network: dict[str, Any]
    options: dict[str, Any]


def known() -> Problem:
    """The lesson's curve, which five sigmoids do not describe."""
    return Problem(*lesson(0), {"layers": (1, SIGMOIDS, 1), "activation": "logistic"}, {"y_err": NOISE})


def unknown() -> Problem:
    return known()._replace(options={})


def surface() -> Problem:
    """Waves in two dimensions, with errors that have to be estimated."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-2, 2, (3000, 2))
    y = np.sin(3 * x[:, 0]) * np.cos(2 * x[:, 1]) + rng.normal(0, 0.2, len(x))
    return Problem(x, y, {"layers": (2, 14, 1)}, {})


def counts() -> Problem:
    """A rate that rises and falls ever faster."""
    rng = np.random.default_rng(4)
    x = np.sort(rng.uniform(-3, 3, 800))
    y = rng.poisson(np.exp(2.5 + np.sin(3 * x * (1 + 0.3 * x))))
    return Problem(x, y, {"layers": (1, 8, 1), "output": "exp"}, {"loss": "poisson"})


def yes_and_no() -> Problem:
    """A chessboard with soft borders."""
    rng = np.random.default_rng(5)
    x = rng.uniform(-2, 2, (2000, 2))
    chance = 1 / (1 + np.exp(-6 * np.sin(2 * x[:, 0]) * np.cos(2 * x[:, 1])))
    y = (rng.random(len(x)) < chance).astype(float)
    return Problem(x, y, {"layers": (2, 12, 1), "output": "logistic"}, {"loss": "binomial"})


def classes() -> Problem:
    """Three classes, whose logits are waves in five dimensions."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(5000, 5))
    logits = 3 * np.sin(x @ rng.normal(size=(5, 3)))
    y = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
    return Problem(x, y, {"layers": (5, 6, 3), "output": "softmax"}, {"loss": "multinomial"})


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "the lesson's curve": known,
    "the same, errors unknown": unknown,
    "surface, errors unknown": surface,
    "counts": counts,
    "yes and no": yes_and_no,
    "three classes": classes,
}


def measure(name: str, library: str) -> None:
    """A line: S at the end from each seed, seconds of the first fit, and of the others."""
    try:
        fx.get_backend(library, fallback=False)
    except fx.BackendUnavailableError as error:
        print(error, file=sys.stderr)
        return
    problem, found, taken = PROBLEMS[name](), [], []
    for seed in (SEEDS[0], *SEEDS):
        model = fx.Model(backend=library, seed=seed, **problem.network)
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fx.FitWarning)
            fit = model.fit(problem.x, problem.y, progress=False, **{"prior": None, **problem.options})
        taken.append(time.perf_counter() - began)
        found.append(fit.fval if fit.y_error is None else 2 * len(problem.y) * float(np.log(np.mean(fit.y_error))))
    print(*found[1:], taken[0], statistics.median(taken[1:]))


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=LIBRARIES)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(*args.one)
        return
    print(f"# Which minimum is found\n\n{header()}\n")
    seeds = ", ".join(map(str, SEEDS))
    print(f"## -2 log L over the lowest, seeds {seeds}; seconds of the first fit / of another\n")
    print("| problem | " + " | ".join(args.libraries) + " |\n| --- |" + " --- |" * len(args.libraries))
    for name in PROBLEMS:
        cells = {}
        for library in args.libraries:
            command = [sys.executable, __file__, "--one", name, library]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ)
            cells[library] = [float(word) for word in done.stdout.split()]
        lowest = min(min(row[:-2]) for row in cells.values() if row)

        def cell(row: list[float], lowest: float = lowest) -> str:
            *found, first, again = row
            return f"{', '.join(f'{S - lowest:.1f}' for S in found)}; {first:.1f} / {again:.1f}"

        print(
            f"| {name} | " + " | ".join(cell(cells[a]) if cells[a] else "-" for a in args.libraries) + " |", flush=True
        )


if __name__ == "__main__":
    main()
