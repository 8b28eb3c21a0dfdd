"""The four bands of the same fits beside each other: half-widths over the linear one's, and where they part.

Ten units, prior=3.0, errors 0.1, at ten points inside the data and four outside (1.5 times as far out). Where S is a
parabola all agree; a profile is another where it is not, toys see the bias, and the mixture other minima.

    python benchmarks/bands.py
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from coverage_of_bands import TRUTHS, Truth, fitted, toy
from header import header

import ffnn_xp as fx

CL = 0.683


def rows(truth: Truth, toys: int) -> list[list[str]]:
    """One for each method."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (truth.n, truth.d))
    y, options = toy(truth, truth.f(x), rng)
    fit = fitted(truth, x, y, 0, options)
    if not fit.valid:
        return [[truth.name, str(truth.n), "not valid", fit.message[:60], "", "", ""]]
    inside = rng.uniform(-0.9, 0.9, (10, truth.d))
    outside = 1.5 * np.where(rng.random((4, truth.d)) < 0.5, -1.0, 1.0)
    linear = [fit.band(at, cl=CL) for at in (inside, outside)]
    table = []
    for method, number in (("linear", None), ("profile", None), ("replicas", toys), ("mixture", None)):
        began = time.process_time()
        bands = [fit.band(at, cl=CL, method=method, number=number, seed=1) for at in (inside, outside)]  # type: ignore[arg-type]
        seconds = time.process_time() - began
        cells = []
        for band, reference in zip(bands, linear, strict=True):
            with np.errstate(invalid="ignore"):
                ratio = (band.high - band.low) / (reference.high - reference.low)
                lopsided = np.abs((band.high - band.mean) / (band.mean - band.low) - 1)
            known = np.isfinite(ratio)
            without = f", {np.sum(~known)} without an end" if not known.all() else ""
            cells.append(
                f"{np.median(ratio[known]):.2f} ({ratio[known].min():.2f} ... {ratio[known].max():.2f}{without})"
                if known.any()
                else "no end found"
            )
            cells.append(f"{np.median(lopsided[known]):.2f}" if known.any() else "")
        table.append([truth.name, str(truth.n), method, *cells, f"{seconds:.2f}"])
    return table


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toys", type=int, default=200)
    options = parser.parse_args()
    warnings.simplefilter("ignore", fx.FitWarning)
    print(f"# Four bands of the same fits\n\n{header()}\n")
    print("Widths over the linear band's: median (least ... most); asymmetry: |upper/lower - 1|, median.\n")
    print("| truth | n | band | width inside | asymmetry | width outside | asymmetry | CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for truth in TRUTHS:
        for row in rows(truth, options.toys):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
