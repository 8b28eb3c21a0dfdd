r"""How a fit of events in parts grows with workers and events, by a model fitted to one and two workers here.

A sum over n events in P parts on W workers takes

.. math:: T = L + m P + c n / W

L is the latency of a round, m what the client spends on a part's message, c the time of an event: one set for value and
gradient, one for Hessians, whose messages are larger. All are fitted to sums measured on local clusters of one and of
two workers; the table beside them says how well. Then the whole fit is told for more workers and events than there are
here, with one part for each worker: so many rounds as a fit in parts took, plus the bytes of all messages over the
bandwidth of a network, which a local cluster does not have. T is least at :math:`W = \sqrt{c n / m}`.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/cluster_growth.py
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from typing import Any

import numpy as np
import scipy.optimize
from events_in_parts import LARGE, cluster, header_of_table, in_dask, problem, seconds
from header import header

import ffnn_xp as fx
from ffnn_xp.fitting.in_parts import ObjectiveInParts

Rows = list[tuple[int, int, int, float, float]]


def measured(sizes: list[int]) -> Rows:
    """Return workers, parts, events, and seconds of a gradient and of a Hessian."""
    rows = []
    theta = 0.1 * np.random.default_rng(1).normal(size=fx.Model(LARGE, backend="numpy").n_parameters)
    for workers in (1, 2):
        for n in sizes:
            for parts in (2, 8, 32):
                with cluster(workers):
                    cost = problem(LARGE, *in_dask(LARGE, n, parts)).cost
                    rows.append(
                        (workers, parts, n, seconds(cost.value_and_gradient, theta), seconds(cost.hessian, theta))
                    )
    return rows


def fitted(rows: Rows, which: int) -> np.ndarray:
    """Return L, m and c, for the least relative squares."""
    T = np.array([row[3 + which] for row in rows])
    A = np.array([[1.0, parts, n / workers] for workers, parts, n, *_ in rows])
    return np.asarray(scipy.optimize.nnls(A / T[:, None], np.ones(len(T)))[0])


def rounds(n: int) -> Counter[str]:
    """Return how many sums of each kind a fit from one start asks for."""
    asked: Counter[str] = Counter()

    def counted(name: str) -> Any:
        whole = getattr(ObjectiveInParts, name)

        def count(self: ObjectiveInParts, kernel: Any, *args: Any) -> Any:
            asked["Hessians" if name == "matrix" else "gradients"] += 1
            return whole(self, kernel, *args)

        return whole, count

    before = {name: counted(name) for name in ("total", "matrix")}
    for name, (_, count) in before.items():
        setattr(ObjectiveInParts, name, count)
    given = in_dask(LARGE, n, 2)
    fit = fx.Model(LARGE, seed=1, backend="numpy").fit(*given, 0.1, prior=None, restarts=1, progress=False)
    for name, (whole, _) in before.items():
        setattr(ObjectiveInParts, name, whole)
    print(f"A fit of {n} events, one start: valid {fit.valid}, {dict(asked)} in {fit.seconds:.0f} s\n")
    return asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[8e4, 4e5, 1.6e6], help="events of the measured sums")
    parser.add_argument("--bandwidth", type=float, default=1.2e8, help="bytes a second of the client's network")
    args = parser.parse_args()
    print("# A fit on a cluster, and how it grows\n")
    print(header())
    print(f"- load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    p = fx.Model(LARGE, backend="numpy").n_parameters
    rows = measured([int(n) for n in args.sizes])
    models = [fitted(rows, which) for which in (0, 1)]
    print("## Measured on this machine, and the model\n")
    header_of_table("workers", "parts", "events", "gradient, ms", "model", "Hessian, ms", "model")
    for workers, parts, n, *times in rows:
        of_model = [L + m * parts + c * n / workers for L, m, c in models]
        cells = " | ".join(f"{1e3 * t:.1f} | {1e3 * told:.1f}" for t, told in zip(times, of_model, strict=True))
        print(f"| {workers} | {parts} | {n} | {cells} |")
    print()
    for name, (L, m, c) in zip(("gradient", "Hessian"), models, strict=True):
        print(f"- {name}: L = {1e3 * L:.2f} ms, m = {1e3 * m:.3f} ms a part, c = {1e9 * c:.0f} ns an event")
    print("\n## A whole fit, told by the model\n")
    asked = rounds(100_000)
    bytes_of = (8 * (2 * p + 1), 8 * (p * p + p))
    header_of_table(
        "events", "workers", "a gradient, s", "a Hessian, s", "fit", "efficiency", "GB a worker", "best number"
    )
    for n in (1e7, 1e8, 1e9, 1e10):
        for workers in (2, 16, 64, 1024):
            each = [
                L + (m + moved / args.bandwidth) * workers + c * n / workers
                for (L, m, c), moved in zip(models, bytes_of, strict=True)
            ]
            whole = asked["gradients"] * each[0] + asked["Hessians"] * each[1]
            ideal = sum(
                number * c * n / workers
                for number, (_, _, c) in zip((asked["gradients"], asked["Hessians"]), models, strict=True)
            )
            per_part = sum(
                number * (m + moved / args.bandwidth)
                for number, (_, m, _), moved in zip(
                    (asked["gradients"], asked["Hessians"]), models, bytes_of, strict=True
                )
            )
            best = np.sqrt(ideal * workers / per_part)
            time = (
                f"{whole / 3600:.1f} h"
                if whole > 7200
                else f"{whole / 60:.1f} min"
                if whole > 120
                else f"{whole:.0f} s"
            )
            values = sum(LARGE[i] for i in (0, -1, -1)) + 1
            print(
                f"| {n:.0e} | {workers} | {each[0]:.3g} | {each[1]:.3g} | {time} | {ideal / whole:.2f} "
                f"| {16 * values * n / workers / 1e9:.2g} | {best:.0f} |"
            )
    print(
        "\nBeyond the best number messages take longer than sums: then take fewer workers with more memory or a GPU, "
        "fit a sample first (theta then starts near the minimum, and few rounds are left), or add the parts' sums on "
        "the way, in a tree, which this library does not do."
    )


if __name__ == "__main__":
    main()
