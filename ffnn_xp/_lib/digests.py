"""Digests of objects: equal data and options have equal digests, also in another process."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType
from typing import Any

import numpy as np


def digest(what: Any) -> str:
    """Return the SHA-256 of an object: of numbers, text, arrays, functions, and what is made of them.

    An object with an attribute `checksum` is known by that; one of an unknown kind by its pickle, or, where it has
    none, by the name of its class.

    Examples
    --------
    >>> digest({"x": np.arange(3.0)}) == digest({"x": [0.0, 1.0, 2.0]})
    False
    >>> digest((1, "a", lambda z: z + 1)) == digest((1, "a", lambda z: z + 2))
    False
    """
    hasher = hashlib.sha256()
    for part in _bytes_of(what):
        hasher.update(part)
    return hasher.hexdigest()


def _bytes_of(what: Any) -> Iterator[Any]:
    """Yield all bytes that an object is known by."""
    yield f"{type(what).__module__}.{type(what).__qualname__}:".encode()
    checksum = getattr(what, "checksum", None)
    if isinstance(checksum, str):
        yield checksum.encode()
    elif isinstance(what, np.ndarray) and not what.dtype.hasobject:
        yield f"{what.dtype.str}{what.shape}".encode()
        yield np.ascontiguousarray(what).reshape(-1).view(np.uint8)
    elif isinstance(what, Mapping):
        yield from _bytes_of(list(what.items()))
    elif isinstance(what, set | frozenset):
        yield from _bytes_of(sorted(map(repr, what)))
    elif isinstance(what, tuple | list):
        yield f"{len(what)}".encode()
        for part in what:
            yield from _bytes_of(part)
    elif isinstance(what, FunctionType):
        cells = [cell.cell_contents for cell in what.__closure__ or ()]
        yield from _bytes_of([what.__module__, what.__qualname__, what.__defaults__, what.__code__, cells])
    elif isinstance(what, CodeType):
        yield from _bytes_of([what.co_code, what.co_consts, what.co_names])
    elif isinstance(what, partial):
        yield from _bytes_of([what.func, what.args, what.keywords])
    elif isinstance(what, type) or hasattr(what, "__qualname__"):
        yield f"{getattr(what, '__module__', '')}.{what.__qualname__}".encode()
    elif is_dataclass(what):
        yield from _bytes_of({field.name: getattr(what, field.name) for field in fields(what)})
    elif what is None or isinstance(what, bool | int | float | complex | str | bytes | np.generic | np.dtype):
        yield repr(what).encode()
    else:
        try:
            yield pickle.dumps(what)
        except Exception:
            yield b"no pickle"
