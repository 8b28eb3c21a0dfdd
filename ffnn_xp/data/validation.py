"""Rules for the values of arrays, and conversion of array-likes to floats of the backend.

An error says what was expected, what came and where, and what to do. Lists, tuples, DataFrames, integer, float32,
read-only and strided arrays are accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.backends import (
    Backend,
    column_names,
    describe_array,
    host_floats,
    is_foreign_device_array,
    place_of,
    refuse_gradient,
)


@dataclass(frozen=True)
class Rule:
    """A property that every value of an array must have, and what to do where one does not, or is text."""

    what: str
    holds: Callable[[Namespace, Array], Array]
    remedy: str
    of_text: str = "convert it first"


UNRESOLVED = 1e-3  # part of a column's range that may be lost to rounding

FINITE = Rule("finite", lambda xp, a: xp.isfinite(a), "leave such events out or repair them")
POSITIVE_ERROR = Rule(
    "positive and finite",
    lambda xp, a: xp.isfinite(a) & (a > 0),
    "give the true error of this value, or leave the event out",
)
POSITIVE = Rule("positive and finite", POSITIVE_ERROR.holds, "leave such events out")
POSITIVE_WEIGHT = Rule(
    "positive and finite",
    POSITIVE_ERROR.holds,
    "leave events of no weight out; signed Monte-Carlo weights need covariance='sandwich' in Model.fit, or "
    "kind='bootstrap' in fit_replicas",
)
COUNT = Rule(
    "a count: 0, 1, 2, ...",
    lambda xp, a: xp.isfinite(a) & (a >= 0) & (xp.round(a) == a),
    "give the counts themselves, and what they were scaled by as `exposure`; weighted events go in one by one",
)
CONTENT = Rule(
    "finite and not negative",
    lambda xp, a: xp.isfinite(a) & (a >= 0),
    "merge such bins with others: a sum of weights below zero is far from any number of counts",
)
NUMBER_CLASSES = (
    "number the classes 0, 1, 2, ... by `classes, y = numpy.unique(y, return_inverse=True)`; output i is then the "
    "probability of classes[i]"
)
LABEL = Rule("a label: 0, 1, 2, ...", COUNT.holds, NUMBER_CLASSES, NUMBER_CLASSES)
YES_OR_NO = "give 1 for yes and 0 for no, such as `y == 'yes'`"
SUCCESSES = Rule("a number of successes: 0, 1, 2, ...", COUNT.holds, YES_OR_NO, YES_OR_NO)
TRIALS = Rule("a number: 1, 2, ...", lambda xp, a: COUNT.holds(xp, a) & (a > 0), "leave events of no trial out")
SHARE = Rule("finite and not negative", lambda xp, a: xp.isfinite(a) & (a >= 0), "give counts of classes, or 0 and 1")
NO_OR_POSITIVE_ERROR = Rule(
    "finite and not negative", SHARE.holds, "give the error of this input, or zero if it has none"
)


def floats(backend: Backend, a: Any, name: str, rule: Rule, *, look: bool = True) -> Array:
    """Return `a` as an array of the backend in its dtype, or raise an error if a value breaks the rule.

    Arrays from main memory are checked there. Arrays that are on the device already are checked if `look` is True,
    which copies one number to the host.
    """
    if look or not backend.owns(a):
        refuse_gradient(a, name)
    if backend.owns(a) and not backend.host_arrays:
        if backend.xp.isdtype(a.dtype, "complex floating"):
            raise TypeError(f"`{name}` must be real, got complex numbers")
        a = backend.asarray(a)
        if look and backend.to_host(backend.xp.sum(backend.xp.astype(~rule.holds(backend.xp, a), backend.real))):
            _refuse(backend.to_host(a), name, rule, None)
        return a
    if is_foreign_device_array(a):
        raise TypeError(
            f"`{name}` is {describe_array(a)}, but this model computes with {backend.name} on {backend.device}: "
            f"make the model with the array's backend and device, or pass ffnn_xp.to_numpy({name})"
        )
    with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, and is refused as such
        host = host_floats(a, name, rule.of_text).astype(backend.dtype, copy=False)
    if not np.all(rule.holds(np, host)):
        _refuse(host, name, rule, column_names(a))
    return backend.to_device(host)


def check_resolved(backend: Backend, a: Any, name: str) -> None:
    """Raise a ValueError if a backend in float32 rounds values by more than a small part of a column's range."""
    if backend.dtype != "float32" or backend.owns(a):
        return
    host = host_floats(a, name)
    lost = np.max(np.abs(host.astype(np.float32) - host), axis=0, initial=0.0)
    if host.ndim and host.size and np.any(lost > UNRESOLVED * np.ptp(host, axis=0)):
        raise ValueError(
            f"`{name}` is not resolved by float32, and this device has no float64, as it is set up: subtract an offset "
            f"from {name}, or use a model with dtype='float64'"
        )


def per_value(backend: Backend, errors: Any, n: int, k: int, name: str = "y_err", rule: Rule = POSITIVE_ERROR) -> Array:
    """Return a scalar, or one value per event (n,), per measured value (n, k) or per output (k,), as ``(n, k)``."""
    a = floats(backend, errors, name, rule)
    check_unambiguous(a.shape, n, k, name)
    if a.ndim == 0 or a.shape == (1,):
        a = backend.xp.reshape(a, (1, 1))
    elif a.shape == (n,):
        a = a[:, None]
    elif a.shape == (k,):
        a = a[None, :]
    elif a.shape not in ((n, k), (n, 1), (1, k)):
        raise ValueError(
            f"`{name}` must be one number, ({n},) for one per event, or ({n}, {k}) for one per value, got {a.shape}"
        )
    return backend.xp.broadcast_to(a, (n, k))


def check_unambiguous(shape: tuple[int, ...], n: int, k: int, name: str) -> None:
    """Raise a ValueError for a shape that fits one value per event and one per output."""
    if shape == (n,) == (k,) and k > 1:
        raise ValueError(f"`{name}` of shape ({n},) could be one per event or one per output: give it as ({n}, {k})")


def _refuse(values: HostArray, name: str, rule: Rule, columns: list[str] | None) -> NoReturn:
    """Raise a ValueError that names the first value that breaks the rule."""
    broken = np.argwhere(~rule.holds(np, values))
    index = tuple(int(i) for i in broken[0])
    others = "" if len(broken) == 1 else f" (and {len(broken) - 1} more)"
    raise ValueError(
        f"`{name}` must be {rule.what}, got {values[index]} in {place_of(index, columns)}{others}: {rule.remedy}"
    )
