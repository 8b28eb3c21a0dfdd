"""Pictures of a fit: the curve with its band, or predictions against measurements, and the pulls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ffnn_xp._lib.errors import NotFittedError
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.text import visible
from ffnn_xp._lib.typing import HostArray
from ffnn_xp._lib.validation import column_names
from ffnn_xp.backends import host_floats, to_numpy
from ffnn_xp.network import Network

__all__ = ["plot_fit"]

Axes = Any
"""A matplotlib Axes."""

Figure = Any
"""A matplotlib Figure."""

# M. Okabe and K. Ito, Color Universal Design (2008): distinguishable with any colour vision
BLUE, SKY, VERMILION, GREY = "#0072B2", "#56B4E9", "#D55E00", "#4D4D4D"
MOST_OUTPUTS = 6  # outputs that get panels: with more, panels would be too small
MOST_BARS = 2000  # events above which error bars would cover everything
LITERAL = {"parse_math": False, "usetex": False}  # of a text that is drawn character by character
LONGEST_NAME = 60  # characters of a name on an axis: longer ones leave no room for the panels
CURVE_POINTS = 400  # points of a drawn curve, about one for each pixel of a panel


class DrawnFit(Protocol):
    """The part of a `FitResult` that a drawing needs."""

    @property
    def valid(self) -> bool:
        """True if a minimum was certified."""

    @property
    def chi2(self) -> float:
        """The data's part of the cost."""

    @property
    def ndof(self) -> float:
        """The degrees of freedom."""

    @property
    def y_error(self) -> HostArray | None:
        """The errors of y ``(k,)``, if they were estimated from the residuals."""

    @property
    def description(self) -> str:
        """The network in words."""


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
    inputs = _labels(column_names(input_names, "input_names", d), "x", d)
    outputs = _labels(column_names(target_names, "target_names", k), "y", k)
    shown = min(k, MOST_OUTPUTS)
    if d == 1:
        figure = figure_module.Figure(figsize=(1.6 + 5.0 * shown, 5.2), layout="constrained")
        axes = figure.subplots(2, shown, squeeze=False, sharex=True, height_ratios=(3, 1))
        for i in range(shown):
            _curve(axes[:, i], model, rows[:, 0], targets[:, i], errors[:, i], i)
            axes[0, i].set_ylabel(outputs[i].text, **outputs[i].style)
            axes[1, i].set_xlabel(inputs[0].text, **inputs[0].style)
    else:
        figure = figure_module.Figure(figsize=(9.6, 0.6 + 4.2 * shown), layout="constrained")
        axes = figure.subplots(shown, 2, squeeze=False)
        predicted = _columns(model.predict(rows), k)
        for i in range(shown):
            _against(axes[i, 0], predicted[:, i], targets[:, i], errors[:, i], outputs[i])
            _histogram(axes[i, 1], (targets[:, i] - predicted[:, i]) / errors[:, i], outputs[i] if k > 1 else None)
    for panel in figure.axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(direction="in")
    figure.suptitle(visible(_title(fit, k)), fontsize="medium", **LITERAL)
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


def _curve(axes: Sequence[Axes], model: DrawnModel, x: HostArray, y: HostArray, errors: HostArray, i: int) -> None:
    """Draw data, curve and band in the upper panel, pulls in the lower one."""
    main, below = axes
    k = model.network.layout.widths[-1]
    span = np.linspace(x.min(), x.max(), CURVE_POINTS)
    bars = errors if len(x) <= MOST_BARS else None
    size = _marker(len(x))
    main.errorbar(
        x, y, bars, fmt="o", ms=size, color=GREY, ecolor=GREY, elinewidth=0.8, alpha=_opacity(len(x)), label="data",
        rasterized=len(x) > MOST_BARS, zorder=2,
    )  # fmt: skip
    limits = main.get_ylim()
    try:
        mean, std = (_columns(a, k)[:, i] for a in model.predict(span[:, None], return_std=True))
        # an infinite error, where the curve is unidentified, fills the panel
        low, high = (np.clip(mean + sign * std, *limits) for sign in (-1, 1))
        main.fill_between(span, low, high, color=SKY, alpha=0.5, lw=0, label="68 % band of the curve", zorder=3)
    except NotFittedError:
        mean = _columns(model.predict(span[:, None]), k)[:, i]
    main.plot(span, mean, color=BLUE, lw=1.8, label="fit", zorder=4)
    main.set_ylim(limits)
    main.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    pulls = (y - _columns(model.predict(x[:, None]), k)[:, i]) / errors
    below.axhspan(-1, 1, color=SKY, alpha=0.3, lw=0)
    below.axhline(0, color=BLUE, lw=1)
    below.plot(x, pulls, "o", ms=size, color=GREY, alpha=_opacity(len(x)), rasterized=len(x) > MOST_BARS)
    reach = max(3.2, 1.1 * float(np.max(np.abs(pulls)))) if np.all(np.isfinite(pulls)) else 3.2
    below.set_ylim(-reach, reach)
    below.set_ylabel("pull")


def _against(axes: Axes, predicted: HostArray, y: HostArray, errors: HostArray, name: Label) -> None:
    """Draw predictions against measurements, with the diagonal."""
    bars = errors if len(y) <= MOST_BARS else None
    low, high = min(y.min(), predicted.min()), max(y.max(), predicted.max())
    margin = 0.04 * (high - low) or 1.0
    ends = (low - margin, high + margin)
    axes.errorbar(
        y, predicted, xerr=bars, fmt="o", ms=_marker(len(y)), color=BLUE, ecolor=SKY, elinewidth=0.8,
        alpha=_opacity(len(y)), rasterized=len(y) > MOST_BARS,
    )  # fmt: skip
    axes.plot(ends, ends, color=VERMILION, lw=1.4, ls="--", label="predicted = measured", zorder=3)
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.set_xlabel(f"measured {name.text}", **name.style)
    axes.set_ylabel(f"predicted {name.text}", **name.style)
    axes.legend(frameon=False, loc="upper left")


def _histogram(axes: Axes, pulls: HostArray, name: Label | None) -> None:
    """Draw the distribution of the pulls; the outermost bins also count what lies beyond five sigma."""
    n, reach = len(pulls), 5.0
    edges = np.linspace(-reach, reach, int(np.clip(2 * n ** (1 / 3), 10, 50)) // 2 * 2 + 1)
    axes.hist(np.clip(pulls, -reach, reach), edges, color=SKY, edgecolor=BLUE, lw=0.6, label=_moments(pulls, reach))
    z = np.linspace(-reach, reach, CURVE_POINTS)
    normal = n * (edges[1] - edges[0]) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    axes.plot(z, normal, color=VERMILION, lw=1.8, label="unit normal")
    of, style = ("", {}) if name is None else (f" of {name.text}", name.style)
    axes.set(xlim=(-reach, reach), ylabel="entries per bin")
    axes.set_xlabel(f"pull{of}, (measured - predicted) / error", **style)
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    axes.legend(frameon=False, loc="upper left")


def _moments(pulls: HostArray, reach: float) -> str:
    """Return a text of mean and width with their statistical errors, and the number of pulls outside the histogram."""
    n = len(pulls)
    mean, width = float(np.mean(pulls)), float(np.std(pulls))
    error = width / np.sqrt(n)
    digits = int(np.clip(1 - np.floor(np.log10(error)), 0, 8)) if error > 0 else 2
    lines = [
        f"{n} pulls",
        f"mean {round(mean, digits) + 0.0:.{digits}f} ± {error:.{digits}f}",
        f"width {width:.{digits}f} ± {error / np.sqrt(2):.{digits}f}",
    ]
    outside = int(np.sum(np.abs(pulls) > reach))
    if outside:
        lines.append(f"{outside} beyond ±{reach:g}, in the outermost bins")
    return "\n".join(lines)


def _title(fit: DrawnFit, k: int) -> str:
    known = "" if fit.y_error is None else ", errors of y from the residuals"
    parts = [fit.description, f"χ² / ndof = {fit.chi2:.6g} / {fit.ndof:.5g}{known}"]
    if k > MOST_OUTPUTS:
        parts.append(f"{MOST_OUTPUTS} of {k} outputs")
    if not fit.valid:
        parts.append("NOT A VALID MINIMUM")
    return "   ".join(parts)


class Label(NamedTuple):
    """The name of a column as a picture shows it, and how matplotlib is to draw it."""

    text: str
    style: dict[str, bool]


def _labels(names: Sequence[str] | None, letter: str, number: int) -> list[Label]:
    """Return the labels of columns: their names, which are no mathematical text, or a letter, which is."""
    if names is None:
        return [Label(f"${letter}_{{{i}}}$" if number > 1 else f"${letter}$", {}) for i in range(number)]
    shown = [visible(name) for name in names]
    return [Label(n if len(n) <= LONGEST_NAME else f"{n[: LONGEST_NAME - 3]}...", LITERAL) for n in shown]


def _columns(a: Any, k: int) -> HostArray:
    return np.asarray(to_numpy(a), dtype=np.float64).reshape(-1, k)


def _marker(n: int) -> float:
    return float(np.clip(40 / np.sqrt(n), 1.2, 4.5))


def _opacity(n: int) -> float:
    return float(np.clip(20 / np.sqrt(n), 0.1, 0.9))
