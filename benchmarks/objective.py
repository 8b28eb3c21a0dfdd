"""What one evaluation costs: value and gradient, second derivatives, the crossing to MINUIT, and the import.

Value and gradient of chi-square for the lesson's network, 195 parameters, in the library, in NumPy written by hand, and
by automatic differentiation in torch and JAX where they are installed. Medians over many repeats.

    OPENBLAS_NUM_THREADS=1 python benchmarks/objective.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from header import header

import ffnn_xp as fx

WIDTHS = (8, 7, 9, 6)
SHAPES = [(h, below + 1) for below, h in pairwise(WIDTHS)]


def median_time(f: Callable[[], object], seconds: float) -> float:
    """Median seconds of a call, repeated for about so long, at least five times."""
    f()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 5000):
        began = time.perf_counter()
        f()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def events(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, fx.Model]:
    model = fx.Model(WIDTHS, backend="numpy", seed=seed)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, WIDTHS[0]))
    return x, model(x) + 0.1 * rng.normal(size=(n, WIDTHS[-1])), model


def by_hand(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Chi-square and gradient as one would write them, events as columns, all at once."""
    X, Y = np.ascontiguousarray(x.T), np.ascontiguousarray(y.T)

    def f(theta: np.ndarray) -> tuple[float, np.ndarray]:
        A1, A2, A3 = split(theta)
        a1 = np.tanh(A1[:, :-1] @ X + A1[:, -1:])
        a2 = np.tanh(A2[:, :-1] @ a1 + A2[:, -1:])
        pull = (A3[:, :-1] @ a2 + A3[:, -1:] - Y) / 0.1
        d3 = pull * 20.0
        d2 = (A3[:, :-1].T @ d3) * (1 - a2 * a2)
        d1 = (A2[:, :-1].T @ d2) * (1 - a1 * a1)
        rows = [np.hstack([d @ a.T, d.sum(axis=1)[:, None]]).ravel() for d, a in ((d1, X), (d2, a1), (d3, a2))]
        return float(np.sum(pull * pull)), np.concatenate(rows)

    return f


def split(theta):
    """The augmented matrices in theta, of any library."""
    ends = np.cumsum([r * c for r, c in SHAPES])
    return [theta[e - r * c : e].reshape(r, c) for e, (r, c) in zip(ends, SHAPES, strict=True)]


def by_torch(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], tuple[float, np.ndarray]] | None:
    """Automatic differentiation in torch, or None if it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    X, Y = torch.from_numpy(x.T.copy()), torch.from_numpy(y.T.copy())

    def f(theta: np.ndarray) -> tuple[float, np.ndarray]:
        t = torch.from_numpy(theta).requires_grad_()
        a = X
        matrices = split(t)
        for A in matrices[:-1]:
            a = torch.tanh(A[:, :-1] @ a + A[:, -1:])
        chi2 = (((matrices[-1][:, :-1] @ a + matrices[-1][:, -1:] - Y) / 0.1) ** 2).sum()
        (g,) = torch.autograd.grad(chi2, t)
        return chi2.item(), g.numpy()

    return f


def by_jax(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], tuple[float, np.ndarray]] | None:
    """Automatic differentiation in JAX, compiled, or None if it is not installed."""
    try:
        import jax
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    X, Y = jax.numpy.asarray(x.T), jax.numpy.asarray(y.T)

    def chi2(theta):
        a = X
        matrices = split(theta)
        for A in matrices[:-1]:
            a = jax.numpy.tanh(A[:, :-1] @ a + A[:, -1:])
        return jax.numpy.sum(((matrices[-1][:, :-1] @ a + matrices[-1][:, -1:] - Y) / 0.1) ** 2)

    g = jax.jit(jax.value_and_grad(chi2))

    def f(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = g(theta)
        return float(value), np.asarray(gradient)

    return f


class Fresh:
    """Theta that differs a little at each call, so that nothing is remembered."""

    def __init__(self, theta: np.ndarray) -> None:
        self.theta = theta.copy()

    def __call__(self) -> np.ndarray:
        self.theta[0] += 1e-9
        return self.theta.copy()


def sweep(n: int, seconds: float, seed: int) -> None:
    """A line of the first table and one of the second."""
    x, y, model = events(n, seed)
    cost = fx.LeastSquares(x, y, 0.1, model)
    fresh = Fresh(cost.start)
    methods = {"hand": by_hand(x, y), "torch": by_torch(x, y), "jax": by_jax(x, y)}
    theta, expected = fresh(), None
    expected = cost.value_and_gradient(theta)
    for name, f in methods.items():
        if f is not None and not np.allclose(
            f(theta)[1], expected[1], rtol=1e-9, atol=1e-6 * np.abs(expected[1]).max()
        ):
            raise AssertionError(f"{name} computes another gradient")
    whole = median_time(lambda: cost.value_and_gradient(fresh()), seconds)
    inside = median_time(lambda: cost.objective.value_and_gradient(fresh()), seconds)
    cells = [f"{1e6 * whole:.0f}", f"{1e6 * inside:.0f}", f"{1e6 * (whole - inside):.0f}"]
    for f in methods.values():
        cells.append("-" if f is None else f"{1e6 * median_time(lambda f=f: f(fresh()), seconds):.0f}")
    matrices = [median_time(lambda m=m: m(fresh()), seconds) for m in (cost.gauss_newton, cost.hessian)]
    print(f"| {n} | " + " | ".join(cells) + " | " + " | ".join(f"{1e3 * t:.2f}" for t in matrices) + " |", flush=True)


def import_time(statement: str, repeats: int = 9) -> float:
    """Median seconds of a fresh interpreter with this statement, less one without it."""

    def once(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - began

    return float(np.median([once(statement) for _ in range(repeats)]) - np.median([once("") for _ in range(repeats)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[100, 2000, 100_000], help="default 100 2000 100000")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement (default 2)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("# One evaluation\n")
    print(header())
    print(f"\n## Chi-square of {'-'.join(map(str, WIDTHS))} tanh, 195 parameters, float64\n")
    print("Value and gradient in µs: the cost as MINUIT calls it, the objective alone, the difference (the crossing);")
    print("the same formula by hand and by automatic differentiation; second derivatives in ms.\n")
    print("| events | cost | objective | crossing | NumPy by hand | torch | jax.jit | Gauss-Newton, ms | Hessian, ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for n in options.events:
        sweep(n, options.seconds, options.seed)
    print("\n## Import, seconds in a fresh interpreter\n")
    print("| statement | s |\n| --- | --- |")
    for statement in ("import numpy", "import numpy, iminuit.cost", "import ffnn_xp"):
        print(f"| `{statement}` | {import_time(statement):.3f} |", flush=True)


if __name__ == "__main__":
    main()
