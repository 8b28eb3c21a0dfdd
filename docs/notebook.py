"""Make an executed notebook of a page, with its pictures: ``python docs/notebook.py`` writes those in `examples/`.

The notebook has the text and the Python blocks of the page; what they print and draw comes from running it.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

from pages import BLOCK, DOCS, PICTURE

NOTEBOOKS = {DOCS / "ten_minutes.md": DOCS.parent / "examples" / "ten_minutes.ipynb"}
SHOWN = re.compile(r"^print\((\w+(?:\.\w+\([^()]*\))?)\)\n\Z", re.MULTILINE)  # shown as a table instead
SAVED = re.compile(r"\[0, 0\]\.figure\.savefig\([^)]*\)")
LINK = re.compile(r"\]\((?!https?:|#)(?:\.\./examples/)?([^)]*)\)")


def cells(page: Path) -> list[tuple[str, str]]:
    """Return the cells of a page: "markdown" or "code", and the text."""
    text, at = page.read_text(encoding="utf-8"), 0
    found: list[tuple[str, str]] = []
    for block in [*BLOCK.finditer(text), None]:
        between = PICTURE.sub("", text[at : block.start() if block else None]).strip()
        if between:
            found.append(("markdown", LINK.sub(_link, between)))
        if block:
            at = block.end()
            if block[1] == "python":
                code = SAVED.sub("", SHOWN.sub(r"\1\n", block[2]))
                found.append(("code", code.rstrip() + (";" if SAVED.search(block[2]) else "")))
    return found


def _link(link: re.Match[str]) -> str:
    return f"]({link[1]})" if "../examples/" in link[0] else f"](../docs/{link[1]})"


def sources(notebook: Path) -> list[tuple[str, str]]:
    """Return the cells of a notebook in the same form."""
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in found]


def main() -> None:
    """Write and run all notebooks."""
    import nbformat
    from nbclient import NotebookClient

    os.environ["TQDM_DISABLE"] = "1"  # a page has no progress bars
    for page, path in NOTEBOOKS.items():
        make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
        notebook = nbformat.v4.new_notebook(cells=[make[kind](text) for kind, text in cells(page)])
        for i, cell in enumerate(notebook.cells):
            cell.id = f"cell-{i}"
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(notebook, resources={"metadata": {"path": folder}}, record_timing=False).execute()
        nbformat.write(notebook, path)
        print(path)


if __name__ == "__main__":
    main()
