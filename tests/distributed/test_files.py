"""`EventFiles`: events in Parquet and ROOT files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ffnn_xp as fx
from ffnn_xp.distributed import PartsTuning
from ffnn_xp.fitting.tuning import Tuning

from .cases import CASES, is_same

CASE = CASES["weights"]
COLUMNS = {"x": ["t", "U"], "y": "I", "weights": "w"}


@pytest.fixture
def table() -> pd.DataFrame:
    x, y, w = (CASE.arrays[name] for name in ("x", "y", "weights"))
    return pd.DataFrame({"I": y, "U": x[:, 1], "w": w, "t": x[:, 0], "other": "text"})


@pytest.fixture
def parquet(tmp_path: Path, table: pd.DataFrame) -> Path:
    for i in range(3):
        table[100 * i : 100 * (i + 1)].to_parquet(tmp_path / f"run{i}.parquet", row_group_size=40)
    return tmp_path


def fit(files: fx.EventFiles, **options: Any) -> fx.FitResult:
    return CASE._replace(arrays={}).fit(x=files, **options)


@pytest.mark.slow
def test_parquet_files(parquet: Path) -> None:
    found = fit(fx.EventFiles(parquet / "run*.parquet", **COLUMNS))
    assert is_same(found, CASE.fit())
    assert len(found.problem.parts.sizes) == 9
    assert found.problem.data.input_names == ("t", "U")


@pytest.mark.slow
def test_a_list_of_files_in_its_order_and_a_number_for_all(parquet: Path) -> None:
    files = [str(parquet / f"run{i}.parquet") for i in (2, 0)]
    found = fit(fx.EventFiles(files, x=["t", "U"], y="I", y_err=0.1))
    assert found.n_data == 200
    assert found.problem.parts.summaries[0].name.endswith("run2.parquet', row group 0, rows 0 to 39")


@pytest.mark.slow
def test_predictions_read_columns_by_name(parquet: Path, table: pd.DataFrame) -> None:
    model = fx.Model(CASE.layers, seed=1)
    model.fit(fx.EventFiles(parquet / "run*.parquet", **COLUMNS), prior=3.0, restarts=1)
    np.testing.assert_allclose(model.predict(table[["U", "t"]]), model.predict(CASE.arrays["x"]))


@pytest.mark.slow
def test_root_files(tmp_path: Path, table: pd.DataFrame) -> None:
    uproot = pytest.importorskip("uproot")
    small = Tuning(parts=PartsTuning(block_bytes=32 * 70))
    with uproot.recreate(tmp_path / "events.root") as file:
        file["tree"] = {name: table[name].to_numpy() for name in ("I", "U", "w", "t")}
    found = fit(fx.EventFiles(f"{tmp_path}/events.root:tree", **COLUMNS), tuning=small)
    assert is_same(found, CASE.fit())
    assert [s.n for s in found.problem.parts.summaries] == [70, 70, 70, 70, 20]
    assert is_same(fit(fx.EventFiles(tmp_path / "events.root", **COLUMNS)), CASE.fit())


@pytest.mark.slow
def test_several_values_for_an_event_are_several_columns(tmp_path: Path) -> None:
    case = CASES["errors of each"]
    x, y, error = (case.arrays[name] for name in ("x", "y", "y_err"))
    pd.DataFrame(np.hstack([x, y, error]), columns=list("abcdef")).to_parquet(tmp_path / "events.pq")
    files = fx.EventFiles(tmp_path / "events.pq", x=["a", "b"], y=["c", "d"], y_err=["e", "f"])
    assert is_same(case._replace(arrays={}).fit(x=files), case.fit())


def missing_column(folder: Path) -> Any:
    return fx.EventFiles(folder / "run*.parquet", **{**COLUMNS, "weights": "W"})


def other_columns(folder: Path) -> Any:
    pd.DataFrame({"t": [1.0], "U": [1.0]}).to_parquet(folder / "run4.parquet")
    return fx.EventFiles(folder / "run*.parquet", **COLUMNS)


def no_parquet(folder: Path) -> Any:
    (folder / "run5.parquet").write_text("no")
    return fx.EventFiles(folder / "run*.parquet", **COLUMNS)


def text(folder: Path) -> Any:
    return fx.EventFiles(folder / "run*.parquet", x=["t", "other"], y="I")


def not_finite(folder: Path) -> Any:
    pd.DataFrame({"t": [1.0], "U": [np.nan], "I": [1.0], "w": [1.0]}).to_parquet(folder / "run6.parquet")
    return fx.EventFiles(folder / "run*.parquet", **COLUMNS)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (missing_column, ValueError, r"run0.parquet' has no column 'W': It has 'I', 'U', 'w', 't', 'other'"),
        (other_columns, ValueError, r"run4.parquet' has no column 'I': It has 't', 'U'"),
        (no_parquet, ValueError, r"run5.parquet' is no Parquet file"),
        (text, TypeError, r"in '.*run0.parquet', row group 0, rows 0 to 39: `x` must hold numbers, got 'text'"),
        (not_finite, ValueError, r"in '.*run6.parquet', row group 0, rows 0 to 0: `x` must be finite, got nan"),
    ],
)
def test_bad_files(parquet: Path, make: Callable[[Path], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fit(make(parquet))


def test_paths_that_lead_nowhere(parquet: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*/ran\*.parquet'"):
        fx.EventFiles(parquet / "ran*.parquet", **COLUMNS)
    with pytest.raises(FileNotFoundError, match=r"there is no file"):
        fx.EventFiles(parquet / "run7.parquet", **COLUMNS)
    (parquet / "a.csv").write_text("t,U\n1,2\n")
    with pytest.raises(ValueError, match=r"a.csv': events are read from files .parquet and .root"):
        fx.EventFiles(parquet / "a.csv", **COLUMNS)


def test_arrays_beside_files_are_refused(parquet: Path) -> None:
    files = fx.EventFiles(parquet / "run*.parquet", **COLUMNS)
    with pytest.raises(TypeError, match=r"`y_err` has no place beside EventFiles: name its column there, EventFiles\("):
        CASE._replace(arrays={}).fit(x=files, y_err=0.1)
    with pytest.raises(TypeError, match=r"`x` must hold numbers|EventFiles"):
        fx.Model(CASE.layers, seed=1).predict(files)


@pytest.mark.parametrize(("module", "extra", "ending"), [("pyarrow", "table", "parquet"), ("uproot", "root", "root")])
def test_libraries_that_are_not_installed(
    tmp_path: Path, hide: Callable[[str], None], module: str, extra: str, ending: str
) -> None:
    (tmp_path / f"a.{ending}").touch()
    hide(module)
    with pytest.raises(ImportError, match=rf"needs {module}: pip install 'ffnn_xp\[{extra}\]'"):
        fit(fx.EventFiles(tmp_path / f"a.{ending}", **COLUMNS))
