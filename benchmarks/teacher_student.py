"""The way to the minimum: who finds it, how often, and how fast.

A teacher, a network with random matrices (Glorot times 1.5), makes events with a known error of 0.1; students of the
same shape start from random parameters. A fit is a success if chi2/ndof < 1.05: then the student has found what
there is to find. What counts is the expected time to a success, all CPU seconds over all successes.

    OPENBLAS_NUM_THREADS=1 python benchmarks/teacher_student.py
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from header import header
from iminuit import Minuit

import ffnn_xp as fx

NOISE = 0.1
SUCCESS = 1.05  # chi2/ndof


@dataclass(frozen=True)
class Problem:
    """Events of a teacher."""

    widths: tuple[int, ...]
    activation: str
    x: np.ndarray
    y: np.ndarray

    def student(self, seed: int) -> fx.Model:
        return fx.Model(self.widths, activation=self.activation, backend="numpy", seed=seed)

    def ratio(self, predicted: np.ndarray) -> float:
        """chi2/ndof."""
        chi2 = np.sum(((predicted - self.y) / NOISE) ** 2)
        return float(chi2) / (self.y.size - self.student(0).n_parameters)


@dataclass(frozen=True)
class Trial:
    """How one fit went; `valid` and `edm` where there is a certificate."""

    ratio: float
    seconds: float
    valid: bool | None = None
    edm: float = np.nan


def problem(widths: tuple[int, ...], n: int, activation: str, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    teacher = fx.Model(widths, activation=activation, backend="numpy", seed=seed)
    teacher.parameters = 1.5 * teacher.parameters
    x = rng.normal(size=(n, widths[0]))
    return Problem(widths, activation, x, teacher(x) + NOISE * rng.normal(size=(n, widths[-1])))


def certified(task: Problem, seed: int) -> Trial:
    """`Model.fit` as it comes."""
    return _fit(task, seed)


def migrad_with_gradient(task: Problem, seed: int) -> Trial:
    """MIGRAD alone with the cost's gradient."""
    return _fit(task, seed, minimizer="migrad")


def _fit(task: Problem, seed: int, **options: str) -> Trial:
    model = task.student(seed)
    began = time.process_time()
    fit = model.fit(task.x, task.y, NOISE, progress=False, **options)
    return Trial(task.ratio(model(task.x)), time.process_time() - began, fit.valid, fit.edm)


def migrad_numerical(task: Problem, seed: int, ncall: int) -> Trial:
    """MIGRAD alone, which takes the gradient from differences; ended after so many calls."""
    model = task.student(seed)
    cost = fx.LeastSquares(task.x, task.y, NOISE, model)

    def chi2(theta: np.ndarray) -> float:
        return cost(theta)

    chi2.errordef = Minuit.LEAST_SQUARES
    began = time.process_time()
    m = Minuit(chi2, cost.start)
    m.strategy = 0
    m.migrad(ncall=ncall, iterate=1, use_simplex=False)
    seconds = time.process_time() - began
    return Trial(task.ratio(model(task.x, np.asarray(m.values))), seconds, m.valid, m.fmin.edm)


def sklearn_lbfgs(task: Problem, seed: int) -> Trial:
    """scikit-learn's MLPRegressor."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    network = MLPRegressor(
        hidden_layer_sizes=task.widths[1:-1],
        activation=task.activation,
        solver="lbfgs",
        alpha=0.0,
        max_iter=5000,
        max_fun=100_000,
        random_state=seed,
    )
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(task.x, task.y)
    return Trial(task.ratio(network.predict(task.x)), time.process_time() - began)


def row(name: str, trials: list[Trial]) -> str:
    """One line of the table."""
    good = [t for t in trials if t.ratio < SUCCESS]
    total = sum(t.seconds for t in trials)
    expected = f"{total / len(good):.2f}" if good else "-"
    verdicts = [t.valid for t in trials if t.valid is not None]
    valid = f"{sum(verdicts)}/{len(verdicts)}" if verdicts else "no certificate"
    edm = f"{np.median([t.edm for t in trials]):.1g}" if verdicts else "-"
    ratio, seconds = (np.median([getattr(t, key) for t in trials]) for key in ("ratio", "seconds"))
    return f"| {name} | {len(good)}/{len(trials)} | {ratio:.3f} | {seconds:.2f} | {expected} | {valid} | {edm} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teachers", type=int, default=4, help="of each activation (default 4)")
    parser.add_argument("--starts", type=int, default=5, help="students of each teacher (default 5)")
    parser.add_argument("--numerical", type=int, default=2, help="fits without a gradient (default 2: they are slow)")
    parser.add_argument("--ncall", type=int, default=100_000, help="limit of calls of those (default 100000)")
    parser.add_argument("--seed", type=int, default=100, help="of the first teacher (default 100)")
    parser.add_argument("--widths", default="8,7,9,6", help="of teacher and student (default 8,7,9,6)")
    parser.add_argument("--events", type=int, default=2000, help="default 2000")
    parser.add_argument("--activations", default="tanh,relu", help="default tanh,relu")
    options = parser.parse_args()
    widths = tuple(int(h) for h in options.widths.split(","))
    methods: dict[str, Callable[[Problem, int], Trial]] = {
        "ffnn_xp": certified,
        "MIGRAD with ffnn_xp's gradient": migrad_with_gradient,
        "scikit-learn, lbfgs": sklearn_lbfgs,
    }
    print("# Teacher and student\n")
    print(header())
    for activation in options.activations.split(","):
        tasks = [problem(widths, options.events, activation, options.seed + i) for i in range(options.teachers)]
        print(f"\n## {activation}: {'-'.join(map(str, widths))}, {options.events} events, errors {NOISE}\n")
        print("| method | success | median chi2/ndof | median s | expected s per success | valid | median EDM |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for name, method in methods.items():
            print(row(name, [method(t, seed) for t in tasks for seed in range(options.starts)]), flush=True)
        if options.numerical:
            pairs = [(tasks[i % len(tasks)], i) for i in range(options.numerical)]
            print(
                row("MIGRAD, numerical gradient", [migrad_numerical(t, s, options.ncall) for t, s in pairs]), flush=True
            )


if __name__ == "__main__":
    main()
