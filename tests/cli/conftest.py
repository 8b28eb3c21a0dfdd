"""A folder of its own for each test, in which no temporary file may be left, and the small table as a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ffnn_xp.backends import BACKENDS
from ffnn_xp.backends.numpy import NumpyBackend


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()], "a temporary file was left behind"


class Absent(NumpyBackend):
    """A library that is not installed."""

    name, install, distributions = "absent", "pip install it", ("ffnn-xp-absent",)


@pytest.fixture
def two_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are NumPy and a library that is not installed."""
    for name in set(BACKENDS) - {"numpy"}:
        monkeypatch.delitem(BACKENDS, name)
    monkeypatch.setitem(BACKENDS, "absent", Absent)


@pytest.fixture
def data() -> Any:
    from .program import make_table  # skips where the command line's libraries are missing

    frame = make_table()
    frame.to_csv("data.csv")
    return frame
