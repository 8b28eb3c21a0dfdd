"""Parts of events in a scratch file, read block by block: while one block is computed with, the next is read.

Measurements are read once, part after part, checked, and written as columns into a file without a name in the folder
for temporary files (set TMPDIR for another one). It takes 8 bytes for each value and is gone with the fit, also after
``kill -9``. So formats that take long to read are read once, and an evaluation takes as long as reading the file or as
the products, whichever is longer.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffnn_xp._lib.limits import checkpoint
from ffnn_xp._lib.progress import bar
from ffnn_xp.data import Dataset
from ffnn_xp.distributed.parts import Parts, PartSummary, ProblemWithoutData, Reader, Recipe, Result, leaves

BLOCK_BYTES = 2**23  # of a block: small beside the memory, large beside what Python needs for it


@dataclass(frozen=True)
class _Block:
    """The place of some events in the file: its offset, and the shape of each array, one after another."""

    offset: int
    shapes: dict[str, tuple[int, int]]


class StreamedParts(Parts):
    """Parts of events in a scratch file.

    Parameters
    ----------
    recipes : iterable of Recipe
        They make the parts, one after another.
    reader : Reader
        Reads and checks them.

    Raises
    ------
    OSError
        If the scratch file cannot be written.
    """

    def __init__(self, recipes: Iterable[Recipe], reader: Reader) -> None:
        self._file = tempfile.TemporaryFile(prefix="ffnn_xp-", buffering=0)  # noqa: SIM115, it lives as long as self
        weakref.finalize(self, self._file.close)
        self._end = 0
        self._blocks: list[_Block] = []
        self.summaries: list[PartSummary] = []
        self.sizes: list[int] = []
        with bar("reading", unit="parts") as line:
            for recipe in recipes:
                checkpoint()
                data, summary = reader(recipe)
                if summary is not None:
                    self.summaries.append(summary)
                    self._write(data)
                line.advance()

    @property
    def where(self) -> str:
        """The disk."""
        return "streamed from disk"

    def each(
        self,
        problem: ProblemWithoutData,
        task: Callable[..., Result],
        args: tuple[Any, ...] = (),
        of_parts: Sequence[tuple[Any, ...]] | None = None,
    ) -> list[Result]:
        """Return the results of a function of each block's problem; see `Parts`."""
        own = [()] * len(self._blocks) if of_parts is None else of_parts
        return [task(problem.of_part(data), *args, *more) for data, more in zip(self._read(), own, strict=True)]

    def _write(self, data: Dataset) -> None:
        """Write events in blocks."""
        arrays = leaves(data)
        size = max(1, BLOCK_BYTES * data.n // sum(a.nbytes for a in arrays.values()))
        for start in range(0, data.n, size):
            some = {}
            for name, a in arrays.items():
                each = a.shape[1] // data.n
                some[name] = np.ascontiguousarray(a[:, start * each : (start + size) * each])
            self._blocks.append(_Block(self._end, {name: a.shape for name, a in some.items()}))
            self.sizes.append(min(size, data.n - start))
            for a in some.values():
                self._append(a.data.cast("B"))

    def _append(self, content: memoryview) -> None:
        try:
            while content:
                written = self._file.write(content)
                content, self._end = content[written:], self._end + written
        except OSError as error:
            what = f"cannot write events to a scratch file in {tempfile.gettempdir()!r}: {error.strerror or error}"
            hint = "set the environment variable TMPDIR to a folder with room for 8 bytes for each value"
            raise OSError(error.errno, f"{what}; {hint}") from error

    def _read(self) -> Iterator[Dataset]:
        """Yield the blocks, while the next one is read."""
        with ThreadPoolExecutor(1) as ahead:
            waiting = ahead.submit(self._block, 0)
            for i in range(len(self._blocks)):
                data = waiting.result()
                if i + 1 < len(self._blocks):
                    waiting = ahead.submit(self._block, i + 1)
                checkpoint()
                yield data

    def _block(self, i: int) -> Dataset:
        block, summary = self._blocks[i], self.summaries[0]
        sizes = [int(np.prod(shape)) for shape in block.shapes.values()]
        values = np.empty(sum(sizes))
        content, at = values.data.cast("B"), block.offset
        while content:
            got = os.preadv(self._file.fileno(), [content], at)
            if not got:
                raise OSError("the scratch file of events ends too early: something else has shortened it")
            content, at = content[got:], at + got
        parts = np.split(values, np.cumsum(sizes)[:-1])
        arrays = {name: a.reshape(block.shapes[name]) for name, a in zip(block.shapes, parts, strict=True)}
        return Dataset(
            arrays["inputs"],
            arrays["y"],
            arrays.get("inverse_error"),
            arrays.get("weights"),
            summary.y_was_column,
            arrays.get("auxiliary"),
            x_error=arrays.get("x_error"),
            input_names=summary.input_names,
            target_names=summary.target_names,
        )
