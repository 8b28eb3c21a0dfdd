"""Whether the minimum of a fit depends on its seed: small networks, twenty seeds each.

For each problem: seconds of one start and of the default search (CPU, medians), the lowest S of many fits from one
start each (`--reference`), how many of these end at most 0.1 above it, how long one start after another would take
until 19 of 20 seeds had such an end, and how many seeds of the default search have one.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/seeds.py
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from header import header
from lesson_curve import NOISE, SIGMOIDS
from lesson_curve import events as lesson

import ffnn_xp as fx


class Problem(NamedTuple):
    """What `Model` is told, the arguments x, y and y_err of `fit`, and its options."""

    network: dict[str, Any]
    data: tuple[Any, ...]
    options: dict[str, Any]


def curve() -> tuple[Any, ...]:
    rng = np.random.default_rng(1)
    x, y_err = rng.uniform(0, 1, 200), rng.uniform(0.05, 0.15, 200)
    return x, np.sin(5 * x) / (0.5 + x) + y_err * rng.normal(size=200), y_err


def surface(d: int, n: int, seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.5, 1.5, (n, d))
    truth = np.sin(2 * x[:, 0]) * np.cos(1.5 * x[:, 1]) + (0.5 * x[:, -1] ** 2 if d > 2 else 0.0)
    return x, truth + 0.1 * rng.normal(size=n), 0.1


def counts() -> tuple[Any, ...]:
    rng = np.random.default_rng(4)
    x = np.sort(rng.uniform(-3, 3, 300))
    return x, rng.poisson(np.exp(1.5 + np.sin(2 * x)))


def parts() -> tuple[Any, ...]:
    rng = np.random.default_rng(5)
    x = np.sort(rng.uniform(-3, 3, 300))
    return x, rng.binomial(10, 1 / (1 + np.exp(-2 * np.sin(2 * x))))


PROBLEMS = {
    **{
        f"1-{h}-1, prior {prior}": Problem({"layers": (1, h, 1)}, curve(), {"prior": prior})
        for h in (2, 3, 4, 10)
        for prior in (None, 3.0)
    },
    "the lesson's curve": Problem(
        {"layers": (1, SIGMOIDS, 1), "activation": "logistic"}, (*lesson(0), NOISE), {"prior": None}
    ),
    "counts, 1-4-1": Problem({"layers": (1, 4, 1), "output": "exp"}, counts(), {"loss": "poisson", "prior": None}),
    "k out of 10, 1-4-1": Problem(
        {"layers": (1, 4, 1), "output": "logistic"}, parts(), {"loss": "binomial", "trials": 10, "prior": None}
    ),
    "2-5-1": Problem({"layers": (2, 5, 1)}, surface(2, 400, 6), {"prior": None}),
    "3-8-1": Problem({"layers": (3, 8, 1)}, surface(3, 600, 7), {"prior": None}),
}


def fit(problem: Problem, seed: int, **options: Any) -> fx.FitResult:
    model = fx.Model(**problem.network, backend="numpy", seed=seed)
    return model.fit(*problem.data, **{"prior": None, **problem.options}, **options, progress=False)


def timed(run: Callable[[int], fx.FitResult], seeds: range) -> tuple[list[float], float]:
    """Return S of each seed, and the median of CPU seconds."""
    values, seconds = [], []
    for seed in seeds:
        began = time.process_time()
        values.append(run(seed).fval)
        seconds.append(time.process_time() - began)
    return values, float(np.median(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument(
        "--reference", type=int, default=500, help="fits from one start, whose lowest S is the reference"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore", fx.FitWarning)
    print("# Whether the minimum depends on the seed\n")
    print(header() + "\n")
    print(
        "| problem | one start, s | default, s | reference | single starts there | until 19 of 20, s | default: lowest "
        "| median | highest | at the reference |"
    )
    print("|" + " --- |" * 10)
    for name in options.only:
        problem = PROBLEMS[name]
        single, one = timed(lambda seed, p=problem: fit(p, 1000 + seed, restarts=1), range(options.reference))  # type: ignore[misc]
        values, whole = timed(lambda seed, p=problem: fit(p, seed), range(options.seeds))  # type: ignore[misc]
        lowest = min(single)
        reached, there = (sum(value < lowest + 0.1 for value in some) for some in (values, single))
        needed = one * max(1.0, np.log(0.05) / np.log(1 - there / len(single))) if there < len(single) else one
        print(
            f"| {name} | {one:.3f} | {whole:.2f} | {lowest:.2f} | {there} of {len(single)} | {needed:.1f} "
            f"| {min(values):.2f} | {np.median(values):.2f} | "
            f"{max(values):.2f} | {reached} of {len(values)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
