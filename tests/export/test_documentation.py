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
def test_the_blocks_run_as_one_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("pandas", "onnx", "onnxruntime"):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    script = "\n".join(blocks("python"))
    assert script.count("print(") > 3
    namespace: dict[str, Any] = {}
    exec(script, namespace)
    if COMPILER is None:
        return
    (program,) = blocks("cpp")
    (tmp_path / "main.cpp").write_text(program, encoding="utf-8")
    subprocess.run([COMPILER, "-std=c++17", "main.cpp"], check=True)
    printed = subprocess.run(["./a.out"], check=True, capture_output=True, text=True).stdout
    mean, std = namespace["model"].predict([0.5, -1.0], return_std=True)
    assert [float(word) for word in printed.split(" +- ")] == pytest.approx([mean[0], std[0]], rel=1e-5)
