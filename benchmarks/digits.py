"""The digits of fits of each kind, so that a change that is to leave them alone can be checked by diff.

    python benchmarks/digits.py > before.txt     # at one commit
    python benchmarks/digits.py > after.txt      # at the other
    diff before.txt after.txt                    # says which number of which fit differs, and in which digit

Each number is printed so that it reads back to the same bits; of an array its sum, and a hash of all its bits. Messages
are hashed. Only what users can call is called, so that the script runs at any commit. Digits depend on the processor
and on the versions of the libraries: compare on one machine, with one environment. Linear algebra and chunks of events
get one thread, whatever the shell says. Without names of cases all run; ``--list`` prints them.
"""

# ruff: noqa: E402, the numbers of threads are read when NumPy is imported

from __future__ import annotations

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "FFNN_XP_THREADS"):
    os.environ[variable] = "1"

import argparse
import hashlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import iminuit
import numpy as np

import ffnn_xp as fx

Numbers = Iterator[tuple[str, Any]]
Options = dict[str, Any]
CASES: dict[str, Callable[[str], Numbers]] = {}
"""Name of a case, and a function of the backend's name that yields names and numbers."""


# Data. Every case draws its own, so that it prints the same digits alone and after others.


def curve(n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A curve in one input that a small network describes, with known errors."""
    rng = np.random.default_rng(1)
    x, y_err = rng.uniform(0, 1, n), rng.uniform(0.05, 0.15, n)
    return x, np.sin(5 * x) / (0.5 + x) + y_err * rng.normal(size=n), y_err


def surface(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Three inputs of which two matter, with errors of 0.1."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (n, 3))
    return x, np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.normal(size=n)


def teacher(n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Events of a network of 195 parameters, with errors of 0.1."""
    rng = np.random.default_rng(3)
    network = fx.Model((8, 7, 9, 6), seed=3, backend="numpy")
    network.parameters = 1.5 * np.asarray(network.parameters)
    x = rng.normal(size=(n, 8))
    return x, network(x) + 0.1 * rng.normal(size=(n, 6))


def spectrum(bins: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges, centres and counts of a falling spectrum with a peak."""
    edges = np.linspace(0, 4, bins + 1)
    centers = (edges[1:] + edges[:-1]) / 2
    rate = 50 * np.exp(-centers) + 8 * np.exp(-0.5 * ((centers - 2) / 0.2) ** 2)
    return edges, centers, np.random.default_rng(4).poisson(rate)


def correlated(n: int) -> np.ndarray:
    return 0.01 * np.eye(n) + 0.005


def peak(x: np.ndarray, signal: float, mass: float) -> np.ndarray:
    return signal * np.exp(-0.5 * ((x - mass) / 0.2) ** 2)


# Fits: one line for each. Model's options come first, then the data, then those of the fit.


def fit_case(name: str, layers: tuple[int, ...] | None, model: Options, data: Callable[[], tuple], **fit: Any) -> None:
    """Enter a fit under a name: x and y, or x, y and y_err, go where `Model.fit` has them."""

    def run(backend: str) -> Numbers:
        network = fx.Model(*([] if layers is None else [layers]), seed=1, backend=backend, **model)
        x, *y = data()
        result = network.fit(x, *y, **{"prior": None, **fit})
        yield from of_fit(result)
        if not isinstance(x, fx.Bins):
            yield "predictions", fx.to_numpy(network(x))

    CASES[name] = run


def events(k: int) -> Callable[[], tuple]:
    """The curve's x and y, and y_err too if k is 3."""
    return lambda: curve()[:k]


def labels(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    x, y, _ = curve(n)
    return x, np.digitize(y, [0.2, 0.8])


def yes_and_no(trials: int) -> tuple[np.ndarray, np.ndarray]:
    centers = spectrum()[1]
    return centers, np.random.default_rng(5).binomial(trials, 1 / (1 + np.exp(2 - centers)))


def two_outputs() -> tuple[np.ndarray, np.ndarray]:
    x, y = surface()
    return x, np.stack([y, 100 * y**2], axis=1)


fit_case("known errors", None, {}, events(3), prior=3.0)
fit_case("unknown errors", (1, 3, 1), {}, events(2), prior=3.0)
fit_case("two outputs", (3, 4, 2), {}, two_outputs, prior=3.0)
fit_case("no prior", (1, 2, 1), {}, events(3))
fit_case("migrad alone", (1, 2, 1), {}, events(3), minimizer="migrad")
fit_case("tanh, 195 parameters", (8, 7, 9, 6), {}, teacher, y_err=0.1)
fit_case("relu", (8, 7, 9, 6), {"activation": "relu"}, teacher, y_err=0.1, restarts=2)
fit_case("silu", (3, 5, 1), {"activation": "silu"}, surface, y_err=0.1, prior=1.0)
fit_case("single precision", (3, 5, 1), {"dtype": "float32"}, surface, y_err=0.1, prior=1.0)
fit_case("prior auto", None, {}, surface, prior="auto")
fit_case("no matrices", (3, 1201, 1), {}, lambda: surface(40), y_err=0.1, prior=0.1, restarts=1)
fit_case("poisson", (1, 3, 1), {"output": "exp"}, lambda: spectrum()[1:], loss="poisson", prior=3.0)
fit_case("exposure", (1, 2, 1), {"output": "softplus"}, lambda: spectrum()[1:], loss="poisson", exposure=0.5, prior=3.0)
fit_case(
    "bins", (1, 3, 1), {"output": "exp"}, lambda: (fx.Bins(spectrum()[0]), spectrum()[2]), loss="poisson", prior=3.0
)
fit_case("binomial", (1, 2, 1), {"output": "logistic"}, lambda: yes_and_no(20), loss="binomial", trials=20, prior=3.0)
fit_case("yes and no", (1, 2, 1), {"output": "logistic"}, lambda: yes_and_no(1), loss="binomial", prior=1.0)
fit_case("multinomial", (1, 2, 3), {"output": "softmax"}, labels, loss="multinomial", prior=1.0)
fit_case("soft_l1", (1, 2, 1), {}, events(3), loss="soft_l1", prior=3.0)
fit_case("huber", (1, 2, 1), {}, events(3), loss="huber", prior=3.0)
fit_case("student_t, sandwich", (1, 2, 1), {}, events(3), loss="student_t", covariance="sandwich", prior=3.0)
fit_case("normal", (1, 2, 2), {}, events(2), loss="normal", prior=1.0)
fit_case("y_cov", (1, 2, 1), {}, events(2), y_cov=correlated(200), prior=3.0)
fit_case(
    "y_cov of each event", (3, 3, 2), {}, two_outputs, y_cov=np.tile(np.diag([0.01, 100.0]), (300, 1, 1)), prior=3.0
)
fit_case("x_err", (1, 2, 1), {}, events(3), x_err=0.01, prior=3.0)
fit_case("weights", (1, 2, 1), {}, events(3), weights=1 + np.arange(200) % 3, prior=3.0)
fit_case("mask", (1, 2, 1), {}, events(3), mask=np.arange(200) % 4 > 0, prior=3.0)


def of_fit(fit: fx.FitResult) -> Numbers:
    """The numbers of a fit: where it ended, what that is worth, and how many evaluations it took."""
    yield "valid", fit.valid
    for name in ("fval", "chi2", "edm", "edm_newton", "n_effective", "n_null", "parameters", "errors"):
        yield name, getattr(fit, name)
    yield "errors of y", () if fit.y_error is None else fit.y_error
    yield "ends of starts", [start.fval for start in fit.restarts]
    yield "gradients", [start.calls for start in fit.restarts]
    yield "calls by MINUIT", fit.minuit_calls
    yield "message", fit.message


# What follows a fit.


def case(function: Callable[[str], Numbers]) -> Callable[[str], Numbers]:
    """Enter a function as a case, under its name."""
    CASES[function.__name__.replace("_", " ")] = function
    return function


def fitted(backend: str) -> tuple[fx.Model, fx.FitResult]:
    model = fx.Model((1, 4, 1), seed=1, backend=backend)
    return model, model.fit(*curve(), prior=3.0)


@case
def bands(backend: str) -> Numbers:
    model, fit = fitted(backend)
    x = [0.2, 0.5, 1.5]
    for method in ("linear", "profile", "replicas", "mixture"):
        band = fit.band(x, cl=0.954, method=method, seed=1)
        yield f"{method}, low", band.low
        yield f"{method}, high", band.high
    yield "width", fx.to_numpy(model.predict(x, return_std=True)[1])
    yield "covariance", fx.to_numpy(model.predict(x, return_cov=True)[1])
    mean, covariance = fit.propagate(lambda f: np.trapezoid(f, dx=0.1), np.linspace(0, 1, 11))
    yield "integral", [float(mean), float(np.squeeze(covariance))]
    yield "prior's share", fit.prior_share(x)


@case
def toys_of_a_fit(backend: str) -> Numbers:
    _, fit = fitted(backend)
    yield "evidence", fit.log_evidence
    goodness = fit.goodness(20, seed=1)
    yield "goodness", [goodness.value, goodness.ndof, goodness.p_value, goodness.p_toys, goodness.p_runs]
    yield "coverage", fit.coverage(number=10, seed=1).pointwise


@case
def replicas(backend: str) -> Numbers:
    model, _ = fitted(backend)
    for options in ({"kind": "toys"}, {"kind": "bootstrap"}, {"prior": np.geomspace(1, 10, 5)}):
        found = model.fit_replicas(*curve(), **{"prior": 3.0, "number": 20, "seed": 1, **options})
        name = str(options.get("kind", "priors"))
        yield f"{name}, parameters", found.parameters
        yield f"{name}, S", found.fval
        yield f"{name}, gradients", found.steps


@case
def predictive_density(backend: str) -> Numbers:
    model = fx.Model((3, 6, 1), seed=1, backend=backend)
    x, y = surface()
    yield from of_fit(model.fit(x, y, prior="auto", seed=2))
    yield "log density", model.log_density(x, y)
    yield "interval", np.stack([fx.to_numpy(end) for end in model.interval(x, cl=0.9)])


@case
def classification(backend: str) -> Numbers:
    model = fx.Model((1, 2, 3), output="softmax", seed=1, backend=backend)
    model.fit(*labels(), loss="multinomial", prior=1.0)
    found = model.classification(*labels(100))
    for name in ("log_loss", "brier", "auc", "z"):
        yield name, getattr(found, name)


@case
def a_fit_that_goes_on(backend: str) -> Numbers:
    model, _ = fitted(backend)
    yield from of_fit(model.fit(*curve(), prior=1.0))


@case
def some_parameters(backend: str) -> Numbers:
    _, fit = fitted(backend)
    for others in ("profiled", "fixed"):
        yield from of_minuit(fit.minuit_of(["b_L2_L3[0]", "a_L1_L2[0,0]"], others=others))


@case
def plain_iminuit(backend: str) -> Numbers:
    model = fx.Model((1, 2, 1), seed=1, backend=backend)
    model.fit(*curve(), prior=None)
    cost = fx.LeastSquares(*curve(), model)
    minuit = iminuit.Minuit(cost, cost.start + 0.01)
    yield from of_minuit(minuit.migrad())
    yield from of_minuit(minuit.minos("a_L1_L2[1,0]"))
    yield "MINOS", [minuit.merrors[0].lower, minuit.merrors[0].upper]


@case
def network_and_function(backend: str) -> Numbers:
    _, centers, counts = spectrum()
    background = fx.Model((1, 2, 1), output="exp", seed=1, backend=backend)
    background.fit(centers, counts, loss="poisson", prior=1.0)
    both = fx.PlusFunction(fx.Poisson(centers, counts, background), peak, signal=5.0, mass=2.0)
    yield from of_minuit(iminuit.Minuit(both, *both.start).migrad())


def of_minuit(minuit: iminuit.Minuit) -> Numbers:
    yield "valid", minuit.valid
    yield "S", minuit.fval
    yield "values", np.asarray(minuit.values)
    yield "errors", np.asarray(minuit.errors)
    yield "calls", [minuit.nfcn, minuit.ngrad]


# Printing.


def digits(number: Any) -> str:
    """All bits of a number in decimal digits; of an array its shape, its sum and a hash of its bits; a text's hash."""
    if isinstance(number, str):
        return hashlib.sha256(number.encode()).hexdigest()[:12]
    if isinstance(number, (bool, int, np.integer, np.bool_)):
        return str(number)
    if isinstance(number, (float, np.floating)):
        return repr(float(number))
    array = np.ascontiguousarray(number, dtype=np.float64)
    if array.size <= 5:
        return "[" + ", ".join(digits(float(one)) for one in array.ravel()) + "]"
    finite = float(np.sum(array[np.isfinite(array)]))
    return f"{array.shape}, sum {finite!r}, {hashlib.sha256(array.tobytes()).hexdigest()[:12]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help="names of cases; all of them if none is given")
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    arguments = parser.parse_args()
    if arguments.list:
        print(*CASES, sep="\n")
        return
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"unknown cases {sorted(unknown)}; --list prints the names")
    warnings.simplefilter("ignore")
    for name in arguments.cases or CASES:
        print(name)
        for key, number in CASES[name](arguments.backend):
            print(f"  {key:<16} {digits(number)}", flush=True)


if __name__ == "__main__":
    main()
