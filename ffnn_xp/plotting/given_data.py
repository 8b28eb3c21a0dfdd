"""Pictures of a fit: the curve with its band, or predictions against measurements, and the pulls."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from ffnn_xp._lib.errors import NotFittedError
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.typing import HostArray
from ffnn_xp._lib.validation import column_names
from ffnn_xp.backends import host_floats, to_numpy
from ffnn_xp.network import Network
from ffnn_xp.plotting.panels import (
    BLUE,
    MOST_BARS,
    MOST_OUTPUTS,
    SKY,
    VERMILION,
    Axes,
    CurveData,
    DrawnFit,
    Label,
    draw_curve,
    draw_pulls,
    entitle,
    labels,
    marker,
    opacity,
    tidy,
)

__all__ = ["plot_fit"]

Figure = Any
"""A matplotlib Figure."""


class DrawnModel(Protocol):
    """The part of a `Model` that a drawing needs."""

    @property
    def network(self) -> Network:
        """The widths and activations."""

    def predict(self, x: Any, *, return_std: bool = False) -> Any:
        """Return outputs and, if requested, their standard deviations."""


def plot_fit(
    fit: DrawnFit,
    x: Any,
    y: Any,
    y_err: Any,
    model: DrawnModel,
    *,
    input_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
) -> Figure:
    r"""Draw data and fit, one row or column of panels for each output (the first six).

    With one input: the data, the curve with its 68 % band, and the pulls :math:`(y - f(x)) / \sigma` below. With
    several: predictions against measurements, and the histogram of the pulls with the unit normal distribution.

    Parameters
    ----------
    fit : FitResult
        The result of `Model.fit`.
    x, y, y_err : array-like
        The data of the fit; where `y_err` is None, the errors are those that the fit estimated.
    model : Model
        The fitted model.
    input_names, target_names : sequence of str, optional
        Labels of the axes, drawn as they are, with units if you like. For mathematical text set the labels of the
        figure's axes.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that pyplot does not know, so that it need not be closed. Call `savefig`, or let a notebook show it.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the data do not have the model's inputs and outputs, or the known errors of the fit are missing.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> x = np.linspace(-2, 2, 50)
    >>> model = fx.Model((1, 3, 1), seed=1)
    >>> fit = model.fit(x, np.tanh(2 * x) + 0.05 * np.cos(40 * x), 0.05)
    >>> figure = plot_fit(fit, x, np.tanh(2 * x), 0.05, model, input_names=["t [s]"], target_names=["U [V]"])
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['U [V]', 'pull']
    """
    figure_module = require("matplotlib.figure", "plot", "plotting")
    rows, targets, errors = _data(fit, x, y, y_err, model)
    d, k = rows.shape[1], targets.shape[1]
    inputs = labels(column_names(input_names, "input_names", d), "x", d)
    outputs = labels(column_names(target_names, "target_names", k), "y", k)
    shown, predicted = min(k, MOST_OUTPUTS), _columns(model.predict(rows), k)
    if d == 1:
        figure = figure_module.Figure(figsize=(1.6 + 5.0 * shown, 5.2), layout="constrained")
        axes = figure.subplots(2, shown, squeeze=False, sharex=True, height_ratios=(3, 1))
        for i in range(shown):
            data = CurveData(rows[:, 0], targets[:, i], errors[:, i], (targets - predicted)[:, i] / errors[:, i])
            draw_curve(axes[0, i], axes[1, i], data, partial(_function, model, k, i))
            axes[0, i].set_ylabel(outputs[i].text, **outputs[i].style)
            axes[1, i].set_xlabel(inputs[0].text, **inputs[0].style)
    else:
        figure = figure_module.Figure(figsize=(9.6, 0.6 + 4.2 * shown), layout="constrained")
        axes = figure.subplots(shown, 2, squeeze=False)
        for i in range(shown):
            _against(axes[i, 0], predicted[:, i], targets[:, i], errors[:, i], outputs[i])
            draw_pulls(axes[i, 1], (targets[:, i] - predicted[:, i]) / errors[:, i], outputs[i] if k > 1 else None)
    for panel in figure.axes:
        tidy(panel)
    entitle(figure, fit, "χ²", k)
    return figure


def _data(fit: DrawnFit, x: Any, y: Any, y_err: Any, model: DrawnModel) -> tuple[HostArray, HostArray, HostArray]:
    """Return inputs ``(n, d)``, targets and errors ``(n, k)`` on the host."""
    d, k = model.network.layout.widths[0], model.network.layout.widths[-1]
    rows, targets = host_floats(x, "x"), host_floats(y, "y")
    rows = rows.reshape(-1, 1) if rows.ndim < 2 else rows
    if not len(rows):
        raise ValueError("`x` must have at least one event to plot")
    targets = targets.reshape(len(rows), -1) if targets.size % len(rows) == 0 else targets
    if rows.ndim != 2 or rows.shape[1] != d or targets.shape != (len(rows), k):
        raise ValueError(
            f"`x` must have shape (n, {d}) and `y` (n, {k}) for this model, got {rows.shape} and {targets.shape}"
        )
    if y_err is None and fit.y_error is None:
        raise ValueError("this fit was made with known errors of y: pass them as `y_err`")
    errors = host_floats(fit.y_error if y_err is None else y_err, "y_err")
    if errors.shape == (len(rows),):
        errors = errors[:, None]
    if errors.shape not in ((), (1,), (k,), (len(rows), 1), (1, k), targets.shape):
        raise ValueError(f"`y_err` must have shape (n,), (n, {k}), ({k},), or be one number, got {errors.shape}")
    return rows, targets, np.broadcast_to(errors, targets.shape)


def _function(model: DrawnModel, k: int, i: int, x: HostArray) -> tuple[HostArray, HostArray | None]:
    """Return one output and its standard deviation at inputs ``(m,)``; None without one."""
    try:
        mean, std = (_columns(a, k)[:, i] for a in model.predict(x[:, None], return_std=True))
        return mean, std
    except NotFittedError:
        return _columns(model.predict(x[:, None]), k)[:, i], None


def _against(axes: Axes, predicted: HostArray, y: HostArray, errors: HostArray, name: Label) -> None:
    """Draw predictions against measurements, with the diagonal."""
    bars = errors if len(y) <= MOST_BARS else None
    low, high = min(y.min(), predicted.min()), max(y.max(), predicted.max())
    margin = 0.04 * (high - low) or 1.0
    ends = (low - margin, high + margin)
    axes.errorbar(
        y, predicted, xerr=bars, fmt="o", ms=marker(len(y)), color=BLUE, ecolor=SKY, elinewidth=0.8,
        alpha=opacity(len(y)), rasterized=len(y) > MOST_BARS,
    )  # fmt: skip
    axes.plot(ends, ends, color=VERMILION, lw=1.4, ls="--", label="predicted = measured", zorder=3)
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.set_xlabel(f"measured {name.text}", **name.style)
    axes.set_ylabel(f"predicted {name.text}", **name.style)
    axes.legend(frameon=False, loc="upper left")


def _columns(a: Any, k: int) -> HostArray:
    return np.asarray(to_numpy(a), dtype=np.float64).reshape(-1, k)
