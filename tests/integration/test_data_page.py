"""The page on data: its blocks run in order, and what it says of results is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


@pytest.mark.slow
def test_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for library in ("hist", "uproot", "awkward"):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 4
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {})
    assert capsys.readouterr().out.startswith("('t', 'U')\n")
