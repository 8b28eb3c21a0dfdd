"""What the tuned numbers of a fit do: each times 3 and by 3, on fits of all kinds.

For each number of `ffnn_xp.fitting.Tuning` the fits that read it are repeated with three times its value and with a
third of it. The table says in how many of them any digit changed, how far S moved, down and up, in units of -2 log L,
and how many gradients more or fewer the fits took that it changed, and which fits were no longer valid. A number that
changes no digit anywhere has no reason to be there.

One process for each processor; each fit is deterministic, so that a busy machine does no harm.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import fields, is_dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from header import header

import ffnn_xp as fx
from ffnn_xp._lib.tuning import tuned_numbers
from ffnn_xp.fitting import DEFAULT_TUNING, Tuning

FACTORS = (3.0, 1 / 3)


class Outcome(NamedTuple):
    """What a fit came to; equal only if all digits are."""

    fval: float
    valid: bool
    digits: str
    gradients: int


class Number(NamedTuple):
    """A tuned number: the class and field that hold it, its value, and where in a `Tuning` it stands."""

    owner: str
    field: str
    value: Any
    paths: tuple[str, ...]

    @property
    def name(self) -> str:
        """Class and field, and where it stands if the class has other values elsewhere."""
        return f"{self.owner}.{self.field}"


class Change(NamedTuple):
    """What one number, times a factor, did to one fit."""

    number: Number
    factor: float
    fit: str
    before: Outcome
    after: Outcome


@cache
def data() -> dict[str, tuple[Any, ...]]:
    """Made-up measurements of all kinds, the same in each process."""
    rng = np.random.default_rng(1)
    x, error = rng.uniform(0, 1, 200), rng.uniform(0.05, 0.15, 200)
    y = np.sin(5 * x) / (0.5 + x) + error * rng.normal(size=200)
    outliers = y.copy()
    outliers[::20] += 1.0
    teacher = fx.Model((8, 7, 9, 6), seed=3, backend="numpy")
    teacher.parameters = 1.5 * np.asarray(teacher.parameters)
    X = rng.normal(size=(600, 8))
    bins = np.linspace(0, 4, 41)
    centers = bins[:-1] + 0.05
    table = rng.uniform(-1, 1, (300, 3))
    plane = rng.uniform(-1, 1, (6000, 2))
    many = rng.uniform(0, 1, 4000)
    late = np.random.default_rng(3009)
    wide = late.uniform(-2, 2, 150)
    scatter = np.random.default_rng(4)
    kinds = scatter.uniform(-1, 1, (800, 2))
    return {
        "curve": (x, y, error),
        "outliers": (x, outliers, error),
        "two": (x, np.stack([y, 5 * x**2 + 2.0 * rng.normal(size=200)], axis=1)),
        "noise": (x[:60], rng.normal(size=60), 1.0),
        "teacher": (X, np.asarray(teacher(X)) + 0.1 * rng.normal(size=(600, 6)), 0.1),
        "counts": (centers, rng.poisson(50 * np.exp(-centers))),
        "bins": (fx.Bins(bins), rng.poisson(50 * np.exp(-centers))),
        "parts": (centers, rng.binomial(20, 1 / (1 + np.exp(-centers)))),
        "labels": (x, rng.integers(0, 3, 200)),
        "table": (table, np.sin(3 * table[:, 0]) + table[:, 1] ** 2 + 0.1 * rng.normal(size=300)),
        "plane": (plane, np.sin(3 * plane[:, 0]) * plane[:, 1] + 0.1 * rng.normal(size=6000)),
        "noisy": (kinds[:, 0], np.sin(3 * kinds[:, 0]) + 10 ** (kinds[:, 0] / 2 - 1) * scatter.normal(size=800)),
        "kinds": (kinds, np.sin(3 * kinds[:, 0]) + np.where(kinds[:, 1] > 0, 0.6, 0.1) * scatter.normal(size=800)),
        "slow to learn": (wide, np.sin(3 * wide) / (1 + wide**2) + 0.1 * late.normal(size=150), 0.1),
        "long": (many, np.sin(9 * many) / (0.5 + many) + 0.1 * rng.normal(size=4000)),
    }


class Fit(NamedTuple):
    """A network, its data, and what `Model.fit` is told."""

    layers: tuple[int, ...]
    name: str
    options: Mapping[str, Any] = MappingProxyType({})
    network: Mapping[str, Any] = MappingProxyType({})
    n: int | None = None
    errors: bool = True
    tuning: Tuning = DEFAULT_TUNING

    def model(self) -> fx.Model:
        return fx.Model(self.layers, seed=1, backend="numpy", **self.network)

    def data(self) -> tuple[Any, ...]:
        x, y, *error = data()[self.name]
        rows = slice(self.n)
        return (x, y, *(error if self.errors else ())) if self.n is None else (x[rows], y[rows])

    def run(self, tuning: Tuning) -> Outcome:
        fit = self.model().fit(*self.data(), **{"prior": None, **self.options}, tuning=tuning)
        return Outcome(fit.fval, fit.valid, digest(fit.parameters), sum(row.calls for row in fit.restarts))


class Density(Fit):
    """The density of new measurements; its -2 log L stands for S."""

    def run(self, tuning: Tuning) -> Outcome:
        model = self.model()
        fit = model.fit(*self.data(), **self.options, tuning=tuning)
        log = model.log_density(*self.data())
        return Outcome(-2 * float(np.sum(log)), fit.valid, digest(log), sum(row.calls for row in fit.restarts))


class Studies(Fit):
    """Toys, bands and refits of a fit."""

    def run(self, tuning: Tuning) -> Outcome:
        model = self.model()
        fit = model.fit(*self.data(), **{"prior": None, **self.options}, tuning=tuning)
        toys = fit.goodness(10, seed=1)
        mixture = fit.band([0.2], method="mixture", seed=1, number=3)
        covered = fit.coverage(number=5, seed=1)
        numbers = [toys.p_toys, *mixture.low, *mixture.high, *covered.bias.ravel()]
        return Outcome(fit.fval + float(np.sum(numbers)), fit.valid, digest(np.array(numbers)), 0)


FITS: dict[str, Fit] = {
    "1-10-1": Fit((1, 10, 1), "curve", {"prior": 3.0}),
    "1-3-1, errors estimated": Fit((1, 3, 1), "curve", {"prior": 3.0}, errors=False),
    "1-4-2, errors estimated": Fit((1, 4, 2), "two", {"prior": 0.5}, errors=False),
    "1-5-1 (16), no prior": Fit((1, 5, 1), "curve"),
    "1-20-1, no prior": Fit((1, 20, 1), "curve", {"restarts": 3}),
    "2-10-10-1, no prior": Fit((2, 10, 10, 1), "plane", {"restarts": 3, "y_err": 0.1}, n=300),
    "1-30-1, more parameters than data": Fit((1, 30, 1), "noise", {"restarts": 2}),
    "1-6-1, 4,000 events, errors estimated": Fit((1, 6, 1), "long", {"prior": 5.0}),
    "8-7-9-6 (195)": Fit((8, 7, 9, 6), "teacher"),
    "8-20-20-6 (726)": Fit((8, 20, 20, 6), "teacher", {"prior": 2.0, "restarts": 1}),
    "8-20-20-6, in double precision before matrices": Fit(
        (8, 20, 20, 6),
        "teacher",
        {"prior": 2.0, "restarts": 1},
        tuning=replace(DEFAULT_TUNING, local_search=replace(DEFAULT_TUNING.local_search, kronecker_double_from=500)),
    ),
    "2-40-41-1 (1,843), no matrices": Fit(
        (2, 40, 41, 1),
        "plane",
        {"prior": 1.0, "restarts": 1, "y_err": 0.1},
        n=400,
        tuning=replace(DEFAULT_TUNING, matrix_limit=10),
    ),
    "relu 8-7-9-6": Fit((8, 7, 9, 6), "teacher", {"restarts": 2}, {"activation": "relu"}),
    "relu 1-10-1": Fit((1, 10, 1), "curve", {"prior": 3.0}, {"activation": "relu"}),
    "relu 3-4-1, auto": Fit((3, 4, 1), "table", {"prior": "auto"}, {"activation": "relu"}),
    "3-10-1, auto": Fit((3, 10, 1), "table", {"prior": "auto"}),
    "1-8-1, auto": Fit((1, 8, 1), "slow to learn", {"prior": "auto"}),
    "2-8-1, auto, 2,500 events": Fit((2, 8, 1), "plane", {"prior": "auto"}, n=2500),
    "2-5-1, auto, 6,000 events": Fit((2, 5, 1), "plane", {"prior": "auto"}),
    "density, noise that grows": Density((1, 5, 1), "noisy", {"prior": "auto"}),
    "density, constant noise": Density((1, 5, 1), "curve", {"prior": "auto"}, errors=False),
    "density, two kinds": Density((2, 5, 1), "kinds", {"prior": "auto"}),
    "Poisson": Fit((1, 3, 1), "counts", {"loss": "poisson", "prior": 3.0}, {"output": "exp"}),
    "Poisson in bins": Fit((1, 3, 1), "bins", {"loss": "poisson", "prior": 3.0}, {"output": "exp"}),
    "binomial": Fit((1, 2, 1), "parts", {"loss": "binomial", "trials": 20, "prior": 3.0}, {"output": "logistic"}),
    "multinomial": Fit((1, 2, 3), "labels", {"loss": "multinomial", "prior": 1.0}, {"output": "softmax"}),
    "Student's t, sandwich": Fit((1, 3, 1), "outliers", {"loss": "student_t", "prior": 3.0, "covariance": "sandwich"}),
    "soft L1": Fit((1, 4, 1), "outliers", {"loss": "soft_l1", "prior": 3.0}),
    "Huber, errors estimated": Fit((1, 4, 1), "outliers", {"loss": "huber", "prior": 3.0}, errors=False),
    "mean and width": Fit((1, 3, 2), "curve", {"loss": "normal", "prior": 1.0}, errors=False),
    "correlated": Fit((1, 3, 1), "curve", {"y_cov": 0.01 * np.eye(200) + 0.005, "prior": 3.0}, errors=False),
    "errors of x": Fit((1, 3, 1), "curve", {"x_err": 0.01, "prior": 3.0}),
    "toys, mixture and coverage of 1-10-1": Studies((1, 10, 1), "curve", {"prior": 3.0}),
}


def digest(numbers: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(numbers, dtype=np.float64).tobytes()).hexdigest()


def outcome(name: str, tuning: Tuning) -> Outcome:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return FITS[name].run(tuning)
        except Exception as error:  # what a number can break is told
            return Outcome(float("nan"), False, f"{type(error).__name__}: {error}", 0)


def with_number(tuning: Any, path: str, value: Any) -> Any:
    """Return a copy of a tuning in which the number at this dotted path is another."""
    head, _, rest = path.partition(".")
    return replace(tuning, **{head: with_number(getattr(tuning, head), rest, value) if rest else value})


def value_at(tuning: Any, path: str) -> Any:
    """Return the number at this dotted path."""
    for name in path.split("."):
        tuning = getattr(tuning, name)
    return tuning


def times(value: Any, factor: float) -> Any:
    """Multiply a number; whole ones stay whole and positive."""
    if isinstance(value, tuple):
        return tuple(times(v, factor) for v in value)
    return max(1, round(value * factor)) if isinstance(value, int) else value * factor


def parts(tuning: Any) -> Iterator[type]:
    """Types of the dataclasses in a tuning, itself included."""
    yield type(tuning)
    for f in fields(tuning):
        if is_dataclass(getattr(tuning, f.name)):
            yield from parts(getattr(tuning, f.name))


def numbers_of(tuning: Any) -> list[Number]:
    """Tuned numbers; those of one class that have one value in all its objects count as one."""
    found: dict[tuple[str, str, Any], list[str]] = {}

    def walk(part: Any, path: str) -> None:
        for f in fields(part):
            value = getattr(part, f.name)
            if is_dataclass(value):
                walk(value, f"{path}{f.name}.")
            elif f"{path}{f.name}" in tuned:
                found.setdefault((type(part).__name__, f.name, value), []).append(f"{path}{f.name}")

    tuned = {path for path, *_ in tuned_numbers(tuning)}
    walk(tuning, "")
    return [Number(*key, tuple(paths)) for key, paths in found.items()]


def numbers_read(name: str) -> tuple[str, Outcome, set[tuple[str, str]]]:
    """Run a fit and note which fields of which dataclasses it reads."""
    seen: set[tuple[str, str]] = set()
    for kind in set(parts(DEFAULT_TUNING)):
        plain: Callable[[Any, str], Any] = kind.__getattribute__

        def noted(self: Any, attribute: str, plain: Callable[[Any, str], Any] = plain) -> Any:
            seen.add((type(self).__name__, attribute))
            return plain(self, attribute)

        kind.__getattribute__ = noted  # type: ignore[method-assign]
    return name, outcome(name, FITS[name].tuning), seen


def changed(job: tuple[Number, float, str, Outcome]) -> Change:
    number, factor, name, before = job
    tuning = FITS[name].tuning
    for path in number.paths:
        if value_at(tuning, path) == number.value:  # unless the fit has one of its own
            tuning = with_number(tuning, path, times(number.value, factor))
    return Change(number, factor, name, before, outcome(name, tuning))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="numbers whose name, Class.field, begins with this text")
    parser.add_argument("--fits", default="", help="fits whose name holds this text, such as relu")
    parser.add_argument("--first", default="", help="numbers to begin with, Class.field, separated by commas")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    with ProcessPoolExecutor(options.processes, max_tasks_per_child=1) as pool:
        base = list(pool.map(numbers_read, [name for name in FITS if options.fits in name]))
    wanted = [n for n in numbers_of(DEFAULT_TUNING) if options.only is None or n.name.startswith(options.only)]
    numbers = sorted(wanted, key=lambda n: n.name not in options.first.split(","))
    jobs = [
        (number, factor, name, before)
        for number in numbers
        for name, before, seen in base
        if (number.owner, number.field) in seen
        for factor in FACTORS
    ]
    with ProcessPoolExecutor(options.processes) as pool:
        waiting = [pool.submit(changed, job) for job in jobs]
        changes: list[Change] = []
        try:
            for done in as_completed(waiting):
                changes.append(done.result())
                if len(changes) % 100 == 0:
                    print(f"{len(changes)} of {len(jobs)}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:  # what is done is printed
            pool.shutdown(cancel_futures=True)
    print("# Tuned numbers: each times 3 and by 3\n")
    print(header() + "\n")
    print(f"{len(base)} fits; {len(numbers)} numbers; {len(changes)} of {len(jobs)} fits with one number changed.\n")
    done = {n: sum(c.number == n for c in changes) == sum(job[0] == n for job in jobs) for n in numbers}
    print("| number | value | changed, of the fits that read it | S, lowest and highest change | gradients | invalid |")
    print("| --- | --- | --- | --- | --- | --- |")
    idle = []
    for number in (n for n in numbers if done[n]):
        mine = [c for c in changes if c.number == number]
        moved = [c for c in mine if c.after != c.before]
        falls = [c.after.fval - c.before.fval for c in moved if c.after.fval != c.before.fval]
        more = sum(c.after.gradients - c.before.gradients for c in moved)
        lost = sorted({c.fit for c in moved if c.before.valid and not c.after.valid})
        span = f"{min(falls):+.2g} ... {max(falls):+.2g}" if falls else ""
        fits = f"{len({c.fit for c in moved})} of {len({c.fit for c in mine})}"
        print(f"| `{number.name}` | {number.value} | {fits} | {span} | {more:+d} | {', '.join(lost)} |")
        if not moved:
            idle.append(f"`{number.name}` ({number.value})")
    print(f"\nNumbers without effect on any fit: {', '.join(idle) or 'none'}.\n")
    print("## The fits\n")
    print("| fit | parameters | S | valid | gradients |\n| --- | --- | --- | --- | --- |")
    for name, before, _ in base:
        p = FITS[name].model().n_parameters
        print(f"| {name} | {p} | {before.fval:.4f} | {'yes' if before.valid else 'no'} | {before.gradients} |")


if __name__ == "__main__":
    main()
