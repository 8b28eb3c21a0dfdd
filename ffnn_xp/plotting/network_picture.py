"""A picture of a network: its units as circles, its weights as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ffnn_xp._lib.drawing import BLUE, VERMILION, ink, labels, one_panel
from ffnn_xp._lib.typing import HostArray

MOST_UNITS = 16  # units of a layer that are drawn: with more, lines could not be told apart


def draw_network(
    matrices: Sequence[HostArray],
    input_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
    axes: Any = None,
) -> Any:
    """Draw a network from its augmented matrices ``(h, c + 1)``; see `Model.draw`."""
    axes = one_panel(axes, figsize=(1.5 + 2.0 * len(matrices), 4.4))
    widths = [matrices[0].shape[1] - 1, *(len(A) for A in matrices)]
    heights = [_heights(h) for h in widths]
    largest = max(float(np.max(np.abs(A[:, :-1]), initial=0.0)) for A in matrices) or 1.0
    for l, A in enumerate(matrices):
        for i, top in enumerate(heights[l + 1]):
            for j, bottom in enumerate(heights[l]):
                size = abs(A[i, j]) / largest
                color = BLUE if A[i, j] > 0 else VERMILION
                axes.plot((l, l + 1), (bottom, top), color=color, lw=3 * size, alpha=0.2 + 0.8 * size, zorder=1)
    for l, (height, h) in enumerate(zip(heights, widths, strict=True)):
        axes.plot(np.full(len(height), l), height, "o", ms=11, color=axes.get_facecolor(), mec=ink(axes), zorder=2)
        axes.text(l, 0.62, f"L{l + 1}: {h}", ha="center")
    for l, names, side in ((0, input_names, "right"), (len(widths) - 1, target_names, "left")):
        shown = [] if names is None else labels(names, "", widths[l])
        for height, name in zip(heights[l], shown, strict=False):
            place = l - 0.1 if side == "right" else l + 0.1
            axes.text(place, height, name.text, ha=side, va="center", **name.style)
    axes.set(xlim=(-0.6, len(matrices) + 0.6), ylim=(-0.6, 0.7))
    axes.axis("off")
    return axes


def _heights(units: int) -> HostArray:
    """Return the heights of the units that are drawn."""
    n = min(units, MOST_UNITS)
    return np.asarray((np.arange(n)[::-1] - 0.5 * (n - 1)) / max(n, 2))
