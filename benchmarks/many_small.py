"""Jobs of many small minimizations, with this copy of the library and another one: CPU seconds, results.

Of 31 parameters and 200 points: the default call, toys, profiles, coverage; the last two with 195 parameters
and 1,000 points too. With ``--sets``, the sets of `uci.py`, one hidden layer of 50 units, and the log-likelihood of
each split; what the two copies differ by is the mean over splits, with its error.

    python benchmarks/many_small.py --against ../older --sets yacht energy concrete --splits 4
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import uci
from header import header

import ffnn_xp as fx

Job = Callable[[], str]
NAMES = ("default", "toys 200", "toys 1000", "profile 31", "profile 195", "coverage 31", "coverage 195")


def curve() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """200 points of a curve, with errors."""
    rng = np.random.default_rng(1)
    x, y_err = rng.uniform(0, 1, 200), rng.uniform(0.05, 0.15, 200)
    return x, np.sin(5 * x) / (0.5 + x) + y_err * rng.normal(size=200), y_err


def fitted(p: int) -> tuple[fx.Model, fx.FitResult, tuple[np.ndarray, np.ndarray, np.ndarray | float]]:
    """A fit of so many parameters, and its data."""
    if p == 31:
        data, widths = curve(), (1, 10, 1)
    else:
        rng, widths = np.random.default_rng(1), (8, 7, 9, 6)
        x = rng.normal(size=(1000, 8))
        y = fx.Model(widths, backend="numpy", seed=1)(x)
        data = (x, y + 0.1 * rng.normal(size=y.shape), 0.1)
    model = fx.Model(widths, backend="numpy", seed=9)
    return model, model.fit(*data, prior=3.0, restarts=1 if p == 31 else 3), data


def job(name: str) -> Job:
    """The job of this name: a function that does it, and returns what came of it."""
    kind, _, size = name.partition(" ")
    if kind == "default":
        data = curve()
        return lambda: f"S {fx.Model((1, 10, 1), backend='numpy', seed=0).fit(*data).fval:.6f}"
    if kind in uci.PUBLISHED:
        x, y, x_test, y_test = next(itertools.islice(uci.splits(kind, int(size) + 1), int(size), None))

        def split() -> str:
            model = fx.Model((None, 50, None), backend="numpy", seed=int(size))
            fit = model.fit(x, y, prior="auto")
            return f"{np.mean(model.log_density(x_test, y_test)):.4f} {'valid' if fit.valid else 'not valid'}"

        return split
    model, fit, data = fitted(int(size) if kind != "toys" else 31)
    x = data[0]
    if kind == "toys":

        def toys() -> str:
            found = model.fit_replicas(*data, prior=3.0, number=int(size), seed=1)
            return f"{np.sum(found.valid)} valid, mean S {np.mean(found.fval):.4f}"

        return toys
    if kind == "profile":
        at = np.sort(x, axis=0)[:: len(x) // 50][:50]

        def profile() -> str:
            band = fit.band(at, method="profile")
            return f"{np.sum(band.status == '')} ends, mean width {np.nanmean(band.high - band.low):.6f}"

        return profile

    def coverage() -> str:
        found = fit.coverage(x[:20], number=100, seed=1)
        return f"{found.n_toys} toys, {100 * found.averaged[0]:.1f} %"

    return coverage


def measure(name: str, runs: int) -> None:
    """Print the median CPU seconds of a job, and what came of it, for `main` to read."""
    warnings.simplefilter("ignore")
    work, taken = job(name), []
    if name == "default":
        work()  # modules are loaded
    for _ in range(runs):
        began = time.process_time()
        result = work()
        taken.append(time.process_time() - began)
    print(statistics.median(taken), result, sep="\t")


def asked(folder: Path, name: str, runs: int) -> tuple[float, str]:
    """CPU seconds and result of a job with the copy of the library in a folder."""
    done = subprocess.run(
        [sys.executable, __file__, "--only", name, "--runs", str(runs)],
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, result = done.stdout.splitlines()[-1].split("\t")
    return float(seconds), result


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="a folder with another copy of the library")
    parser.add_argument("--jobs", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--sets", nargs="+", choices=uci.PUBLISHED, default=[])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        measure(options.only, options.runs)
        return
    folders = [folder for folder in (options.against, Path(__file__).parents[1]) if folder is not None]
    print(f"# Many small minimizations\n\n{header()}\n")
    print("| job | CPU s, other | here | ratio | result, other | here |\n| --- " + "| --- " * 5 + "|")
    sets = {name: [f"{name} {i}" for i in range(options.splits)] for name in options.sets}
    found = {}
    for name in (*options.jobs, *itertools.chain(*sets.values())):
        runs = 1 if name.split()[0] in sets or name == "toys 1000" else options.runs
        found[name] = [asked(folder, name, runs) for folder in folders]
        (before, was), (now, is_) = found[name][0], found[name][-1]
        print(f"| {name} | {before:.2f} | {now:.2f} | {before / now:.2f} | {was} | {is_} |", flush=True)
    for name, splits in sets.items():
        seconds = np.array([[s for s, _ in found[split]] for split in splits])
        likelihoods = np.array([[float(result.split()[0]) for _, result in found[split]] for split in splits])
        more = likelihoods[:, -1] - likelihoods[:, 0]
        error = np.std(more, ddof=1) / np.sqrt(len(more)) if len(more) > 1 else np.nan
        before, now = seconds.mean(axis=0)[[0, -1]]
        print(f"\n{name}: {before:.1f} and {now:.1f} CPU s a fit, log-likelihood {more.mean():+.4f} ± {error:.4f}")


if __name__ == "__main__":
    main()
