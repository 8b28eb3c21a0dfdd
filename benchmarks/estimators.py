"""`FFNNRegressor` and `FFNNClassifier`, as they are by default, beside estimators of scikit-learn and NGBoost.

Each estimator is called as its documentation teaches: networks of scikit-learn as they are and behind a
`StandardScaler`, the Gaussian process with a length for each input and white noise, trees and NGBoost as they are.
Random quarters of the sets are held out, of the UCI sets the official test rows. Log-loss is minus the mean logarithm
of the predictive density of new values, or of the probability of the observed class; 68 % counts the new values within
one predicted standard deviation. NGBoost is left out where it is not installed, and sets that cannot be distributed
where the environment variable FFNN_XP_DATA does not name their folder.

    python benchmarks/estimators.py --splits 5
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from header import header
from sklearn.base import is_classifier
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ffnn_xp.estimators import FFNNClassifier, FFNNRegressor

LOADERS = {"diabetes": load_diabetes, "breast cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}
CLASSES = ("breast cancer", "wine", "digits")
UCI = ("yacht", "energy", "bostonHousing", "concrete")
SLOW = 2000  # rows from which on a Gaussian process, n^3, takes minutes: it has one split


def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of a set."""
    folder = Path(os.environ.get("FFNN_XP_DATA", ""))
    if name in LOADERS:
        return LOADERS[name](return_X_y=True)
    if name in UCI:
        table = np.loadtxt(folder / "uci" / name / "data.txt")
        columns = np.loadtxt(folder / "uci" / name / "index_features.txt", dtype=int)
        return table[:, columns], table[:, int(np.loadtxt(folder / "uci" / name / "index_target.txt"))]
    table = np.genfromtxt(folder / "zmumu.csv", delimiter=",", names=True)
    return np.stack([table[c] for c in ("pt1", "eta1", "phi1", "pt2", "eta2", "phi2")], axis=1), table["M"]


def splits(name: str, number: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Training inputs, test inputs, training targets, test targets."""
    X, y = data(name)
    for i in range(number):
        if name in UCI:
            folder = Path(os.environ["FFNN_XP_DATA"]) / "uci" / name
            test = np.loadtxt(folder / f"index_test_{i}.txt", dtype=int)
            train = np.setdiff1d(np.arange(len(y)), test)
            yield X[train], X[test], y[train], y[test]
        else:
            yield tuple(train_test_split(X, y, random_state=i, stratify=y if name in CLASSES else None))


def gaussian_process(seed: int, d: int) -> Any:
    kernel = ConstantKernel() * RBF(np.ones(d)) + WhiteKernel()
    return make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed))


def methods(name: str) -> dict[str, Callable[[int, int], Any]]:
    """The estimators by name, of a seed and a number of inputs."""
    if name in CLASSES:
        found: dict[str, Callable[[int, int], Any]] = {
            "FFNNClassifier": lambda seed, d: FFNNClassifier(random_state=seed),
            "MLPClassifier": lambda seed, d: MLPClassifier(random_state=seed),
            "MLPClassifier, scaled": lambda seed, d: make_pipeline(StandardScaler(), MLPClassifier(random_state=seed)),
            "HistGradientBoosting": lambda seed, d: HistGradientBoostingClassifier(random_state=seed),
        }
    else:
        found = {
            "FFNNRegressor": lambda seed, d: FFNNRegressor(random_state=seed),
            "MLPRegressor": lambda seed, d: MLPRegressor(random_state=seed),
            "MLPRegressor, scaled": lambda seed, d: make_pipeline(StandardScaler(), MLPRegressor(random_state=seed)),
            "GaussianProcess": gaussian_process,
            "HistGradientBoosting": lambda seed, d: HistGradientBoostingRegressor(random_state=seed),
        }
    if importlib.util.find_spec("ngboost") is not None:
        from ngboost import NGBClassifier, NGBRegressor
        from ngboost.distns import k_categorical

        k = len(np.unique(data(name)[1])) if name in CLASSES else 0
        found["NGBoost"] = lambda seed, d: (
            NGBClassifier(k_categorical(k), random_state=seed, verbose=False)
            if k
            else NGBRegressor(random_state=seed, verbose=False)
        )
    return found


def normal(mean: np.ndarray, std: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Log-loss of a normal density, and its coverage."""
    z = (y - mean) / std
    return float(np.mean(0.5 * z**2 + np.log(std) + 0.5 * np.log(2 * np.pi))), float(np.mean(np.abs(z) < 1))


def density(fitted: Any, X: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Log-loss and coverage, where an estimator predicts a density."""
    last = fitted[-1] if hasattr(fitted, "steps") else fitted
    if isinstance(last, FFNNRegressor):
        mean, std = fitted.predict(X, return_std=True, kind="prediction")
        return -float(np.mean(last.model_.log_density(X, y))), float(np.mean(np.abs(y - mean) < std))
    if isinstance(last, GaussianProcessRegressor):
        return normal(*fitted.predict(X, return_std=True), y)
    if hasattr(last, "pred_dist"):
        found = fitted.pred_dist(X)
        return normal(found.loc, found.scale, y)
    return np.nan, np.nan


def measured(estimator: Any, split: tuple[np.ndarray, ...]) -> tuple[float, ...]:
    """R^2 or accuracy, log-loss, coverage, CPU seconds of the fit."""
    X, X_test, y, y_test = split
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X, y)
    seconds = time.process_time() - began
    if is_classifier(estimator) or hasattr(estimator, "predict_proba"):
        score = float(np.mean(estimator.predict(X_test) == y_test))
        return score, log_loss(y_test, estimator.predict_proba(X_test)), np.nan, seconds
    residual = estimator.predict(X_test) - y_test
    return (
        1 - float(np.sum(residual**2) / np.sum((y_test - y_test.mean()) ** 2)),
        *density(estimator, X_test, y_test),
        seconds,
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--sets", nargs="+", default=[*LOADERS, *UCI, "zmumu"])
    options = parser.parse_args()
    print(f"# Estimators by default\n\n{header()}\n")
    print("| set | estimator | splits | R² or accuracy | log-loss | 68 % holds | CPU s a fit |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets:
        if name not in LOADERS and "FFNN_XP_DATA" not in os.environ:
            print(f"| {name} | skipped: FFNN_XP_DATA does not name the folder of the data | | | | | |")
            continue
        for label, make in methods(name).items():
            number = 1 if label == "GaussianProcess" and len(data(name)[1]) > SLOW else options.splits
            try:
                found = [measured(make(i, split[0].shape[1]), split) for i, split in enumerate(splits(name, number))]
            except ValueError as error:
                print(f"| {name} | {label} | {number} | a fit fails: {str(error).splitlines()[0]} | | | |", flush=True)
                continue
            rows = np.array(found)
            mean, error = rows.mean(axis=0), rows.std(axis=0) / np.sqrt(len(rows))
            density_or_none = "" if np.isnan(mean[1]) else f"{mean[1]:.3f} ± {error[1]:.3f}"
            coverage = "" if np.isnan(mean[2]) else f"{mean[2]:.2f}"
            print(
                f"| {name} | {label} | {len(rows)} | {mean[0]:.3f} ± {error[0]:.3f} | {density_or_none} | {coverage} "
                f"| {mean[3]:.2g} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
