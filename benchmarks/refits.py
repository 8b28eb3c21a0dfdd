"""Toys and bootstrap copies refitted from a fit's minimum: ms for each, and how many reach a minimum.

`Model.fit_replicas` beside steps of Levenberg and Marquardt alone, in one batch, 300 at most (what it did until
2026-11-26), and beside MIGRAD and SciPy's L-BFGS-B, one replica by one, with the library's gradient. S is the mean over
the replicas that all methods walked, above the lowest of the methods for each; a minimum is where EDM by the exact
Hessian is below MINUIT's goal, 2e-4.

    FFNN_XP_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/refits.py
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import scipy.optimize
from header import header
from iminuit import Minuit

import ffnn_xp as fx
from ffnn_xp.fitting import batch_refit as toy_fits
from ffnn_xp.minimizers import BatchResult, batched_levenberg_marquardt
from ffnn_xp.model import ensemble
from ffnn_xp.objective import Replicas

CASES = (
    ((1, 10, 1), 200, 200),
    ((4, 10, 1), 300, 100),
    ((2, 10, 10, 1), 300, 60),
    ((5, 15, 1), 1000, 60),
    ((8, 7, 9, 6), 1000, 24),
    ((8, 20, 20, 6), 1000, 6),
)
NOISE, PRIOR, FORMER = 0.1, 3.0, 300
GOAL = 2e-4  # MINUIT's for EDM


def data(widths: tuple[int, ...], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a network with random weights."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, widths[0]))
    y = fx.Model(widths, backend="numpy", seed=1)(x).reshape(n, -1) + NOISE * rng.normal(size=(n, widths[-1]))
    return x, y if widths[-1] > 1 else y[:, 0]


class Caught(Exception):  # noqa: N818, a way out
    """The problem that `fit_replicas` would walk on."""


def problem_of(model: fx.Model, x: np.ndarray, y: np.ndarray, kind: str, number: int) -> tuple[Replicas, np.ndarray]:
    """The replicas as the library makes them, and where they start."""

    def catch(*found: object) -> None:
        raise Caught(*found[:2])

    kept, ensemble.refit = ensemble.refit, catch
    try:
        model.fit_replicas(x, y, NOISE, prior=PRIOR, kind=kind, number=number, seed=1)
    except Caught as caught:
        return caught.args
    finally:
        ensemble.refit = kept
    raise AssertionError("not asked")


def ours(problem: Replicas, theta: np.ndarray, number: int) -> BatchResult:
    """As `Model.fit_replicas` does."""
    return toy_fits.refit(problem, theta, number)


def former(problem: Replicas, theta: np.ndarray, number: int) -> BatchResult:
    """By matrices alone."""
    starts = problem.on_device(np.broadcast_to(theta, (number, len(theta))))
    return batched_levenberg_marquardt(problem, starts, edm_goal=GOAL, max_iterations=FORMER, damping=toy_fits.DAMPING)


def singly(walk: Callable[[Callable, np.ndarray], np.ndarray]) -> Callable[..., BatchResult]:
    """A peer's walk, one replica by one."""

    def run(problem: Replicas, theta: np.ndarray, number: int) -> BatchResult:
        ends = []
        for i in range(number):

            def f(at: np.ndarray, i: int = i) -> tuple[float, np.ndarray]:
                value, gradient = problem.on_host(at[None], np.array([i]))
                return float(value[0]), gradient[0]

            ends.append(walk(f, theta))
        end = np.stack(ends)
        value = problem.on_host(end, np.arange(number))[0]
        unknown = np.full(number, np.inf)
        return BatchResult(end, value, unknown, unknown < 0, unknown, [])

    return run


def migrad(f: Callable, theta: np.ndarray) -> np.ndarray:
    minuit = Minuit(lambda at: f(at)[0], theta, grad=lambda at: f(at)[1])
    minuit.errordef, minuit.strategy = 1, 0
    return np.array(minuit.migrad(ncall=20_000).values)


def lbfgs(f: Callable, theta: np.ndarray) -> np.ndarray:
    options = {"maxiter": 20_000, "maxfun": 20_000, "ftol": 1e-12, "gtol": 1e-6}
    return scipy.optimize.minimize(f, theta, jac=True, method="L-BFGS-B", options=options).x


METHODS = {"fit_replicas": ours, "by matrices": former, "MIGRAD": singly(migrad), "L-BFGS-B": singly(lbfgs)}


def edm(problem: Replicas, theta: np.ndarray) -> np.ndarray:
    """By the exact Hessian; infinite where it is not positive definite."""
    rows = np.arange(len(theta))
    H, (_, g) = problem.hessian(theta, rows), problem.on_host(theta, rows)
    found = np.full(len(rows), np.inf)
    for i in rows:
        try:
            C = np.linalg.cholesky(H[i])
        except np.linalg.LinAlgError:
            continue
        found[i] = 0.5 * np.sum(np.linalg.solve(C, g[i]) ** 2)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=int, default=6, help="replicas that peers walk one by one (default 6)")
    parser.add_argument("--cases", type=int, nargs="+", default=range(len(CASES)), help="numbers of the networks")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"# Refits\n\n{header()}\n")
    print("| network | p | events | kind | method | replicas | ms each | ratio | at a minimum | S above the lowest |")
    print("| --- " * 10 + "|")
    for widths, n, number in (CASES[i] for i in options.cases):
        x, y = data(widths, n)
        model = fx.Model(widths, backend="numpy", seed=9)
        assert model.fit(x, y, NOISE, prior=PRIOR, restarts=3).valid
        for kind in ("toys", "bootstrap"):
            problem, theta = problem_of(model, x, y, kind, number)
            ends, times = {}, {}
            for name, method in METHODS.items():
                r = number if method in (ours, former) else min(options.peers, number)
                began = time.perf_counter()
                ends[name] = method(problem, theta, r)
                times[name] = 1e3 * (time.perf_counter() - began) / r
            common = min(len(end.value) for end in ends.values())
            lowest = np.min([end.value[:common] for end in ends.values()], axis=0)
            for name, end in ends.items():
                share = np.mean(edm(problem, problem.numbers(end.theta)) < GOAL)
                above = np.mean(end.value[:common] - lowest)
                cells = ["-".join(map(str, widths)), len(theta), n, kind, name, len(end.value), f"{times[name]:.1f}"]
                cells += [f"{times[name] / times['fit_replicas']:.1f}", f"{share:.2f}", f"{above:.2g}"]
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
