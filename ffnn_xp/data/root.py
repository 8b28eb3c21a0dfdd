"""Trees of ROOT files as tables: ``events.root:tree``, or ``events.root`` where the file has one tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ffnn_xp._lib.errors import nearest
from ffnn_xp._lib.optional import require
from ffnn_xp._lib.typing import PathLike

KINDS = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")


def split_root(path: PathLike) -> tuple[Path, str | None]:
    """Return a table's file and the tree in it; None for other files, and where no tree is named.

    Examples
    --------
    >>> path, tree = split_root("events.root:hadrons/tree")
    >>> str(path), tree, split_root("data.csv")[1]
    ('events.root', 'hadrons/tree', None)
    """
    head, colon, tree = os.fspath(path).rpartition(".root:")
    return (Path(f"{head}.root"), tree) if colon else (Path(path), None)


def read_tree(path: Path, tree: str | None) -> Any:
    """Read a tree as a DataFrame; branches with several values for an event are columns of arrays.

    Raises
    ------
    ValueError
        If the file has no such tree, or no tree, or several and none is named.
    ImportError
        If uproot or awkward is not installed.
    """
    pandas = require("pandas", "table", "reading tables")
    with opened_tree(path, tree) as found:
        columns = found.arrays(library="np")
    return pandas.DataFrame({column: _native(values) for column, values in columns.items()})


@contextmanager
def opened_tree(path: Path, tree: str | None) -> Iterator[Any]:
    """Yield a tree of a ROOT file, an object of `uproot`; the errors are those of `read_tree`."""
    uproot = require("uproot", "root", "reading ROOT files")
    require("awkward", "root", "reading ROOT files")
    with uproot.open(path) as file:
        classes = file.classnames(cycle=False)
        trees = [name for name, kind in classes.items() if kind in KINDS]
        listed = ", ".join(trees)
        if not trees:
            others = ", ".join(f"{name} ({kind})" for name, kind in classes.items())
            raise ValueError(f"it has no tree, only {others or 'nothing at all'}")
        if tree is None and len(trees) > 1:
            raise ValueError(f"it has several trees, {listed}: name one, as in {path.name}:{trees[0]}")
        name = trees[0] if tree is None else tree.partition(";")[0]
        if name not in trees:
            raise ValueError(f"it has no tree {name!r}: {nearest(name, trees)}Its trees are {listed}")
        yield file[tree or name]


def _native(values: Any) -> Any:
    """Return one value, or one array, for each event in this machine's order of bytes, as pandas needs it."""
    return list(values) if values.ndim > 1 else values.astype(values.dtype.newbyteorder("="))
