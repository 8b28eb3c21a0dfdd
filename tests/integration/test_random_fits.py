"""Random calls of `Model.fit`: each ends in a minimum by other derivatives, not valid, or in a sentence.

100 examples, the same each time; `nox -s fuzz` draws 2,000 new ones, `benchmarks/random_fits.py` as many as wanted.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import ffnn_xp as fx

from ..oracles import random_fits, taylor
from ..oracles.random_fits import RandomFit, random_fit
from ..oracles.verdicts import not_a_minimum, refusal, verdict

EXAMPLES = int(os.environ.get("FFNN_XP_FUZZ", "0"))  # 0: the same 100, as in CI


@st.composite
def calls(draw: Any) -> RandomFit:
    return random_fit(lambda options: draw(st.sampled_from(options)))


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES or 100,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(calls())
def test_a_fit_is_a_minimum_or_says_why_not(call: RandomFit) -> None:
    end, wrong = verdict(call)
    event(end)
    assert not wrong, f"{call}: {end}; {'; '.join(wrong)}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3008, 6251, 6600])
def test_s_is_not_lower_beside_a_fit_with_kinks(seed: int) -> None:
    """S jumps, it falls where a unit that is off at all events is on, and it falls along a weakly determined valley."""
    rng = np.random.default_rng(seed)
    assert verdict(random_fit(lambda options: options[int(rng.integers(len(options)))]))[1] == []


# The checks themselves: each finds what it is for.

X = np.linspace(-2, 2, 30)
NETWORK = {"activation": "tanh", "dtype": "float64", "backend": "numpy"}
CALL = RandomFit("least_squares", (1, 2, 1), NETWORK, X, np.sin(X), {"y_err": 0.1})


def a_fit(**options: Any) -> tuple[RandomFit, fx.Model, fx.FitResult]:
    call = RandomFit(CALL.kind, CALL.layers, CALL.network, X, CALL.y, {**CALL.options, "prior": 3.0, **options})
    model = fx.Model(call.layers, seed=1, **call.network)
    return call, model, model.fit(call.x, call.y, **call.options)


def test_a_minimum_is_one() -> None:
    assert not_a_minimum(*a_fit()) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(7))
def test_a_point_beside_a_minimum_is_found(part: int) -> None:
    """Half a standard deviation away EDM is 1/8 or more."""
    call, model, fit = a_fit()
    beside = fit.standardised + 0.5 * fit.spectrum.errors[part] * np.eye(7)[part]
    model.parameters = fit.scaling.to_raw(beside)
    moved = replace(fit, standardised=beside, fval=float(fit.cost.value_and_gradient(beside)[0]))
    assert any("EDM" in text for text in not_a_minimum(call, model, moved))


@pytest.mark.slow
def test_a_saddle_point_is_found() -> None:
    call, model, fit = a_fit(prior=None)
    saddle = np.zeros(7)
    saddle[-1] = (np.mean(np.sin(X)) - fit.scaling.y_mean[0]) / fit.scaling.y_scale[0]
    moved = replace(fit, standardised=saddle, fval=float(fit.cost.value_and_gradient(saddle)[0]))
    model.parameters = fit.scaling.to_raw(saddle)
    assert any("lower nearby" in text for text in not_a_minimum(call, model, moved))


def test_an_error_from_elsewhere_is_no_sentence() -> None:
    assert refusal("here", lambda: fx.Model((1, 0))) == []
    assert "LinAlgError" in refusal("here", lambda: np.linalg.cholesky(-np.eye(2)))[0]
    assert "reshape" in refusal("here", lambda: np.zeros(3).reshape(2, 2))[0]


@pytest.mark.parametrize("name", taylor.ACTIVATIONS)
def test_taylor_arithmetic_against_differences(name: str) -> None:
    rng, widths = np.random.default_rng(3), (2, 3, 2)
    theta, x, step = 0.7 * rng.normal(size=17), rng.normal(size=(5, 2)), 1e-5

    def total(at: np.ndarray) -> taylor.Taylor:
        u = taylor.ACTIVATIONS[name](taylor.network(taylor.Taylor.variables(at), widths, (name, name), x))
        return (u * u + 1.0).of(taylor.root).sum()

    def slope(of: Any) -> np.ndarray:
        return np.stack([(of(theta + step * v) - of(theta - step * v)) / (2 * step) for v in np.eye(17)])

    found = total(theta)
    for exact, of in ((found.first, lambda at: total(at).value), (found.second, lambda at: total(at).first)):
        np.testing.assert_allclose(exact, slope(of), atol=1e-6 * np.max(np.abs(exact)))


def test_the_calls_are_of_all_kinds() -> None:
    drawn = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        drawn.append(random_fit(lambda options, rng=rng: options[int(rng.integers(len(options)))]))
    assert {call.kind for call in drawn} == set(random_fits.KINDS)
    assert len({call.damage for call in drawn}) > 30
    assert 0.7 < np.mean([call.damage == "none" for call in drawn]) < 0.9
