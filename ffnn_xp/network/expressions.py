"""Activations as expressions of their argument, for source in other languages and for compiled sums over events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ffnn_xp._lib.expressions import INFINITY, Expression, traced
from ffnn_xp.network.activations import Activation

Z, VALUE = Expression("z"), Expression("a")
"""The argument z of an activation, and its value a = f(z)."""


def value_of(f: Activation) -> Expression:
    """Return an activation's value as an expression of z.

    Raises
    ------
    ValueError
        If it does what no expression can hold; the message says what.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> value_of(fx.Activation("square", lambda xp, z: z * z, lambda xp, z, a: 2 * z, lambda xp, z, a: 2.0)).text()
    'z * z'
    """
    return _traced(f, f.f, Z)


def slope_of(f: Activation) -> Expression:
    """Return an activation's first derivative as an expression of z and its value a.

    Raises
    ------
    ValueError
        If it does what no expression can hold; the message says what.

    Examples
    --------
    >>> from ffnn_xp.network import ACTIVATIONS
    >>> slope_of(ACTIVATIONS["tanh"]).text()
    '1.0 - a * a'
    """
    return _traced(f, f.df, Z, VALUE)


def _traced(f: Activation, function: Callable[..., Any], *symbols: Expression) -> Expression:
    try:
        found = traced(function, *symbols)
        for part in found.parts():
            if part.is_constant and not part.operands and INFINITY in part.operation:
                raise ValueError(f"it has the constant {part}")
        return found
    except Exception as error:
        raise ValueError(
            f"activation {f.name!r} cannot be exported: {error}. Write it with functions of its argument `xp` alone, "
            "of one number each"
        ) from error
