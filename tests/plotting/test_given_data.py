"""Pictures: what is drawn is what the fit says; looking at them is left to people."""

from __future__ import annotations

import io
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.plotting import plot_fit

pytest.importorskip("matplotlib")

RNG = np.random.default_rng(7)
T = np.sort(RNG.uniform(-2, 2, 60))
U = np.tanh(2 * T) + RNG.normal(0, 0.1, 60)


@pytest.fixture(scope="module")
def curve() -> tuple[fx.Model, fx.FitResult]:
    model = fx.Model((1, 2, 1), backend="numpy", seed=1)
    return model, model.fit(T, U, 0.1, prior=1.0)


@pytest.fixture(scope="module")
def surface() -> tuple[fx.Model, fx.FitResult, np.ndarray, np.ndarray]:
    x = RNG.normal(size=(200, 2))
    y = np.stack([x[:, 0] + 0.5 * x[:, 1], x[:, 0] - x[:, 1]], axis=1) + RNG.normal(0, [0.1, 0.3], (200, 2))
    model = fx.Model((2, 2), backend="numpy", seed=1)
    return model, model.fit(x, y), x, y


def picture(figure: object) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=40)  # type: ignore[attr-defined]
    return file.getvalue()


def test_curve_band_and_pulls(curve: tuple[fx.Model, fx.FitResult]) -> None:
    model, fit = curve
    figure = plot_fit(fit, T, U, 0.1, model, input_names=["t [s]"], target_names=["U [V]"])
    main, below = figure.axes
    assert (main.get_ylabel(), below.get_xlabel(), below.get_ylabel()) == ("U [V]", "t [s]", "pull")
    assert [text.get_text() for text in main.get_legend().get_texts()] == ["68 % band of the curve", "fit", "data"]
    line = next(line for line in main.lines if line.get_label() == "fit")
    assert np.allclose(line.get_ydata(), model(line.get_xdata()))
    assert np.allclose(below.lines[-1].get_ydata(), (U - model(T)) / 0.1)
    band = next(c for c in main.collections if c.get_label().startswith("68"))
    mean, std = model.predict(line.get_xdata(), return_std=True)
    inside = band.get_datalim(main.transData)
    assert inside.y1 == pytest.approx(np.max(mean + std), rel=1e-6)
    assert f"{fit.chi2:.6g}" in figure.get_suptitle()
    assert picture(figure).startswith(b"\x89PNG")


@pytest.mark.slow
def test_many_inputs_and_outputs_with_estimated_errors(surface: tuple) -> None:
    model, fit, x, y = surface
    figure = plot_fit(fit, x, y, None, model, target_names=["mass", "charge"])
    against, pulls = figure.axes[2:]
    assert len(figure.axes) == 4
    assert (against.get_xlabel(), against.get_ylabel()) == ("measured charge", "predicted charge")
    measured, predicted = against.lines[0].get_data()
    assert np.array_equal(measured, y[:, 1])
    assert np.allclose(predicted, model(x)[:, 1])
    assert against.get_xlim() == against.get_ylim()
    expected = (y - model(x))[:, 1] / fit.y_error[1]
    assert sum(bar.get_height() for bar in pulls.patches) == 200
    label = pulls.get_legend().get_texts()[0].get_text()
    assert "200 pulls" in label
    assert f"width {np.std(expected):.3f}" in label
    assert "from the residuals" in figure.get_suptitle()
    normal = pulls.lines[0].get_ydata()
    step = pulls.patches[0].get_width()
    area = np.sum(normal) * (10 / (len(normal) - 1)) / step
    assert area == pytest.approx(200, rel=1e-2)
    picture(figure)


def test_pulls_far_outside_are_counted(curve: tuple[fx.Model, fx.FitResult], surface: tuple) -> None:
    model, fit, x, y = surface
    y = y.copy()
    y[:3, 0] += 100
    figure = plot_fit(fit, x, y, [0.1, 0.3], model)
    pulls = figure.axes[1]
    assert "3 beyond ±5" in pulls.get_legend().get_texts()[0].get_text()
    assert sum(bar.get_height() for bar in pulls.patches) == 200
    assert pulls.get_xlabel().startswith("pull of $y_{0}$")


def test_default_names(curve: tuple[fx.Model, fx.FitResult]) -> None:
    model, fit = curve
    main, below = plot_fit(fit, T.tolist(), U.tolist(), np.full(60, 0.1), model).axes
    assert (main.get_ylabel(), below.get_xlabel()) == ("$y$", "$x$")


HARMLESS = [
    "$x^{$",
    "cost [$] of 5 $",
    r"\frac{",
    "a_b^c%#&~",
    "\x1b[31m",
    "a\nb",
    "$\\undefined$",
    "\udcff",
    "x" * 5000,
    "",
]


@pytest.mark.parametrize("name", HARMLESS)
def test_any_name_can_be_drawn(curve: tuple[fx.Model, fx.FitResult], name: str) -> None:
    """Names are drawn character by character, not as mathematics."""
    model, fit = curve
    figure = plot_fit(fit, T, U, 0.1, model, input_names=[name], target_names=[name])
    label = figure.axes[1].xaxis.label
    assert not label.get_parse_math()
    assert not label.get_usetex()
    if name.isprintable() and len(name) < 50:
        assert label.get_text() == name
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    ET.fromstring(file.getvalue())


def test_any_name_of_several_inputs_can_be_drawn(surface: tuple) -> None:
    model, fit, x, y = surface
    figure = plot_fit(fit, x, y, None, model, input_names=["a", "b"], target_names=["$x^{$", "$\\undefined$"])
    assert figure.axes[2].get_xlabel() == "measured $\\undefined$"
    picture(figure)


def test_fit_that_is_not_valid_says_so_and_has_no_band() -> None:
    model = fx.Model((1, 3, 1), backend="numpy", seed=1)
    fit = model.fit(T, U, 0.1, callback=lambda state: state.calls > 2)
    assert not fit.valid
    figure = plot_fit(fit, T, U, 0.1, model)
    assert "NOT A VALID MINIMUM" in figure.get_suptitle()
    assert len(figure.axes[0].get_legend().get_texts()) == 2
    picture(figure)


def test_infinite_errors_fill_the_panel(curve: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    model, fit = curve

    def predict(x: np.ndarray, *, return_std: bool = False) -> object:
        return (model(x), np.where(np.asarray(x)[:, 0] > 0, np.inf, 0.1)) if return_std else model(x)

    monkeypatch.setattr(model, "predict", predict)
    main = plot_fit(fit, T, U, 0.1, model).axes[0]
    limits = main.get_ylim()
    assert np.all(np.isfinite(limits))
    band = next(c for c in main.collections if c.get_label().startswith("68")).get_datalim(main.transData)
    assert (band.y0, band.y1) == pytest.approx(limits)


def test_large_tables_have_no_error_bars_and_many_outputs_no_endless_picture() -> None:
    x = RNG.normal(size=(3000, 2))
    y = x @ RNG.normal(size=(2, 8)) + RNG.normal(0, 0.1, (3000, 8))
    model = fx.Model((2, 8), backend="numpy", seed=1)
    figure = plot_fit(model.fit(x, y, 0.1), x, y, 0.1, model)
    assert len(figure.axes) == 12
    assert "6 of 8 outputs" in figure.get_suptitle()
    assert all(len(axes.collections) == 0 for axes in figure.axes[::2])


def test_on_every_backend(backend: fx.Backend, curve: tuple[fx.Model, fx.FitResult]) -> None:
    model = fx.Model((1, 2, 1), backend=backend)
    model.parameters = curve[0].parameters
    x, y = (backend.to_device(a) for a in (T, U))
    figure = plot_fit(curve[1], T if backend.on_gpu else x, U if backend.on_gpu else y, 0.1, model)
    assert np.allclose(figure.axes[1].lines[-1].get_ydata(), (U - curve[0](T)) / 0.1)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((5, 2)), np.zeros(5), r"`x` must have shape \(n, 1\) and `y` \(n, 1\) .* got \(5, 2\)"),
        (np.zeros(5), np.zeros(4), r"got \(5, 1\) and \(4,\)"),
        (np.zeros(0), np.zeros(0), "at least one event"),
    ],
)
def test_data_of_another_model(
    curve: tuple[fx.Model, fx.FitResult], x: np.ndarray, y: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plot_fit(curve[1], x, y, 0.1, curve[0])


def test_errors_and_names_must_fit(curve: tuple[fx.Model, fx.FitResult]) -> None:
    model, fit = curve
    with pytest.raises(ValueError, match="made with known errors of y: pass them"):
        plot_fit(fit, T, U, None, model)
    with pytest.raises(ValueError, match=r"`y_err` must have shape .* got \(3,\)"):
        plot_fit(fit, T, U, np.ones(3), model)
    with pytest.raises(ValueError, match="`target_names` must have 1 names"):
        plot_fit(fit, T, U, 0.1, model, target_names=["a", "b"])


def test_without_matplotlib(curve: tuple[fx.Model, fx.FitResult], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"plotting needs matplotlib: pip install 'ffnn_xp\[plot\]'"):
        plot_fit(curve[1], T, U, 0.1, curve[0])
