"""Time limits: seconds that fits and studies take, against the `max_seconds` that they were given.

Each situation would take longer than its limit. A row says whether the time was within the limit plus 20 % plus half a
second, and what was returned or refused. Data are made and fits that studies need are done before the clock starts.

    python benchmarks/time_limits.py
    python benchmarks/time_limits.py --only coverage
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from header import header

import ffnn_xp as fx

Timed = Callable[[], Any]


def data(n: int, d: int, noise: float = 0.1) -> tuple[Any, Any]:
    """Return n events of a curved function of d inputs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d)) / np.sqrt(d)
    return x, np.sin(3 * x.sum(axis=1)) + x[:, 0] ** 2 + noise * rng.normal(size=n)


def fit(n: int, layers: tuple[int, ...], limit: float, y_err: float | None = 0.1, **options: Any) -> Timed:
    """Prepare a fit of a network to n events."""
    x, y = data(n, layers[0])
    loss = options.get("loss", "least_squares")
    if loss == "poisson":
        y, y_err = np.random.default_rng(1).poisson(np.exp(y)).astype(float), None
    elif loss == "binomial":
        y, y_err = (y > 0).astype(float), None
    output = {"poisson": "exp", "binomial": "logistic"}.get(loss, "identity")
    activation = options.pop("activation", "tanh")
    model = fx.Model(layers, activation=activation, output=output, seed=1)
    return lambda: model.fit(x, y, y_err, max_seconds=limit, progress=False, **{"prior": None, **options})


@cache
def fitted(n: int, layers: tuple[int, ...]) -> tuple[Any, Any, Any, Any]:
    """Return a model, its fit, and the data."""
    x, y = data(n, layers[0])
    model = fx.Model(layers, seed=1)
    return model, model.fit(x, y, 0.1, prior=1.0, restarts=1, progress=False), x, y


def study(n: int, layers: tuple[int, ...], limit: float, name: str, **options: Any) -> Timed:
    """Prepare a study of a fit."""

    def run() -> Any:
        _, result, x, _ = fitted(n, layers)
        at = (x[:200],) if name == "band" else ()
        return getattr(result, name)(*at, max_seconds=limit, **options)

    return run


def replicas(n: int, layers: tuple[int, ...], limit: float, **options: Any) -> Timed:
    """Prepare fits of replicas."""

    def run() -> Any:
        model, _, x, y = fitted(n, layers)
        return model.fit_replicas(x, y, 0.1, prior=1.0, seed=1, max_seconds=limit, **options)

    return run


CURVE, SMALL, WIDE, DEEP = (1, 8, 1), (3, 8, 1), (5, 60, 1), (5, 30, 30, 1)

SITUATIONS: dict[str, tuple[float, Callable[[float], Timed]]] = {
    "fit, known errors, 1e6 events": (8, lambda s: fit(1_000_000, SMALL, s, 0.01)),
    "fit, unknown errors, 1e6 events, 5 starts": (12, lambda s: fit(1_000_000, SMALL, s, None, restarts=5)),
    "fit, many starts": (2, lambda s: fit(500, CURVE, s, 0.001, restarts=100_000)),
    "fit, a billion starts": (2, lambda s: fit(50, (1, 3, 1), s, 0.001, restarts=10**9)),
    "fit, a billion starts, unknown errors": (2, lambda s: fit(50, (1, 3, 1), s, None, restarts=10**9)),
    "fit, a billion starts, large network": (2, lambda s: fit(2000, WIDE, s, 1e-4, restarts=10**9)),
    "fit, deep network": (3, lambda s: fit(20_000, DEEP, s, 1e-3, restarts=4)),
    "fit, relu": (3, lambda s: fit(20_000, DEEP, s, 1e-3, restarts=4, activation="relu")),
    "fit, Poisson": (3, lambda s: fit(200_000, WIDE, s, loss="poisson", restarts=4)),
    "fit, classes": (3, lambda s: fit(200_000, WIDE, s, loss="binomial", restarts=4)),
    "fit, Huber": (3, lambda s: fit(200_000, WIDE, s, loss="huber", restarts=4)),
    "fit, linear, 3,000 inputs": (3, lambda s: fit(5000, (3000, 1), s)),
    "fit, linear, 3,000 inputs, 10,000 events": (5, lambda s: fit(10_000, (3000, 1), s)),
    "fit, linear, 3,000 inputs, prior": (3, lambda s: fit(2000, (3000, 1), s, prior=1.0)),
    "fit, 7,000 parameters, no matrices": (3, lambda s: fit(20_000, (5, 1000, 1), s, 1e-3, prior=1.0)),
    "fit, sandwich": (4, lambda s: fit(400_000, WIDE, s, covariance="sandwich", restarts=2)),
    **{
        f"fit, {name}": (2, lambda s, name=name: fit(50_000, DEEP, s, 1e-3, minimizer=name, restarts=3))  # type: ignore[misc]
        for name in ("migrad", "lbfgs", "levenberg_marquardt", "preconditioned_lbfgs", "kronecker_lbfgs", "matrix_free")
    },
    "fit, migrad, 1e6 events": (5, lambda s: fit(1_000_000, SMALL, s, minimizer="migrad")),
    "fit, prior auto": (3, lambda s: fit(3000, (5, 20, 1), s, prior="auto")),
    "fit, prior auto, 20,000 events": (3, lambda s: fit(20_000, DEEP, s, None, prior="auto")),
    "fit, prior auto, relu": (3, lambda s: fit(3000, (5, 20, 1), s, prior="auto", activation="relu")),
    "fit_replicas, toys": (2, lambda s: replicas(1500, SMALL, s, number=5000)),
    "fit_replicas, bootstrap": (2, lambda s: replicas(1500, SMALL, s, kind="bootstrap", number=5000)),
    "fit_replicas, large network": (3, lambda s: replicas(5000, WIDE, s, number=500)),
    "band, profile": (1, lambda s: study(1500, SMALL, s, "band", method="profile")),
    "band, replicas": (1, lambda s: study(1500, SMALL, s, "band", method="replicas", number=5000)),
    "band, mixture": (1, lambda s: study(1500, SMALL, s, "band", method="mixture", number=500)),
    "coverage": (2, lambda s: study(1500, SMALL, s, "coverage", number=5000)),
    "coverage, large network": (3, lambda s: study(5000, WIDE, s, "coverage", number=500)),
    "goodness": (1, lambda s: study(1500, SMALL, s, "goodness", number=5000)),
    "goodness, large network": (3, lambda s: study(5000, WIDE, s, "goodness", number=500)),
}


def told(result: Any) -> str:
    """Describe what was returned, in a few words."""
    if hasattr(result, "message"):
        return f"{'valid' if result.valid else 'not valid'}: {result.message}"
    return str(getattr(result, "stopped", "")) or repr(result).splitlines()[0]


def main() -> None:
    """Print a row for each situation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="situations whose name contains this")
    only = parser.parse_args().only
    for prior in (1.0, "auto"):
        fit(60, (1, 3, 1), 100.0, prior=prior)()  # imports what it needs
    print("# Time limits\n")
    print(header() + "\n")
    print("| situation | limit | took | within 20 % + 0.5 s | result |")
    print("| --- | --- | --- | --- | --- |")
    warnings.simplefilter("ignore", fx.FitWarning)
    missed = 0
    for name, (limit, prepare) in SITUATIONS.items():
        if only not in name:
            continue
        run = prepare(limit)
        if not name.startswith("fit,"):
            fitted(*((5000, WIDE) if "large" in name else (1500, SMALL)))
        began = time.monotonic()
        try:
            what = told(run())
        except ValueError as refused:
            what = f"refused: {refused}"
        took = time.monotonic() - began
        within = took < 1.2 * limit + 0.5
        missed += not within
        print(f"| {name} | {limit:.1f} | {took:.1f} | {'yes' if within else '**no**'} | {what[:110]} |", flush=True)
    print(f"\n{missed} of {len(SITUATIONS)} beyond their limit.")


if __name__ == "__main__":
    main()
