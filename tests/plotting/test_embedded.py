"""A result in a notebook: its picture is in its HTML, and whatever becomes of the picture, the numbers are there."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.plotting import embedded, embedded_picture

pytest.importorskip("matplotlib")
import matplotlib as mpl
from matplotlib import pyplot as plt
from PIL import Image

X = np.linspace(-2, 2, 40)


@pytest.fixture(scope="module")
def fit() -> fx.FitResult:
    y = np.tanh(2 * X) + np.random.default_rng(1).normal(0, 0.1, 40)
    return fx.Model((1, 2, 1), backend="numpy", seed=1).fit(X, y, 0.1, prior=3.0, restarts=1)


def image(html: str) -> Any:
    (content,) = re.findall(r'<img [^>]*src="data:image/png;base64,([^"]*)">', html)
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.slow
def test_a_result_shows_its_verdict_its_table_and_its_picture(fit: fx.FitResult) -> None:
    html = fit._repr_html_()
    assert 0 < html.index("Valid minimum") < html.index("<table>") < html.index("<img ")
    assert len(html) < 40_000
    drawn = image(html)
    assert drawn.width == 720
    assert 'alt="data and fit" width="480"' in html
    pixels = np.asarray(drawn.convert("RGB"), dtype=int)
    assert np.sum(np.all(np.abs(pixels - [0, 0x72, 0xB2]) < 20, axis=-1)) > 500  # the curve
    assert fit._repr_html_() == html
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    "style", [{"figure.figsize": (10, 10), "savefig.dpi": 300}, {"savefig.format": "pdf", "savefig.bbox": "tight"}]
)
def test_no_style_makes_another_picture_of_it(fit: fx.FitResult, style: dict[str, Any]) -> None:
    with mpl.rc_context(style):
        assert image(embedded_picture(fit)).width == 720


@pytest.mark.slow
def test_outputs_are_side_by_side() -> None:
    fit = fx.Model((1, 2), backend="numpy", seed=1).fit(X, np.stack([X, -X], axis=1), 0.1, prior=None)
    html = embedded_picture(fit)
    assert image(html).width == 1440
    assert 'width="960" style="max-width:100%"' in html


@pytest.mark.parametrize("limit", ["MOST_VALUES", "MOST_PARAMETERS", "MOST_OUTPUTS_SHOWN"])
def test_what_takes_long_has_no_picture(fit: fx.FitResult, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(embedded, limit, 0)
    assert "<table>" in fit._repr_html_()
    assert "<img" not in fit._repr_html_()


def test_without_matrices_each_point_of_a_band_is_a_solve(fit: fx.FitResult) -> None:
    assert embedded_picture(replace(fit, with_matrices=False)) == ""


def test_without_matplotlib_there_are_the_numbers(fit: fx.FitResult, hide: Callable[[str], None]) -> None:
    hide("matplotlib")
    html = fit._repr_html_()
    assert html.endswith(f"<p>{fit.message}</p>")


def test_a_picture_that_cannot_be_drawn_is_left_out(fit: fx.FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with mpl.rc_context({"text.usetex": True}):
        assert fit._repr_html_().endswith(f"<p>{fit.message}</p>")
    assert not plt.get_fignums()


def test_a_fit_that_is_not_valid_shows_its_curve() -> None:
    with pytest.warns(fx.FitWarning):
        fit = fx.Model((1, 3, 1), backend="numpy", seed=1).fit(
            X, np.sin(2 * X), 0.01, callback=lambda state: state.calls > 2, prior=None
        )
    html = fit._repr_html_()
    assert "Not valid" in html
    assert image(html).width == 720
