"""Pictures of a fit with its own data: the numbers that are drawn, against those worked out by hand."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import ffnn_xp as fx

pytest.importorskip("matplotlib")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ffnn_xp.plotting.fit_pictures import drawn_of

plt.switch_backend("Agg")
RNG = np.random.default_rng(7)
X = np.linspace(0.05, 4, 40)
COUNTS = RNG.poisson(50 * np.exp(-X)).astype(float)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def model(*layers: int, **options: Any) -> fx.Model:
    return fx.Model(layers, backend="numpy", seed=1, **options)


def bars(axes: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points that are drawn, and their errors."""
    container = axes.containers[0]
    x, y = container[0].get_data()
    segments = container[2][-1].get_segments()
    return np.asarray(x), np.asarray(y), np.array([0.5 * (s[1, 1] - s[0, 1]) for s in segments])


def line(axes: Any) -> tuple[np.ndarray, np.ndarray]:
    return next(found for found in axes.lines if found.get_label() == "fit").get_data()


def test_measured_values() -> None:
    net = model(1, 2, 1)
    error = RNG.uniform(0.05, 0.2, 40)
    y = np.tanh(X - 2) + error * RNG.normal(size=40)
    panels = net.fit(X, y, error, prior=1.0).plot(input_names=["t [s]"], target_names=["U $[V]"])
    assert panels.shape == (1, 2)
    main, below = panels[0]
    for drawn, want in zip(bars(main), (X, y, error), strict=True):
        np.testing.assert_allclose(drawn, want)
    np.testing.assert_allclose(line(main)[1], net(line(main)[0]))
    np.testing.assert_allclose(below.lines[-1].get_ydata(), (y - net(X)) / error)
    band = next(c for c in main.collections if str(c.get_label()).startswith("68")).get_datalim(main.transData)
    mean, std = net.predict(line(main)[0], return_std=True)
    assert band.y1 == pytest.approx(np.max(mean + std), rel=1e-6)
    assert (below.get_xlabel(), main.get_ylabel()) == ("t [s]", "U $[V]")
    main.figure.canvas.draw()


def test_counts_with_exposure_are_rates() -> None:
    net, exposure = model(1, 2, 1, output="exp"), RNG.uniform(1, 3, 40)
    fit = net.fit(X, COUNTS, loss="poisson", exposure=exposure, prior=3.0)
    main, below = fit.plot()[0]
    rate = net(X)
    for drawn, want in zip(bars(main), (X, COUNTS / exposure, np.sqrt(rate / exposure)), strict=True):
        np.testing.assert_allclose(drawn, want)
    np.testing.assert_allclose(line(main)[1], net(line(main)[0]))
    assert f"deviance / ndof = {fit.chi2:.6g}" in main.figure.get_suptitle()
    np.testing.assert_allclose(below.lines[-1].get_ydata(), (COUNTS - rate * exposure) / np.sqrt(rate * exposure))


def test_weights_make_the_errors_smaller() -> None:
    """A value of weight 4 is the mean of four, in the bars as in the pulls."""
    y = 2 * X + 0.1 * np.cos(30 * X)
    fit = model(1, 1).fit(X, y, 0.2, weights=np.full(40, 4.0), prior=None)
    main, below = fit.plot()[0]
    np.testing.assert_allclose(bars(main)[2], 0.1)
    np.testing.assert_allclose(below.lines[-1].get_ydata() * 0.1, y - fit.raw_cost.prediction(fit.parameters))


def test_values_far_from_zero_keep_their_error_bars() -> None:
    y = 1e17 * (2 + X)
    fit = model(1, 1).fit(X, y + 1e15 * np.cos(30 * X), 1e15, prior=None)
    np.testing.assert_allclose(bars(fit.plot()[0][0])[2], 1e15, rtol=1e-3)


def test_bins_of_two_dimensions_are_densities() -> None:
    edges = np.array([0.0, 1.0, 3.0]), np.array([0.0, 0.5, 1.0])
    n = np.array([20.0, 14.0, 31.0, 27.0])
    fit = model(2, 1, output="exp").fit(fx.Bins(*edges), n, loss="poisson", prior=3.0)
    area, expected = np.array([0.5, 0.5, 1.0, 1.0]), fit.raw_cost.prediction(fit.parameters)
    main, _ = fit.plot()[0]
    for drawn, want in zip(bars(main), (expected / area, n / area, np.sqrt(expected) / area), strict=True):
        np.testing.assert_allclose(drawn, want)


@pytest.mark.parametrize("nodes", [1, 4])
def test_bins_are_densities(nodes: int) -> None:
    edges = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
    n = np.array([20.0, 14.0, 15.0, 9.0])
    net = model(1, 1, output="exp")
    fit = net.fit(fx.Bins(edges, nodes=nodes), n, loss="poisson", prior=None)
    main, _ = fit.plot()[0]
    expected, width = fit.raw_cost.prediction(fit.parameters), np.diff(edges)
    centers = 0.5 * (edges[1:] + edges[:-1])
    for drawn, want in zip(bars(main), (centers, n / width, np.sqrt(expected) / width), strict=True):
        np.testing.assert_allclose(drawn, want)
    np.testing.assert_allclose(fit.raw_cost.drawn(fit.parameters).half_width, width / 2)
    np.testing.assert_allclose(line(main)[0][[0, -1]], [0.0, 4.0], atol=1e-12)
    np.testing.assert_allclose(line(main)[1], net(line(main)[0]))
    assert main.get_ylabel() == "contents / bin width"


def steps(axes: Any) -> Any:
    return next(patch for patch in axes.patches if patch.get_label() in ("fit in bins", "in bins"))


@pytest.mark.parametrize("average", [False, True])
def test_fits_of_bins_are_steps(average: bool) -> None:
    """The steps are what the contents measure, over all bins, also those that a mask left out."""
    edges, mask = np.array([0.0, 0.5, 1.0, 2.0, 4.0]), np.array([True, False, True, True])
    bins, y = fx.Bins(edges, average=average), np.array([20.0, 14.0, 15.0, 9.0])
    net = model(1, 2, 1, output="exp")
    fit = net.fit(bins, y, 1.0, mask=mask, prior=1.0)
    main, _ = fit.plot(target_names=["A [Bq]"])[0]
    want = net.predict(bins) / (1 if average else np.diff(edges))
    np.testing.assert_allclose(steps(main).get_data().values, want)
    np.testing.assert_array_equal(steps(main).get_data().edges, edges)
    np.testing.assert_allclose(want[mask], fit.raw_cost.drawn(fit.parameters).predicted[:, 0])
    assert main.get_ylim()[1] > line(main)[1].max()
    assert main.get_ylabel() == "A [Bq]"
    plt.figure()
    fit.raw_cost.visualize(fit.parameters)
    np.testing.assert_allclose(steps(plt.gca()).get_data().values, want)
    assert plt.gca().get_ylabel() == ("$y$" if average else "contents / bin width")


def test_successes_in_trials_are_shares() -> None:
    k = RNG.binomial(20, 1 / (1 + np.exp(X - 2)))
    net = model(1, 1, output="logistic")
    main, _ = net.fit(X, k, loss="binomial", trials=20, prior=None).plot()[0]
    p = net(X)
    for drawn, want in zip(bars(main), (X, k / 20, np.sqrt(p * (1 - p) / 20)), strict=True):
        np.testing.assert_allclose(drawn, want)


@pytest.mark.parametrize("kind", ["binomial", "multinomial"])
def test_yes_or_no_and_classes_are_shares_of_groups(kind: str) -> None:
    x = RNG.uniform(-2, 2, 200)
    labels = (RNG.random(200) < 1 / (1 + np.exp(-2 * x))).astype(int)
    net = model(1, 1, output="logistic") if kind == "binomial" else model(1, 2, output="softmax")
    fit = net.fit(x, labels, loss=kind, prior=1.0)
    panels = fit.plot()
    assert panels.shape == (1 if kind == "binomial" else 2, 2)
    main, below = panels[-1]
    groups = np.array_split(np.argsort(x, kind="stable"), 20)
    p = np.asarray(net(x)).reshape(200, -1)[:, -1]
    share = np.array([labels[g].mean() for g in groups])
    error = np.array([np.sqrt(np.sum(p[g] * (1 - p[g]))) / 10 for g in groups])
    want = np.array([x[g].mean() for g in groups]), share, error
    for drawn, expected in zip(bars(main), want, strict=True):
        np.testing.assert_allclose(drawn, expected)
    np.testing.assert_allclose(below.lines[-1].get_ydata(), (share - [p[g].mean() for g in groups]) / error)
    assert any("groups of 10" in text.get_text() for text in main.get_legend().get_texts())


def test_shares_count_an_event_as_often_as_its_weight() -> None:
    """Events that are written once with the number of times they were measured have the shares of the whole table."""
    x, yes = np.repeat(np.arange(5.0), 2), np.tile([0.0, 1.0], 5)
    times = RNG.integers(1, 40, 10)
    fit = model(1, 1, output="logistic").fit(x, yes, loss="binomial", weights=times, prior=None)
    drawn = fit.raw_cost.drawn(fit.parameters).in_groups(x, 0)
    every, p = np.repeat(np.arange(10), times), fit.raw_cost.prediction(fit.parameters)[np.repeat(np.arange(10), times)]
    assert len(drawn.y) == 1
    assert drawn.y.item() == pytest.approx(np.mean(yes[every]))
    assert drawn.x.item() == pytest.approx(np.mean(x[every]))
    assert drawn.predicted.item() == pytest.approx(np.mean(p))
    assert drawn.error.item() == pytest.approx(np.sqrt(np.sum(p * (1 - p))) / len(every))


def test_predicted_widths_are_the_errors() -> None:
    y = X + RNG.normal(0, 0.3, 40)
    net = model(1, 2)
    fit = net.fit(X, y, loss="normal", prior=None)
    main, below = fit.plot()[0]
    mean, log_width = net(X).T
    for drawn, want in zip(bars(main), (X, y, np.exp(log_width)), strict=True):
        np.testing.assert_allclose(drawn, want)
    np.testing.assert_allclose(line(main)[1], net(line(main)[0])[:, 0])
    np.testing.assert_allclose(below.lines[-1].get_ydata(), (y - mean) / np.exp(log_width))


def test_correlated_values_have_no_error_bars() -> None:
    V = 0.01 * np.eye(40) + 0.02
    fit = model(1, 1).fit(X, 2 * X, y_cov=V, prior=None)
    main, below = fit.plot()[0]
    assert not bars_of(main)
    np.testing.assert_allclose(below.lines[-1].get_ydata(), fit.raw_cost.pulls(fit.parameters))


def test_many_inputs() -> None:
    pd = pytest.importorskip("pandas")
    x = pd.DataFrame(RNG.normal(size=(60, 2)), columns=["a", "b"])
    y = pd.DataFrame({"u $": x.a + RNG.normal(0, 0.1, 60), "v": x.b})
    net = model(2, 2)
    fit = net.fit(x, y, 0.1, prior=None)
    panels = fit.plot()
    assert panels.shape == (2, 2)
    drawn = bars(panels[1, 0])
    for one, want in zip(drawn, (net(x)[:, 1], y["v"], np.full(60, 0.1)), strict=True):
        np.testing.assert_allclose(one, want)
    assert panels[0, 0].get_xlabel() == "predicted u $"
    assert sum(bar.get_height() for bar in panels[1, 1].patches) == 60
    panels[0, 0].figure.canvas.draw()


def test_a_figure_of_ones_own() -> None:
    """It gets the panels and the title, and pyplot knows nothing of it."""
    fit = model(1, 2, 1).fit(X, np.sin(2 * X), 0.1, prior=3.0)
    figure = Figure()
    panels = fit.plot(figure)
    assert panels.ravel().tolist() == figure.axes
    assert f"{fit.chi2:.6g}" in figure.get_suptitle()
    assert not plt.get_fignums()


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = model(1, 1).fit(X, X, 0.1, prior=None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    for draw in (fit.plot, fit.plot_pulls, fit.plot_minima, fit.plot_correlations):
        with pytest.raises(ImportError, match=r"plotting needs matplotlib: pip install 'ffnn_xp\[plot\]'"):
            draw()


def test_on_every_backend(backend: fx.Backend) -> None:
    fit = fx.Model((1, 2, 1), backend=backend, seed=1).fit(X, np.sin(2 * X), 0.1, prior=3.0, restarts=1)
    ((_, below),) = fit.plot(Figure())
    np.testing.assert_allclose(
        below.lines[-1].get_ydata(), (np.sin(2 * X) - fx.to_numpy(fit.problem.model(X))) / 0.1, atol=1e-6
    )


def test_axes_of_ones_own() -> None:
    fit = model(1, 1).fit(X, 2 * X + 0.1 * np.cos(30 * X), 0.1, prior=None)
    figure = Figure()
    own = figure.subplots(2)
    panels = fit.plot(own)
    assert (panels[0, 0], panels[0, 1]) == (own[0], own[1])
    assert not plt.get_fignums()
    with pytest.raises(ValueError, match=r"`axes` must have 2 panels, two for each output, got 1"):
        fit.plot(own[0])
    with pytest.raises(ValueError, match="`target_names` must have 1 names"):
        fit.plot(target_names=["a", "b"])
    panel = Figure().subplots()
    assert fit.plot_pulls(panel) is panel
    assert sum(bar.get_height() for bar in panel.patches) == 40


def test_minima_and_correlations() -> None:
    fit = model(1, 3, 1).fit(X, np.sin(2 * X), 0.01, prior=3.0, restarts=5)
    above = np.sort([r.fval for r in fit.restarts]) - min(r.fval for r in fit.restarts)
    drawn = np.concatenate([found.get_ydata() for found in fit.plot_minima(Figure().subplots()).lines])
    np.testing.assert_allclose(np.sort(drawn), above)
    image = fit.plot_correlations(Figure().subplots()).images[0].get_array()
    assert fit.covariance is not None
    np.testing.assert_allclose(np.diag(image), 1.0)
    np.testing.assert_allclose(image[0, 1], fit.covariance[0, 1] / (fit.errors[0] * fit.errors[1]))
    far = replace(fit, restarts=[replace(fit.restarts[0], fval=fit.restarts[0].fval + step) for step in (0.0, 50.0)])
    near = replace(fit, restarts=[replace(fit.restarts[0], fval=fit.restarts[0].fval + step) for step in (0.0, 0.5)])
    scales = [some.plot_minima(Figure().subplots()).get_yscale() for some in (far, near)]
    assert scales == ["symlog", "linear"]
    with pytest.raises(ValueError, match="no starts to draw"):
        replace(fit, restarts=[]).plot_minima()


def test_a_fit_without_a_band_has_a_curve() -> None:
    with pytest.warns(fx.FitWarning):
        fit = model(1, 3, 1).fit(X, np.sin(2 * X), 0.01, callback=lambda state: state.calls > 2, prior=None)
    main, _ = fit.plot()[0]
    assert [text.get_text() for text in main.get_legend().get_texts()] == ["fit", "data"]
    assert "NOT A VALID MINIMUM" in main.figure.get_suptitle()
    with pytest.raises(fx.NotFittedError, match="no covariance"):
        fit.plot_correlations()


def test_starts_that_ended_before_a_minimum_have_a_colour_of_their_own() -> None:
    fit = model(1, 3, 1).fit(X, np.sin(2 * X), 0.01, prior=3.0, restarts=2)
    one = fit.restarts[0]
    rows = [replace(one, fval=3.0, minimum=0), replace(one, fval=1.0, minimum=1), replace(one, fval=2.0, minimum=2)]
    lines = {found.get_label(): found for found in replace(fit, restarts=rows).plot_minima(Figure().subplots()).lines}
    np.testing.assert_array_equal(lines["a minimum"].get_ydata(), [0.0, 1.0])
    np.testing.assert_array_equal(lines["ended before"].get_xdata(), [3])


def test_pulls_of_yes_or_no_are_those_of_groups() -> None:
    x = RNG.uniform(-2, 2, 200)
    fit = model(1, 1, output="logistic").fit(x, RNG.random(200) < 0.5, loss="binomial", prior=1.0)
    assert sum(bar.get_height() for bar in fit.plot_pulls(Figure().subplots()).patches) == 20


def test_what_the_data_leave_open_has_no_correlation() -> None:
    net = fx.Model.from_matrices(
        [([[1.0], [1.0]], [3.0, -9.0]), ([[1.0, 1.0]], [0.0])], activation="relu", backend="numpy"
    )
    fit = net.fit(X - 2, X, 0.1, minimizer="migrad", prior=None)
    assert fit.covariance is not None
    image = np.asarray(fit.plot_correlations(Figure().subplots()).images[0].get_array())
    error = np.sqrt(np.diag(fit.covariance))
    np.testing.assert_allclose(np.diag(image), error > 0)


@pytest.mark.slow
def test_an_ensemble_draws_its_own_mean_and_band() -> None:
    net = model(1, 2, 1)
    fit = net.fit(X, np.sin(X) + RNG.normal(0, 0.1, 40), prior="auto")
    main, _ = fit.plot()[0]
    span, mean = line(main)
    want, std = net.predict(span, return_std=True)
    np.testing.assert_allclose(mean, want)
    band = next(c for c in main.collections if str(c.get_label()).startswith("68")).get_paths()[0].vertices
    inside = (want + std < main.get_ylim()[1]) & (want - std > main.get_ylim()[0])
    for x, low, high in zip(span[inside][::40], (want - std)[inside][::40], (want + std)[inside][::40], strict=True):
        drawn = band[np.isclose(band[:, 0], x), 1]
        assert (drawn.min(), drawn.max()) == pytest.approx((low, high))


@pytest.mark.slow
def test_pulls_of_an_ensemble_are_those_of_its_prediction() -> None:
    """Measured values by given errors, and shares of classes by those of their mean probability."""
    net, y = model(1, 2, 1), np.sin(X) + RNG.normal(0, 0.1, 40)
    _, below = net.fit(X, y, 0.1, prior="auto").plot()[0]
    np.testing.assert_allclose(below.lines[-1].get_ydata(), (y - net.predict(X)) / 0.1)
    assert np.max(np.abs(net.predict(X) - net(X))) > 1e-6
    x = RNG.normal(size=(60, 2))
    net, yes = model(2, 2, 1, output="logistic"), RNG.random(60) < 0.5
    drawn = drawn_of(net.fit(x, yes, loss="binomial", prior="auto"))
    p = net.predict(x)
    np.testing.assert_allclose(drawn.predicted[:, 0], p)
    np.testing.assert_allclose(drawn.pulls[:, 0], (yes - p) / np.sqrt(p * (1 - p)))


@pytest.mark.slow
def test_many_outputs_events_and_parameters() -> None:
    """Panels for the first outputs, no bars, and no names that would cover each other."""
    x = RNG.normal(size=(3000, 2))
    fit = model(2, 14).fit(x, x @ RNG.normal(size=(2, 14)) + RNG.normal(0, 0.1, (3000, 14)), 0.1, prior=None)
    panels = fit.plot()
    assert panels.shape == (6, 2)
    assert "6 of 14 outputs" in panels[0, 0].figure.get_suptitle()
    assert not bars_of(panels[0, 0])
    assert fit.plot_correlations(Figure().subplots()).get_xlabel() == "parameter"


def bars_of(axes: Any) -> Any:
    return axes.containers[0][2]


def test_a_pull_far_out_is_inside_of_its_panel() -> None:
    y = 2 * X
    y[20] += 100
    _, below = model(1, 1).fit(X, y, 1.0, prior=None).plot()[0]
    assert below.get_ylim()[1] > np.max(np.abs(below.lines[-1].get_ydata())) > 50


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


@pytest.fixture(scope="module")
def lines() -> dict[int, fx.FitResult]:
    """Fits of one input and of two."""
    return {d: model(d, 1).fit(x, 2 * X, 0.1, prior=None) for d, x in ((1, X), (2, np.stack([X, X**2], axis=1)))}


@pytest.mark.slow
@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.parametrize(("d", "form"), [(1, "svg"), (2, "png")])
def test_names_that_are_given_are_drawn_as_they_are(lines: Any, name: str, d: int, form: str) -> None:
    """Character by character, not as mathematics, also of several inputs, in files of vectors and of pixels."""
    ((main, _),) = lines[d].plot(Figure(), input_names=[name, "b"][:d], target_names=[name])
    label = main.yaxis.label
    assert not label.get_parse_math()
    assert not label.get_usetex()
    if name.isprintable() and len(name) < 50:
        assert label.get_text().endswith(name)
    file = io.BytesIO()
    main.figure.savefig(file, format=form, dpi=40)
    if form == "svg":
        ET.fromstring(file.getvalue())


def test_infinite_errors_fill_the_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a curve is unidentified nothing is known of it."""
    monkeypatch.setattr(
        "ffnn_xp.plotting.fit_pictures._predicted", lambda fit, x: (2 * x, np.where(x > 2, np.inf, 0.1 + 0 * x))
    )
    main, _ = model(1, 1).fit(X, 2 * X, 0.1, prior=None).plot()[0]
    limits = main.get_ylim()
    assert np.all(np.isfinite(limits))
    band = next(c for c in main.collections if str(c.get_label()).startswith("68")).get_datalim(main.transData)
    assert (band.y0, band.y1) == pytest.approx(limits)


def test_pulls_far_outside_are_counted() -> None:
    y = 2 * X
    y[:3] += 100
    ((_, below),) = model(2, 1).fit(np.stack([X, X**2], axis=1), y, 1.0, loss="huber", prior=None).plot(Figure())
    assert "3 beyond ±5" in below.get_legend().get_texts()[0].get_text()
    assert sum(bar.get_height() for bar in below.patches) == 40


@pytest.mark.parametrize("name", ["a\x1b[31m", "x" * 500, "U $[V"])
def test_any_name_of_a_column_can_be_drawn(name: str) -> None:
    """Names of columns come from files: drawn character by character, and shortened."""
    pd = pytest.importorskip("pandas")
    net = model(1, 1)
    fit = net.fit(pd.DataFrame({name: X}), pd.DataFrame({name: 2 * X + 0.1 * np.cos(30 * X)}), 0.1, prior=None)
    main, below = fit.plot()[0]
    texts = [main.yaxis.label, below.xaxis.label, *net.draw().texts[-2:]]
    for text in texts:
        assert text.get_text().isprintable()
        assert 1 < len(text.get_text()) <= 60
        assert not text.get_parse_math()
        assert not text.get_usetex()
    main.figure.canvas.draw()


def test_a_network() -> None:
    net = fx.Model.from_matrices(
        [([[1.0, -2.0], [0.0, 4.0], [1.0, 1.0]], [0.0, 0.0, 0.0]), ([[3.0, 1.0, -1.0]], [0.0])]
    )
    axes = net.draw()
    widths = [found.get_linewidth() for found in axes.lines if len(found.get_xdata()) == 2 and found.get_linewidth()]
    assert max(widths) == 3.0  # the weight 4
    colors = {found.get_linewidth(): found.get_color() for found in axes.lines if found.get_marker() == "None"}
    assert (colors[3.0], colors[1.5]) == ("#0072B2", "#D55E00")  # the weights 4 and -2
    assert len(fx.Model((30, 1), seed=1).draw().lines) == 16 + 2
    assert [text.get_text() for text in axes.texts] == ["L1: 2", "L2: 3", "L3: 1"]
    with pytest.raises(fx.NotFittedError):
        fx.Model().draw()
