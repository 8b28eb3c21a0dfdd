"""Pictures of predicted probabilities: their calibration, and the ROC curve."""

from __future__ import annotations

from collections.abc import Sequence

from ffnn_xp._lib.drawing import LITERAL, OUTPUTS, Axes, ink, one_panel
from ffnn_xp._lib.typing import HostArray


def draw_calibration(tables: Sequence[HostArray], entries: Sequence[str], axes: Axes | None) -> Axes:
    """Draw observed shares over predicted probabilities; see `Classification.plot_calibration`.

    Each table has the columns of `Classification.calibration`; the entries are those of the legend.
    """
    axes = _unit_square(axes, "calibrated")
    for i, (table, entry) in enumerate(zip(tables, entries, strict=True)):
        predicted, observed, error, _ = table.T
        axes.errorbar(predicted, observed, error, fmt=_turn("os^D", i), color=OUTPUTS[i % len(OUTPUTS)], label=entry)
    axes.set(xlabel="predicted probability", ylabel="observed share")
    _explain(axes, "upper left")
    return axes


def draw_roc(curves: Sequence[HostArray], entries: Sequence[str], axes: Axes | None) -> Axes:
    """Draw true over false positive rates; see `Classification.plot_roc`.

    Each curve has the columns of `Classification.roc`; the entries are those of the legend.
    """
    axes = _unit_square(axes, "by chance")
    for i, (curve, entry) in enumerate(zip(curves, entries, strict=True)):
        axes.plot(
            curve[:, 1], curve[:, 2], _turn(("-", "--", "-.", ":"), i), color=OUTPUTS[i % len(OUTPUTS)], label=entry
        )
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    _explain(axes, "lower right")
    return axes


def _turn(styles: Sequence[str], i: int) -> str:
    """Return the style of class i, another one each time that the colours begin again."""
    return styles[i // len(OUTPUTS) % len(styles)]


def _unit_square(axes: Axes | None, diagonal: str) -> Axes:
    """Return axes from 0 to 1 in both directions, with their diagonal."""
    axes = one_panel(axes)
    axes.axline((0, 0), slope=1, color=ink(axes), lw=1, ls="--", label=diagonal)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    return axes


def _explain(axes: Axes, place: str) -> None:
    for text in axes.legend(frameon=False, loc=place, fontsize="small").get_texts():
        text.set(**LITERAL)  # names are drawn character by character
