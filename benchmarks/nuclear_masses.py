"""The nuclear masses of the example over many splits, by chance and by time: ours and scikit-learn's network.

OPENBLAS_NUM_THREADS=1 python benchmarks/nuclear_masses.py
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from header import header

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import nuclear_masses as example

NOTE = """
Nothing was chosen by hand but the widths of the network: prior, ensemble and errors are those of the default call.
scikit-learn's network has its default penalty.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=8, help="how many fifths are held out in turn (default 8)")
    options = parser.parse_args()
    print("# Nuclear masses: a random fifth held out, and those first measured after an evaluation\n")
    print(header())
    nuclides = example.measured_nuclides()
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for seed in range(options.splits):
        collect(rows, nuclides, ~example.held_out_fifth(nuclides, seed), seed)
    print(f"\n{options.splits} splits; {len(nuclides.Z)} nuclides; median (smallest - largest).\n")
    table(rows)
    for year in (2003, 2012):
        earlier = example.known_in(year, nuclides)
        if earlier is not None:
            rows = defaultdict(list)
            for seed in range(3):
                collect(rows, *earlier, seed)
            print(f"\nFirst measured after {year}: {(~earlier[1]).sum()} nuclides, by three seeds.\n")
            table(rows)
    print(NOTE, end="")


def collect(rows: dict[str, list[tuple[float, ...]]], nuclides, train, seed: int) -> None:
    """Fit everything to the nuclides to learn from, and add how it does on the others."""
    residual = example.formula_residual(nuclides, train)
    rows["formula"].append((1e3 * example.rms(residual[~train]), 0.0, np.nan, np.nan))
    found = [("ffnn_xp, default call", example.fit_network(nuclides.inputs, residual, train, seed))]
    for max_iter in (2000, 20_000):
        fitted = example.fit_sklearn(nuclides.inputs, residual, train, seed, max_iter)
        if fitted is not None:
            found.append((f"scikit-learn, {max_iter:,} iterations", fitted))
    for name, fitted in found:
        rms = 1e3 * example.rms((residual - fitted.correction)[~train])
        shares = example.inside(residual, fitted, ~train) or [np.nan, np.nan]
        rows[name].append((rms, fitted.seconds, *shares))


def table(rows: dict[str, list[tuple[float, ...]]]) -> None:
    print("| method | held-out rms, keV | CPU s | in 68.3 % interval | in 95.4 % |\n| --- | --- | --- | --- | --- |")
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join(spread(np.array(values)[:, i], i) for i in range(4)) + " |", flush=True)


def spread(values: np.ndarray, column: int) -> str:
    if np.all(np.isnan(values)):
        return "-"
    form = ("{:.0f}", "{:.1f}", "{:.0%}", "{:.0%}")[column]
    return "{} ({} - {})".format(*(form.format(f(values)) for f in (np.median, np.min, np.max)))


if __name__ == "__main__":
    main()
