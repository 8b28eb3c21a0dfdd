"""Which minima are said to lie at infinity: of random fits, against a linear programme and against SciPy's L-BFGS-B.

Without hidden layers a linear programme decides whether S falls for ever (A. Albert and J. A. Anderson, Biometrika 71
(1984) 1): the first table counts how often a fit says the same, for data so few that it is often so. With hidden units
there is no such programme. The second table counts, for ordinary data of each statistic and networks of up to 64
parameters without a prior, the fits that are said to end at infinity, and of how many of these S can be shown to fall
on: SciPy moves the predictions in question outward by 15 (logits, or logarithms of a rate) at a price, and S there is
not higher by 0.01. That is a lower bound, since SciPy may end before it gets there. With `prior=3.0` no fit may be
called so. `--tuning` prints the first table for other values of the two tuned numbers instead.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy
from header import header

sys.path.insert(0, str(Path(__file__).parents[1]))

import ffnn_xp as fx
from ffnn_xp.fitting.tuning import DEFAULT_TUNING
from ffnn_xp.network import forward, jacobian
from tests.oracles.infinity import few_events

FAR, PRICE, HIGHER = 15.0, (1e-3, 1e-4), 0.01
FEW = {
    "counts": ("poisson", 1),
    "yes or no": ("binomial", 1),
    "trials": ("binomial", 3),
    "classes": ("multinomial", 1),
}  # statistic, and trials at most
ORDINARY = (
    "chi-square",
    "chi-square of a tanh",
    "counts, mean 0.5 to 100",
    "1 to 19 trials",
    "yes or no",
    "classes",
)


class Problem(NamedTuple):
    """Data, what `Model` is told, and what `fit` is told."""

    layers: tuple[int, ...]
    output: str
    x: np.ndarray
    y: np.ndarray
    options: dict[str, Any]

    def fit(self, seed: int, prior: float | None = None, **more: Any) -> fx.FitResult:
        model = fx.Model(self.layers, output=self.output, backend="numpy", seed=seed)
        return model.fit(self.x, self.y, prior=prior, progress=False, **self.options, **more)


def few(statistic: str, seed: int) -> tuple[Problem, bool]:
    """Return so few events that their minimum is often at infinity, without hidden layers, and whether it is."""
    loss, most_trials = FEW[statistic]
    events = few_events(loss, seed, most_trials)
    layers, options = (events.x.shape[1], events.k), {"loss": loss, **events.options}
    return Problem(layers, events.output, events.x, events.y, options), events.recedes


def ordinary(statistic: str, seed: int) -> Problem:
    """As many events as people fit, of a smooth truth, in which classes overlap; networks of up to 64 parameters."""
    rng = np.random.default_rng([seed, len(statistic), 1])
    d, n, h = int(rng.choice([1, 1, 2, 3])), int(rng.choice([100, 200, 400, 1000])), int(rng.choice([0, 1, 2, 3, 4, 6]))
    k = 3 if statistic == "classes" else 1
    layers = (d, h, k) if h else (d, k)
    x = rng.normal(size=(n, d))
    s = np.sin(x @ rng.normal(size=d)) + 0.5 * x[:, 0]
    if statistic == "chi-square":
        return Problem(layers, "identity", x, s + rng.normal(0, 0.2, n), {"y_err": 0.2})
    if statistic == "chi-square of a tanh":
        return Problem(layers, "tanh", x, np.tanh(s) + rng.normal(0, 0.1, n), {"y_err": 0.1})
    if statistic == "counts, mean 0.5 to 100":
        mean = 10 ** rng.uniform(-0.3, 2) * np.exp(0.5 * s)
        return Problem(layers, "exp", x, rng.poisson(mean), {"loss": "poisson"})
    if statistic == "classes":
        return Problem(
            layers,
            "softmax",
            x,
            np.argmax(np.stack([s, -0.5 * s, 0 * s]) + rng.gumbel(size=(3, n)), axis=0),
            {"loss": "multinomial"},
        )
    trials = rng.integers(1, 20, n) if statistic == "1 to 19 trials" else np.ones(n, dtype=int)
    return Problem(
        layers,
        "logistic",
        x,
        rng.binomial(trials, 1 / (1 + np.exp(-s))),
        {"loss": "binomial", "trials": trials},
    )


def falls_on(fit: fx.FitResult) -> bool:
    """Whether SciPy finds the predictions without an error further out, at an S that is not higher."""
    cost, start = fit.cost, fit.standardised
    network, x = fit.problem.network.before_output(), np.asarray(cost.objective.events.x)
    std = np.asarray(fit.error_band.std(fit.problem.network, fit.problem.model.backend, fit.problem.data.x))
    k, n = np.nonzero(np.isinf(std))
    z0 = forward(network, np, start, x[:, n]).y
    z0 = z0 - z0.max(axis=0) if len(z0) > 1 else z0
    S0, at = cost.value_and_gradient(start)[0], (k, np.arange(len(n)))
    side = np.where(z0[at] < 0, -1.0, 1.0 if len(z0) == 1 else 0.0)

    def penalised(theta: np.ndarray, price: float) -> tuple[float, np.ndarray]:
        S, g = cost.value_and_gradient(theta)
        z, J = forward(network, np, theta, x[:, n]).y, jacobian(network, np, theta, x[:, n])
        if len(z) > 1:
            top = z.argmax(axis=0)
            z, J = z - z[top, np.arange(len(n))], J - J[top, np.arange(len(n))]
        short = np.maximum(FAR - side * (z[at] - z0[at]), 0) * (side != 0)
        return S - S0 + price * np.sum(short**2), g - 2 * price * (short * side) @ J[at]

    for price in PRICE:
        limits = {"maxiter": 2000, "maxfun": 2000, "ftol": 1e-16, "gtol": 1e-10}
        end = scipy.optimize.minimize(penalised, start, price, "L-BFGS-B", jac=True, options=limits)
        if penalised(end.x, 0.0)[0] < HIGHER and (penalised(end.x, 1.0)[0] - penalised(end.x, 0.0)[0]) < FAR**2 * 0.01:
            return True
    return False


def said(problems: Sequence[Problem], **options: Any) -> np.ndarray:
    """Return which of the fits are said to end at infinity."""
    return np.array(["infinity" in problem.fit(seed, **options).caution for seed, problem in enumerate(problems)])


def few_problems(statistics: Iterable[str], number: int) -> tuple[list[Problem], np.ndarray]:
    """Return this many problems of each statistic, and which of them have their minimum at infinity."""
    problems, at_infinity = zip(
        *[few(statistic, seed) for statistic in statistics for seed in range(number)], strict=True
    )
    return list(problems), np.array(at_infinity)


def against_the_programme(number: int) -> None:
    print("| few events, no hidden layer | fits | at infinity by the programme | said so | said so wrongly | missed |")
    print("| --- | --- | --- | --- | --- | --- |")
    for statistic in FEW:
        problems, want = few_problems([statistic], number)
        found = said(problems)
        wrong, missed = int(np.sum(found & ~want)), int(np.sum(want & ~found))
        print(f"| {statistic} | {len(want)} | {want.sum()} | {found.sum()} | {wrong} | {missed} |", flush=True)


def of_ordinary_data(number: int) -> None:
    print("\n| ordinary data | fits | said to be at infinity | determine something | shown by SciPy | with prior 3.0 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for statistic in ORDINARY:
        problems = [ordinary(statistic, seed) for seed in range(number)]
        for hidden in (False, True):
            some = [(seed, p) for seed, p in enumerate(problems) if (len(p.layers) > 2) == hidden]
            found = [fit for fit in (p.fit(seed) for seed, p in some) if "infinity" in fit.caution]
            valid = [fit for fit in found if fit.valid]
            held = sum("infinity" in p.fit(seed, 3.0).caution for seed, p in some)
            print(
                f"| {statistic}, {'' if hidden else 'no '}hidden units | {len(some)} | {len(found)} | {len(valid)} | "
                f"{sum(map(falls_on, valid))} | {held} |",
                flush=True,
            )


def of_other_numbers(number: int) -> None:
    print("| number | value | factor | minimizer | said so wrongly | missed |")
    print("| --- | --- | --- | --- | --- | --- |")
    problems, want = few_problems(FEW, number)
    for name in ("unnoticed", "most_unnoticed"):
        for factor in (1 / 10, 1 / 3, 1, 3, 10):
            value = factor * getattr(DEFAULT_TUNING.certification, name)
            certification = replace(DEFAULT_TUNING.certification, **{name: value})
            for minimizer in ("auto", "migrad"):
                found = said(problems, tuning=replace(DEFAULT_TUNING, certification=certification), minimizer=minimizer)
                wrong, missed = int(np.sum(found & ~want)), int(np.sum(want & ~found))
                print(
                    f"| `CertificationTuning.{name}` | {value:.3g} | {factor:.2g} | {minimizer} | {wrong} | {missed} |",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=400, help="fits of each statistic without hidden layers")
    parser.add_argument("--ordinary", type=int, default=100, help="fits of each statistic with and without")
    parser.add_argument("--tuning", action="store_true", help="the first table with other numbers")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("# Minima at infinity\n")
    print(header() + "\n")
    if options.tuning:
        of_other_numbers(options.few)
    else:
        against_the_programme(options.few)
        of_ordinary_data(options.ordinary)


if __name__ == "__main__":
    main()
