"""Is the default call honest? Coverage, held-out R^2 and time of `Model.fit` without options, beside fixed priors.

Coverage is that of ``predict(x, return_std=True)`` at 50 points of the middle 90 % of each input, averaged over points
and toys, with ten units: the truths of `coverage_of_bands.py`, a peak, one whose errors differ from event to event, and
one whose errors are not given. Held-out R^2 is the mean over five folds of ten units, beside scikit-learn's network
with its defaults, with lbfgs, and with lbfgs on standardised data. Time is that of a certified fit of 31 parameters to
200 points, CPU seconds, the median of ten seeds.

The sets lie in the folder that the environment variable FFNN_XP_DATA names; without it only diabetes is fitted.

    python benchmarks/default_call.py --toys 100
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from coverage_of_bands import TRUTHS, Truth, in_range, toy
from header import header
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ffnn_xp as fx

CALLS: dict[str, dict[str, Any]] = {"default": {}, "None": {"prior": None}, "3.0": {"prior": 3.0}}
MORE = (
    Truth("a peak that falls", lambda x: np.sin(4.5 * x[:, 0]) / (1 + (1.5 * x[:, 0]) ** 2), 1, 150),
    Truth("errors of 0.05 to 0.15", lambda x: np.sin(5 * x[:, 0]) / (1.5 + x[:, 0]), 1, 200),
    Truth("errors not given", lambda x: np.sin(3 * x[:, 0]), 1, 200),
)


def measured(truth: Truth, eta: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
    """One toy of a truth, and the options of its fit."""
    if truth.name == "errors not given":
        return toy(truth, eta, rng)[0], {}
    if truth.name == "errors of 0.05 to 0.15":
        y_err = rng.uniform(0.05, 0.15, len(eta))
        return eta + y_err * rng.normal(size=len(eta)), {"y_err": y_err}
    return toy(truth, eta, rng)


def fitted(model: fx.Model, *args: Any, **options: Any) -> fx.FitResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        return model.fit(*args, progress=False, **options)


def coverage(truth: Truth, toys: int, options: dict[str, Any]) -> list[str]:
    """Coverage in per cent at 68.3 and 95.4 %, the lowest and highest point, fits not valid, CPU s a toy."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (truth.n, truth.d))
    at = rng.uniform(-0.9, 0.9, (50, truth.d))
    eta, wanted = truth.f(x), in_range(truth, truth.f(at))
    pulls, failed, began = [], 0, time.process_time()
    for i in range(toys):
        y, more = measured(truth, eta, rng)
        model = fx.Model((truth.d, truth.units, 1), output=truth.output, seed=i)
        failed += not fitted(model, x, y, loss=truth.loss, **more, **options).valid
        try:
            mean, std = model.predict(at, return_std=True)
        except fx.NotFittedError:
            continue
        with np.errstate(divide="ignore"):  # a width of zero does not cover
            pulls.append(np.abs(mean - wanted) / std)
    each = [np.mean(np.array(pulls) < z, axis=0) for z in (1.0, 2.0)]
    cells = [f"{100 * e.mean():.1f} ({100 * e.min():.0f} ... {100 * e.max():.0f})" for e in each]
    return [*cells, str(failed), f"{(time.process_time() - began) / toys:.2f}"]


def sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Inputs and targets by name."""
    found = {"diabetes": load_diabetes(return_X_y=True)}
    folder = Path(os.environ.get("FFNN_XP_DATA", "")) if os.environ.get("FFNN_XP_DATA") else None
    if folder is None:
        return found
    for name in ("yacht", "energy", "concrete", "bostonHousing"):
        table = np.loadtxt(folder / "uci" / name / "data.txt")
        columns = np.loadtxt(folder / "uci" / name / "index_features.txt", dtype=int)
        found[name] = table[:, columns], table[:, int(np.loadtxt(folder / "uci" / name / "index_target.txt"))]
    table = np.genfromtxt(folder / "zmumu.csv", delimiter=",", names=True)
    found["zmumu"] = np.stack([table[c] for c in ("pt1", "eta1", "phi1", "pt2", "eta2", "phi2")], axis=1), table["M"]
    return found


def r_squared(x: np.ndarray, y: np.ndarray, predictor: Any) -> str:
    """Mean held-out R^2 of five folds, and CPU s a fit."""
    scores, began = [], time.process_time()
    for k, (train, test) in enumerate(KFold(5, shuffle=True, random_state=0).split(x)):
        there = predictor(x[train], y[train], k)(x[test])
        scores.append(1 - np.sum((y[test] - there) ** 2) / np.sum((y[test] - y[test].mean()) ** 2))
    return f"{np.mean(scores):.3f} ({(time.process_time() - began) / 5:.1f} s)"


def ours(options: dict[str, Any]) -> Any:
    """A function that fits ours with these options."""

    def fit(x: np.ndarray, y: np.ndarray, seed: int) -> Any:
        model = fx.Model((None, 10, None), seed=seed)
        fitted(model, x, y, **options)
        return model.predict

    return fit


def theirs(*, solver: str, standardised: bool) -> Any:
    """A function that fits MLPRegressor with ten units, or with all of its defaults for the solver adam."""

    def fit(x: np.ndarray, y: np.ndarray, seed: int) -> Any:
        network = MLPRegressor(
            **({} if solver == "adam" else {"hidden_layer_sizes": (10,), "solver": solver}), random_state=seed
        )
        estimator = make_pipeline(StandardScaler(), network) if standardised else network
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(x, y)
        return estimator.predict

    return fit


def seconds(options: dict[str, Any]) -> str:
    """CPU seconds of a fit of 31 parameters to 200 points."""
    rng, each = np.random.default_rng(1), []
    x = rng.uniform(0, 1, 200)
    y_err = rng.uniform(0.05, 0.15, 200)
    y = np.sin(5 * x) / (0.5 + x) + y_err * rng.normal(size=200)
    for seed in range(10):
        began = time.process_time()
        fitted(fx.Model((1, 10, 1), seed=seed), x, y, y_err, **options)
        each.append(time.process_time() - began)
    return f"{np.median(each):.2f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toys", type=int, default=100)
    parser.add_argument("--calls", nargs="+", choices=CALLS, default=list(CALLS))
    parser.add_argument("--tables", nargs="+", choices=("coverage", "r2", "time"), default=("time", "coverage", "r2"))
    chosen = parser.parse_args()
    print(f"# The default call, {chosen.toys} toys each\n\n{header()}\n")
    if "time" in chosen.tables:
        print("| prior | CPU s, 31 parameters, 200 points |\n| --- | --- |")
        for call in chosen.calls:
            print(f"| {call} | {seconds(CALLS[call])} |", flush=True)
    if "coverage" in chosen.tables:
        print(
            "\n| truth | n | prior | 68.3 %: averaged (lowest ... highest point) | 95.4 % | not valid | CPU s a toy |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for truth in (*TRUTHS, *MORE):
            for call in chosen.calls:
                row = [truth.name, str(truth.n), call, *coverage(truth, chosen.toys, CALLS[call])]
                print("| " + " | ".join(row) + " |", flush=True)
    if "r2" in chosen.tables:
        rivals = {"MLPRegressor()": ("adam", False), "lbfgs": ("lbfgs", False), "lbfgs, standardised": ("lbfgs", True)}
        names = [*(f"ours, prior {call}" for call in chosen.calls), *rivals]
        print(f"\n| held-out R^2 | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}")
        for name, (x, y) in sets().items():
            cells = [r_squared(x, y, ours(CALLS[call])) for call in chosen.calls]
            cells += [r_squared(x, y, theirs(solver=s, standardised=z)) for s, z in rivals.values()]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
