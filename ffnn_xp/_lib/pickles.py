"""Pickles of what workers of an executor or a cluster get, with an error that says which part cannot be pickled."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator
from typing import Any


def pickled(task: Any) -> bytes:
    """Pickle an object, by cloudpickle where it is installed and `pickle` cannot.

    Raises
    ------
    TypeError
        If neither can; the message says which part of the object that is.
    """
    try:
        return pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        try:
            import cloudpickle

            return bytes(cloudpickle.dumps(task))
        except Exception:
            what = " of ".join(reversed(list(_cannot_be_pickled(task)))) or type(task).__name__
            raise TypeError(
                f"workers of an executor need what can be pickled, and {what} cannot be ({error}): define it at the "
                "top of a module, or pip install cloudpickle"
            ) from error


def _cannot_be_pickled(whole: Any) -> Iterator[str]:
    """Yield the names of the parts, from the outside inwards, that cannot be pickled."""
    parts: dict[str, Any] = {}
    if dataclasses.is_dataclass(whole):
        parts = {f.name: getattr(whole, f.name) for f in dataclasses.fields(whole)}
    elif isinstance(whole, tuple | list):
        parts = {f"part {i}": part for i, part in enumerate(whole)}
    elif hasattr(whole, "__dict__") and not hasattr(whole, "__qualname__"):  # a function has no parts
        parts = vars(whole)
    for name, part in parts.items():
        try:
            pickle.dumps(part)
        except Exception:
            yield f"{name} ({part.__qualname__})" if hasattr(part, "__qualname__") else name
            yield from _cannot_be_pickled(part)
            return
