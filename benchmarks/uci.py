"""``Model.fit(prior="auto")`` on the standard regression sets: one hidden layer of 50 units, the official test splits.

The protocol is that of J. M. Hernandez-Lobato and R. P. Adams (ICML 2015); published figures are means over its 20
splits. All choices are made inside each training split. Beside them, of the same recipe as it is, scikit-learn's
diabetes data and the mass of dimuons, against a Gaussian process and a network of scikit-learn whose penalty is chosen
by cross-validation.

The sets lie in the folder that the environment variable FFNN_XP_DATA names; without it only diabetes is fitted.

    python benchmarks/uci.py --splits 20 --sets yacht energy bostonHousing concrete diabetes zmumu
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from header import header
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ffnn_xp as fx

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

PUBLISHED = {  # RMSE and log-likelihood: MC dropout, converged and tuned (2018); Deep Ensembles (2017)
    "bostonHousing": ((2.90, -2.40), (3.28, -2.41)),
    "concrete": ((4.82, -2.93), (6.03, -3.06)),
    "energy": ((0.54, -1.21), (2.09, -1.38)),
    "yacht": ((0.67, -1.25), (1.58, -1.18)),
}


def splits(name: str, number: int) -> Iterator[Split]:
    """Training and test inputs and targets."""
    folder = Path(os.environ.get("FFNN_XP_DATA", ""))
    if name in PUBLISHED:
        table = np.loadtxt(folder / "uci" / name / "data.txt")
        columns = np.loadtxt(folder / "uci" / name / "index_features.txt", dtype=int)
        target = int(np.loadtxt(folder / "uci" / name / "index_target.txt"))
        x, y = table[:, columns], table[:, target]
    elif name == "diabetes":
        x, y = load_diabetes(return_X_y=True)
    else:
        table = np.genfromtxt(folder / "zmumu.csv", delimiter=",", names=True)
        x = np.stack([table[c] for c in ("pt1", "eta1", "phi1", "pt2", "eta2", "phi2")], axis=1)
        y = table["M"]
    for i in range(number):
        if name in PUBLISHED:
            test = np.loadtxt(folder / "uci" / name / f"index_test_{i}.txt", dtype=int)
        else:
            test = np.random.default_rng(i).permutation(len(y))[: len(y) // 10]
        train = np.setdiff1d(np.arange(len(y)), test)
        yield x[train], y[train], x[test], y[test]


def ours(split: Split, seed: int) -> tuple[float, ...]:
    """RMSE, mean log density, coverage of the 90 % interval, CPU seconds, whether the fit is valid."""
    x, y, x_test, y_test = split
    began = time.process_time()
    model = fx.Model((None, 50, None), seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        fit = model.fit(x, y, prior="auto", progress=False)
    seconds = time.process_time() - began
    low, high = model.interval(x_test, cl=0.9)
    return (
        float(np.sqrt(np.mean((model.predict(x_test) - y_test) ** 2))),
        float(np.mean(model.log_density(x_test, y_test))),
        float(np.mean((y_test > low) & (y_test < high))),
        seconds,
        float(fit.valid),
    )


def gaussian_process(split: Split, seed: int) -> tuple[float, ...]:
    """Scikit-learn's, of a squared exponential with a length for each input, and white noise."""
    x, y, x_test, y_test = split
    began = time.process_time()
    kernel = ConstantKernel() * RBF(np.ones(x.shape[1])) + WhiteKernel()
    peer = make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer.fit(x, y)
    mean, std = peer.predict(x_test, return_std=True)
    z = (y_test - mean) / std
    log = -0.5 * z**2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    inside = np.mean(np.abs(z) < 1.6448536269514722)
    return (
        float(np.sqrt(np.mean((mean - y_test) ** 2))),
        float(log.mean()),
        float(inside),
        time.process_time() - began,
        1,
    )


def perceptron(split: Split, seed: int) -> tuple[float, ...]:
    """Scikit-learn's network of 50 units, L-BFGS, its penalty chosen by five-fold cross-validation; it has no band."""
    x, y, x_test, y_test = split
    began = time.process_time()
    scale, center = y.std(), y.mean()
    network = MLPRegressor(
        hidden_layer_sizes=(50,), activation="tanh", solver="lbfgs", max_iter=1000, random_state=seed
    )
    peer = make_pipeline(
        StandardScaler(), GridSearchCV(network, {"alpha": 10.0 ** np.arange(-4, 3)}, scoring="neg_mean_squared_error")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer.fit(x, (y - center) / scale)
    rmse = np.sqrt(np.mean((peer.predict(x_test) * scale + center - y_test) ** 2))
    return float(rmse), np.nan, np.nan, time.process_time() - began, 1


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=[*PUBLISHED, "diabetes", "zmumu"])
    options = parser.parse_args()
    print(f"# The default recipe\n\n{header()}\n")
    print("| set | method | splits | RMSE | log-likelihood | 90 % interval holds | CPU s a fit | valid |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets:
        if name != "diabetes" and "FFNN_XP_DATA" not in os.environ:
            print(f"| {name} | skipped: FFNN_XP_DATA does not name the folder of the data | | | | | | |")
            continue
        methods = [("prior='auto'", ours)]
        if name not in PUBLISHED:
            methods += [("Gaussian process, scikit-learn", gaussian_process), ("network, scikit-learn", perceptron)]
        for label, method in methods:
            rows = np.array([method(split, i) for i, split in enumerate(splits(name, options.splits))])
            mean, error = rows.mean(axis=0), rows.std(axis=0) / np.sqrt(len(rows))
            print(
                f"| {name} | {label} | {len(rows)} | {mean[0]:.3f} ± {error[0]:.3f} | {mean[1]:.3f} ± {error[1]:.3f} "
                f"| {mean[2]:.3f} | {mean[3]:.1f} | {rows[:, 4].sum():.0f} |",
                flush=True,
            )
        for label, (rmse, log) in zip(
            ("MC dropout, tuned (published)", "Deep Ensembles (published)"), PUBLISHED.get(name, ()), strict=False
        ):
            print(f"| {name} | {label} | 20 | {rmse:.2f} | {log:.2f} | | | |")


if __name__ == "__main__":
    main()
