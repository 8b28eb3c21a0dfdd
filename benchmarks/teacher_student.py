"""The way to the minimum: who finds it, how often, and how fast.

A teacher, a network with random matrices (Glorot times 1.5, or another `--scale`: of a teacher with small weights
students have units to spare, and valleys), makes events with a known error of 0.1; students of the same shape start
from random parameters. A fit is a success if chi2/ndof < 1.05: then the student has found what
there is to find. What counts is the expected time to a success, all CPU seconds over all successes. Who takes part is
in `peers/`, one file each.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/teacher_student.py
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial

import numpy as np
from header import header
from peers import NOISE, SUCCESS, Trial, everyone, problem, trial

import ffnn_xp as fx


def row(name: str, trials: list[Trial], ours: float) -> tuple[str, float]:
    """One line of the table, and the expected seconds per success."""
    good = [t for t in trials if t.ratio < SUCCESS]
    seconds = np.array([t.seconds for t in trials])
    expected = float(seconds.sum() / len(good)) if good else np.inf
    ratio = f"{expected / ours:.1f}" if np.isfinite(ours) and good else "-"
    verdicts = [t.valid for t in trials if t.valid is not None]
    valid = f"{sum(verdicts)}/{len(verdicts)}" if verdicts else "no certificate"
    newton = [t.newton for t in trials if np.isfinite(t.newton)]
    edm = f"{np.median([t.edm for t in trials]):.1g}" if verdicts else "-"
    edm += f" | {np.median(newton):.1g} ... {max(newton):.1g}" if newton else " | -"
    low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75))
    text = (
        f"| {name} | {len(good)}/{len(trials)} | {np.median([t.ratio for t in trials]):.3f} "
        f"| {middle:.2f} ({low:.2f} ... {high:.2f}) | {expected:.2f} | {ratio} | {valid} | {edm} |"
    )
    return text.replace("| inf |", "| - |"), expected


def main() -> None:
    peers = everyone()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teachers", type=int, default=4, help="of each activation (default 4)")
    parser.add_argument("--starts", type=int, default=5, help="students of each teacher (default 5)")
    parser.add_argument("--seed", type=int, default=100, help="of the first teacher (default 100)")
    parser.add_argument("--widths", default="8,7,9,6", help="of teacher and student (default 8,7,9,6)")
    parser.add_argument(
        "--scale", type=float, default=1.5, help="of the teacher's matrices, over Glorot's (default 1.5)"
    )
    parser.add_argument("--events", type=int, default=2000, help="default 2000")
    parser.add_argument("--activations", default="tanh,relu", help="default tanh,relu")
    names = [peer.__name__.rpartition(".")[2] for peer in peers]
    parser.add_argument("--peers", nargs="*", default=names, choices=names, help="default all")
    options = parser.parse_args()
    widths = tuple(int(h) for h in options.widths.split(","))
    make = partial(problem, widths, options.events, scale=options.scale)
    warnings.simplefilter("ignore", fx.FitWarning)  # the table says how many are valid
    print("# Teacher and student\n")
    print(header())
    for activation in options.activations.split(","):
        tasks = [make(activation, options.seed + i) for i in range(options.teachers)]
        p = tasks[0].student(0).n_parameters
        print(
            f"\n## {activation}: {'-'.join(map(str, widths))}, {p} parameters, {options.events} events, "
            f"{NOISE=}, {options.scale} times Glorot's matrices\n"
        )
        print(
            "| method | success | median chi2/ndof | CPU s, median (quartiles) | CPU s per success | over ours | valid "
            "| median EDM | by Newton's step, median ... largest |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        ours = np.inf
        for name, peer in zip(names, peers, strict=True):
            if name in options.peers:
                pairs = [(task, seed) for seed in range(options.starts) for task in tasks]
                pairs = pairs[: getattr(peer, "MOST", len(pairs))]
                text, expected = row(peer.NAME, [trial(peer, *pair) for pair in pairs], ours)
                ours = expected if peer is peers[0] else ours
                print(text, flush=True)


if __name__ == "__main__":
    main()
