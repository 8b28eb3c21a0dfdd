"""What has to be true of any call of `Model.fit`: a minimum by other derivatives, not valid, or a sentence."""

from __future__ import annotations

import copy
import os
import pickle
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import ffnn_xp as fx

from .random_fits import RandomFit
from .statistics import numbers, statistic

PACKAGE = str(Path(fx.__file__).parent)
EDM = 20 * 2e-4  # of what the library calls a minimum at most, in units of errordef
SAME = 1e-6  # relative difference of two computations of S
IDENTIFIED = 1e-11  # smallest eigenvalue of a Hessian with a diagonal of one that is no rounding


def verdict(call: RandomFit) -> tuple[str, list[str]]:
    """Make the call; return how it ended, "valid", "not valid" or "refused", and what is wrong with that."""
    with warnings.catch_warnings(record=True) as caught, printed() as text:
        warnings.simplefilter("always")
        end, wrong = _fitted(call)
    leaked = {f"{w.category.__name__}: {w.message}" for w in caught if not issubclass(w.category, fx.FitWarning)}
    leaked |= {f"print: {line}" for line in text}
    return end, wrong + [f"leaked {text[:200]}" for text in sorted(leaked)]


@contextmanager
def printed() -> Iterator[list[str]]:
    """The lines that anything, MINUIT in C++ too, writes to the terminal meanwhile."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        kept = os.dup(1), os.dup(2)
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            yield lines
        finally:
            for number, old in zip((1, 2), kept, strict=True):
                os.dup2(old, number)
                os.close(old)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def _fitted(call: RandomFit) -> tuple[str, list[str]]:
    fits: list[tuple[fx.Model, fx.FitResult]] = []

    def fit() -> None:
        model = fx.Model(call.layers, **call.network)
        fits.append((model, model.fit(call.x, call.y, **call.options)))

    wrong = refusal("fit", fit)
    if not fits:
        return "refused", wrong
    model, result = fits[0]
    for name, ask in questions(call, model, result).items():
        wrong += refusal(name, ask)
    if not result.valid:
        return "not valid", wrong
    return "valid", wrong + not_a_minimum(call, model, result)


def refusal(name: str, ask: Callable[[], Any]) -> list[str]:
    """What is wrong with an error of this call: it must be a sentence that the library itself raises."""
    try:
        ask()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        sentence = isinstance(error, TypeError | ValueError) and len(str(error)) > 20
        if not sentence or not last.filename.startswith(PACKAGE) or "raise" not in str(last.line):
            place = f"{Path(last.filename).name}:{last.lineno}"
            return [f"{name}: {type(error).__name__} at {place}: {str(error)[:150]}"]
    return []


def questions(call: RandomFit, model: fx.Model, fit: fx.FitResult) -> dict[str, Callable[[], Any]]:
    """What users ask of a fit; each is answered or refused in a sentence."""
    x = call.x
    points = x.centers if isinstance(x, fx.Bins) else x

    def saved() -> None:
        with tempfile.TemporaryDirectory() as folder:
            model.save(f"{folder}/a.safetensors", fit=fit)
            again = fx.load(f"{folder}/a.safetensors", backend="numpy")
        np.testing.assert_array_equal(again.predict(points), model.predict(points))

    def ordered(low: Any, high: Any) -> None:
        assert np.all(np.asarray(low) <= np.asarray(high)), "an interval's low end is above its high end"

    def std() -> None:
        _, std = model.predict(x, return_std=True)
        assert np.all(np.asarray(std) >= 0), f"standard deviations {np.min(std)}"

    def band() -> None:
        found = fit.band(points)
        ordered(found.low, found.high)

    return {
        "predict": lambda: model.predict(x),
        "std": std,
        "prediction": lambda: model.predict(points, return_std=True, kind="prediction"),
        "covariance": lambda: model.predict(x, return_cov=True),
        "interval": lambda: ordered(*model.interval(points)),
        "log_density": lambda: model.log_density(points, call.y),
        "save": saved,
        "pickle": lambda: repr(pickle.loads(pickle.dumps(fit))),
        "repr": lambda: f"{fit!r} {fit.log_evidence} {fit.p_value} {fit._repr_html_()}",
        "band": band,
        "minuit": lambda: fit.minuit.covariance,
        "goodness": lambda: str(fit.goodness()),
        "report": lambda: str(fit.report()),
        "prior_share": lambda: fit.prior_share(points),
        "propagate": lambda: fit.propagate(np.mean, points),
    }


def not_a_minimum(call: RandomFit, model: fx.Model, fit: fx.FitResult) -> list[str]:
    """Reasons why a valid fit is no minimum, by derivatives that are not the library's."""
    with np.errstate(all="ignore"):
        S, u = statistic(call, model, fit)
        g, H = S.first, S.second
        e = fit.statistic.errordef
        wrong = []
        if not (np.all(np.isfinite(g)) and np.all(np.isfinite(H)) and np.isfinite(S.value)):
            return ["valid, but S or its derivatives are not finite"]
        if abs(S.value - fit.fval) > SAME * (abs(S.value) + abs(fit.fval)) + 0.1 * e:
            wrong.append(f"valid, but S is {S.value:.8g} instead of {fit.fval:.8g}")
        used = call.x.x if isinstance(call.x, fx.Bins) else numbers(call.x).reshape(len(u), -1)
        finite = np.all(np.isfinite(used), axis=1)  # a mask may leave others out
        predicted, u = np.asarray(model(used[finite]), dtype=float).reshape(-1, u.shape[1]), u[finite]
        width = (
            np.std(u, axis=0)
            + np.abs(u).max(axis=0, initial=0) * (model.activations[-1].name != "identity")
            + np.abs(fit.scaling.y_scale if u.shape[1] == len(fit.scaling.y_scale) else 1.0)
        )
        excess = np.abs(predicted - u) - 10 * rounding_of_predictions(model, used[finite])
        far = float(np.max(excess / width, initial=0.0))
        if call.network["dtype"] == "float64" and not far < 1e-3 and not is_ensemble(model):
            wrong.append(f"valid, but predictions differ from the minimum's by {far:.2g} widths")
        diagonal = np.abs(np.diag(H))
        scale = 1 / np.sqrt(np.where(diagonal > 1e-30 * diagonal.max(), diagonal, 1.0))
        w, V = np.linalg.eigh(H * np.outer(scale, scale))
        identified = w > IDENTIFIED * max(abs(w).max(), 1e-300)
        steps = scale[:, None] * V  # each with the curvature w
        slopes = steps.T @ g
        smooth = all(a.smooth for a in model.activations)
        edm = float(np.sum(slopes[identified] ** 2 / w[identified]) / 2)
        theta, tried = fit.standardised, (1e-3, 1e-2)
        error = np.sqrt(e / np.maximum(abs(w), 1e-12))  # S changes by e along it, if it is not too long
        length = np.where(identified, error, np.where(w < 0, np.minimum(100 * error, 10.0), 1e-2))
        directions = [steps[:, i] * length[i] for i in range(len(w))]
        directions.append(-steps[:, identified] @ (slopes[identified] / w[identified]))

        def values(moves: Iterable[np.ndarray]) -> list[float]:
            points = (theta + move for move in moves)
            return [float(statistic(call, model, replace(fit, standardised=point))[0].value) for point in points]

        def nearby(step: float) -> list[float]:
            return values(sign * step * v for v in directions for sign in (1, -1))

        last_digits = values(sign * move for move in np.diag(np.spacing(np.abs(theta))) for sign in (1, -1))
        close = [*last_digits, *nearby(1e-7), *nearby(1e-6), *nearby(1e-5)]
        rounding = float(np.nanmax(np.abs(np.subtract(close, S.value))))
        lower = S.value - np.nanmin([nearby(step) for step in tried])
        allowed = EDM * e + 1e-12 * abs(S.value) + 10 * rounding + (0 if smooth else 0.1 * e)
        # Where outputs are saturated in all digits, as tanh(20) is, S has derivatives that none of its values show.
        newton = directions[-1]
        flat = max(np.abs(np.subtract(values([1e-3 * newton, 1e-2 * newton, 0.1 * newton, newton]), S.value))) == 0
        if smooth and edm > 1.5 * allowed and not flat:
            wrong.append(f"valid, but EDM is {edm:.2g}, and S is lower nearby by {lower:.2g}")
        elif lower > 3 * allowed and not is_ensemble(model):
            wrong.append(f"valid, but S is lower nearby by {lower:.2g}, EDM {edm:.2g}, rounding {rounding:.2g}")
        return wrong


def rounding_of_predictions(model: fx.Model, x: np.ndarray) -> np.ndarray:
    """The largest changes of predictions ``(n, k)`` by changes of the raw parameters in their last digits."""
    other, theta, rng = copy.deepcopy(model), model.parameters, np.random.default_rng(0)

    def predictions(theta: np.ndarray) -> np.ndarray:
        other.parameters = theta
        return np.asarray(other(x), dtype=float).reshape(len(x), -1)

    at = predictions(theta)
    return np.max(
        [np.abs(predictions(theta + np.spacing(theta) * rng.choice([-1, 1], len(theta))) - at) for _ in range(9)],
        axis=0,
    )


def is_ensemble(model: fx.Model) -> bool:
    density = model._predictive
    return density is not None and len(density.members) > 1
