"""Optional libraries are imported when they are needed, and asked for by name where they are missing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from ffnn_xp._lib.optional import require


def test_what_is_installed_is_imported() -> None:
    assert require("json", "files", "a header") is json


def test_what_is_missing_is_asked_for_by_its_extra(hide: Callable[[str], None]) -> None:
    hide("safetensors")
    with pytest.raises(ImportError, match=r"saving needs safetensors: pip install 'ffnn_xp\[files\]'") as caught:
        require("safetensors.numpy", "files", "saving")
    assert caught.value.name == "safetensors"


@pytest.mark.slow
def test_import_of_the_package_imports_no_optional_library() -> None:
    code = (
        "import sys, ffnn_xp, ffnn_xp.io, ffnn_xp.cli.tables, ffnn_xp.plotting, ffnn_xp.cli;"
        "found = {'safetensors', 'pandas', 'pyarrow', 'matplotlib', 'typer', 'tqdm', 'sklearn'} & set(sys.modules);"
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
