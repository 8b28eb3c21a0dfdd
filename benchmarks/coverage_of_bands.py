"""Do bands cover what they claim? Toys of known truths, each fitted from random starts as a user's data are.

The linear band of one fit, and the mixture with those of seven more starts, at 50 points of the middle 90 % of each
input, in the range of the output; coverage averaged over them and toys, and the lowest and highest of any point. Bias
is the rms over points of the median deviation over toys, scatter that of the deviations' standard deviation, both in
claimed widths: a prior makes the scatter smaller than 1, and the bias makes up for it where the truth is one that the
prior expects. All have ten units and prior=3.0. Last, where the linear band misses: toys of one fit taken for the
truth, walked from its own minimum, and from a random start.

    python benchmarks/coverage_of_bands.py --toys 100
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from header import header

import ffnn_xp as fx

Function = Callable[[np.ndarray], np.ndarray]


Method = Literal["linear", "mixture"]
METHODS: tuple[Method, ...] = ("linear", "mixture")
LEVELS = (0.683, 0.954)


@dataclass(frozen=True)
class Truth:
    """What is measured: a function of the columns of x, how many events, and how they scatter."""

    name: str
    f: Function
    d: int
    n: int
    loss: str = "least_squares"
    output: str = "identity"
    prior: float = 3.0
    units: int = 10


def smooth(x: np.ndarray) -> np.ndarray:
    """One and a half periods."""
    return np.asarray(np.sin(3 * x[:, 0]))


def step(x: np.ndarray) -> np.ndarray:
    """From 0 to 1 within a tenth."""
    return np.asarray(1 / (1 + np.exp(-40 * x[:, 0])))


def three(x: np.ndarray) -> np.ndarray:
    """A product and a square."""
    return np.asarray(np.sin(2 * x[:, 0] + x[:, 1]) + 0.5 * x[:, 2] ** 2)


TRUTHS = (
    Truth("smooth", smooth, 1, 50),
    Truth("smooth", smooth, 1, 500),
    Truth("smooth", smooth, 1, 2000),
    Truth("stepped", step, 1, 200),
    Truth("three inputs", three, 3, 300),
    Truth("counts, mean 10", lambda x: np.log(10) + smooth(x), 1, 100, "poisson", "exp"),
    Truth("10 trials each", smooth, 1, 200, "binomial", "logistic"),
)


def measure(truth: Truth, toys: int, methods: Sequence[Method]) -> list[list[str]]:
    """Rows of the table."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (truth.n, truth.d))
    at = rng.uniform(-0.9, 0.9, (50, truth.d))
    eta, wanted = truth.f(x), in_range(truth, truth.f(at))
    covered: dict[str, list[list[np.ndarray]]] = {method: [] for method in methods}
    deviation: dict[str, list[np.ndarray]] = {method: [] for method in methods}
    seconds, failed = dict.fromkeys(methods, 0.0), 0
    for i in range(toys):
        y, options = toy(truth, eta, rng)
        began = time.process_time()
        fit = fitted(truth, x, y, i, options)
        walked = time.process_time() - began
        if not fit.valid:
            failed += 1
            continue
        for method in methods:
            began = time.process_time()
            bands = [fit.band(at, cl=cl, method=method, seed=i) for cl in LEVELS]
            seconds[method] += walked + time.process_time() - began
            covered[method].append([(band.low <= wanted) & (wanted <= band.high) for band in bands])
            deviation[method].append((bands[0].mean - wanted) / (0.5 * (bands[0].high - bands[0].low)))
    rows = []
    for method in methods:
        each = np.mean(covered[method], axis=0)
        bias = np.sqrt(np.mean(np.median(deviation[method], axis=0) ** 2))
        scatter = np.sqrt(np.mean(np.std(deviation[method], axis=0) ** 2))
        cells = [f"{100 * e.mean():.1f} ({100 * e.min():.0f} ... {100 * e.max():.0f})" for e in each]
        each_seconds = seconds[method] / (toys - failed)
        rows.append(
            [
                truth.name,
                str(truth.n),
                method,
                *cells,
                f"{bias:.2f}",
                f"{scatter:.2f}",
                f"{failed}",
                f"{each_seconds:.2f}",
            ]
        )
    return rows


def why(truth: Truth, toys: int) -> list[str]:
    """Coverage of the linear band around a fit taken for the truth: from its minimum, and from random starts."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (truth.n, truth.d))
    at = rng.uniform(-0.9, 0.9, (50, truth.d))
    y, options = toy(truth, truth.f(x), rng)
    fit = fitted(truth, x, y, 0, options)
    own = fit.coverage(at, cl=LEVELS, number=toys, seed=1).averaged
    model = fx.Model((truth.d, truth.units, 1), output=truth.output, seed=0)
    model.parameters = fit.parameters
    there, wanted = model.predict(x), model.predict(at)
    covered = []
    for i in range(toys):
        again = fitted(truth, x, there + 0.1 * rng.normal(size=truth.n), i + 1, options)
        if again.valid:
            bands = [again.band(at, cl=cl) for cl in LEVELS]
            covered.append([np.mean((band.low <= wanted) & (wanted <= band.high)) for band in bands])
    random = np.mean(covered, axis=0)
    cells = [f"{100 * a:.1f} / {100 * b:.1f}" for a, b in (own, random)]
    return [truth.name, str(truth.n), *cells]


def fitted(truth: Truth, x: np.ndarray, y: np.ndarray, seed: int, options: dict[str, float]) -> fx.FitResult:
    model = fx.Model((truth.d, truth.units, 1), output=truth.output, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        return model.fit(x, y, loss=truth.loss, prior=truth.prior, progress=False, **options)


def in_range(truth: Truth, eta: np.ndarray) -> np.ndarray:
    """What the output is of what stands before it."""
    if truth.output == "exp":
        return np.asarray(np.exp(eta))
    return np.asarray(1 / (1 + np.exp(-eta))) if truth.output == "logistic" else eta


def toy(truth: Truth, eta: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, float]]:
    if truth.loss == "poisson":
        return rng.poisson(np.exp(eta)), {}
    if truth.loss == "binomial":
        return rng.binomial(10, 1 / (1 + np.exp(-eta))), {"trials": 10}
    return eta + 0.1 * rng.normal(size=len(eta)), {"y_err": 0.1}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toys", type=int, default=100)
    parser.add_argument("--truths", type=int, nargs="+", default=range(len(TRUTHS)), help="rows of the table, from 0")
    parser.add_argument("--bands", nargs="+", choices=METHODS, default=METHODS)
    options = parser.parse_args()
    print(f"# Coverage of bands, {options.toys} toys each\n\n{header()}\n")
    titles = "68.3 %: averaged (lowest ... highest point) | 95.4 % | bias | scatter | not valid | CPU s a toy"
    print(f"| truth | n | band | {titles} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for truth in (TRUTHS[i] for i in options.truths):
        for row in measure(truth, options.toys, options.bands):
            print("| " + " | ".join(row) + " |", flush=True)
    print("\n## The linear band around one fit, 68.3 / 95.4 %\n")
    print("| truth | n | toys from its minimum | from random starts |")
    print("| --- | --- | --- | --- |")
    for truth in (TRUTHS[i] for i in options.truths):
        if truth.loss == "least_squares":
            print("| " + " | ".join(why(truth, options.toys)) + " |", flush=True)


if __name__ == "__main__":
    main()
