r"""Pictures of a fit with its own data, whatever the statistic.

Data and predictions are drawn in units of the network's output: counts over their exposures, contents over the volumes
of their bins, successes over trials. The standard deviation of a measured value follows from its pull, which is
:math:`(t - u)/\sigma` for each statistic. Yes or no, and classes, are drawn as shares of groups of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ffnn_xp._lib.drawing import BLUE, LITERAL, VERMILION, Axes, Label, draw_points, figure, marker, one_panel
from ffnn_xp._lib.errors import NotFittedError
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting import FitRecord
from ffnn_xp.network import evaluate
from ffnn_xp.objective import Drawn, means_over
from ffnn_xp.plotting.panels import MOST_OUTPUTS, CurveData, draw_curve, draw_pulls, entitle


def drawn_of(fit: FitRecord) -> Drawn:
    """Return the numbers of a fit's data and predictions, those of its ensemble if it has one."""
    members = () if fit.predictive is None else fit.predictive.members
    theta = np.stack([member.band.parameters for member in members]) if len(members) > 1 else fit.parameters
    return fit.raw_cost.drawn(theta)


def plot_data(
    fit: FitRecord,
    axes: Any = None,
    *,
    input_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
) -> Any:
    """Draw the data and the fit, two panels for each output (the first six); see `FitResult.plot`."""
    drawn = drawn_of(fit)
    d, k = drawn.x.shape[1], drawn.y.shape[1]
    inputs, outputs, _ = fit.raw_cost.column_labels(input_names, target_names)
    shown = min(k, MOST_OUTPUTS)
    panels = _panels(axes, shown, one_input=d == 1)
    for i, (main, below) in enumerate(panels):
        if d == 1:
            _draw_curve(fit, drawn, i, main, below)
            main.set_ylabel(outputs[i].text, **outputs[i].style)
            below.set_xlabel(inputs[0].text, **inputs[0].style)
        else:
            _draw_against(drawn, i, main, below, outputs[i])
    if axes is None or _is_figure(axes):
        entitle(panels[0, 0].figure, fit, fit.statistic.display_name, k)
    return panels


def plot_pulls(fit: FitRecord, axes: Any = None) -> Any:
    """Draw the distribution of the pulls of all outputs; see `FitResult.plot_pulls`."""
    drawn = drawn_of(fit)
    pulls = drawn.pulls
    if drawn.grouped:
        columns = range(pulls.shape[1])
        pulls = np.concatenate([drawn.in_groups(drawn.predicted[:, i], i).pulls for i in columns])
    axes = one_panel(axes)
    draw_pulls(axes, pulls.ravel(), None)
    return axes


def plot_minima(fit: FitRecord, axes: Any = None) -> Any:
    """Draw how far above the best each start ended; see `FitResult.plot_minima`."""
    if not fit.restarts:
        raise ValueError("there are no starts to draw: MIGRAD alone, and prior='auto', have no table of starts")
    axes = one_panel(axes)
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
    axes = one_panel(axes)
    error = np.sqrt(np.diag(fit.covariance))
    known = np.where(error > 0, error, np.inf)
    image = axes.imshow(fit.covariance / np.outer(known, known), vmin=-1, vmax=1, cmap="RdBu_r")
    axes.figure.colorbar(image, ax=axes, label="correlation")
    if len(error) <= 40:
        ticks = np.arange(len(error))
        size = "small" if len(error) <= 20 else "xx-small"
        axes.set_xticks(ticks, fit.names, rotation=90, fontsize=size, **LITERAL)
        axes.set_yticks(ticks, fit.names, fontsize=size, **LITERAL)
    else:
        axes.set(xlabel="parameter", ylabel="parameter")
    return axes


def _draw_curve(fit: FitRecord, drawn: Drawn, i: int, main: Axes, below: Axes) -> None:
    """Draw data, curve and band of one output of one input into `main`, pulls into `below`."""
    x = drawn.x[:, 0]
    margin = 0.0 if drawn.half_width is None else drawn.half_width
    shown, j = (drawn.in_groups(x, i), 0) if drawn.grouped else (drawn, i)
    label = f"groups of {len(x) // len(shown.x)}" if drawn.grouped else "data"
    steps = None
    if drawn.bins is not None:
        steps = means_over(drawn.bins, _predicted(fit, drawn.bins.x, band=False)[0])[:, i], drawn.bins.edges[0]
    data = CurveData(shown.x[:, 0], shown.y[:, j], shown.error[:, j], shown.pulls[:, j], shown.half_width, label, steps)

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


def _predicted(fit: FitRecord, x: HostArray, *, band: bool = True) -> tuple[HostArray, HostArray | None]:
    """Return the fitted function at inputs ``(m, d)``, and its standard deviation if there is one, each ``(m, k)``."""
    backend, network = fit.problem.model.backend, fit.problem.network
    with backend.context():
        columns = backend.to_device(np.ascontiguousarray(x.T))
    at = (network, backend, columns)
    if fit.predictive is not None and len(fit.predictive.members) > 1:
        return fit.predictive.mean(*at).T, fit.predictive.std(*at, with_y_error=False).T if band else None
    mean = backend.to_host(evaluate(network, backend, backend.to_device(fit.parameters), columns)).T
    return mean, None if fit.error_band is None or not band else backend.to_host(fit.error_band.std(*at)).T


def _panels(axes: Any, outputs: int, *, one_input: bool) -> Any:
    """Return pairs of panels ``(outputs, 2)``, the user's, or those of an empty figure, by default one of pyplot."""
    if axes is not None and not _is_figure(axes):
        given = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
        if len(given) != 2 * outputs:
            raise ValueError(f"`axes` must have {2 * outputs} panels, two for each output, got {len(given)}")
        return given.reshape(outputs, 2)
    own = figure() if axes is None else axes
    own.set_layout_engine("constrained")
    own.set_size_inches(own.get_size_inches() * ((outputs, 1.1) if one_input else (1.5, outputs)))
    if one_input:
        return own.subplots(2, outputs, squeeze=False, sharex="col", height_ratios=(3, 1)).T
    return own.subplots(outputs, 2, squeeze=False)


def _is_figure(axes: Any) -> bool:
    return hasattr(axes, "subplots")
