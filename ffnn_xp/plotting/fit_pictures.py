r"""Pictures of a fit with its own data, whatever the statistic.

Data and predictions are drawn in units of the network's output: counts over their exposures, contents over the volumes
of their bins, successes over trials. The standard deviation of a measured value follows from its pull, which is
:math:`(t - u)/\sigma` for each statistic. Yes or no, and classes, are drawn as shares of groups of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffnn_xp._lib.errors import NotFittedError
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.typing import HostArray
from ffnn_xp._lib.validation import column_names
from ffnn_xp.fitting import FitRecord
from ffnn_xp.network import evaluate
from ffnn_xp.plotting.panels import (
    BLUE,
    LITERAL,
    MOST_OUTPUTS,
    VERMILION,
    Axes,
    CurveData,
    Label,
    draw_curve,
    draw_points,
    draw_pulls,
    entitle,
    labels,
    marker,
    tidy,
)

GROUPS = 20  # groups of events whose shares are drawn, at most
LEAST_IN_GROUP = 10  # events of a group: with fewer its error bar would mean little


@dataclass(frozen=True)
class Drawn:
    """The numbers that are drawn of the data, in units of the network's output; all arrays are on the host.

    Attributes
    ----------
    x : array with shape (n, d)
        Inputs, or the centres of bins.
    half_width : array with shape (n,) or None
        Half the width of each bin in one dimension.
    y, error, predicted, pulls : array with shape (n, k)
        Measured values, their standard deviations (NaN where values are correlated), predictions, and pulls.
    weight : array with shape (n,)
        How many times each event counts in a group; ones where weights have both signs.
    grouped : bool
        Whether single values are yes or no, so that shares of groups are drawn.
    """

    x: HostArray
    half_width: HostArray | None
    y: HostArray
    error: HostArray
    predicted: HostArray
    pulls: HostArray
    weight: HostArray
    grouped: bool = False

    @classmethod
    def of(cls, fit: FitRecord) -> Drawn:
        """Return the numbers of the data of a fit; predictions are those of its ensemble, if it has one."""
        cost, members = fit.raw_cost, () if fit.predictive is None else fit.predictive.members
        theta = np.stack([m.band.parameters for m in members]) if len(members) > 1 else fit.parameters
        n, unit = cost.data.n, cost.unit()
        y, deviation, predicted, pulls = (
            np.asarray(a, dtype=np.float64).reshape(n, -1)
            for a in (cost.y, cost.standard_deviations(theta), cost.prediction(theta), cost.pulls(theta))
        )
        kind, weights = cost.statistic.target_kind, cost.data.weights
        weight = np.ones(n) if weights is None else cost.model.backend.to_host(weights)[0]
        return cls(
            cost.x,
            _half_width(fit),
            y / unit,
            deviation / unit,
            predicted / cost.volume(),
            pulls,
            weight if np.all(weight >= 0) else np.ones(n),
            grouped=kind in ("successes", "class") and bool(np.all((y == 0) | (y == 1))),
        )

    def in_groups(self, along: HostArray, output: int) -> Drawn:
        """Return the means of one output over groups of events that are neighbours along some values ``(n,)``."""
        n = len(along)
        order = np.argsort(along, kind="stable")
        parts = np.array_split(order, max(1, min(GROUPS, n // LEAST_IN_GROUP)))

        def mean(a: HostArray) -> HostArray:
            return np.stack([np.average(a[part], axis=0, weights=self.weight[part]) for part in parts])

        y, predicted = mean(self.y[:, output : output + 1]), mean(self.predicted[:, output : output + 1])
        total = np.array([self.weight[part].sum() for part in parts])
        error = np.sqrt(mean(self.error[:, output : output + 1] ** 2) / total[:, None])
        return Drawn(mean(self.x), None, y, error, predicted, (y - predicted) / error, total)


def plot_data(
    fit: FitRecord,
    axes: Any = None,
    *,
    input_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
) -> Any:
    """Draw the data and the fit, two panels for each output (the first six); see `FitResult.plot`."""
    drawn = Drawn.of(fit)
    d, k = drawn.x.shape[1], drawn.y.shape[1]
    inputs = labels(column_names(input_names, "input_names", d) or fit.problem.data.input_names, "x", d)
    outputs = labels(column_names(target_names, "target_names", k) or fit.problem.data.target_names, "y", k)
    shown = min(k, MOST_OUTPUTS)
    panels = _panels(axes, shown, one_input=d == 1)
    for i, (main, below) in enumerate(panels):
        if d == 1:
            _draw_curve(fit, drawn, i, main, below)
            main.set_ylabel(outputs[i].text, **outputs[i].style)
            below.set_xlabel(inputs[0].text, **inputs[0].style)
        else:
            _draw_against(drawn, i, main, below, outputs[i])
        for panel in (main, below):
            tidy(panel)
    if axes is None or _is_figure(axes):
        entitle(panels[0, 0].figure, fit, fit.statistic.display_name, k)
    return panels


def plot_pulls(fit: FitRecord, axes: Any = None) -> Any:
    """Draw the distribution of the pulls of all outputs; see `FitResult.plot_pulls`."""
    axes = _one_panel(axes)
    drawn = Drawn.of(fit)
    pulls = drawn.pulls
    if drawn.grouped:
        columns = range(pulls.shape[1])
        pulls = np.concatenate([drawn.in_groups(drawn.predicted[:, i], i).pulls for i in columns])
    draw_pulls(axes, pulls.ravel(), None)
    return axes


def plot_minima(fit: FitRecord, axes: Any = None) -> Any:
    """Draw how far above the best each start ended; see `FitResult.plot_minima`."""
    if not fit.restarts:
        raise ValueError("there are no starts to draw: MIGRAD alone, and prior='auto', have no table of starts")
    axes = _one_panel(axes)
    rows = sorted(fit.restarts, key=lambda r: r.fval)
    above = np.array([r.fval - rows[0].fval for r in rows]) / fit.statistic.errordef
    rank = np.arange(1, len(rows) + 1)
    converged = np.array([r.minimum > 0 for r in rows])
    for which, color, label in ((converged, BLUE, "a minimum"), (~converged, VERMILION, "ended before")):
        if np.any(which):
            axes.plot(rank[which], above[which], "o", color=color, ms=marker(len(rows)) + 1, label=label)
    if np.max(above) > 1:
        axes.set_yscale("symlog", linthresh=1.0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="starts, the best first", ylabel="S above the best, in units of errordef")
    axes.legend(frameon=False)
    return axes


def plot_correlations(fit: FitRecord, axes: Any = None) -> Any:
    """Draw the correlations of the parameters as a matrix; see `FitResult.plot_correlations`."""
    if fit.covariance is None:
        raise NotFittedError(f"no covariance: {fit.message}")
    axes = _one_panel(axes)
    error = np.sqrt(np.diag(fit.covariance))
    known = np.where(error > 0, error, np.inf)
    image = axes.imshow(fit.covariance / np.outer(known, known), vmin=-1, vmax=1, cmap="RdBu_r")
    axes.figure.colorbar(image, ax=axes, label="correlation")
    if len(error) <= 40:
        ticks = np.arange(len(error))
        axes.set_xticks(ticks, fit.names, rotation=90, fontsize="small", **LITERAL)
        axes.set_yticks(ticks, fit.names, fontsize="small", **LITERAL)
    else:
        axes.set(xlabel="parameter", ylabel="parameter")
    return axes


def _draw_curve(fit: FitRecord, drawn: Drawn, i: int, main: Axes, below: Axes) -> None:
    """Draw data, curve and band of one output of one input into `main`, pulls into `below`."""
    x = drawn.x[:, 0]
    margin = 0.0 if drawn.half_width is None else drawn.half_width
    shown, j = (drawn.in_groups(x, i), 0) if drawn.grouped else (drawn, i)
    label = f"groups of {len(x) // len(shown.x)}" if drawn.grouped else "data"
    data = CurveData(shown.x[:, 0], shown.y[:, j], shown.error[:, j], shown.pulls[:, j], shown.half_width, label)

    def function(span: HostArray) -> tuple[HostArray, HostArray | None]:
        mean, std = _predicted(fit, span[:, None])
        return mean[:, i], None if std is None else std[:, i]

    draw_curve(main, below, data, function, (float(np.min(x - margin)), float(np.max(x + margin))))


def _draw_against(drawn: Drawn, i: int, main: Axes, below: Axes, name: Label) -> None:
    """Draw predictions against measured values of one output into `main`, the histogram of its pulls into `below`."""
    shown, j = (drawn.in_groups(drawn.predicted[:, i], i), 0) if drawn.grouped else (drawn, i)
    predicted, y, error = shown.predicted[:, j], shown.y[:, j], shown.error[:, j]
    label = f"groups of {len(drawn.y) // len(y)}" if drawn.grouped else None
    draw_points(main, predicted, y, error, None, label)
    values = np.concatenate([predicted, y])
    ends = (float(np.min(values)), float(np.max(values)))
    main.plot(ends, ends, color=VERMILION, lw=1.4, ls="--", label="predicted = measured", zorder=3)
    main.set_xlabel(f"predicted {name.text}", **name.style)
    main.set_ylabel(f"measured {name.text}", **name.style)
    main.legend(frameon=False, loc="upper left")
    draw_pulls(below, shown.pulls[:, j], None)


def _predicted(fit: FitRecord, x: HostArray) -> tuple[HostArray, HostArray | None]:
    """Return the fitted function and its standard deviation at inputs ``(m, d)``, each ``(m, k)``; None without one."""
    backend, network = fit.problem.model.backend, fit.problem.network
    with backend.context():
        columns = backend.to_device(np.ascontiguousarray(x.T))
    at = (network, backend, columns)
    if fit.predictive is not None and len(fit.predictive.members) > 1:
        return fit.predictive.mean(*at).T, fit.predictive.std(*at, with_y_error=False).T
    mean = backend.to_host(evaluate(network, backend, backend.to_device(fit.parameters), columns)).T
    return mean, None if fit.error_band is None else backend.to_host(fit.error_band.std(*at)).T


def _half_width(fit: FitRecord) -> HostArray | None:
    """Return half the width of each bin in one dimension, ``(n,)``, from the outermost of its nodes."""
    data, backend = fit.problem.data, fit.problem.model.backend
    if data.nodes is None or data.x.shape[0] > 1:
        return None
    x = backend.to_host(data.x).reshape(data.n, -1)
    if x.shape[1] == 1:
        return np.asarray(0.5 * backend.to_host(data.nodes)[0])
    outermost = float(np.max(np.polynomial.legendre.leggauss(x.shape[1])[0]))
    return np.asarray(0.5 * (x[:, -1] - x[:, 0]) / outermost)


def _panels(axes: Any, outputs: int, *, one_input: bool) -> Any:
    """Return pairs of panels ``(outputs, 2)``, the user's, or those of an empty figure, by default one of pyplot."""
    if axes is not None and not _is_figure(axes):
        given = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
        if len(given) != 2 * outputs:
            raise ValueError(f"`axes` must have {2 * outputs} panels, two for each output, got {len(given)}")
        return given.reshape(outputs, 2)
    figure = _figure() if axes is None else axes
    figure.set_layout_engine("constrained")
    figure.set_size_inches((1.6 + 5.0 * outputs, 5.2) if one_input else (9.6, 0.6 + 4.2 * outputs))
    if one_input:
        return figure.subplots(2, outputs, squeeze=False, sharex="col", height_ratios=(3, 1)).T
    return figure.subplots(outputs, 2, squeeze=False)


def _is_figure(axes: Any) -> bool:
    return hasattr(axes, "subplots")


def _one_panel(axes: Any) -> Any:
    return _figure(figsize=(6.0, 4.4), layout="constrained").subplots() if axes is None else axes


def _figure(**options: Any) -> Any:
    return require("matplotlib.pyplot", "plot", "plotting").figure(**options)
