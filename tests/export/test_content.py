"""What cannot be exported is refused with a reason, and files are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.export import to_cpp, to_latex, to_onnx, to_python
from ffnn_xp.fitting import Tuning

from .models import X, model_of

SOURCES = pytest.mark.parametrize("write", [to_cpp, to_python])
ALL = pytest.mark.parametrize("write", [to_cpp, to_python, to_latex, to_onnx])


@pytest.fixture(autouse=True)
def _needs_onnx(request: pytest.FixtureRequest) -> None:
    if "onnx" in request.node.name:
        pytest.importorskip("onnx")


@ALL
def test_a_model_without_parameters_is_refused(write: Callable[..., Any]) -> None:
    with pytest.raises(fx.NotFittedError, match=r"completed by the first fit: call fit\(x, y\)"):
        write(fx.Model((None, 3, 1)))


@pytest.mark.parametrize("write", [to_cpp, to_python, to_onnx])
def test_a_band_that_is_not_there_is_refused_with_the_reason(write: Callable[..., Any]) -> None:
    model = model_of()
    model.parameters = model.parameters + 1
    with pytest.raises(fx.NotFittedError, match="no error band to export: the parameters were set by hand"):
        write(model, std=True)
    assert write(model)


def test_a_band_without_matrices_is_refused() -> None:
    model = fx.Model((2, 3, 1), seed=1)
    model.fit(X, np.tanh(X[:, 0] - 5), 0.1, prior=1.0, restarts=1, tuning=Tuning(matrix_limit=10))
    with pytest.raises(fx.NotFittedError, match=r"no p x p matrix was formed .* Export the mean alone"):
        to_python(model, std=True)
    assert "predict" in to_python(model)


def test_predicted_widths_have_names_of_their_own() -> None:
    model = fx.Model((2, 2), seed=1)
    model.fit(X, np.sin(X[:, 0]), loss="normal", prior=1.0)
    assert "OUTPUTS = ('y', 'y_log_width')\n" in to_python(model)


def test_a_name_of_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "net\udcff.hpp"
    assert to_cpp(model_of(), path).count("\udcff") == 1
    assert b'#include "net\\udcff.hpp"' in path.read_bytes()


def test_a_name_with_a_line_break_stays_in_its_comment() -> None:
    own = fx.Activation("a\nint b", lambda xp, z: 2 * z, lambda xp, z, a: 2.0, lambda xp, z, a: 0.0)
    model = fx.Model((1, 2, 1), activation=own, seed=1)
    for source, comment in ((to_cpp(model), "// "), (to_python(model), "# "), (to_latex(model), "% ")):
        assert source.startswith(f"{comment}1-2-1 network (a\\nint b; output identity), written by ffnn_xp")


def test_modes_need_points_and_points_need_modes() -> None:
    pytest.importorskip("onnx")
    model = model_of()
    for options in ({"modes": 2}, {"x": X}):
        with pytest.raises(ValueError, match=r"`modes` are the leading ones at the points `x`.*: give both"):
            to_onnx(model, **options)
    with pytest.raises(ValueError, match="`modes` must be at most 4, the number of modes at these points, got 5"):
        to_onnx(model, modes=5, x=X[:2])
    with pytest.raises(ValueError, match="`modes` must be a positive integer, got -1"):
        to_onnx(model, modes=-1, x=X)
    with pytest.raises(ValueError, match=r"`x` must have shape \(n, 2\)"):
        to_onnx(model, modes=1, x=np.zeros((3, 5)))


@ALL
def test_files_that_cannot_be_written(write: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="it is a folder; give the name of a file in it"):
        write(model_of(), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"the folder '.*missing' does not exist"):
        write(model_of(), tmp_path / "missing" / "net")
    assert not os.listdir(tmp_path)


@SOURCES
def test_an_export_that_fails_leaves_the_old_file(write: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_text("old", encoding="utf-8")
    own = fx.Activation("own", lambda xp, z: z if z > 0 else 0 * z, lambda xp, z, a: 1.0, lambda xp, z, a: 0.0)
    with pytest.raises(ValueError, match="activation 'own' cannot be exported: it branches on a value"):
        write(fx.Model((1, 2, 1), activation=own, seed=1), path)
    assert path.read_text(encoding="utf-8") == "old"


def test_a_model_of_any_library_is_exported(backend: fx.Backend) -> None:
    model = fx.Model((2, 3, 1), seed=1, backend=backend)
    assert to_python(model) == to_python(fx.Model((2, 3, 1), seed=1, backend="numpy"))
