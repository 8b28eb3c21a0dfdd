"""The page on estimators: its blocks run, in order as one script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn, the extra sklearn")

PAGE = Path(__file__).parents[2] / "docs" / "estimators.md"


@pytest.mark.slow
def test_the_blocks_run(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pandas")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 4
    exec("\n".join(blocks), {})
    printed = capsys.readouterr().out
    assert "{'ffnnregressor__prior': 1.0}" in printed
    assert "FFNNRegressor has no option `learning_rate_init`" in printed
