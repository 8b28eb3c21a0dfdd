"""Do bands cover what they claim? Toys of known truths, each fitted from random starts as a user's data are.

The linear band, in the range of the output, at 50 points of the middle 90 % of each input; coverage averaged over them
and toys, and the lowest and highest of any point. Bias is the rms over points of the mean deviation, in claimed widths.

    python benchmarks/coverage_of_bands.py --toys 200
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from header import header

import ffnn_xp as fx

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Truth:
    """What is measured: a function of the columns of x, how many events, and how they scatter."""

    name: str
    f: Function
    d: int
    n: int
    loss: str = "least_squares"
    output: str = "identity"
    prior: float = 10.0
    units: int = 5


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
    Truth("stepped", step, 1, 200),
    Truth("three inputs", three, 3, 300),
    Truth("counts, mean 10", lambda x: np.log(10) + smooth(x), 1, 100, "poisson", "exp"),
    Truth("10 trials each", smooth, 1, 200, "binomial", "logistic"),
)


def measure(truth: Truth, toys: int) -> list[str]:
    """A row of the table."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (truth.n, truth.d))
    at = rng.uniform(-0.9, 0.9, (50, truth.d))
    eta, wanted = truth.f(x), truth.f(at)
    covered, deviation, failed = [], [], 0
    began = time.process_time()
    for i in range(toys):
        y, options = _toy(truth, eta, rng)
        model = fx.Model((truth.d, truth.units, 1), output=truth.output, seed=i)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fx.FitWarning)
            fit = model.fit(x, y, loss=truth.loss, prior=truth.prior, progress=False, **options)
        if not fit.valid:
            failed += 1
            continue
        real = {"poisson": np.exp, "binomial": lambda t: 1 / (1 + np.exp(-t))}.get(truth.loss, lambda t: t)(wanted)
        bands = [fit.band(at, cl=cl) for cl in (0.683, 0.954)]
        covered.append([(band.low <= real) & (real <= band.high) for band in bands])
        deviation.append((bands[0].mean - real) / (0.5 * (bands[0].high - bands[0].low)))
    each = np.mean(covered, axis=0)
    bias = np.sqrt(np.mean(np.median(deviation, axis=0) ** 2))
    seconds = (time.process_time() - began) / toys
    cells = [f"{100 * e.mean():.1f} ({100 * e.min():.0f} ... {100 * e.max():.0f})" for e in each]
    return [truth.name, str(truth.n), *cells, f"{bias:.2f}", f"{failed}", f"{seconds:.2f}"]


def _toy(truth: Truth, eta: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, float]]:
    if truth.loss == "poisson":
        return rng.poisson(np.exp(eta)), {}
    if truth.loss == "binomial":
        return rng.binomial(10, 1 / (1 + np.exp(-eta))), {"trials": 10}
    return eta + 0.1 * rng.normal(size=len(eta)), {"y_err": 0.1}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toys", type=int, default=200)
    parser.add_argument("--truths", type=int, nargs="+", default=range(len(TRUTHS)), help="rows of the table, from 0")
    options = parser.parse_args()
    print(f"# Coverage of bands, {options.toys} toys each\n\n{header()}\n")
    print("| truth | n | 68.3 %: averaged (lowest ... highest point) | 95.4 % | bias | not valid | CPU s a toy |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for truth in (TRUTHS[i] for i in options.truths):
        print("| " + " | ".join(measure(truth, options.toys)) + " |", flush=True)


if __name__ == "__main__":
    main()
