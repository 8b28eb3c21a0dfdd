"""Rows of text are named by their lines, comments and blank lines counted; standard input is a table too."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx

from .program import fit, pandas, run

pytest.importorskip("safetensors")

from ffnn_xp.cli.tables import place, read_table
from ffnn_xp.cli.text_tables import read_text

LINES = {
    "plain": (b"a,b\n1,2\n3,4\n", [2, 3]),
    "blank lines, of spaces too": (b"\n\na,b\r\n1,2\r\n  \r\n\r\n3,4", [4, 7]),
    "comments": (b"# run 7\na,b\n#1,1\n1,2\n# end\n3,4\n", [4, 6]),
    "quoted ends of lines": (b'a,b\n1,"x\n\ny"\n\n3,4\n', [2, 6]),
    "quoted names": (b'a,"b\nc"\n1,2\n3,4\n', [3, 4]),
    "one column": (b"a\n1\n\n3\n", [2, 4]),
    "BOM": (b"\xef\xbb\xbfa;b\n\n1;2\n3;4\n", [3, 4]),
    "numpy.savetxt": (b"# a,b\n1,2\n3,4\n", [2, 3]),
}


@pytest.mark.parametrize(("content", "lines"), LINES.values(), ids=LINES)
def test_rows_are_named_by_their_lines(content: bytes, lines: list[int]) -> None:
    frame = read_text(content, ",")
    assert [place(frame, i) for i in range(2)] == [f"line {n}" for n in lines]
    assert frame.columns[0] == "a"
    assert frame["a"].tolist() == [1, 3]


def test_lines_of_compressed_tables(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"a": [1.5, 2.5]})
    for ending in ("csv.gz", "csv.bz2", "csv.xz", "tsv.zip"):
        frame.to_csv(f"t.{ending}", index=False)
        assert place(read_table(f"t.{ending}"), 1) == "line 3"


def test_rows_of_other_files_count_from_zero() -> None:
    pytest.importorskip("pyarrow")
    pandas.DataFrame({"a": [1.5, 2.5]}).to_parquet("t.parquet")
    assert place(read_table("t.parquet"), 1) == "row 1"


def test_an_archive_of_several_files_is_refused() -> None:
    import zipfile

    with zipfile.ZipFile("t.csv.zip", "w") as archive:
        for name in ("a", "b"):
            archive.writestr(name, "x\n1\n")
    with pytest.raises(ValueError, match="the archive must hold one table, it holds 2 files"):
        read_table("t.csv.zip")


def test_messages_of_the_library_name_lines_too() -> None:
    """It counts the rows that it was given, without those that the mask left out."""
    rows = "".join(f"{i},{-3 if i == 7 else i},{int(i > 3)}\n" for i in range(12))
    Path("t.csv").write_text(f"# counts\nx,n,use\n\n{rows}")
    text = fit("t.csv", "-t", "n", "-i", "x", "--mask", "use", "--loss", "poisson", "--output", "exp", code=2).stderr
    assert "got -3.0 in line 11" in text


class Stdin(io.TextIOWrapper):
    """A terminal in which somebody types a table."""

    def isatty(self) -> bool:
        return True


def test_a_person_is_told_that_the_program_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(io.BytesIO(b"a\n1\n")))
    assert read_table("-")["a"].tolist() == [1]
    assert "reading a table from standard input; Ctrl-D ends it" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ValueError, match="standard input cannot be read as a table: it is closed"):
        read_table("-")


def test_standard_input_without_a_table() -> None:
    fx.Model((1, 2, 1), seed=1).save("net", input_names=["t"])
    assert "standard input cannot be read as a table" in run("predict", "net", "-", code=2).stderr


def test_numbers_of_standard_input_are_those_of_a_file(data: Any) -> None:
    fx.Model.from_matrices([([[1.0]], [0.0])]).save("same", input_names=["U"], target_names=["U"])
    from_input = run("predict", "same", "-", stdin=Path("data.csv").read_bytes()).stdout
    assert from_input == run("predict", "same", "data.csv").stdout
    Path("out.csv").write_text(from_input)
    np.testing.assert_array_equal(read_table("out.csv")["U"], read_table("data.csv")["U"])
