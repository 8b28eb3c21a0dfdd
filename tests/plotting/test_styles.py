"""Every picture in the styles that users have: no text leaves the picture or covers another, and colours are theirs.

Reference images would differ from one version of matplotlib to the next. Here each picture is drawn into pixels, with
warnings as errors, and looked at: where its texts are, that curves, points and bands are seen, and that no two drawings
differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx

pytest.importorskip("matplotlib")
import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from ffnn_xp._lib.drawing import BLUE, VERMILION

RNG = np.random.default_rng(5)
X = RNG.uniform(-2, 2, 60)

STYLES: dict[str, dict[str, Any]] = {
    "default": {},
    # labels alone are large
    "labels": {"figure.figsize": (8, 6), "axes.labelsize": 18, "xtick.labelsize": 14, "legend.fontsize": 15},
    # large, with ticks on all sides and labels at the ends of axes, as those of the LHC's experiments
    "experiment": {
        "figure.figsize": (10, 10), "font.size": 26, "axes.labelsize": "medium", "axes.linewidth": 2,
        "xtick.labelsize": "small", "ytick.labelsize": "small", "xtick.direction": "in", "ytick.direction": "in",
        "xtick.top": True, "ytick.right": True, "xtick.minor.visible": True, "ytick.minor.visible": True,
        "legend.fontsize": "small", "xaxis.labellocation": "right", "yaxis.labellocation": "top",
    },
    "dark": {
        "figure.facecolor": "black", "axes.facecolor": "black", "text.color": "white", "axes.edgecolor": "white",
        "axes.labelcolor": "white", "xtick.color": "white", "ytick.color": "white",
    },
}  # fmt: skip


def model(*layers: int, output: str = "identity") -> fx.Model:
    return fx.Model(layers, output=output, backend="numpy", seed=1)


@pytest.fixture(scope="module")
def curve() -> fx.FitResult:
    y = np.stack([np.sin(X), np.cos(X)], axis=1) + RNG.normal(0, 0.1, (60, 2))
    return model(1, 3, 2).fit(X, y, 0.1, prior=1.0, restarts=2)


@pytest.fixture(scope="module")
def histogram() -> fx.FitResult:
    edges = np.linspace(0, 4, 21)
    bins, counts = fx.Bins(edges), RNG.poisson(200 * np.exp(-edges[:-1]))
    return model(1, 2, 1, output="exp").fit(bins, counts, loss="poisson", prior=3.0)


@pytest.fixture(scope="module")
def plane() -> fx.FitResult:
    x = RNG.normal(size=(60, 2))
    return model(2, 1).fit(x, x @ [1.0, -2.0] + RNG.normal(0, 0.1, 60), 0.1, prior=None)


@pytest.fixture(scope="module")
def classes() -> fx.Classification:
    x = RNG.normal(size=(300, 2))
    labels = np.argmax(x @ RNG.normal(size=(2, 3)) + RNG.gumbel(size=(300, 3)), axis=1)
    net = model(2, 3, output="softmax")
    net.fit(x[:100], labels[:100], loss="multinomial", prior=1.0)
    return net.classification(x[100:], labels[100:])


PICTURES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "curve": ("curve", lambda fit: fit.plot()[0, 0]),
    "histogram": ("histogram", lambda fit: fit.plot()[0, 0]),
    "plane": ("plane", lambda fit: fit.plot()[0, 0]),
    "pulls": ("plane", lambda fit: fit.plot_pulls()),
    "minima": ("curve", lambda fit: fit.plot_minima()),
    "correlations": ("curve", lambda fit: fit.plot_correlations()),
    "network": ("curve", lambda fit: fit.problem.model.draw()),
    "calibration": ("classes", lambda found: found.plot_calibration()),
    "roc": ("classes", lambda found: found.plot_roc()),
}
SEEN = {"curve": BLUE, "histogram": BLUE, "plane": VERMILION, "pulls": VERMILION, "roc": BLUE, "calibration": VERMILION}


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] * (name != "default")) for name in STYLES])
def style(request: pytest.FixtureRequest) -> Iterator[str]:
    with mpl.rc_context(STYLES[request.param]):
        yield request.param
    plt.close("all")


def pixels(figure: Any) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(float) / 255


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_texts_have_their_places_and_lines_are_seen(name: str, style: str, request: pytest.FixtureRequest) -> None:
    of, draw = PICTURES[name]
    figure = draw(request.getfixturevalue(of)).figure
    image = pixels(figure)
    texts = boxes(figure)
    assert len(texts) > 2
    for text, box in texts.items():
        inside = box.x0 > -1 and box.y0 > -1 and box.x1 < image.shape[1] + 1 and box.y1 < image.shape[0] + 1
        assert inside, text
    covering = [pair for pair in combinations(texts, 2) if overlap(*(texts[text] for text in pair))]
    assert not covering
    if name in SEEN:
        assert np.sum(np.all(np.abs(image - to_rgb(SEEN[name])) < 0.02, axis=-1)) > 100
    np.testing.assert_array_equal(pixels(draw(request.getfixturevalue(of)).figure), image)


def boxes(figure: Any) -> dict[Text, Any]:
    """The place of each text; matplotlib also makes labels of ticks beyond the ends of axes, and of hidden axes."""
    hidden: set[Text] = set()
    for axis in (axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not axis.axes.axison or not low <= tick.get_loc() <= high:
                hidden |= {tick.label1, tick.label2}
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible() and text not in hidden]
    return {text: text.get_window_extent() for text in texts}


def overlap(a: Any, b: Any) -> bool:
    """Whether two boxes have more than a pixel in common, in both directions."""
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1


def test_a_figure_has_the_size_of_the_style(curve: fx.FitResult, plane: fx.FitResult, style: str) -> None:
    width, height = plt.rcParams["figure.figsize"]
    one, two = curve.plot()[0, 0].figure, plane.plot()[0, 0].figure
    np.testing.assert_allclose(one.get_size_inches(), (2 * width, 1.1 * height))
    np.testing.assert_allclose(two.get_size_inches(), (1.5 * width, height))
    np.testing.assert_allclose(plane.plot_pulls().figure.get_size_inches(), (width, height))
    spines = [spine.get_visible() for spine in one.axes[0].spines.values()]
    assert all(spines)


def test_data_are_seen_on_any_background(curve: fx.FitResult, style: str) -> None:
    main, pulls = curve.plot()[0]
    for drawn in (main.containers[0][0], pulls.lines[-1]):
        assert abs(np.mean(to_rgb(drawn.get_color())) - np.mean(to_rgb(main.get_facecolor()))) > 0.9
