"""What users get shows itself as text, and as HTML with the same words."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.objective import GaussianPrior

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
    "Prior": lambda fit: fit.problem.prior,
    "Bins": lambda fit: fx.Bins(X, [0.0, 1.0]),
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


def cells(html: str) -> list[str]:
    return [unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", html)]


@pytest.mark.slow
def test_a_model_says_in_html_what_it_is_and_in_text_how_it_is_made(fit: fx.FitResult) -> None:
    model = fit.problem.model
    assert repr(model).startswith("Model((1, 2, 1), activation='tanh'")
    html = model._repr_html_()
    assert html.startswith("<p><b>Model</b>: 1-2-1, tanh, identity, 7 parameters</p>")
    assert cells(html) == [
        *("errors", "those of the fit", "backend", "numpy on cpu, float64"),
        *("layer", "matrix", "parameters", "activation"),
        *("L1 -> L2", "2 x 2", "4", "tanh", "L2 -> L3", "1 x 3", "3", "identity"),
    ]
    model = fx.Model(name="a<b", backend="numpy")
    html = model._repr_html_()
    assert "?-10-?, of which data complete the widths" in html
    assert cells(html)[:4] == ["name", "a<b", "errors", "none: the model has not been fitted"]
    pd = pytest.importorskip("pandas")
    y = np.tanh(X) + np.random.default_rng(1).normal(0, 0.1, 40)
    model.fit(pd.DataFrame({"U <V>": X}), pd.DataFrame({"I": y}), prior="auto")
    found = cells(model._repr_html_())
    assert found[2:6] == ["inputs", "U <V>", "outputs", "I"]
    number = len(model.ensemble_parameters)
    assert number > 1
    assert f"those of {number} networks, the ensemble of the fit" in found


def test_bins_and_priors_in_words() -> None:
    assert repr(fx.Bins([0.0, 1.0, 3.0], average=True)).splitlines() == [
        "Bins: 2 of 1 dimension",
        "  x            2 bins from 0 to 3, of widths 1 to 2",
        "  means        4 points of each bin",
    ]
    prior = GaussianPrior(np.array([4.0, 0.0, 1.0, 4.0]))
    assert repr(prior).splitlines() == [
        "Prior: Gaussian around zero, of 3 of 4 parameters",
        "  width  parameters",
        "    0.5           2",
        "      1           1",
    ]
    assert "widths       0.2 to 1" in repr(GaussianPrior(np.arange(26.0)))
    assert repr(GaussianPrior(np.zeros(2))) == "Prior: Gaussian around zero, of 0 of 2 parameters"


def test_characters_of_html_are_escaped_and_infinite_ends_are_quiet() -> None:
    ends = np.array([-np.inf, 0.0]), np.array([np.inf, 1.0])
    band = fx.Interval(np.zeros(2), *ends, 0.9, "linear", np.array(["<b>", ""]), stopped="time is up")
    assert "1 x &lt;b&gt;" in band._repr_html_()
    assert repr(band).splitlines()[-1] == "  stopped: time is up"
    everywhere = fx.Interval(np.zeros(1), np.full(1, np.inf), np.full(1, np.inf), 0.9, "linear", np.array([""]))
    assert "median nan" in repr(everywhere)
