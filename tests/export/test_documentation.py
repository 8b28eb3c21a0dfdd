"""The blocks of docs/export.md run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .test_cpp_source import COMPILER

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_blocks_run_as_one_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for library in ("pandas", "onnx", "onnxruntime"):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    exec("\n".join(blocks("python")), namespace)
    printed, shown = capsys.readouterr().out, "".join(blocks("text"))
    checks = [[line == "True" for line in text.splitlines()] for text in (printed, shown)]
    assert checks[0] == checks[1]
    assert sum(checks[0]) >= 4
    assert "False" not in printed
    if COMPILER is None:
        return
    (program,) = blocks("cpp")
    (tmp_path / "main.cpp").write_text(program, encoding="utf-8")
    subprocess.run([COMPILER, "-std=c++17", "main.cpp"], check=True)
    printed = subprocess.run(["./a.out"], check=True, capture_output=True, text=True).stdout
    mean, std = namespace["model"].predict([0.5, -1.0], return_std=True)
    assert [float(word) for word in printed.split(" +- ")] == pytest.approx([mean[0], std[0]], rel=1e-5)
