"""The picture of a cost: data and prediction in the current axes of matplotlib, as iminuit's costs draw them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ffnn_xp._lib.drawing import BLUE, CURVE_POINTS, OUTPUTS, VERMILION, Axes, Label, draw_points, draw_steps
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.objective.drawn import Drawn, means_over


class Curve(NamedTuple):
    """The prediction at points of one input, all arrays ``(m, k)``.

    Attributes
    ----------
    total : array
        The prediction.
    width : array or None
        The standard deviation with which values scatter, where the network predicts it.
    network : array or None
        The network's part, where a function is added to it.
    """

    total: HostArray
    width: HostArray | None = None
    network: HostArray | None = None


class Names(NamedTuple):
    """The names of inputs and of measured values, and that of the function that is added to the network, if any."""

    inputs: list[Label]
    values: list[Label]
    function: str = ""


def draw_cost(
    drawn: Drawn, curve: Callable[[HostArray], Curve], model_points: int | Sequence[float], names: Names
) -> tuple[Any, Any]:
    """Draw data and prediction; see `DataCost.visualize`."""
    axes = require("matplotlib.pyplot", "plot", "visualize").gca()
    if drawn.x.shape[1] > 1:
        numbers = _draw_against(axes, drawn, names)
    else:
        numbers = _draw_over(axes, drawn, curve, model_points, names)
    axes.legend(frameon=False)
    return numbers


def _draw_over(
    axes: Axes, drawn: Drawn, curve: Callable[[HostArray], Curve], model_points: int | Sequence[float], names: Names
) -> tuple[Any, Any]:
    """Draw points and curves over the only input."""
    x, margin = drawn.x[:, 0], 0.0 if drawn.half_width is None else drawn.half_width
    points = np.asarray(model_points, dtype=np.float64)
    if points.ndim == 0:
        points = np.linspace(np.min(x - margin), np.max(x + margin), int(points) or CURVE_POINTS)
    line, shown = curve(points), drawn.in_groups(x) if drawn.grouped else drawn
    bars = shown.error if line.width is None else np.full_like(shown.error, np.nan)
    for i, dots, color, name in _styles(names):
        once = i == 0  # what all outputs have in common is explained once
        draw_points(
            axes, shown.x[:, 0], shown.y[:, i], bars[:, i], shown.half_width,
            drawn.points_are(len(shown.x)) if once else None, dots,
        )  # fmt: skip
        total = line.total[:, i]
        if line.width is not None:
            low, high = total - line.width[:, i], total + line.width[:, i]
            axes.fill_between(
                points, low, high, color=color, alpha=0.2, lw=0, label="predicted width" if once else None
            )
        if line.network is not None:
            part = line.network[:, i]
            axes.fill_between(
                points, part, total, color=color, alpha=0.25, lw=0, label=names.function if once else None
            )
            axes.plot(points, part, color=color, lw=1.4, ls="--", label="network" if once else None, zorder=3)
        axes.plot(points, total, color=color, lw=1.8 if drawn.bins is None else 1.0, label=name, zorder=4)
        if drawn.bins is not None:
            means = means_over(drawn.bins, curve(drawn.bins.x[:, 0]).total)
            draw_steps(axes, means[:, i], drawn.bins.edges[0], color, "in bins" if once else None)
    axes.set_xlabel(names.inputs[0].text, **names.inputs[0].style)
    _name_values(axes.set_ylabel, "", names)
    return (shown.x[:, 0], _flat(shown.y), _errors(bars)), (points, _flat(line.total))


def _draw_against(axes: Axes, drawn: Drawn, names: Names) -> tuple[Any, Any]:
    """Draw measured values over predicted ones, each output in its colour, and the diagonal."""
    each = []
    for i, dots, _, name in _styles(names):
        shown, j = (drawn.in_groups(drawn.predicted[:, i], i), 0) if drawn.grouped else (drawn, i)
        predicted, y, error = shown.predicted[:, j], shown.y[:, j], shown.error[:, j]
        label = drawn.points_are(len(y)) if len(names.values) == 1 else name
        draw_points(axes, predicted, y, error, None, label, dots)
        each.append((predicted, y, error))
    predicted, y, error = (np.stack(columns, axis=1) for columns in zip(*each, strict=True))
    ends = np.array([min(np.min(predicted), np.min(y)), max(np.max(predicted), np.max(y))])
    axes.plot(ends, ends, color=VERMILION, lw=1.4, ls="--", label="predicted = measured", zorder=3)
    _name_values(axes.set_xlabel, "predicted ", names)
    _name_values(axes.set_ylabel, "measured ", names)
    return (_flat(predicted), _flat(y), _errors(error)), (ends, ends)


def _styles(names: Names) -> Iterator[tuple[int, str | None, str, str]]:
    """Return for each output its number, the colours of points (None: of texts) and line, and the line's name."""
    if len(names.values) == 1:
        yield 0, None, BLUE, f"network + {names.function}" if names.function else "prediction"
        return
    for i, name in enumerate(names.values):
        color = OUTPUTS[i % len(OUTPUTS)]
        yield i, color, color, name.text.replace("$", r"\$") if name.style else name.text


def _name_values(set_label: Callable[..., Any], before: str, names: Names) -> None:
    """Name an axis of measured values: after the only output, or by what is common to all."""
    name = names.values[0] if len(names.values) == 1 else Label("value", {})
    set_label(before + name.text, **name.style)


def _errors(rows: HostArray) -> HostArray | None:
    """Return errors in the shape of values; None where they are not drawn."""
    return _flat(rows) if np.all(np.isfinite(rows)) else None


def _flat(rows: HostArray) -> HostArray:
    return rows[:, 0] if rows.shape[1] == 1 else rows
