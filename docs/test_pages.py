"""The README and the pages of the documentation: their code runs, and prints and draws what they show."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

import ffnn_xp
from ffnn_xp.backends import BACKENDS

sys.path.insert(0, str(Path(__file__).parent))
from notebook import NOTEBOOKS, cells, written
from pages import BLOCK, DOCS, PAGES, Output, pictures, run

API = "\n".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.md")))
SHOWN = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)", API, re.MULTILINE))
WIDEST = 90  # characters of a line of code that the page shows without scrolling


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


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(DOCS.parent)) for page in PAGES])
def test_code_is_as_wide_as_the_page(page: Path) -> None:
    blocks = BLOCK.finditer(page.read_text(encoding="utf-8"))
    lines = [line for block in blocks if block[1] == "python" for line in block[2].splitlines()]
    assert not [line for line in lines if len(line) > WIDEST]


def test_every_public_name_has_its_place() -> None:
    """Each public name, and each public method of models and results, is on one page of the API."""
    methods = {
        f"{kind}.{name}"
        for kind in ("Model", "FitResult", "Ensemble")
        for name in dir(getattr(ffnn_xp, kind))
        if not name.startswith("_") and callable(getattr(getattr(ffnn_xp, kind), name))
    }
    assert methods - SHOWN == set()
    assert set(ffnn_xp.__all__) - SHOWN == set()


@pytest.mark.parametrize("package", ["estimators", "export", "losses", "minimizers"])
def test_the_names_of_a_package_have_their_place(package: str) -> None:
    """They are on a page of the API, but for type aliases and constants."""
    module = importlib.import_module(f"ffnn_xp.{package}")
    names = {name for name in module.__all__ if getattr(getattr(module, name), "__module__", "").startswith("ffnn_xp")}
    values = {name for name in names if name.isupper()}
    assert len(names) > 2
    assert {name for name in names - values if not {name, f"ffnn_xp.{package}.{name}"} & SHOWN} == set()


def test_the_api_begins_with_every_public_name() -> None:
    index = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
    assert {name for name in ffnn_xp.__all__ if not re.search(rf"`(\w+\.)?{name}[`.]", index)} == set()


def test_pages_name_files_that_exist() -> None:
    root = DOCS.parent
    for page in PAGES:
        named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|md|toml))`", page.read_text(encoding="utf-8")))
        assert not [name for name in named if not ((root / name).exists() or (root / "ffnn_xp" / name).exists())], page


def test_outputs_are_compared() -> None:
    """If everything were right, the test above would say nothing."""
    assert Output("chi2 194.437, 0.61 s\n", "chi2  194.436, 7 s\n", (0, 0)).right
    assert Output("EDM 1.3e-16\n", "EDM 4e-13\n", (0, 0)).right
    assert not Output("chi2 194.437\n", "chi2 184.437\n", (0, 0)).right
    assert not Output("chi2 194.437\n", "deviance 194.437\n", (0, 0)).right
    assert not Output("", "chi2 194.437\n", (0, 0)).right


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_that_of_its_pages(name: str) -> None:
    """If this fails: ``python docs/notebook.py``."""
    pairs = list(zip(written(name), cells(name), strict=True))
    for is_, should_be in pairs:
        assert (is_.kind, is_.text, is_.draws) == (should_be.kind, should_be.text, should_be.draws)
        if should_be.printed:
            assert Output(should_be.printed, is_.printed, (0, 0)).right, f"{should_be.printed}\n{is_.printed}"
    assert any(is_.draws for is_, _ in pairs)
