"""Pictures of probabilities: what is drawn are the numbers of the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ffnn_xp.studies.classification import Classification, score_probabilities

pytest.importorskip("matplotlib")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

RNG = np.random.default_rng(3)
PICTURES = ["plot_calibration", "plot_roc"]


def found(k: int = 1, names: tuple[str, ...] | None = None) -> Classification:
    p = RNG.uniform(size=(k, 400)) ** 2
    return score_probabilities(p, (RNG.random(p.shape) < p).astype(float), exclusive=False, names=names)


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize("k", [1, 3])
def test_calibration_with_binomial_errors(k: int) -> None:
    result = found(k)
    axes = result.plot_calibration(Figure().subplots())
    assert len(axes.containers) == k
    for bars, table, p, t in zip(axes.containers, result.calibration, result.probabilities, result.truth, strict=True):
        x, y = bars[0].get_data()
        np.testing.assert_array_equal(np.stack([x, y]), table.T[:2])
        first = np.argsort(p)[:40]
        low, high = bars[2][0].get_segments()[0][:, 1]
        assert y[0] == pytest.approx(t[first].mean())
        assert (high - low) / 2 == pytest.approx(np.sqrt(np.sum(p[first] * (1 - p[first]))) / 40)
    assert axes.get_xlabel() == "predicted probability"
    assert legend(axes)[0] == "calibrated"
    assert [entry.partition(":")[0] for entry in legend(axes)[1:]] == ["class 0", "class 1", "class 2"][:k] or k == 1


def test_roc_and_its_area() -> None:
    result = found(2, ("signal $", "back\x1bground"))
    axes = result.plot_roc(Figure().subplots())
    for line, curve in zip(axes.lines[1:], result.roc, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), curve[:, 1:])
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(result.auc[axes.lines.index(line) - 1])
    assert legend(axes)[1].startswith(f"signal $: AUC = {result.auc[0]:.2f}"[:-1])
    assert legend(axes)[2].startswith(r"back\x1bground: AUC")
    axes.figure.canvas.draw()


@pytest.mark.slow
def test_more_classes_than_colours_can_be_told_apart() -> None:
    result = found(10)
    roc, calibration = (getattr(result, name)(Figure().subplots()) for name in reversed(PICTURES))
    assert len({(line.get_color(), line.get_linestyle()) for line in roc.lines[1:]}) == 10
    assert len({(bars[0].get_color(), bars[0].get_marker()) for bars in calibration.containers}) == 10


def test_events_of_one_kind_have_no_area() -> None:
    p = RNG.uniform(size=(1, 50))
    result = score_probabilities(p, np.ones_like(p), exclusive=False)
    assert legend(result.plot_roc(Figure().subplots()))[1] == "AUC = nan, all events are of one kind"


@pytest.mark.parametrize("name", PICTURES)
def test_a_figure_of_pyplot_or_the_users_panel(name: str, hide: Callable[[str], None]) -> None:
    draw = getattr(found(), name)
    assert draw().figure.number in plt.get_fignums()
    plt.close("all")
    own = Figure().subplots()
    assert draw(own) is own
    assert not plt.get_fignums()
    hide("matplotlib")
    with pytest.raises(ImportError, match=r"plotting needs matplotlib: pip install 'ffnn_xp\[plot\]'"):
        draw()
