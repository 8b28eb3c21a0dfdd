"""Each option of the data in each entry point: it means the same everywhere, or it is refused with a reason.

`TABLE` says which. A value is compared with that of the equivalent call without the option (`OPTIONS`): a mask with the
selected rows, weights with smaller errors or repeated events, an exposure with a scaled rate, k of N with N times yes
or no, a diagonal covariance with errors, errors of zero in x with none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx

N = 24
USE = np.arange(N) % 4 != 1
TIMES = 1 + np.arange(N) % 2
REPEATED = np.repeat(np.arange(N), TIMES)

Arguments = dict[str, Any]


def _measured() -> Arguments:
    rng = np.random.default_rng(11)
    x = np.linspace(-1, 1, N)
    return {"x": x, "y": 2 * x + 1 + 0.1 * rng.normal(size=N), "y_err": rng.uniform(0.05, 0.15, N)}


def _counts() -> Arguments:
    x = np.linspace(-1, 1, N)
    return {"x": x, "y": np.random.default_rng(12).poisson(20 * np.exp(x)).astype(float)}


def _parts() -> Arguments:
    x = np.linspace(-1, 1, N)
    return {"x": x, "y": (np.random.default_rng(13).random(N) < 1 / (1 + np.exp(-2 * x))).astype(float)}


def _classes() -> Arguments:
    return {"x": np.linspace(-1, 1, N), "y": np.random.default_rng(14).integers(0, 3, N).astype(float)}


DATA: dict[str, Callable[[], Arguments]] = {
    "least_squares": _measured,
    "normal": lambda: {name: a for name, a in _measured().items() if name != "y_err"},
    "poisson": _counts,
    "binomial": _parts,
    "multinomial": _classes,
}


def _network(loss: str) -> fx.Model:
    """A line, and what stands behind it: one minimum, so that equal data have equal fits."""
    output = {"poisson": "exp", "binomial": "logistic", "multinomial": "softmax"}.get(loss, "identity")
    k = {"multinomial": 3, "normal": 2}.get(loss, 1)
    model = fx.Model((1, k), output=output, backend="numpy", seed=1)
    model.parameters = 0.1 * np.arange(1.0, model.n_parameters + 1)
    return model


def _rows(data: Arguments, at: Any) -> Arguments:
    return {name: a[at] for name, a in data.items()}


def _weighted(data: Arguments) -> Arguments:
    """Smaller errors where they are known, else events that were seen more often."""
    return {**data, "y_err": data["y_err"] / np.sqrt(TIMES)} if "y_err" in data else _rows(data, REPEATED)


def _correlated(data: Arguments) -> Arguments:
    sigma = data.get("y_err", np.full(N, 0.1))
    return {**{name: a for name, a in data.items() if name != "y_err"}, "y_cov": np.diag(sigma**2)}


def _effective(data: Arguments) -> Arguments:
    """The errors of y that errors of x come to for a line, at the slope where the least chi-square is."""
    x, y, sigma, slope = data["x"], data["y"], data["y_err"], 2.0
    for _ in range(50):
        total = np.sqrt(sigma**2 + (0.05 * slope) ** 2)
        slope = np.polyfit(x, y, 1, w=1 / total)[0]
    return {**data, "y_err": total}


# of each option the call with it, and the call without it that must give the same
OPTIONS: dict[str, tuple[Callable[[Arguments], Arguments], Callable[[Arguments], Arguments]]] = {
    "mask": (lambda data: {**data, "mask": USE}, lambda data: _rows(data, USE)),
    "weights": (lambda data: {**data, "weights": TIMES}, _weighted),
    "covariance": (lambda data: {**data, "covariance": "sandwich"}, dict),
    "exposure": (lambda data: {**data, "exposure": 2.0}, dict),
    "trials": (lambda data: {**data, "y": data["y"] * TIMES, "trials": TIMES}, lambda data: _rows(data, REPEATED)),
    "y_cov": (_correlated, dict),
    "x_err=0": (lambda data: {**data, "x_err": np.zeros(N)}, dict),
    "x_err": (lambda data: {**data, "x_err": 0.05}, _effective),
}


# --- the entry points: each gives numbers that do not depend on the way there ---


def _rate(theta: np.ndarray, data: Arguments) -> np.ndarray:
    """The parameters of the expected counts, the logarithms of which an exposure shifts."""
    return np.append(theta[:-1], theta[-1] + np.log(data.get("exposure", 1.0)))


def _fit(loss: str) -> Callable[[Arguments], Any]:
    def numbers(data: Arguments) -> Any:
        fit = _network(loss).fit(**data, loss=loss, prior=3.0, restarts=1)
        assert fit.valid, fit.message
        return _rate(fit.parameters, data)

    return numbers


def _replicas(loss: str, **options: Any) -> Callable[[Arguments], Any]:
    def numbers(data: Arguments) -> Any:
        ensemble = _network(loss).fit_replicas(**data, loss=loss, **options)
        assert ensemble.valid.all()
        return ensemble.parameters

    return numbers


def _cost(loss: str, kind: Callable[..., Any]) -> Callable[[Arguments], Any]:
    def numbers(data: Arguments) -> Any:
        model, data = _network(loss), dict(data)
        x, y, exposure = data.pop("x"), data.pop("y"), data.get("exposure", 1.0)
        if kind is fx.LeastSquares:
            names = {"x_err": "xerror"}
            yerror = data.pop("y_err", None)
            cost = kind(x, y, yerror, model, **{names.get(name, name): a for name, a in data.items()})
        else:
            cost = kind(x, y, model, **data)
        theta = cost.start
        theta[-1] -= np.log(exposure)
        return np.append(cost.grad(theta), cost(theta))

    return numbers


def _log_density(data: Arguments) -> Any:
    model, data = _network("least_squares"), dict(data)
    model.fit(**_measured(), prior=3.0, restarts=1)
    data.pop("y_err", None)
    return np.sum(model.log_density(**data))


def _classification(data: Arguments) -> Any:
    return _network("binomial").classification(**data).log_loss


def _band_by_toys(loss: str) -> Callable[[Arguments], Any]:
    def numbers(data: Arguments) -> Any:
        fit = _network(loss).fit(**data, loss=loss, restarts=1)
        band = fit.band([0.0, 0.7], cl=0.683, method="replicas", number=400, seed=2)
        return data.get("exposure", 1.0) * (band.high - band.low)

    return numbers


def _goodness(loss: str) -> Callable[[Arguments], Any]:
    return lambda data: _network(loss).fit(**data, loss=loss, restarts=1).goodness().pulls


def _coverage(loss: str) -> Callable[[Arguments], Any]:
    def numbers(data: Arguments) -> Any:
        fit = _network(loss).fit(**data, loss=loss, restarts=1)
        return fit.coverage([0.0, 0.7], number=50, seed=2).spread

    return numbers


def _command_line(loss: str, folder: Path) -> Callable[[Arguments], Any]:
    """Arrays become columns of a table, numbers stay; names of options are those of Python."""
    pandas = pytest.importorskip("pandas")
    app = pytest.importorskip("ffnn_xp.cli.commands").app
    runner = pytest.importorskip("typer.testing").CliRunner()
    pytest.importorskip("safetensors")

    def numbers(data: Arguments) -> Any:
        table = {name: a for name, a in data.items() if np.ndim(a) == 1}
        pandas.DataFrame(table).to_csv(folder / "t.csv", index=False, float_format="%.17g")
        output = _network(loss).activations[-1].name
        command = ["fit", folder / "t.csv", "-t", "y", "-i", "x", "--loss", loss, "--output", output]
        command += ["--layers", "", "--prior", "3", "--backend", "numpy", "--save", folder / "net", "-q"]
        for name, a in data.items():
            if name not in ("x", "y"):
                option = {"y_err": "error"}.get(name, name).replace("_", "-")
                command += [f"--{option}", name if np.ndim(a) == 1 else "t.csv" if np.ndim(a) else a]
        result = runner.invoke(app, [str(word) for word in command])
        if result.exit_code:
            raise ValueError(result.stderr)
        return _rate(fx.load(folder / "net").parameters, data)

    return numbers


ENTRIES: dict[str, tuple[str, Callable[..., Callable[[Arguments], Any]]]] = {
    "fit": ("least_squares", lambda loss, _: _fit(loss)),
    "fit of counts": ("poisson", lambda loss, _: _fit(loss)),
    "fit of parts": ("binomial", lambda loss, _: _fit(loss)),
    "fit of classes": ("multinomial", lambda loss, _: _fit(loss)),
    "fit of widths": ("normal", lambda loss, _: _fit(loss)),
    "priors": ("least_squares", lambda loss, _: _replicas(loss, prior=[1.0, 3.0])),
    "bootstrap": ("least_squares", lambda loss, _: _replicas(loss, kind="bootstrap", number=50, seed=1, prior=3.0)),
    "toys": ("least_squares", lambda loss, _: _replicas(loss, kind="toys", number=50, seed=1, prior=3.0)),
    "LeastSquares": ("least_squares", lambda loss, _: _cost(loss, fx.LeastSquares)),
    "Poisson": ("poisson", lambda loss, _: _cost(loss, fx.Poisson)),
    "Binomial": ("binomial", lambda loss, _: _cost(loss, fx.Binomial)),
    "Multinomial": ("multinomial", lambda loss, _: _cost(loss, fx.Multinomial)),
    "Normal": ("normal", lambda loss, _: _cost(loss, fx.Normal)),
    "log_density": ("least_squares", lambda *_: _log_density),
    "classification": ("binomial", lambda *_: _classification),
    "band by toys": ("least_squares", lambda loss, _: _band_by_toys(loss)),
    "band by toys of counts": ("poisson", lambda loss, _: _band_by_toys(loss)),
    "goodness": ("least_squares", lambda loss, _: _goodness(loss)),
    "coverage": ("least_squares", lambda loss, _: _coverage(loss)),
    "command line": ("least_squares", _command_line),
    "command line, counts": ("poisson", _command_line),
    "command line, parts": ("binomial", _command_line),
    "command line, classes": ("multinomial", _command_line),
}


def _row(*cells: float | str) -> dict[str, float | str]:
    return dict(zip(OPTIONS, cells, strict=True))


def _no(option: str, loss: str) -> str:
    return f"`{option}` has no place in loss '{loss}'"


SAME = 1e-10  # of a value that is computed from the same numbers
FIT = 2e-3  # of parameters at a minimum that was reached another way: errors are 100 times as large
SLOPE = 0.01  # of a line with errors in x, where the slope is in the variance too
TAKEN = np.inf  # its values are tested elsewhere (tests/data/test_errors_in_x.py)

NO_COUNTS = "`exposure` has no place in loss 'least_squares'"
NO_PARTS = "`trials` has no place in loss 'least_squares'"
ONLY_LEAST_SQUARES = "`x_err` is for least squares with independent errors"
NO_SANDWICH = "`covariance` has no place in .*: MINUIT makes the covariance"
NO_EXPOSURE, NO_TRIALS = "`exposure` has no place in .*: .*counts", "`trials` has no place in .*: .*k out of N"
MEASURED = "has no place in .*: it is for measured values"
SCATTER = "covariance='sandwich' takes errors from the scatter of the data, which only bootstrap copies have"
LIKELIHOOD = "follows from the likelihood, which covariance='sandwich' does not trust"
NO_COLUMN = "--y-cov: a covariance of events is no column of a table"

# of each cell how near it comes to its equivalent, or what the refusal says
TABLE: dict[str, dict[str, float | str]] = {
    "fit": _row(SAME, FIT, SAME, NO_COUNTS, NO_PARTS, FIT, SAME, SLOPE),
    "fit of counts": _row(
        SAME, FIT, SAME, FIT, _no("trials", "poisson"), _no("y_cov", "poisson"), SAME, ONLY_LEAST_SQUARES
    ),
    "fit of parts": _row(
        SAME, FIT, SAME, _no("exposure", "binomial"), FIT, _no("y_cov", "binomial"), SAME, ONLY_LEAST_SQUARES
    ),
    "fit of classes": _row(
        SAME,
        FIT,
        SAME,
        _no("exposure", "multinomial"),
        _no("trials", "multinomial"),
        _no("y_cov", "multinomial"),
        SAME,
        ONLY_LEAST_SQUARES,
    ),
    "fit of widths": _row(
        SAME,
        FIT,
        SAME,
        _no("exposure", "normal"),
        _no("trials", "normal"),
        _no("y_cov", "normal"),
        SAME,
        ONLY_LEAST_SQUARES,
    ),
    "priors": _row(SAME, SAME, SCATTER, NO_COUNTS, NO_PARTS, FIT, SAME, SLOPE),
    "bootstrap": _row(
        SAME, SAME, SAME, NO_COUNTS, NO_PARTS, "`y_cov` correlates cannot be drawn one by one", SAME, TAKEN
    ),
    "toys": _row(SAME, SAME, SCATTER, NO_COUNTS, NO_PARTS, FIT, SAME, TAKEN),
    "LeastSquares": _row(SAME, SAME, NO_SANDWICH, NO_EXPOSURE, NO_TRIALS, SAME, SAME, TAKEN),
    "Poisson": _row(SAME, SAME, NO_SANDWICH, SAME, NO_TRIALS, MEASURED, MEASURED, MEASURED),
    "Binomial": _row(SAME, SAME, NO_SANDWICH, NO_EXPOSURE, SAME, MEASURED, MEASURED, MEASURED),
    "Multinomial": _row(SAME, SAME, NO_SANDWICH, NO_EXPOSURE, NO_TRIALS, MEASURED, MEASURED, MEASURED),
    "Normal": _row(SAME, SAME, NO_SANDWICH, NO_EXPOSURE, NO_TRIALS, MEASURED, MEASURED, MEASURED),
    "log_density": _row(
        SAME,
        "single events",
        "belongs to the fit",
        "not for counts",
        "not for counts",
        "independent",
        "known inputs",
        "known inputs",
    ),
    "classification": _row(
        SAME,
        "counts once",
        "errors of parameters",
        "no exposure",
        "counts have no ROC curve",
        "no covariance",
        "measured x",
        "measured x",
    ),
    "goodness": _row(SAME, SAME, SAME, NO_COUNTS, NO_PARTS, SAME, SAME, 5 * SLOPE),
    "coverage": _row(SAME, 1e-4, TAKEN, NO_COUNTS, NO_PARTS, 1e-4, SAME, TAKEN),
    "band by toys": _row(SAME, SAME, LIKELIHOOD, NO_COUNTS, NO_PARTS, SAME, SAME, 5 * SLOPE),
    "band by toys of counts": _row(
        SAME, 0.12, LIKELIHOOD, FIT, _no("trials", "poisson"), _no("y_cov", "poisson"), SAME, ONLY_LEAST_SQUARES
    ),
    "command line": _row(SAME, SAME, SAME, NO_COUNTS, NO_PARTS, NO_COLUMN, SAME, SLOPE),
    "command line, counts": _row(SAME, FIT, SAME, FIT, _no("trials", "poisson"), NO_COLUMN, SAME, ONLY_LEAST_SQUARES),
    "command line, parts": _row(SAME, FIT, SAME, _no("exposure", "binomial"), FIT, NO_COLUMN, SAME, ONLY_LEAST_SQUARES),
    "command line, classes": _row(
        SAME,
        FIT,
        SAME,
        _no("exposure", "multinomial"),
        _no("trials", "multinomial"),
        NO_COLUMN,
        SAME,
        ONLY_LEAST_SQUARES,
    ),
}


@pytest.fixture(scope="module")
def plain_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Make the numbers of an entry point without any option, each once."""

    @cache
    def plain_of(entry: str) -> Any:
        loss, make = ENTRIES[entry]
        return make(loss, tmp_path_factory.mktemp("plain"))(DATA[loss]())

    return plain_of


@pytest.mark.slow
@pytest.mark.parametrize(("entry", "option"), [(e, o) for e in ENTRIES for o in OPTIONS])
def test_each_option_in_each_entry_point(
    entry: str, option: str, tmp_path: Path, plain_of: Callable[[str], Any]
) -> None:
    loss, make = ENTRIES[entry]
    numbers, data, cell = make(loss, tmp_path), DATA[loss](), TABLE[entry][option]
    with_option, without = OPTIONS[option]
    if isinstance(cell, str):
        name = option.partition("=")[0]
        with pytest.raises((TypeError, ValueError), match=cell) as refused:
            numbers(with_option(data))
        assert name in str(refused.value).replace("-", "_")
        return
    found = numbers(with_option(data))
    if np.isfinite(cell):
        np.testing.assert_allclose(found, numbers(without(data)), rtol=0, atol=cell * np.max(np.abs(found)))
    if option not in ("covariance", "exposure", "y_cov", "x_err=0"):  # which are to change nothing here
        plain = plain_of(entry)
        assert np.shape(plain) != np.shape(found) or not np.allclose(found, plain, rtol=1e-6, atol=0)


SIGNED = np.append(np.ones(N), [1.0, 1.0, -1.0, -1.0])
THERE_AND_NOT = np.append(np.arange(N), [3, 5, 3, 5])  # two events, once more and taken away again


def test_events_of_negative_weight_take_others_away() -> None:
    data = _measured()
    fits = [
        _network("least_squares").fit(**d, covariance="sandwich", restarts=1)
        for d in ({**_rows(data, THERE_AND_NOT), "weights": SIGNED}, data)
    ]
    np.testing.assert_allclose(fits[0].parameters, fits[1].parameters, rtol=1e-8)


def test_bootstrap_copies_of_signed_weights_scatter_as_the_sandwich_says() -> None:
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 1, 200)
    data = {"x": x, "y": 2 * x + 1 + 0.1 * rng.normal(size=200), "y_err": 0.1}
    weights = np.where(np.arange(200) % 7 == 3, -0.5, 1.0)
    model = fx.Model((1, 1), seed=1)
    fit = model.fit(**data, weights=weights, covariance="sandwich")
    copies = model.fit_replicas(**data, weights=weights, kind="bootstrap", number=500, seed=1)
    np.testing.assert_allclose(np.sqrt(np.diag(copies.covariance)), fit.errors, rtol=0.2)
    with pytest.raises(ValueError, match=r"signed Monte-Carlo weights need .*kind='bootstrap' in fit_replicas"):
        model.fit_replicas(**data, weights=weights, kind="toys", number=2)


def test_events_of_weight_zero_are_not_there() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 100)
    y, weights = np.tanh(x) + 0.1 * rng.normal(size=100), np.where(np.arange(100) < 8, 1.0, 0.0)
    all_of_them = fx.Model((1, 1), seed=1).fit(x, y, weights=weights, covariance="sandwich", prior=None)
    eight = fx.Model((1, 1), seed=1).fit(x[:8], y[:8], weights=weights[:8], covariance="sandwich", prior=None)
    np.testing.assert_array_equal(all_of_them.parameters, eight.parameters)
    assert all_of_them.y_error is not None
    assert eight.y_error is not None
    assert (all_of_them.ndof, *all_of_them.y_error) == (eight.ndof, *eight.y_error)


def test_toys_of_weighted_events_scatter_less() -> None:
    data, weights = _measured(), np.where(np.arange(N) % 2, 9.0, 1.0)
    model = _network("least_squares")
    fit = model.fit(**data, weights=weights)
    toys = model.fit_replicas(**data, weights=weights, number=1000, seed=1)
    np.testing.assert_allclose(toys.parameters.std(axis=0), fit.errors, rtol=0.1)
    _network("binomial").fit(**_parts(), loss="binomial", weights=TIMES).goodness(4, seed=1)
    uneven = _network("binomial").fit(**_parts(), loss="binomial", weights=TIMES / 3)
    with pytest.raises(ValueError, match="toys need `weights` that are whole numbers"):
        uneven.goodness(4, seed=1)


def test_replicas_of_your_own_lose_masked_events_too() -> None:
    data = _measured()
    sets = np.stack([data["y"], 2 * data["y"]])[:, :, None]
    model = _network("least_squares")
    sets[:, ~USE] = np.nan
    one = model.fit_replicas(data["x"][USE], sets[:, USE], data["y_err"][USE], prior=3.0)
    two = model.fit_replicas(data["x"], sets, data["y_err"], mask=USE, prior=3.0)
    np.testing.assert_array_equal(one.parameters, two.parameters)


def test_unknown_options_are_named() -> None:
    with pytest.raises(TypeError, match="Poisson has no option `exposur`: did you mean 'exposure'"):
        fx.Poisson([0.0, 1.0], [1, 2], _network("poisson"), exposur=2.0)
    with pytest.raises(TypeError, match="log_density has no option `wieghts`: did you mean 'weights'"):
        _network("least_squares").log_density([0.0], [1.0], wieghts=1.0)
