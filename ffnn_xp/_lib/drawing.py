"""The parts of all pictures: colours, names of columns, and points with errors, drawn into matplotlib's axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ffnn_xp._lib.optional import require
from ffnn_xp._lib.text import visible
from ffnn_xp._lib.typing import HostArray

Axes = Any
"""A matplotlib Axes."""

# M. Okabe and K. Ito, Color Universal Design (2008): distinguishable with any colour vision
BLUE, SKY, VERMILION = "#0072B2", "#56B4E9", "#D55E00"
OUTPUTS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", SKY)
MOST_BARS = 2000  # events above which error bars would cover everything
LITERAL = {"parse_math": False, "usetex": False}  # of a text that is drawn character by character
LONGEST_NAME = 60  # characters of a name on an axis: longer ones leave no room for the panels
CURVE_POINTS = 400  # points of a drawn curve, about one for each pixel of a panel


class Label(NamedTuple):
    """The name of a column as a picture shows it, and how matplotlib is to draw it."""

    text: str
    style: dict[str, bool]


def labels(names: Sequence[str] | None, letter: str, number: int) -> list[Label]:
    """Return the labels of columns: their names, which are no mathematical text, or a letter, which is."""
    if names is None:
        return [Label(f"${letter}_{{{i}}}$" if number > 1 else f"${letter}$", {}) for i in range(number)]
    shown = [visible(name) for name in names]
    return [Label(n if len(n) <= LONGEST_NAME else f"{n[: LONGEST_NAME - 3]}...", LITERAL) for n in shown]


def figure(**options: Any) -> Any:
    """Return a new figure of pyplot."""
    return require("matplotlib.pyplot", "plot", "plotting").figure(**options)


def one_panel(axes: Axes | None, **options: Any) -> Axes:
    """Return the user's axes, or those of a new figure of pyplot."""
    return figure(layout="constrained", **options).subplots() if axes is None else axes


def draw_points(
    axes: Axes,
    x: HostArray,
    y: HostArray,
    error: HostArray,
    half_width: HostArray | None,
    label: str | None,
    color: str | None = None,
) -> None:
    """Draw points with their errors, if they are known and not too many, by default in the colour of texts."""
    color = color or ink(axes)
    many = len(x) > MOST_BARS
    bars = None if many or not np.all(np.isfinite(error)) else error
    axes.errorbar(
        x, y, bars, half_width, fmt="o", ms=marker(len(x)), color=color, ecolor=color, elinewidth=0.8,
        alpha=opacity(len(x)), label=label, rasterized=many, zorder=2,
    )  # fmt: skip


def ink(axes: Axes) -> str:
    """Return the colour of texts beside axes, dark on light or light on dark as the style has it."""
    return str(axes.xaxis.label.get_color())


def draw_steps(axes: Axes, means: HostArray, edges: HostArray, color: str, label: str | None) -> None:
    """Draw the means of a curve over bins as steps: it is these that the contents measure."""
    axes.stairs(means, edges, baseline=None, color=color, lw=1.8, label=label, zorder=4)


def marker(n: int) -> float:
    """Return the size of each of n points."""
    return float(np.clip(40 / np.sqrt(n), 1.2, 4.5))


def opacity(n: int) -> float:
    """Return the opacity of each of n points."""
    return float(np.clip(20 / np.sqrt(n), 0.1, 0.9))
