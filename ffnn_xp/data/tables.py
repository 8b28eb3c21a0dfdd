"""Tables with named columns, of pandas and others that are like it, and records, which become tables (`data.records`).

None of these libraries is imported. A table is anything with columns that have names, all of them text. A fit keeps the
names, and tables that are given later, for predictions or costs, are read by name. Everything without names is read by
position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ffnn_xp._lib.errors import nearest
from ffnn_xp.backends import host_floats, labels_of_columns
from ffnn_xp.data.records import as_table


def names_of_columns(a: Any) -> tuple[str, ...] | None:
    """Return the names of a table's columns, or the name of a single column; None where they are no text.

    Examples
    --------
    >>> import pandas as pd
    >>> names_of_columns(pd.DataFrame({"t": [1.0], "U": [2.0]})), names_of_columns([[1.0, 2.0]])
    (('t', 'U'), None)
    """
    labels = labels_of_columns(a)
    if labels is None and len(getattr(a, "shape", ())) == 1:
        labels = [getattr(a, "name", None)]
    return _texts(labels)


def in_order(x: Any, names: Sequence[str] | None, what: str = "x", *, strict: bool = True) -> Any:
    """Return the columns of a table in the order of these names; anything without names is returned itself.

    Parameters
    ----------
    x : array-like
        Inputs: a table or records; one event as a row of one, whose labels are the columns' names; or anything else.
    names : sequence of str or None
        The columns of the fit; None for a fit to data without names.
    what : str
        Name of the argument, for the message.
    strict : bool
        Whether other names are refused; otherwise such a table is read by position.

    Raises
    ------
    ValueError
        If columns are missing, unknown, or there twice.

    Examples
    --------
    >>> import pandas as pd
    >>> in_order(pd.DataFrame({"t": [1.0], "U": [2.0]}), ("U", "t"))
    array([[2., 1.]])
    """
    x = as_table(x, what)
    shape = getattr(x, "shape", ())
    if names is None or len(shape) not in (1, 2):
        return x
    given = _texts(labels_of_columns(x))
    if given is None and shape == (len(names),) != (1,):
        given = _texts(getattr(x, "index", None))
    if given is None or given == tuple(names):
        return x
    missing, unknown = [n for n in names if n not in given], [n for n in given if n not in names]
    if missing or unknown or len(given) != len(names):
        if not strict:
            return x
        twice = sorted({n for n in given if given.count(n) > 1})
        parts = (("missing", missing), ("unknown", unknown), ("there twice", twice))
        wrong = "; ".join(f"{word}: {', '.join(map(repr, some))}" for word, some in parts if some)
        hint = nearest(unknown[0], missing) if unknown and missing else ""
        raise ValueError(
            f"`{what}` must have the columns of the fit, {', '.join(map(repr, names))}, in any order; {wrong}. {hint}"
            "Select or rename columns, or give an array without names"
        )
    return host_floats(x, what)[..., [given.index(name) for name in names]]


def _texts(labels: Any) -> tuple[str, ...] | None:
    """Return labels that are all text, else None."""
    if labels is None or callable(labels):
        return None
    found = tuple(labels)
    return found if found and all(isinstance(label, str) for label in found) else None
