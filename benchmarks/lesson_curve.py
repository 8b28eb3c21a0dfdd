"""The lesson's curve: 16 parameters whose minima differ so much that one start in ten to a hundred finds a good one.

Five sigmoids for 1,000 points with errors 0.03. First: how near the floor (the best of 2,000 starts that compete), in
how many CPU seconds, for several seeds of the data; beside it scikit-learn's best of 15 starts and SciPy's. Second:
1,000 toys of one such fit, in one batch and singly by SciPy's least squares with a Jacobian written by hand, all from
the minimum.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/lesson_curve.py
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
from header import header

import ffnn_xp as fx

EVENTS, NOISE, SIGMOIDS = 1000, 0.03, 5
P = 3 * SIGMOIDS + 1


def events(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A parabola with a fast wave in its middle."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, EVENTS)
    curve = np.where(np.abs(x - 0.43) < 0.15, np.sin(22 * x), -1 + 3.5 * x - 2 * x**2)
    return x, curve + NOISE * rng.normal(size=EVENTS)


def residuals(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    w, b, a, c = theta[0 : 2 * SIGMOIDS : 2], theta[1 : 2 * SIGMOIDS : 2], theta[2 * SIGMOIDS : -1], theta[-1]
    return (a @ (1 / (1 + np.exp(-(w[:, None] * x + b[:, None])))) + c - y) / NOISE


def jacobian(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    w, b, a = theta[0 : 2 * SIGMOIDS : 2], theta[1 : 2 * SIGMOIDS : 2], theta[2 * SIGMOIDS : -1]
    s = 1 / (1 + np.exp(-(w[:, None] * x + b[:, None])))
    slope = a[:, None] * s * (1 - s)
    J = np.empty((len(x), P))
    J[:, 0 : 2 * SIGMOIDS : 2], J[:, 1 : 2 * SIGMOIDS : 2] = (slope * x).T, slope.T
    J[:, 2 * SIGMOIDS : -1], J[:, -1] = s.T, 1.0
    return J / NOISE


def ours(x: np.ndarray, y: np.ndarray, seed: int, restarts: int | str = "auto") -> fx.FitResult:
    model = fx.Model((1, SIGMOIDS, 1), activation="logistic", backend="numpy", seed=seed)
    return model.fit(x, y, NOISE, prior=None, restarts=restarts, progress=False)


def sklearn_best(x: np.ndarray, y: np.ndarray, starts: int) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    scaled, chi2 = ((x - x.mean()) / x.std())[:, None], np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for seed in range(starts):
            network = MLPRegressor(
                hidden_layer_sizes=(SIGMOIDS,),
                activation="logistic",
                solver="lbfgs",
                alpha=0.0,
                max_iter=2000,
                max_fun=100_000,
                random_state=seed,
            ).fit(scaled, y)
            chi2 = min(chi2, float(np.sum(((network.predict(scaled) - y) / NOISE) ** 2)))
    return chi2


def scipy_best(x: np.ndarray, y: np.ndarray, starts: int, method: str) -> float:
    """Least squares from the starts of a Model, best of all."""
    mean, width, chi2 = x.mean(), x.std(), np.inf
    for seed in range(starts):
        theta = fx.Model((1, SIGMOIDS, 1), activation="logistic", backend="numpy", seed=seed).parameters.copy()
        with np.errstate(over="ignore"):
            end = scipy.optimize.least_squares(
                residuals, theta, jacobian, args=((x - mean) / width, y), method=method, x_scale="jac", max_nfev=1000
            )
        chi2 = min(chi2, 2 * float(end.cost))
    return chi2


def floors(seeds: int) -> None:
    print(f"\n## {EVENTS} points, {P} parameters: chi2 over the floor's, CPU seconds\n")
    print("| data seed | floor, chi2/ndof | Model.fit, 3 seeds | s | scikit-learn, 15 starts | s | SciPy lm, 15 | s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for seed in range(seeds):
        x, y = events(seed)
        floor = ours(x, y, 1000, 2000).chi2
        found, took = [], []
        for s in (1, 2, 3):
            fit, seconds = timed(ours, x, y, s)
            assert fit.valid
            found.append(fit.chi2)
            took.append(seconds)
        floor = min(floor, *found)
        peer, peer_s = timed(sklearn_best, x, y, 15)
        lm, lm_s = timed(scipy_best, x, y, 15, "lm")
        ratios = ", ".join(f"{c / floor:.3f}" for c in found)
        print(
            f"| {seed} | {floor / (EVENTS - P):.3f} | {ratios} | {np.median(took):.2f} "
            f"| {peer / floor:.3f} | {peer_s:.2f} | {lm / floor:.3f} | {lm_s:.2f} |",
            flush=True,
        )


def replicas(number: int, singly: int) -> None:
    print(f"\n## {number} toys of one fit, all started at its minimum; CPU seconds\n")
    print(
        "The bound: as many values alone, of all toys at once, as the median toy takes steps; no gradient, no matrix.\n"
    )
    print("| points | fit_replicas | at EDM < 2e-4 | bound | least_squares(lm) | ratio | least_squares(trf) | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for n in (100, 1000):
        x, y = (a[:n] for a in events(0))
        model = fx.Model((1, SIGMOIDS, 1), activation="logistic", backend="numpy", seed=1)
        fit = model.fit(x, y, NOISE, prior=None, progress=False)
        ensemble, seconds = timed(model.fit_replicas, x, y, NOISE, number=number, seed=1)
        toys = model(x) + NOISE * np.random.default_rng(1).normal(size=(singly, n))
        cells = []
        for method in ("lm", "trf"):
            _, each = timed(one_by_one, fit.parameters, x, toys, method)
            peer = each * number / singly
            cells += [f"{peer:.2f} (from {singly})", f"{peer / seconds:.1f}"]
        objective = fx.LeastSquares(x, y, NOISE, model).objective
        batch = np.repeat(fit.parameters[None, :], number, axis=0)
        once = np.median([timed(objective.value, batch)[1] for _ in range(9)])
        bound = float(once * np.median(ensemble.steps))
        print(f"| {n} | {seconds:.2f} | {int(ensemble.valid.sum())} | {bound:.2f} | {' | '.join(cells)} |", flush=True)


def one_by_one(theta: np.ndarray, x: np.ndarray, toys: np.ndarray, method: str) -> None:
    for toy in toys:
        scipy.optimize.least_squares(residuals, theta, jacobian, args=(x, toy), method=method, x_scale="jac")


def timed(f: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, float]:
    """What f returns, and the CPU seconds that it took."""
    began = time.process_time()
    return f(*args, **options), time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4, help="of the data (default 4)")
    parser.add_argument("--toys", type=int, default=1000, help="in the batch (default 1000)")
    parser.add_argument("--singly", type=int, default=50, help="toys that peers fit one by one (default 50)")
    options = parser.parse_args()
    print("# The lesson's curve\n")
    print(header())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.FitWarning)
        floors(options.seeds)
        replicas(options.toys, options.singly)


if __name__ == "__main__":
    main()
