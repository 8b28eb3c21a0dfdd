"""The density of the default recipe where the noise depends on x, and where it does not.

Airfoil self-noise and bike sharing with the data, the split and the scores of the paper on `sklearn-contrib-bde`
(V. Arvanitis et al., 2025; `pip install --no-deps sklearn-contrib-bde` brings the data), whose printed figures stand
beside ours; and made-up data, for which the true density is known: constant noise, noise that grows tenfold, and two
kinds of events. Of these the log-likelihood per event is compared with the truth's, and the coverage of the 68.3 %
interval is counted for the thirds with the narrowest, middle and widest intervals.

    python benchmarks/varying_noise.py --seeds 5
    python benchmarks/varying_noise.py --only made-up
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.stats
from header import header
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import ffnn_xp as fx

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Scores = tuple[float, ...]  # RMSE, mean negative log-likelihood, content of the 68.3 % interval, CPU seconds

PUBLISHED = {  # RMSE and negative log-likelihood of that paper, means of five seeds
    "airfoil": {"bde": (0.1216, -0.9126), "TabPFN V2": (0.1359, -0.9338), "XGBoost": (0.2025, np.nan)},
    "bike sharing": {"bde": (0.2261, -0.7315), "TabPFN V2": (0.2103, -0.6856), "XGBoost": (0.2143, np.nan)},
}
WIDTHS = (None, 16, 16, 16, 16, None)  # those of the paper


def measured(name: str) -> Split | None:
    """Standardised training and test inputs and targets, or None where the data are not installed."""
    found = importlib.util.find_spec("bde")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations))) / "data"
    if name == "airfoil":
        table = np.genfromtxt(folder / "airfoil.csv", delimiter=",", skip_header=1)
        x, y = table[:, :-1], table[:, -1]
    else:
        path = folder / "bike_sharing_dataset" / "hour.csv"
        table = np.genfromtxt(path, delimiter=",", skip_header=1, usecols=[*range(2, 14), 16])  # no counts of kinds
        x, y = table[:, :-1], table[:, -1]
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, random_state=0)
    of_x, of_y = StandardScaler().fit(x), StandardScaler().fit(y[:, None])
    return (
        of_x.transform(x),
        of_y.transform(y[:, None])[:, 0],
        of_x.transform(x_test),
        of_y.transform(y_test[:, None])[:, 0],
    )


def ours(split: Split, seed: int) -> Scores:
    """Fit with `Model.fit` as it is."""
    x, y, x_test, y_test = split
    began = time.process_time()
    model = fx.Model(WIDTHS, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        model.fit(x, y, progress=False)
    seconds = time.process_time() - began
    low, high = model.interval(x_test, cl=0.683)
    rmse = np.sqrt(np.mean((model.predict(x_test) - y_test) ** 2))
    inside = np.mean((low < y_test) & (y_test < high))
    return float(rmse), -float(np.mean(model.log_density(x_test, y_test))), float(inside), seconds


def _normal(mean: np.ndarray, std: np.ndarray, y: np.ndarray, began: float) -> Scores:
    """Scores of a normal density."""
    z = (y - mean) / std
    nll = 0.5 * z**2 + np.log(std) + 0.5 * np.log(2 * np.pi)
    seconds = time.process_time() - began
    return float(np.sqrt(np.mean((mean - y) ** 2))), float(nll.mean()), float(np.mean(np.abs(z) < 1)), seconds


def ngboost(split: Split, seed: int) -> Scores:
    """NGBoost as it is."""
    from ngboost import NGBRegressor  # an optional peer

    x, y, x_test, y_test = split
    began = time.process_time()
    found = NGBRegressor(random_state=seed, verbose=False).fit(x, y).pred_dist(x_test)
    return _normal(found.loc, found.scale, y_test, began)


def gaussian_process(split: Split, seed: int) -> Scores:
    """Fit scikit-learn's, of a squared exponential with a length for each input, and white noise, to 2,000 events."""
    x, y, x_test, y_test = split
    some = np.random.default_rng(seed).permutation(len(y))[:2000]
    began = time.process_time()
    kernel = ConstantKernel() * RBF(np.ones(x.shape[1])) + WhiteKernel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed).fit(x[some], y[some])
    return _normal(*peer.predict(x_test, return_std=True), y_test, began)


def boosted_trees(split: Split, seed: int) -> Scores:
    """Scikit-learn's, with a conformal interval from a fifth that is held out; it has no density."""
    x, y, x_test, y_test = split
    began = time.process_time()
    some, rest = train_test_split(np.arange(len(y)), test_size=0.2, random_state=seed)
    peer = HistGradientBoostingRegressor(random_state=seed).fit(x[some], y[some])
    half = np.quantile(np.abs(peer.predict(x[rest]) - y[rest]), 0.683)
    residuals = np.abs(peer.predict(x_test) - y_test)
    seconds = time.process_time() - began
    return float(np.sqrt(np.mean(residuals**2))), np.nan, float(np.mean(residuals < half)), seconds


def bde(split: Split, seed: int) -> Scores:
    """Sample four networks by MCMC with sklearn-contrib-bde, with fewer and shorter chains than in its paper."""
    from bde import BdeRegressor  # an optional peer

    x, y, x_test, y_test = (np.asarray(a, dtype=np.float32) for a in split)
    began = time.process_time()
    peer = BdeRegressor(
        n_members=4,
        hidden_layers=list(WIDTHS[1:-1]),
        epochs=1000,
        patience=20,
        warmup_steps=5000,
        n_samples=5000,
        n_thinning=20,
        seed=seed,
    )
    found = np.asarray(peer.fit(x, y).predict(x_test, raw=True), dtype=np.float64).reshape(-1, len(y_test), 2)
    seconds = time.process_time() - began
    mean, std = found[..., 0], np.logaddexp(0, found[..., 1]) + 1e-6  # by the formula of its loss
    log = -0.5 * ((split[3] - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    nll = np.log(len(mean)) - np.logaddexp.reduce(log, axis=0)
    below = np.mean(scipy.stats.norm.cdf(split[3], mean, std), axis=0)
    rmse = np.sqrt(np.mean((mean.mean(axis=0) - split[3]) ** 2))
    return float(rmse), float(nll.mean()), float(np.mean(np.abs(below - 0.5) < 0.3415)), seconds


METHODS: dict[str, Callable[[Split, int], Scores]] = {
    "default call, 16-16-16-16": ours,
    "NGBoost": ngboost,
    "Gaussian process, 2,000 events": gaussian_process,
    "boosted trees, conformal": boosted_trees,
    "bde, 4 networks, shorter chains": bde,
}


def constant(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Noise of 0.3 everywhere."""
    mean = np.sin(3 * x[:, 0]) + x[:, 1]
    law = scipy.stats.norm(mean, 0.3)
    return law.rvs(random_state=rng), law.logpdf


def growing(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Noise from 0.1 to 1."""
    mean = np.sin(3 * x[:, 0]) + x[:, 1]
    law = scipy.stats.norm(mean, 10 ** (0.5 * (x[:, 0] - 1)))
    return law.rvs(random_state=rng), law.logpdf


def two_kinds(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Noise of 0.1 for one kind of events and of 0.6 for the other, the kind being the sign of the second input."""
    mean = np.sin(3 * x[:, 0]) + x[:, 1]
    law = scipy.stats.norm(mean, np.where(x[:, 1] > 0, 0.6, 0.1))
    return law.rvs(random_state=rng), law.logpdf


MADE_UP = {"constant": constant, "grows tenfold": growing, "two kinds": two_kinds}


def print_made_up(sizes: list[int], seeds: int) -> None:
    """Print the table of made-up data."""
    print("\n| noise | events | log-likelihood less the truth's | covers, by thirds | depends on x | CPU s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, make in MADE_UP.items():
        for n in sizes:
            rows = []
            for seed in range(seeds):
                rng = np.random.default_rng([seed, n])
                x, x_test = rng.uniform(-1, 1, (n, 2)), rng.uniform(-1, 1, (5000, 2))
                y, _ = make(x, rng)
                y_test, truth = make(x_test, rng)
                began = time.process_time()
                model = fx.Model((None, 10, None), seed=seed)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", fx.FitWarning)
                    fit = model.fit(x, y, progress=False)
                seconds = time.process_time() - began
                low, high = model.interval(x_test, cl=0.683)
                inside = (low < y_test) & (y_test < high)
                thirds = [inside[third].mean() for third in np.array_split(np.argsort(high - low), 3)]
                less = np.mean(model.log_density(x_test, y_test)) - np.mean(truth(y_test))
                varies = fit.predictive is not None and fit.predictive.width is not None
                rows.append((less, *thirds, varies, seconds))
            less, a, b, c, varies, seconds = np.mean(rows, axis=0)
            error = np.std([row[0] for row in rows]) / np.sqrt(len(rows))
            covers = " / ".join(f"{100 * v:.1f}" for v in (a, b, c))
            print(
                f"| {name} | {n:,} | {less:.3f} ± {error:.3f} | {covers} | {varies * seeds:.0f} of {seeds} "
                f"| {seconds:.1f} |",
                flush=True,
            )


def print_measured(name: str, seeds: int, methods: list[str]) -> None:
    """Print the rows of a set of measured data."""
    split = measured(name)
    if split is None:
        print(f"| {name} | skipped: the data of sklearn-contrib-bde are not installed | | | | |")
        return
    for label in methods:
        try:
            rows = np.array([METHODS[label](split, seed) for seed in range(seeds)])
        except ImportError as error:
            print(f"| {name} | {label} | skipped: {error} | | | |")
            continue
        mean, error = rows.mean(axis=0), rows.std(axis=0) / np.sqrt(seeds)
        nll = f"{mean[1]:.3f} ± {error[1]:.3f}" if np.isfinite(mean[1]) else ""
        print(
            f"| {name} | {label} | {mean[0]:.4f} ± {error[0]:.4f} | {nll} | {100 * mean[2]:.1f} | {mean[3]:.1f} |",
            flush=True,
        )
    for label, (rmse, published) in PUBLISHED[name].items():
        print(f"| {name} | {label}, as published | {rmse:.4f} | {published:.3f} | | |".replace("nan", ""))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--only", nargs="+", choices=[*PUBLISHED, "made-up"], default=[*PUBLISHED, "made-up"])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    options = parser.parse_args()
    print(f"# Noise that depends on x\n\n{header()}")
    names = [name for name in PUBLISHED if name in options.only]
    if names:
        print("\n| set | method | RMSE | negative log-likelihood | 68.3 % interval holds | CPU s |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name in names:
            print_measured(name, options.seeds, options.methods)
    if "made-up" in options.only:
        print_made_up(options.sizes, options.seeds)


if __name__ == "__main__":
    main()
