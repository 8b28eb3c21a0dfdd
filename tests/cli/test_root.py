"""Trees of ROOT files as tables of the command line: the numbers of CSV, and errors that say what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pandas = pytest.importorskip("pandas")
uproot = pytest.importorskip("uproot")
awkward = pytest.importorskip("awkward")
pytest.importorskip("typer")

from ffnn_xp.cli.tables import kind_of, numbers, numeric_columns, read_table  # noqa: E402
from ffnn_xp.data import split_root  # noqa: E402

from .program import fit, make_table, run  # noqa: E402

COLUMNS = {"E": np.linspace(1, 2, 30), "n": np.arange(30, dtype=np.int32), "good": np.arange(30) % 2 == 0}


def write(path: Path, trees: dict[str, dict[str, Any]], **others: Any) -> None:
    with uproot.recreate(path) as file:
        for name, columns in trees.items():
            kinds = {
                c: v.type.content if isinstance(v, awkward.Array) else np.dtype((v.dtype, v.shape[1:]))
                for c, v in columns.items()
            }
            file.mktree(name, kinds).extend(columns)
        for name, thing in others.items():
            file[name] = thing


def test_a_tree_is_a_table(tmp_path: Path) -> None:
    write(tmp_path / "e.root", {"events": COLUMNS})
    for name in ("e.root:events", "e.root", "e.root:events;1"):
        frame = read_table(name)
        assert list(frame.columns) == list(COLUMNS)
        np.testing.assert_array_equal(numbers(frame, ["n", "E"]), np.stack([COLUMNS["n"], COLUMNS["E"]], axis=1))
    assert numeric_columns(frame) == (["E", "n", "good"], {})


def test_trees_in_folders_and_ntuples(tmp_path: Path) -> None:
    write(tmp_path / "e.root", {"hadrons/events": COLUMNS}, events=COLUMNS)  # the second one is an RNTuple
    for name in ("hadrons/events", "events"):
        np.testing.assert_array_equal(read_table(f"e.root:{name}")["E"], COLUMNS["E"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two.root", r"'two.root' cannot be read as a table: it has several trees, a, b: name one, as in two.root:a$"),
        ("two.root:c", "it has no tree 'c': .*Its trees are a, b$"),
        ("one.root:event", r"no tree 'event': did you mean 'events'\? Its trees are events"),
        ("none.root", r"it has no tree, only h \(TH1"),
        ("bad.root", r"'bad.root' cannot be read as a table: "),
        ("empty.root", r"'empty.root' is empty: it has columns \(E, n, good\) but no rows"),
    ],
)
def test_what_is_no_tree(tmp_path: Path, name: str, message: str) -> None:
    write(tmp_path / "one.root", {"events": COLUMNS})
    write(tmp_path / "two.root", {"a": COLUMNS, "b": COLUMNS})
    write(tmp_path / "none.root", {}, h=np.histogram(COLUMNS["E"]))
    write(tmp_path / "empty.root", {"t": {name: values[:0] for name, values in COLUMNS.items()}})
    (tmp_path / "bad.root").write_bytes((tmp_path / "one.root").read_bytes()[:200])
    with pytest.raises(ValueError, match=message):
        read_table(name)


def test_branches_of_several_values(tmp_path: Path) -> None:
    jagged = awkward.Array([[1.0, 2.0], [3.0]] * 15)
    write(tmp_path / "e.root", {"events": {**COLUMNS, "pt": jagged, "p": np.ones((30, 3))}})
    frame = read_table("e.root:events")
    taken, left = numeric_columns(frame)
    assert taken[:3] == ["E", "n", "good"]
    assert left["pt"] == "not numeric, several values, [1. 2.], in entry 0"
    for name in ("pt", "p"):
        with pytest.raises(ValueError, match=f"column {name!r} does not hold numbers: several values, .* in entry 0"):
            numbers(frame, [name])


def test_names_of_files() -> None:
    assert split_root("a.root:b/c") == (Path("a.root"), "b/c")
    for name in ("a.root", "a.csv", "a:b.csv"):
        assert split_root(name) == (Path(name), None)
    assert kind_of("a.root", to_read=True) == ".root"
    with pytest.raises(ValueError, match=r"must tell the format of a table: .*parquet$"):
        kind_of("a.root")
    with pytest.raises(FileNotFoundError, match=r"there is no file 'a\.root'"):
        read_table("a.root:tree")


def test_without_uproot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "e.root").write_bytes(b"root")
    monkeypatch.setitem(__import__("sys").modules, "uproot", None)
    with pytest.raises(ImportError, match=r"reading ROOT files needs uproot: pip install 'ffnn_xp\[root\]'"):
        read_table("e.root")


@pytest.mark.slow
def test_fit_and_predict_from_a_tree() -> None:
    """The same network as from CSV, and predictions by name; the file itself is safe from being replaced."""
    frame = make_table().drop(columns="name")
    frame.to_csv("data.csv", index=False)
    write(Path("events.root"), {"events": {name: frame[name].to_numpy() for name in frame}})
    options = ["--target", "U", "--inputs", "t,p", "--error", "sigma"]
    of_tree = fit("events.root:events", *options, "--save", "tree.safetensors").stdout
    assert "valid minimum" in of_tree
    fit("data.csv", *options, "--save", "text.safetensors")
    tree, text = (run("predict", f"{net}.safetensors", "events.root", "--no-std").stdout for net in ("tree", "text"))
    assert tree == text
    refused = fit("events.root:events", *options, "--save", "events.root", code=2).stderr
    assert "this ending is not that of a network" in refused
    Path("link.csv").symlink_to("events.root")
    Path("link.onnx").symlink_to("events.root")
    for command in (
        ["fit", "events.root:events", "-t", "U", "--save", "link.onnx"],
        ["predict", "tree.safetensors", "events.root:events", "--out", "link.csv"],
        ["export", "tree.safetensors", "link.onnx", "--modes", "1", "--points", "events.root:events"],
    ):
        assert "this is the file of the table, events.root, and would replace it" in run(*command, code=2).stderr
