"""Activations as expressions: the same numbers, and a sentence where there is no expression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special

import ffnn_xp as fx
from ffnn_xp._lib.expressions import TRACING, Expression
from ffnn_xp.network import ACTIVATIONS, slope_of, value_of

from ..export.models import MISH

Z = Expression("z")
POINTS = np.array([-800.0, -30.0, -2.0, -0.3, -1e-9, 0.0, 1e-9, 0.4, 3.0, 30.0, 700.0])


def evaluated(expression: Expression, **symbols: Any) -> Any:
    """Run the lines of an expression with NumPy."""
    scope = {**vars(np), **symbols, "erf": scipy.special.erf}
    with np.errstate(all="ignore"):
        *assignments, (_, result) = expression.lines()
        for name, text in assignments:
            scope[name] = eval(text, scope)
        return eval(result, scope)


@pytest.mark.parametrize("f", [*ACTIVATIONS.values(), MISH], ids=lambda f: f.name)
def test_an_expression_computes_what_the_activation_computes(f: fx.Activation) -> None:
    """A new activation is exported without a further line, or fails here."""
    with np.errstate(all="ignore"):
        a = f.f(np, POINTS)
        slope = f.df(np, POINTS, a)
    np.testing.assert_allclose(evaluated(value_of(f), z=POINTS), a, rtol=1e-15)
    np.testing.assert_allclose(evaluated(slope_of(f), z=POINTS, a=a) + 0 * POINTS, slope, rtol=1e-15)


def test_what_is_used_twice_is_computed_once() -> None:
    e = TRACING.exp(Z)
    assert ((1 + e) * (1 + TRACING.exp(Z)) / e).lines() == [
        ("s1", "exp(z)"),
        ("s2", "1.0 + s1"),
        ("", "s2 * s2 / s1"),
    ]


def test_all_operators_of_numbers() -> None:
    z = 0.7
    e = abs(-(2 - Z) / (1 / Z) + Z**2 * 3.0 - 2**Z) + TRACING.where(Z >= 1, Z, TRACING.astype(Z < 2, Z.dtype))
    assert evaluated(e, z=z) == pytest.approx(abs(-(2 - z) * z + 3 * z**2 - 2**z) + 1.0)
    assert np.float64(2.0) * Z is not NotImplemented
    assert (np.float64(2.0) * Z).text() == "2.0 * z"
    assert [TRACING.ones_like(Z).is_constant, (Z - Z).is_constant, (Z > 0).is_condition] == [True, False, True]


@pytest.mark.parametrize(
    ("f", "why"),
    [
        (lambda xp, z: z if z > 0 else 0 * z, "it branches on a value: use xp.where"),
        (lambda xp, z: xp.cumulative_sum(z), "it calls xp.cumulative_sum; known are abs, acosh"),
        (lambda xp, z: scipy.special.erf(z), "ufunc"),
        (lambda xp, z: z * float("inf"), "it has the constant inf"),
        (lambda xp, z: np.tanh(z), "ufunc"),
    ],
)
def test_what_has_no_expression_is_refused_with_a_sentence(f: Any, why: str) -> None:
    own = fx.Activation("own", f, lambda xp, z, a: 1.0, lambda xp, z, a: 0.0)
    with pytest.raises(
        ValueError, match=rf"^activation 'own' cannot be exported: .*({why}).*Write it with functions of"
    ):
        value_of(own)


def test_softmax_is_no_function_of_one_number() -> None:
    with pytest.raises(ValueError, match="softmax"):
        slope_of(fx.Model((1, 2), output="softmax").activations[0])
