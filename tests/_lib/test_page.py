"""What users get shows itself as text, and as HTML with the same words."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx

X = np.linspace(-2, 2, 40)


@pytest.fixture(scope="module")
def fit() -> fx.FitResult:
    return fx.Model((1, 2, 1), backend="numpy", seed=1).fit(X, np.tanh(2 * X), 0.1, prior=3.0, restarts=1)


def a_classification(fit: fx.FitResult) -> Any:
    yes = np.random.default_rng(1).random(40) < 0.5
    model = fx.Model((1, 1), output="logistic", backend="numpy", seed=1)
    model.fit(X, yes, loss="binomial", prior=1.0)
    return model.classification(X, yes)


SHOWN: dict[str, Callable[[fx.FitResult], Any]] = {
    "Band": lambda fit: fit.band(X),
    "Goodness of fit": lambda fit: fit.goodness(3, seed=1),
    "Coverage of the band": lambda fit: fit.coverage(X[:2], number=5, seed=1),
    "Report": lambda fit: fit.report(),
    "Ensemble": lambda fit: fit.problem.model.fit_replicas(X, np.tanh(2 * X), 0.1, prior=3.0, number=3, seed=1),
    "Classification": a_classification,
}


@pytest.mark.parametrize("kind", SHOWN)
def test_text_and_html_say_the_same(fit: fx.FitResult, kind: str) -> None:
    shown = SHOWN[kind](fit)
    text, html = repr(shown), shown._repr_html_()
    assert text.startswith(f"{kind}: ")
    assert html.startswith(f"<p><b>{kind}</b>: ")
    assert html.count("<table>") == html.count("</table>") > 0
    words = unescape(re.sub(r"<[^>]*>", " ", html)).replace(" :", ":").split()
    assert words == text.split()


def test_characters_of_html_are_escaped_and_infinite_ends_are_quiet() -> None:
    ends = np.array([-np.inf, 0.0]), np.array([np.inf, 1.0])
    band = fx.Interval(np.zeros(2), *ends, 0.9, "linear", np.array(["<b>", ""]), stopped="time is up")
    assert "1 x &lt;b&gt;" in band._repr_html_()
    assert repr(band).splitlines()[-1] == "  stopped: time is up"
    everywhere = fx.Interval(np.zeros(1), np.full(1, np.inf), np.full(1, np.inf), 0.9, "linear", np.array([""]))
    assert "median nan" in repr(everywhere)
