"""Random calls of `Model.fit`: data of any statistic, scale, container and size, options, and mistakes.

`random_fit` draws a call by choices among some values each, so that Hypothesis draws and shrinks it, and a seed alone
gives it again. What has to be true of each call is in `verdicts`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

import ffnn_xp as fx
from ffnn_xp.losses import StudentTLoss
from ffnn_xp.minimizers import MINIMIZERS

from . import taylor

MOST_PARAMETERS = 16

SECONDS = 3.0  # for one fit: what is not minimized by then is not valid, and has to say so

Pick = Callable[[Sequence[Any]], Any]
"""Returns one of several; the first is the simplest, so that Hypothesis shrinks to it."""


@dataclass(frozen=True)
class RandomFit:
    """One call of `Model(...)` and of `fit`."""

    kind: str
    layers: tuple[int | None, ...]
    network: dict[str, Any]
    x: Any
    y: Any
    options: dict[str, Any] = field(default_factory=dict)
    damage: str = "none"

    def __str__(self) -> str:
        def short(value: Any) -> str:
            return f"{type(value).__name__}{np.shape(value)}" if np.size(value) > 1 else repr(value)

        options = ", ".join(f"{name}={short(value)}" for name, value in self.options.items())
        of = ", ".join(f"{name}={value!r}" for name, value in self.network.items())
        return (
            f"{self.kind}, Model({self.layers}, {of}).fit({short(self.x)}, {short(self.y)}, {options}): {self.damage}"
        )


OUTPUTS = {
    "poisson": ("exp", "exp", "exp", "softplus", "identity", "relu"),
    "bins, poisson": ("identity", "softplus", "exp"),
    "binomial": ("logistic",),
    "multinomial": ("softmax",),
    "normal": ("identity",),
}
KINDS = (
    "least_squares", "least_squares", "least_squares", "soft_l1", "huber", "student_t", "nu=3", "normal", "poisson",
    "binomial", "multinomial", "y_cov", "blocks", "x_err", "bins", "bins, poisson",
)  # fmt: skip
HIDDEN = ((2,), (), (1,), (3,), (4,), (5,), (2, 2), (1, 1))
HIDDEN_ACTIVATIONS = (*("tanh",) * 4, *(name for name in taylor.ACTIVATIONS if name != "tanh"))
UNITS = (1.0, 1.0, 1.0, 1e-12, 1e-6, 1e-3, 1e3, 1e6, 1e12)
OFFSETS = (0.0, 0.0, 0.0, 1.0, -30.0, 1e3, 1e6)  # in widths
SIZES = (*(20, 30, 40, 60, 13) * 3, 8, 8, 5, 5, 3, 2, 1, 0)
PRIORS = (None, None, None, 3.0, 3.0, 1.0, 0.1, 30.0, 1e4, 1e-6, np.float32(2.0), 1, "auto")
RESTARTS = (1, 1, 2, 3, 10, "auto", "auto")
STARTS = (*("auto",) * 9, "random", "random", "current", "current", "zeros", "zeros", "far", "of another length")


def random_fit(pick: Pick) -> RandomFit:
    """Draw a call by `pick`; all numbers of its data come from one seed."""
    rng = np.random.default_rng(pick(range(2**16)))
    kind = pick(KINDS)
    n, k, d = pick(SIZES), pick((1, 1, 1, 2, 3)), pick((1, 1, 2, 3))
    if kind.startswith("bins"):
        d, k, n = 1, 1, max(n, 1)
    if kind == "multinomial":
        k = max(k, 2)
    outputs = 2 * k if kind == "normal" else k
    fits = [hidden for hidden in HIDDEN if parameters((d, *hidden, outputs)) <= MOST_PARAMETERS]
    hidden = pick(fits or [()])
    x, u = inputs(pick, rng, n, d)
    exact = ["identity"] * 6 + ["softplus", "exp", "relu", "leaky_relu", "tanh", "logistic"]
    network = {
        "activation": [pick(HIDDEN_ACTIVATIONS) for _ in hidden],
        "output": pick(OUTPUTS.get(kind, exact)),
        "dtype": pick(["float64"] * 7 + ["float32"]),
        "seed": pick(range(10)),
        "backend": "numpy",
    }
    y, options = targets(pick, rng, kind, u, k)
    if kind.startswith("bins"):
        edges = x[0, 0] + np.append(0, np.cumsum(np.abs(np.diff(np.unique(x[:, 0]), append=x.max() + np.ptp(x) + 1))))
        x, y = fx.Bins(edges), y[: len(edges) - 1]
        options = {name: a if np.ndim(a) == 0 else a[: len(edges) - 1] for name, a in options.items()}
    options |= common(pick, rng, kind, len(y), parameters((d, *hidden, outputs)))
    layers = (d, *hidden, outputs)
    if pick([False] * 5 + [True]):
        layers = (None, *hidden, None)
    call = RandomFit(kind, layers, network, x, y, options)
    return damaged(pick, rng, in_containers(pick, call))


def parameters(widths: Sequence[int]) -> int:
    return sum(h * (below + 1) for below, h in pairwise(widths))


def inputs(pick: Pick, rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs in any units, and the same of order one."""
    u = rng.normal(size=(n, d))
    shape = pick(["normal", "normal", "grid", "whole", "yes or no", "constant", "copies", "outlier", "few values"])
    if shape == "grid":
        u[:, 0] = np.linspace(-2, 2, n)
    if shape == "whole":
        u = np.round(2 * u)
    if shape == "yes or no":
        u[:, -1] = u[:, -1] > 0
    if shape == "constant":
        u[:, -1] = 1.0
    if shape == "copies":
        u = np.repeat(u[:, :1], d, axis=1) * (1 + np.arange(d))
    if shape == "outlier" and n:
        u[0] *= 1e4
    if shape == "few values" and n:
        u = u[rng.integers(min(n, 3), size=n)]
    x = u * np.array([pick(UNITS) for _ in range(d)])
    return x + np.array([pick(OFFSETS) for _ in range(d)]) * np.std(x, axis=0) if n else x, u


def targets(pick: Pick, rng: np.random.Generator, kind: str, u: np.ndarray, k: int) -> tuple[Any, dict[str, Any]]:
    """Measured values of this statistic, and the options that belong to them."""
    n = len(u)
    smooth = np.clip(np.sin(1.5 * np.clip(u, -50, 50) @ rng.normal(size=(u.shape[1], k)) + rng.normal(size=k)), -9, 9)
    if kind in ("poisson", "bins, poisson"):
        size = pick([10.0, 1.0, 0.1, 1e3, 1e6])
        exposure = pick([None, None, 2.0, 1e-6, rng.uniform(1, 3, (n, k)), rng.uniform(1, 3, n)])
        shown = {} if exposure is None else {"exposure": exposure}
        return rng.poisson(size * np.exp(smooth)).astype(float), {"loss": "poisson", **shown}
    if kind == "binomial":
        trials = pick([None, None, 5, 1000, rng.integers(1, 20, (n, k))])
        p = 1 / (1 + np.exp(-pick([1.0, 0.2, 5.0]) * smooth))
        shown = {} if trials is None else {"trials": trials}
        return rng.binomial(1 if trials is None else trials, p).astype(float), {"loss": "binomial", **shown}
    if kind == "multinomial":
        p = np.exp(2 * smooth) / np.sum(np.exp(2 * smooth), axis=1, keepdims=True)
        counts = np.array([rng.multinomial(pick([1, 1, 1, 7]), each) for each in p], dtype=float).reshape(n, k)
        labels = np.argmax(counts, axis=1).astype(float)
        return pick([labels, counts]), {"loss": "multinomial"}
    noise = pick([0.1, 0.1, 0.3, 1.0, 1e-3, 0.0])
    unit, offset = pick(UNITS), pick(OFFSETS)
    y = smooth * pick([1.0, 1.0, 1.0, 0.0]) + noise * rng.normal(size=(n, k))
    if kind in ("soft_l1", "huber", "student_t", "nu=3") and n:
        y[:: max(n // 4, 1)] += 20 * rng.normal(size=k)
    y = unit * (y + offset)
    error = unit * (noise or 0.01) * pick([1.0, 1.0, 1.0, 0.3, 10.0, 1e-4, 1e4])
    each = error * rng.uniform(0.5, 2, (n, k))
    loss: Any = {"nu=3": StudentTLoss(nu=3)}.get(kind, kind)
    if kind == "normal":
        return y, {"loss": "normal"}
    if kind == "y_cov":
        A = rng.normal(size=(n * k, n * k)) * error
        return y, {"y_cov": A @ A.T / max(n * k, 1) + error**2 * np.eye(n * k)}
    if kind == "blocks":
        A = rng.normal(size=(n, k, k)) * error
        return y, {"y_cov": A @ np.swapaxes(A, 1, 2) + error**2 * np.eye(k)}
    y_err = pick([error, error, each, each[:, :1], np.full(k, error), each[:, 0], None])
    shown = {} if y_err is None else {"y_err": y_err}
    if kind == "x_err":
        width = pick([0.1, 0.01, 0.5, 0.0])
        return y, {**shown, "x_err": width}
    if kind == "bins":
        return y, shown
    return y, {"loss": loss, **shown}


def common(pick: Pick, rng: np.random.Generator, kind: str, n: int, p: int) -> dict[str, Any]:
    """Options that any statistic takes."""
    options: dict[str, Any] = {
        "prior": pick(PRIORS),
        "restarts": pick(RESTARTS),
        "progress": False,
        "max_seconds": SECONDS,
    }
    weights = pick(["none"] * 6 + ["integers", "any", "tiny and huge", "signed"])
    if kind not in ("y_cov", "blocks"):
        if weights == "integers":
            options["weights"] = rng.integers(1, 5, n)
        if weights == "any":
            options["weights"] = rng.uniform(0.1, 3, n)
        if weights == "tiny and huge":
            options["weights"] = 10 ** rng.uniform(-8, 8, n)
        if weights == "signed":
            options["weights"] = rng.choice([1.0, 1.0, 1.0, 2.0, -1.0, 0.0], n)
    if pick([False] * 5 + [True]):
        options["mask"] = rng.random(n) < pick([0.8, 0.3, 1.1, 0.0])
    if weights == "signed" or pick([False] * 6 + [True]):
        options["covariance"] = "sandwich"
    start = pick(STARTS)
    given = {"zeros": np.zeros(p), "far": 1e3 * rng.normal(size=p), "of another length": np.zeros(p + 1)}
    options["start"] = given.get(start, start)
    minimizer = pick(["auto"] * 5 + [*MINIMIZERS, "object"])
    options["minimizer"] = MINIMIZERS["levenberg_marquardt"] if minimizer == "object" else minimizer
    return options


def in_containers(pick: Pick, call: RandomFit) -> RandomFit:
    """The same call with lists, tables, other types of numbers and other shapes."""

    def contained(a: Any) -> Any:
        if not isinstance(a, np.ndarray) or a.ndim > 2:
            return a
        if a.ndim == 2 and a.shape[1] == 1 and pick([True, False]):
            a = a[:, 0]
        form = pick(["as it is"] * 5 + ["list", "float32", "table", "strided", "read only", "whole numbers", "objects"])
        with np.errstate(over="ignore"):
            single = a.astype(np.float32)
        if form == "float32" and np.all(np.isfinite(single)) and np.all((single != 0) == (a != 0)):
            return single
        if form == "list":
            return a.tolist()
        if form == "table":
            return pd.DataFrame(a).add_prefix("v") if a.ndim == 2 else pd.Series(a)
        if form == "strided":
            return np.repeat(a, 2, axis=0)[::2]
        if form == "read only":
            a = a.copy()
            a.flags.writeable = False
        if form == "whole numbers" and a.dtype != bool and np.all(np.abs(a) < 1e15) and np.all(a == np.round(a)):
            return a.astype(np.int64)
        return a.astype(object) if form == "objects" and a.dtype != bool else a

    options = dict(call.options)
    for name in ("y_err", "weights", "exposure", "trials"):
        if name in options:
            options[name] = contained(options[name])
    return replace(call, x=contained(call.x), y=contained(call.y), options=options)


def damaged(pick: Pick, rng: np.random.Generator, call: RandomFit) -> RandomFit:
    """The call, most often, or one with a mistake in it."""
    if not pick([False] * 4 + [True]):
        return call
    damage = pick(list(DAMAGE))
    return replace(DAMAGE[damage](call, rng), damage=damage)


def _with(name: str, value: Callable[[Any, np.random.Generator], Any]) -> Callable[..., RandomFit]:
    def change(call: RandomFit, rng: np.random.Generator) -> RandomFit:
        if name in ("x", "y"):
            return replace(call, **{name: value(getattr(call, name), rng)})
        return replace(call, options={**call.options, name: value(call.options.get(name), rng)})

    return change


def _set(number: float) -> Callable[[Any, np.random.Generator], Any]:
    def set_one(a: Any, rng: np.random.Generator) -> Any:
        if isinstance(a, fx.Bins):
            return a
        a = np.array(a, dtype=float)
        if a.size:
            a.flat[rng.integers(a.size)] = number
        return a

    return set_one


def _times(factor: float) -> Callable[[Any, np.random.Generator], Any]:
    def times(a: Any, rng: np.random.Generator) -> Any:
        return a if isinstance(a, fx.Bins) else np.array(a, dtype=float) * factor

    return times


DAMAGE: dict[str, Callable[..., RandomFit]] = {
    "x: nan": _with("x", _set(np.nan)),
    "x: inf": _with("x", _set(np.inf)),
    "y: nan": _with("y", _set(np.nan)),
    "y: inf": _with("y", _set(-np.inf)),
    "y: huge value": _with("y", _set(1e200)),
    "x: huge value": _with("x", _set(1e150)),
    "y: negative": _with("y", _set(-1.0)),
    "y: half": _with("y", _set(0.5)),
    "x: huge": _with("x", _times(1e140)),
    "x: tiny": _with("x", _times(1e-140)),
    "y: huge": _with("y", _times(1e120)),
    "y: tiny": _with("y", _times(1e-120)),
    "x: tail": _with("x", lambda x, rng: x if isinstance(x, fx.Bins) else np.array(x)[:-1]),
    "y: tail": _with("y", lambda y, rng: np.array(y)[:-1]),
    "y: turned": _with("y", lambda y, rng: np.array(y).T),
    "x: turned": _with("x", lambda x, rng: x if isinstance(x, fx.Bins) else np.array(x).T),
    "x: text": _with("x", lambda x, rng: [["a"]]),
    "y: text": _with("y", lambda y, rng: np.array(y).astype(str)),
    "x: complex": _with("x", lambda x, rng: x if isinstance(x, fx.Bins) else np.array(x) + 1j),
    "y: bool": _with(
        "y", lambda y, rng: np.array(y, dtype=float) > np.mean(np.array(y, dtype=float)) if np.size(y) else y
    ),
    "y: constant": _with("y", lambda y, rng: np.full(np.shape(y), 3.0)),
    "y: zero": _with("y", lambda y, rng: np.zeros(np.shape(y))),
    "y_err: zero": _with("y_err", lambda e, rng: 0.0),
    "y_err: nan": _with("y_err", lambda e, rng: np.nan),
    "y_err: negative": _with("y_err", lambda e, rng: -1.0),
    "y_err: tiny": _with("y_err", lambda e, rng: 1e-30),
    "y_err: huge": _with("y_err", lambda e, rng: 1e30),
    "y_err: text": _with("y_err", lambda e, rng: "0.1"),
    "y_err: list": _with("y_err", lambda e, rng: [0.1, 0.2, 0.3]),
    "weights: zero": _with("weights", lambda w, rng: 0.0),
    "weights: one": _with("weights", lambda w, rng: [1.0]),
    "mask: numbers": _with("mask", lambda m, rng: [0, 1]),
    "prior: negative": _with("prior", lambda p, rng: -1.0),
    "prior: text": _with("prior", lambda p, rng: "automatic"),
    "prior: True": _with("prior", lambda p, rng: True),
    "restarts: zero": _with("restarts", lambda r, rng: 0),
    "restarts: half": _with("restarts", lambda r, rng: 1.5),
    "loss: unknown": _with("loss", lambda r, rng: "least squares"),
    "loss: another": _with("loss", lambda r, rng: str(rng.choice(["poisson", "binomial", "multinomial", "normal"]))),
    "minimizer: unknown": _with("minimizer", lambda r, rng: "newton"),
    "start: text": _with("start", lambda r, rng: "here"),
    "start: nan": _with("start", lambda r, rng: [np.nan]),
    "trials: given": _with("trials", lambda r, rng: 3),
    "exposure: given": _with("exposure", lambda r, rng: 3.0),
    "x_err: given": _with("x_err", lambda r, rng: 0.1),
    "y_cov: given": _with("y_cov", lambda r, rng: np.eye(3)),
    "no time": _with("max_seconds", lambda r, rng: 0.0),
    "little time": _with("max_seconds", lambda r, rng: 0.02),
    "layers: more": lambda call, rng: replace(call, layers=(7, *call.layers[1:])),
    "layers: no output": lambda call, rng: replace(call, layers=(*call.layers[:-1], 0)),
    "layers: one": lambda call, rng: replace(call, layers=call.layers[:1]),
}
