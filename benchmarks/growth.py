"""How a certified fit grows: CPU and wall seconds, memory, over parameters at a fixed number of events and the reverse.

Events of a teacher (Glorot's matrices times 1.5) with errors 0.1; a student of the same widths, prior 1.0, one start.
Up to 6,000 parameters MIGRAD certifies and there is a covariance; above, conjugate gradients do. The exponent is the
slope of log time over log size by least squares.

    FFNN_XP_THREADS=2 OPENBLAS_NUM_THREADS=1 python benchmarks/growth.py --plot growth.png
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from header import header

import ffnn_xp as fx

NOISE, TAU = 0.1, 1.0
WIDTHS = ("8,7,9,6", "8,20,20,6", "16,32,32,6", "16,64,64,6", "16,96,96,6", "16,128,128,6")
EVENTS = (1000, 10_000, 100_000, 1_000_000)
MOST_SECONDS = 600.0
COLUMNS = ("widths", "parameters", "events", "certificate", "valid", "EDM", "chi2/ndof", "gradients", "CPU s", "wall s",
           "MiB", "data, MiB")  # fmt: skip


def one(widths: tuple[int, ...], n: int, seconds: float) -> str:
    """One fit: a line of the table, with what a plot wants to know at its end."""
    rng = np.random.default_rng(1)
    teacher = fx.Model(widths, backend="numpy", seed=1)
    teacher.parameters = 1.5 * teacher.parameters
    x = rng.normal(size=(n, widths[0]))
    y = teacher(x) + NOISE * rng.normal(size=(n, widths[-1]))
    data = (x.nbytes + 2 * y.nbytes) / 2**20
    model = fx.Model(widths, backend="numpy", seed=5)
    wall, cpu = time.monotonic(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        fit = model.fit(x, y, NOISE, prior=TAU, restarts=1, progress=False, max_seconds=seconds)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    calls = sum(row.calls for row in fit.restarts)
    return (
        f"| {'-'.join(map(str, widths))} | {model.n_parameters} | {n} | {fit.certificate} | {fit.valid} "
        f"| {fit.edm_newton:.1g} ... {fit.edm:.1g} | {fit.chi2 / fit.ndof:.3f} | {calls} "
        f"| {cpu:.2f} | {wall:.2f} | {memory:.0f} | {data:.0f} |"
    )


def exponent(size: list[float], seconds: list[float]) -> float:
    """Slope of log seconds over log size."""
    return float(np.polyfit(np.log(size), np.log(seconds), 1)[0])


def sweep(pairs: list[tuple[str, int]], along: int, seconds: float) -> tuple[list[float], list[float]]:
    """Print the table, each fit in a process of its own; size and wall seconds of the valid ones."""
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    sizes, times = [], []
    for widths, n in pairs:
        command = [sys.executable, __file__, "--one", widths, str(n), "--seconds", str(seconds)]
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        print(line, flush=True)
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[4] == "True":
            sizes.append(float(cells[along]))
            times.append(float(cells[9]))
    if len(sizes) > 1:
        print(f"\nValid fits: seconds grow with the power {exponent(sizes, times):.2f}.")
    return sizes, times


def plot(curves: dict[str, tuple[list[float], list[float]]], path: Path) -> None:
    """Both sweeps, side by side, in logarithmic axes."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(curves), figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, (name, (sizes, times)) in zip(np.atleast_1d(axes), curves.items(), strict=True):
        axis.loglog(sizes, times, "o-", color="black")
        axis.set_xlabel(name)
        axis.set_title(f"power {exponent(sizes, times):.2f}" if len(sizes) > 1 else "")
        axis.grid(alpha=0.3)
    np.atleast_1d(axes)[0].set_ylabel("seconds of a certified fit")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5000, help="of the sweep over parameters (default 5000)")
    parser.add_argument("--widths", nargs="*", default=list(WIDTHS), help="of that sweep")
    parser.add_argument("--numbers", nargs="*", type=int, default=list(EVENTS), help="events of the other sweep")
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="limit of each fit (default 600)")
    parser.add_argument("--plot", type=Path, help="write a picture")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(one(tuple(int(h) for h in options.one[0].split(",")), int(options.one[1]), options.seconds))
        return
    print("# Growth\n")
    print(header())
    print(f"\n## Over parameters, {options.events} events\n")
    curves = {"parameters": sweep([(w, options.events) for w in options.widths], 1, options.seconds)}
    print("\n## Over events, 195 parameters\n")
    curves["events"] = sweep([("8,7,9,6", n) for n in options.numbers], 2, options.seconds)
    if options.plot:
        plot(curves, options.plot)


if __name__ == "__main__":
    main()
