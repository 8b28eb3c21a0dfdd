"""The README and the pages of the documentation: their code runs, and prints and draws what they show."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import ffnn_xp
from ffnn_xp.backends import BACKENDS

sys.path.insert(0, str(Path(__file__).parent))
from notebook import NOTEBOOKS, cells, sources
from pages import DOCS, PAGES, Output, pictures, run


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(DOCS.parent)) for page in PAGES])
@pytest.mark.filterwarnings("default::ffnn_xp.BackendFallbackWarning", "default::ffnn_xp.FitWarning")
def test_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    try:
        for output in run(page, tmp_path):
            assert output.right, f"the page says\n{output.written}but it prints\n{output.printed}"
    except ModuleNotFoundError as missing:
        if missing.name not in BACKENDS:
            raise
        pytest.skip(f"the rest of the page needs {missing.name}")
    for name in pictures(page):
        assert (tmp_path / name).exists(), f"no block saves {name}"
        assert (DOCS / "pictures" / name).exists()


def test_every_public_name_has_its_place() -> None:
    """Each public name, and each public method of models and results, is on one page of the API."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.md")))
    shown = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)", text, re.MULTILINE))
    methods = {
        f"{kind}.{name}"
        for kind in ("Model", "FitResult", "Ensemble")
        for name in dir(getattr(ffnn_xp, kind))
        if not name.startswith("_") and callable(getattr(getattr(ffnn_xp, kind), name))
    }
    assert methods - shown == set()
    assert set(ffnn_xp.__all__) - shown == set()


def test_outputs_are_compared() -> None:
    """If everything were right, the test above would say nothing."""
    assert Output("chi2 194.437, 0.61 s\n", "chi2  194.436, 7 s\n", (0, 0)).right
    assert Output("EDM 1.3e-16\n", "EDM 4e-13\n", (0, 0)).right
    assert not Output("chi2 194.437\n", "chi2 184.437\n", (0, 0)).right
    assert not Output("chi2 194.437\n", "deviance 194.437\n", (0, 0)).right
    assert not Output("", "chi2 194.437\n", (0, 0)).right


def test_notebooks_are_those_of_their_pages() -> None:
    """If this fails: ``python docs/notebook.py``."""
    for page, notebook in NOTEBOOKS.items():
        assert sources(notebook) == cells(page)
