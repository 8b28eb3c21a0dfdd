"""Run the code of the README and of the documentation, page by page, and compare what it prints.

The Python blocks of a page run in order, in one namespace and in an empty folder. Commands in console blocks, which
begin with ``$ ``, run there too, and their output follows them. A text block right after a Python block is what that
prints, and a picture of a page is saved by one of its blocks.

    python docs/pages.py                                # run all pages, and say where they are wrong
    python docs/pages.py --write docs/ten_minutes.md    # put what a page prints and draws into it, where it differs
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
PAGES = [DOCS.parent / "README.md", *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]

BLOCK = re.compile(r"^```(python|console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
PICTURE = re.compile(r"!\[[^]]*\]\([^)]*?pictures/([^/)]+)\)")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
VARIES = re.compile(r"[\d.]+ (?=s\b|gradient calls|calls)")  # seconds and steps are those of the machine
ROUNDING = 1e-9  # smaller numbers are rounding
SHARE = 0.02  # difference of two numbers that counts as none; and so does one in the last digit


@dataclass(frozen=True)
class Output:
    """The output of a block: as it is written in the page, as it is printed now, and where it stands in the page."""

    written: str
    printed: str
    place: tuple[int, int]

    @property
    def right(self) -> bool:
        """The words agree, and the numbers agree up to rounding."""
        written, printed = (" ".join(VARIES.sub("", text).split()) for text in (self.written, self.printed))
        if NUMBER.sub("#", written) != NUMBER.sub("#", printed):
            return False
        pairs = zip(NUMBER.findall(written), NUMBER.findall(printed), strict=True)
        return all(_near(text, float(text), float(number)) for text, number in pairs)


def _near(text: str, a: float, b: float) -> bool:
    digits, _, power = text.partition("e")
    last = 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))
    return abs(a - b) <= max(ROUNDING, SHARE * abs(a), 1.01 * last)


def run(page: Path, folder: Path) -> Iterator[Output]:
    """Run the blocks of a page in a folder; yield what they print where the page says so."""
    text = page.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "__main__"}
    before, printed, end = os.getcwd(), "", -1
    os.chdir(folder)
    try:
        for block in BLOCK.finditer(text):
            language, code = block.groups()
            if language == "python":
                lines = "\n" * (text.count("\n", 0, block.start()) + 1)  # a traceback has the lines of the page
                with contextlib.redirect_stdout(io.StringIO()) as stream:
                    exec(compile(lines + code, str(page), "exec"), names)
                printed, end = stream.getvalue(), block.end()
            elif language == "text" and end >= 0 and not text[end : block.start()].strip():
                yield Output(code, printed, block.span(2))
            elif language == "console":
                at = block.start(2)
                for command in COMMAND.finditer(code):
                    place = at + command.start(2), at + command.end(2)
                    yield Output(command[2], shell(command[1]), place)
    finally:
        os.chdir(before)


def shell(command: str) -> str:
    """Run a command line of a page, with this Python's ``ffnn-xp``, and return all that it prints."""
    program, *arguments = shlex.split(command)
    found = [sys.executable, "-m", "ffnn_xp"] if program == "ffnn-xp" else [program]
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run([*found, *arguments], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def pictures(page: Path) -> set[str]:
    """Return the names of the pictures that a page shows."""
    return set(PICTURE.findall(page.read_text(encoding="utf-8")))


def write(page: Path, outputs: list[Output], folder: Path) -> None:
    """Put what the blocks of a page print and draw into it."""
    text = page.read_text(encoding="utf-8")
    for output in reversed([output for output in outputs if not output.right]):
        start, stop = output.place
        text = text[:start] + "\n".join(map(str.rstrip, output.printed.splitlines())) + "\n" + text[stop:]
    page.write_text(text, encoding="utf-8")
    for name in pictures(page):
        shutil.copy(folder / name, DOCS / "pictures" / name)


def main() -> int:
    """Run pages, and compare or write what they print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put what the pages print and draw into them")
    parser.add_argument("pages", nargs="*", type=Path, help="Markdown files; by default all")
    options = parser.parse_args()
    wrong = 0
    for page in [path.resolve() for path in options.pages] or PAGES:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            outputs = list(run(page, Path(folder)))
            if options.write:
                write(page, outputs, Path(folder))
        print(f"{page.relative_to(DOCS.parent)}: {len(outputs)} outputs, {time.perf_counter() - began:.1f} s")
        for output in [] if options.write else outputs:
            if not output.right:
                wrong += 1
                print(f"the page says\n{output.written}but it prints\n{output.printed}")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
