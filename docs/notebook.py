"""Make executed notebooks of pages, with their pictures: ``python docs/notebook.py`` writes those in `examples/`.

A notebook has the text and the Python blocks of its pages; what they print and draw comes from running it.

    python docs/notebook.py             # make all of them
    python docs/notebook.py histograms  # or some
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pages import BLOCK, DOCS, PICTURE

EXAMPLES = DOCS.parent / "examples"
NOTEBOOKS = {
    "ten_minutes": ["ten_minutes"],
    "bands": ["band", "prior"],
    "histograms": ["histograms", "efficiencies"],
    "background": ["background"],
    "scikit_learn": ["estimators", "migrating"],
}
SHOWN = re.compile(r"^print\((\w+(?:\.\w+\([^()]*\))?)\)\n\Z", re.MULTILINE)  # shown as a table instead
SAVED = re.compile(r"(?:\nfigure|(?:\[0, 0\])?\.figure)\.savefig\([^)]*\)\n\Z")  # at the end of a block that draws
KERNEL = re.compile(r"^\S*ipykernel\S*:\d+: ", re.MULTILINE)  # the file that a warning is said to come from
LINK = re.compile(r"\]\((?!https?:|#)(?:\.\./examples/)?([^)]*)\)")


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook: "markdown" or "code", its text, what it prints, and whether it draws."""

    kind: str
    text: str
    printed: str = ""
    draws: bool = False


def cells(name: str) -> list[Cell]:
    """Return the cells that a notebook should have, from its pages."""
    return [cell for page in NOTEBOOKS[name] for cell in _cells((DOCS / f"{page}.md").read_text(encoding="utf-8"))]


def _cells(text: str) -> list[Cell]:
    found: list[Cell] = []
    at = 0
    for block in [*BLOCK.finditer(text), None]:
        between = PICTURE.sub("", text[at : block.start() if block else None]).strip()
        if between:
            found.append(Cell("markdown", LINK.sub(_link, between)))
        if block:
            at = block.end()
            if block[1] == "python":
                found.append(_code(block[2]))
            elif block[1] == "text" and not between and found[-1].kind == "code":
                found[-1] = Cell("code", found[-1].text, block[2], found[-1].draws)
    return found


def _code(block: str) -> Cell:
    draws = SAVED.search(block) is not None
    return Cell("code", SAVED.sub(";", SHOWN.sub(r"\1", block)).rstrip(), draws=draws)


def _link(link: re.Match[str]) -> str:
    return f"]({link[1]})" if "../examples/" in link[0] else f"](../docs/{link[1]})"


def written(name: str) -> list[Cell]:
    """Return the cells that the notebook in `examples/` has."""
    notebook = json.loads((EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [_cell(cell) for cell in notebook["cells"]]


def _cell(cell: dict[str, Any]) -> Cell:
    outputs = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    draws = any("image/png" in output.get("data", {}) for output in outputs)
    printed = [text for text in map("".join, texts) if not text.startswith("<Figure")]
    return Cell(cell["cell_type"], "".join(cell["source"]), "\n".join(printed), draws)


def make(name: str) -> Path:
    """Write a notebook of pages, and run it."""
    import nbformat
    from nbclient import NotebookClient

    os.environ["TQDM_DISABLE"] = "1"  # a page has no progress bars
    of_kind = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    notebook = nbformat.v4.new_notebook(cells=[of_kind[cell.kind](cell.text) for cell in cells(name)])
    with tempfile.TemporaryDirectory() as folder:
        where = {"metadata": {"path": folder}}
        NotebookClient(notebook, resources=where, record_timing=False, coalesce_streams=True).execute()
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i}"
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                output.text = KERNEL.sub("", output.text)
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _small(output.data["image/png"])
    path = EXAMPLES / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def _small(png: str) -> str:
    """Return a picture in 64 colours, which curves, bands and points do with."""
    from PIL import Image

    stream = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(64).save(stream, "png", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


if __name__ == "__main__":
    os.environ.pop("MPLBACKEND", None)  # the kernel's own, which puts pictures into the notebook
    for chosen in sys.argv[1:] or NOTEBOOKS:
        print(make(chosen))
