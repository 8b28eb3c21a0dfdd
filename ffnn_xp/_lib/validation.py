"""Checks of arguments that several packages take."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ffnn_xp._lib.typing import HostArray

Seed: TypeAlias = int | tuple[int, ...] | None
"""A seed as numbers, which can be copied, pickled and compared, unlike a generator."""


def letter(size: int | None, name: str = "d") -> str:
    """Return a size as text, or its letter while the size is not known.

    Examples
    --------
    >>> letter(3), letter(None)
    ('3', 'd')
    """
    return name if size is None else str(size)


def is_number(value: object) -> bool:
    """Return True for a real number of any type, False for a bool.

    Examples
    --------
    >>> is_number(np.float32(2)), is_number(True), is_number("2")
    (True, False, False)
    """
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_whole_number(value: Any, least: int) -> bool:
    """Return True for an integer, of any type of number, that is not less than `least`."""
    return is_number(value) and math.isfinite(value) and int(value) == value and value >= least


def whole_number(value: Any, name: str, least: int) -> int:
    """Return `value` as an integer that is not less than `least`.

    Raises
    ------
    ValueError
        If it is none; the message calls it `name`.

    Examples
    --------
    >>> whole_number(2.0, "number", 1)
    2
    """
    if not is_whole_number(value, least):
        what = {0: "0 or a positive integer", 1: "a positive integer"}.get(least, f"an integer of at least {least}")
        raise ValueError(f"`{name}` must be {what}, got {value!r}")
    return int(value)


def level(cl: float) -> float:
    """Return a confidence level as a float.

    Raises
    ------
    ValueError
        If it does not lie between 0 and 1.
    """
    if not (is_number(cl) and 0 < cl < 1):
        raise ValueError(f"`cl` must lie between 0 and 1, got {cl!r}")
    return float(cl)


def seed_numbers(seed: Any, name: str = "seed") -> Seed:
    """Return a seed as numbers: an integer or a sequence of them itself, a `SeedSequence` by its entropy.

    A generator, of NumPy's new or old kind, gives its next number.

    Raises
    ------
    ValueError
        If it is none of these; the message calls it `name`.

    Examples
    --------
    >>> seed_numbers(3), seed_numbers(np.random.SeedSequence(3)), seed_numbers([1, 2])
    (3, 3, (1, 2))
    """
    if seed is None:
        return None
    if isinstance(seed, np.random.BitGenerator):
        seed = np.random.Generator(seed)
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63))
    if isinstance(seed, np.random.RandomState):
        return int(seed.randint(2**31))
    if isinstance(seed, np.random.SeedSequence):
        entropy = np.atleast_1d(np.asarray(seed.entropy, dtype=object))
        seed = [*entropy, *seed.spawn_key] if len(entropy) > 1 or seed.spawn_key else entropy[0]
    each = np.asarray(seed, dtype=object)
    whole = all(is_number(n) and isinstance(n, numbers.Integral) and int(n) >= 0 for n in each.flat)
    if each.ndim > 1 or not each.size or not whole:
        raise ValueError(f"`{name}` must be 0 or a positive integer, or None, got {seed!r}")
    return tuple(map(int, each)) if each.ndim else int(seed)


def column_names(names: Sequence[str] | None, argument: str, length: int) -> tuple[str, ...] | None:
    """Return the names of columns, one for each input or output, as a tuple.

    Raises
    ------
    TypeError
        If they are no sequence of text.
    ValueError
        If their number is not `length`.

    Examples
    --------
    >>> column_names(["t [s]", "U [V]"], "input_names", 2)
    ('t [s]', 'U [V]')
    """
    if names is None:
        return None
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"`{argument}` must be a sequence of names, got {names!r}")
    if len(names) != length:
        raise ValueError(f"`{argument}` must have {length} names, one for each, got {len(names)}")
    return tuple(names)


def vector(args: Sequence[Any], p: int) -> HostArray:
    """Return theta as one vector, from one vector or from p numbers, as MINUIT and users pass it.

    Parameters
    ----------
    args : sequence
        One array-like with shape (p,), or p floats.
    p : int
        The number of parameters.

    Raises
    ------
    ValueError
        If there are not p numbers.

    Examples
    --------
    >>> vector((1.0, 2.0), 2), vector(([1.0, 2.0],), 2)
    (array([1., 2.]), array([1., 2.]))
    """
    theta = np.asarray(args[0] if len(args) == 1 else args, dtype=np.float64).reshape(-1)
    if theta.shape != (p,):
        raise ValueError(f"expected {p} parameters, as one vector or as {p} numbers, got {theta.size}")
    return theta
