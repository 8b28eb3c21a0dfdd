"""A fit that has to be used with care says so in its first line, and warns; others do neither."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx

X = np.linspace(-2, 2, 50)
Y = np.sin(2 * X) + np.random.default_rng(1).normal(0, 0.1, 50)

CARE: dict[str, tuple[Any, ...]] = {
    "chi2/ndof = .*: it does not describe the data": ((1, 1, 1), Y, 0.01, None),
    "chi2/ndof = .* is too small": ((1, 2, 1), Y, 10.0, 3.0),
    "there are as many effective parameters as values": ((1, 3, 1), Y[::10], 0.1, None),
}


@pytest.mark.slow
@pytest.mark.parametrize("caution", CARE)
def test_what_to_take_care_of_is_said_first(caution: str) -> None:
    layers, y, error, prior = CARE[caution]
    model = fx.Model(layers, backend="numpy", seed=1)
    x = X if len(y) == len(X) else X[::10]
    with pytest.warns(fx.FitWarning, match=f"^the fit is valid, but take care. .*{caution.partition(' ')[0]}"):
        fit = model.fit(x, y, error, prior=prior)
    assert fit.valid
    first = repr(fit).splitlines()[0]
    assert first == f"FitResult: valid minimum of {fit.description}, but {fit.caution}"
    assert fit._repr_html_().count(f"<b>{fit.caution}</b>") == 1
    assert re.search(caution, fit.caution)


@pytest.mark.slow
def test_a_fit_that_describes_its_data_says_nothing_more() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = fx.Model((1, 2, 1), backend="numpy", seed=1).fit(X, Y, 0.1, prior=3.0)
    assert fit.caution == ""
    assert repr(fit).splitlines()[0] == f"FitResult: valid minimum of {fit.description}"
    assert "but" not in fit._repr_html_().partition("<table>")[0]


def test_a_fit_that_is_not_valid_says_why_after_a_colon() -> None:
    with pytest.warns(fx.FitWarning, match="^the fit is not valid. The minimum lies at infinity"):
        fit = fx.Model((1, 1), output="exp", backend="numpy").fit(X, 0 * X, loss="poisson", prior=None)
    assert repr(fit).startswith(f"FitResult: NOT VALID of {fit.description}: the minimum lies at infinity")
    assert "Not valid</b> of" in fit._repr_html_()
