"""Beyond MINUIT's memory: a fit of about 20,000 parameters with no p x p matrix, to MINUIT's own criterion.

Events of a teacher (Glorot's matrices times 1.5) with errors 0.1, a student of the same widths with a prior of width 2
on its standardised weights. Printed: CPU seconds, gradients, EDM with its bounds (exact Hessian's products), chi2, peak
memory; and for sizes that MINUIT can hold, the same fit with matrices.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/many_parameters.py
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings

import numpy as np
from header import header

import ffnn_xp as fx
import ffnn_xp.fit

SIZES = {"8,20,20,6": 2000, "16,32,32,6": 5000, "16,64,64,6": 10_000, "16,128,128,6": 20_000}
NOISE, TAU = 0.1, 2.0


def events(widths: tuple[int, ...], n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    teacher = fx.Model(widths, backend="numpy", seed=1)
    teacher.parameters = 1.5 * teacher.parameters
    x = rng.normal(size=(n, widths[0]))
    return x, teacher(x) + NOISE * rng.normal(size=(n, widths[-1]))


def row(widths: tuple[int, ...], n: int, limit: int) -> str:
    """One fit; parameters above `limit` are fitted without matrices."""
    ffnn_xp.fit.MATRIX_LIMIT = limit
    x, y = events(widths, n)
    model = fx.Model(widths, backend="numpy", seed=5)
    began = time.process_time()
    fit = model.fit(x, y, NOISE, prior=TAU, restarts=1, progress=False)
    seconds = time.process_time() - began
    calls = sum(r.calls for r in fit.restarts)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    name = "-".join(map(str, widths))
    return (
        f"| {name} | {model.n_parameters} | {n} | {fit.certificate} | {fit.valid} "
        f"| {seconds:.1f} | {calls} | {fit.edm_newton:.2g} ... {fit.edm:.2g} | {fit.fval:.1f} "
        f"| {fit.chi2 / fit.n_data:.4f} | {memory:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES), help="widths (default all)")
    parser.add_argument("--matrices", type=int, default=2000, help="limit (default 2000)")
    options = parser.parse_args()
    print("# Many parameters\n")
    print(header())
    print("\nOne start each, prior 2.0; MINUIT's criterion for EDM is 2e-4. Memory is the process's peak so far.\n")
    print("| widths | parameters | events | certificate | valid | CPU s | gradients | EDM | cost | chi2/values | GiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        for name in options.sizes:
            widths = tuple(int(h) for h in name.split(","))
            for limit in (0, 6000) if fx.Model(widths).n_parameters <= options.matrices else (0,):
                print(row(widths, SIZES[name], limit), flush=True)


if __name__ == "__main__":
    main()
