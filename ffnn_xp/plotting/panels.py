"""The panels of a curve and of pulls, and the title."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ffnn_xp._lib.drawing import (
    BLUE,
    CURVE_POINTS,
    LITERAL,
    MOST_BARS,
    SKY,
    VERMILION,
    Axes,
    Label,
    draw_points,
    draw_steps,
    ink,
    marker,
    opacity,
)
from ffnn_xp._lib.text import visible, with_error
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting import FitRecord

MOST_OUTPUTS = 6  # outputs that get panels: with more, panels would be too small


class CurveData(NamedTuple):
    """Measured values over one input, ``(n,)``, with the half widths of their bins if they have any.

    The steps are the means of the curve over bins, and their edges.
    """

    x: HostArray
    y: HostArray
    error: HostArray
    pulls: HostArray
    half_width: HostArray | None = None
    label: str = "data"
    steps: tuple[HostArray, HostArray] | None = None


def draw_curve(
    main: Axes,
    below: Axes,
    data: CurveData,
    function: Callable[[HostArray], tuple[HostArray, HostArray | None]],
    ends: tuple[float, float],
) -> None:
    """Draw data, and the curve with its band between two ends, in the upper panel, pulls in the lower one.

    The function returns the curve at inputs ``(m,)``, and its standard deviation if it is known.
    """
    span = np.linspace(*ends, CURVE_POINTS)
    mean, std = function(span)
    draw_points(main, data.x, data.y, data.error, data.half_width, data.label)
    if data.steps is not None:
        draw_steps(main, *data.steps, BLUE, "fit in bins")
        main.update_datalim(np.stack([span, mean], axis=1))  # within a bin the curve may leave the range of the data
        main.autoscale_view()
    limits = main.get_ylim()
    if std is not None:
        # an infinite error, where the curve is unidentified, fills the panel
        low, high = (np.clip(mean + sign * std, *limits) for sign in (-1, 1))
        main.fill_between(span, low, high, color=SKY, alpha=0.5, lw=0, label="68 % band", zorder=3)
    main.plot(span, mean, color=BLUE, lw=1.8 if data.steps is None else 1.0, label="fit", zorder=4)
    main.set_ylim(limits)
    main.legend(
        frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, columnspacing=1.2,
        handlelength=1.5, handletextpad=0.5,
    )  # fmt: skip
    n = len(data.x)
    below.axhspan(-1, 1, color=SKY, alpha=0.3, lw=0)
    below.axhline(0, color=BLUE, lw=1)
    below.plot(data.x, data.pulls, "o", ms=marker(n), color=ink(below), alpha=opacity(n), rasterized=n > MOST_BARS)
    finite = np.abs(data.pulls[np.isfinite(data.pulls)])
    reach = max(3.2, 1.1 * float(finite.max(initial=0.0)))
    below.set(ylim=(-reach, reach), ylabel="pull")


def draw_pulls(axes: Axes, pulls: HostArray, name: Label | None) -> None:
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
    lines = [f"{n} pulls", f"mean {with_error(mean, error)}", f"width {with_error(width, error / np.sqrt(2))}"]
    outside = int(np.sum(np.abs(pulls) > reach))
    if outside:
        lines.append(f"{outside} beyond ±{reach:g}, in the outermost bins")
    return "\n".join(lines)


def entitle(figure: Any, fit: FitRecord, statistic: str, outputs: int) -> None:
    """Give a figure of several outputs its title, and its panels one style."""
    known = "" if fit.y_error is None else ", errors of y from the residuals"
    parts = [fit.description, f"{statistic} / ndof = {fit.chi2:.6g} / {fit.ndof:.5g}{known}"]
    if outputs > MOST_OUTPUTS:
        parts.append(f"{MOST_OUTPUTS} of {outputs} outputs")
    if not fit.valid:
        parts.append("NOT A VALID MINIMUM")
    size = figure.axes[0].yaxis.label.get_size()  # some styles set the sizes of labels alone
    figure.suptitle(visible("   ".join(parts)), fontsize=size, wrap=True, **LITERAL)
