"""Public methods without NumPy's floating-point warnings and errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Class = TypeVar("Class", bound=type)


def quiet(cls: Class) -> Class:
    """Run a class's own public methods and properties without NumPy's floating-point warnings and errors.

    The library expects overflows to become infinite and underflows zero, and looks at what comes out; a program may
    have set `numpy.seterr` to anything else. It decorates each class at which users enter the library.

    Examples
    --------
    >>> @quiet
    ... class Tiny:
    ...     def square(self):
    ...         return float(np.float64(1e-200) ** 2)
    >>> with np.errstate(all="raise"):
    ...     Tiny().square()
    0.0
    """
    for name, member in list(vars(cls).items()):
        if not name.startswith("_") or name in ("__init__", "__call__", "__repr__", "_repr_html_"):
            setattr(cls, name, _quiet(member, name, cls))
    return cls


def _quiet(member: Any, name: str, cls: type) -> Any:
    """Return a member of a class that computes in quiet, or the member itself if it does not compute."""
    if isinstance(member, property):
        get, put = (None if f is None else _function(f) for f in (member.fget, member.fset))
        return property(get, put, member.fdel, member.__doc__)
    if isinstance(member, functools.cached_property):
        cached = functools.cached_property(_function(member.func))
        cached.__set_name__(cls, name)
        return cached
    if isinstance(member, classmethod | staticmethod):
        return type(member)(_function(member.__func__))
    return _function(member) if callable(member) and not isinstance(member, type) else member


def _function(f: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(f)
    def in_quiet(*args: Any, **options: Any) -> Any:
        with np.errstate(all="ignore"):
            return f(*args, **options)

    return in_quiet
