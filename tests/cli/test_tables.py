"""Tables from files: every format, columns by name, and errors that say which row and which column."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffnn_xp.cli.tables import (
    kind_of,
    numbers,
    numeric_columns,
    positive_numbers,
    read_table,
    require_columns,
    write_table,
)

pandas = pytest.importorskip("pandas")

FORMATS = ["t.csv", "t.tsv", "t.csv.gz", "t.CSV", "t.csv.bz2", "t.tsv.xz", "t.csv.zip"]


@pytest.fixture
def frame() -> pandas.DataFrame:
    rng = np.random.default_rng(1)
    values = rng.normal(size=50) * 10.0 ** rng.integers(-200, 200, 50)
    return pandas.DataFrame({"a": values, "n": np.arange(50), "c": np.where(values > 0, np.inf, 0.1)})


@pytest.mark.parametrize("name", [*FORMATS, "t.parquet", "t.pq"])
def test_numbers_come_back_bit_for_bit(frame: pandas.DataFrame, tmp_path: Path, name: str) -> None:
    if name.endswith(("parquet", "pq")):
        pytest.importorskip("pyarrow")
    write_table(frame, tmp_path / name)
    again = read_table(tmp_path / name)
    assert list(again.columns) == ["a", "n", "c"]
    for column in again.columns:
        assert np.array_equal(again[column], frame[column])
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_crash_leaves_the_old_table(frame: pandas.DataFrame, tmp_path: Path, full_disk: Callable[[], Any]) -> None:
    write_table(frame, tmp_path / "t.csv")
    with full_disk(), pytest.raises(OSError, match="File too large"):
        write_table(frame[:20], tmp_path / "t.csv")
    assert len(read_table(tmp_path / "t.csv")) == 50
    assert len(list(tmp_path.iterdir())) == 1


def read_text(tmp_path: Path, text: str, name: str = "t.csv") -> pandas.DataFrame:
    (tmp_path / name).write_bytes(text.encode())
    return read_table(tmp_path / name)


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n3,4\n", "\ufeffa, b\r\n1, 2\r\n\r\n3, 4", "a;b\n1;2\n3;4\n", "a\tb\n1\t2\n3\t4\n"]
)
def test_dialects_of_csv(tmp_path: Path, text: str) -> None:
    assert read_text(tmp_path, text).to_dict("list") == {"a": [1, 3], "b": [2, 4]}


def test_separators_at_the_end_of_lines_shift_no_column(tmp_path: Path) -> None:
    assert read_text(tmp_path, "a,b\n1,2,\n3,4,\n").to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    with pytest.raises(ValueError, match="more fields than its header has names"):
        read_text(tmp_path, "a,b\n1,2,3\n3,4,5\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"t\.csv' cannot be read as a table: No columns"),
        ("a,b\n", r"t\.csv' is empty: it has columns \(a, b\) but no rows"),
        ("a,b\n1,2\n3,4,5\n", "cannot be read as a table: .*line 3"),
        ("0.5,1.5\n2.5,3.5\n", "first line must hold the names"),
        ("-1,2e3\n2.5,3.5\n", "first line must hold the names"),
    ],
)
def test_text_that_is_no_table(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_text(tmp_path, text)


def test_columns_may_be_named_by_numbers(tmp_path: Path) -> None:
    assert list(read_text(tmp_path, "0,1\n2.5,3.5\n").columns) == ["0", "1"]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.csv.gz"])
def test_binary_rubbish(tmp_path: Path, name: str) -> None:
    if name == "t.parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(b"\x93\xff\xfe\x00rubbish" * 10)
    with pytest.raises(ValueError, match="cannot be read as a table"):
        read_table(tmp_path / name)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.bz2", "t.csv.xz", "t.csv.zip", "t.parquet"])
def test_damaged_tables_are_read_or_refused(frame: pandas.DataFrame, tmp_path: Path, name: str) -> None:
    if name == "t.parquet":
        pytest.importorskip("pyarrow")
    write_table(frame, tmp_path / name)
    whole, rng = (tmp_path / name).read_bytes(), np.random.default_rng(1)
    for i in range(60):
        damaged = bytearray(whole[: rng.integers(len(whole))] if i % 3 == 0 else whole)
        if i % 3 == 1:
            damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        elif i % 3 == 2:
            start = int(rng.integers(len(whole)))
            damaged[start : start + 20] = rng.bytes(20)
        (tmp_path / name).write_bytes(damaged)
        with suppress(ValueError):  # no other error
            read_table(tmp_path / name)


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_table(tmp_path / "folder.csv")
    for name in ("t.xlsx", "t", "t.gz", "t.npy"):
        with pytest.raises(ValueError, match=r"must tell the format of a table: \.csv"):
            kind_of(tmp_path / name)


def test_named_index_of_parquet_is_a_column(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"t": [1.0, 2.0], "y": [3.0, 4.0]})
    frame.set_index("t").to_parquet(tmp_path / "named.parquet")
    assert list(read_table(tmp_path / "named.parquet").columns) == ["t", "y"]
    frame.iloc[::-1].to_parquet(tmp_path / "plain.parquet")
    assert list(read_table(tmp_path / "plain.parquet").columns) == ["t", "y"]


def test_missing_columns() -> None:
    frame = pandas.DataFrame({"mass": [1.0], "charge": [2.0]})
    require_columns(frame, ["mass"], "a target")
    with pytest.raises(
        ValueError, match=r"no column 'mas', 'x' \(a target\): did you mean 'mass'\? Its columns are 'mass'"
    ):
        require_columns(frame, ["mas", "charge", "x"], "a target")
    many = pandas.DataFrame(np.zeros((1, 300))).rename(columns=str)
    with pytest.raises(ValueError, match=r"'11', \.\.\.$"):
        require_columns(many, ["mass"], "a target")


def test_which_columns_are_numeric(tmp_path: Path) -> None:
    frame = read_text(tmp_path, ",x,flag,name,bad,t\n0,1.5,True,He,1,2\n1,2.5,False,Li,?,3\n")
    frame["z"] = [1j, 2j]
    frame["date"] = pandas.to_datetime(["2020-01-01", "2020-01-02"])
    taken, left = numeric_columns(frame, exclude=["t"])
    assert taken == ["x", "flag"]
    assert left["name"] == "not numeric, 'He' in line 2"
    assert left["bad"] == "not numeric, '?' in line 3"
    assert left["Unnamed: 0"] == "it has no name, as an index"
    assert "complex" in left["z"]
    assert "datetime" in left["date"]


def test_numbers_that_are_missing_or_infinite(tmp_path: Path) -> None:
    frame = read_text(tmp_path, "a,b,c\n1,2,x\n3,,4\n,inf,5\n")
    with pytest.raises(ValueError, match=r"column 'b' must have a finite number in line 3, got nothing \(and 2 more\)"):
        numbers(frame, ["a", "b"])
    with pytest.raises(ValueError, match=r"column 'a' must have a finite number in line 4, got nothing: repair"):
        numbers(frame, ["a"])
    with pytest.raises(ValueError, match=r"column 'b' .* row 0, got -inf"):
        numbers(pandas.DataFrame({"b": [-np.inf, 1.0]}), ["b"])
    with pytest.raises(ValueError, match="column 'c' does not hold numbers: 'x' in line 2"):
        numbers(frame, ["a", "c"])


def test_nullable_integers() -> None:
    frame = pandas.DataFrame({"n": pandas.array([1, None, 3], dtype="Int64")})
    with pytest.raises(ValueError, match="column 'n' must have a finite number in row 1"):
        numbers(frame, ["n"])
    assert np.array_equal(numbers(frame.dropna(), ["n"]), [[1], [3]])


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_errors_must_be_positive(value: float) -> None:
    frame = pandas.DataFrame({"sigma": [0.1, value, value]})
    with pytest.raises(
        ValueError, match=rf"column 'sigma' must have a positive error in row 1, got {value} \(and 1 more\)"
    ):
        positive_numbers(frame, ["sigma"])


@pytest.mark.parametrize(("module", "name"), [("pandas", "t.csv"), ("pyarrow", "t.parquet")])
def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    (tmp_path / name).write_text("a\n1\n")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"needs {module}: pip install 'ffnn_xp\[table\]'"):
        read_table(tmp_path / name)
    if module == "pyarrow":
        with pytest.raises(ImportError, match="needs pyarrow"):
            write_table(pandas.DataFrame({"a": [1]}), tmp_path / "new.parquet")
