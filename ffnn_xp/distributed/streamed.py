"""Parts of events in scratch files, read block by block: while one block is computed with, the next is read.

Measurements are read once, part after part, checked, and written as columns into a file without a name in the folder
for temporary files (set TMPDIR for another one). At the first sum the standardised events are written into a second
one, so that an evaluation takes as long as reading that file or as the products, whichever is longer. Both take 8 bytes
for each value, and are gone with the fit, also after ``kill -9``.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import chain
from typing import Any

import numpy as np

from ffnn_xp._lib.limits import stop_if_due
from ffnn_xp._lib.progress import bar
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends import Backend
from ffnn_xp.data import Dataset, Events
from ffnn_xp.distributed.parts import Parts, PartSummary, ProblemWithoutData, Reader, Recipe, Result, leaves

Columns = dict[str, HostArray]
"""Arrays of some events by name, each with a column for each event or several."""


class Scratch:
    """A file without a name that holds blocks of columns, one after another.

    Raises
    ------
    OSError
        If it cannot be written, or has been shortened.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="ffnn_xp-", buffering=0)  # noqa: SIM115, it lives as long as self
        weakref.finalize(self, self._file.close)
        self._offsets = [0]
        self._shapes: list[dict[str, tuple[int, ...]]] = []

    def __len__(self) -> int:
        """Return the number of blocks."""
        return len(self._shapes)

    def append(self, columns: Columns) -> None:
        """Write a block."""
        end = self._offsets[-1]
        try:
            for a in columns.values():
                content = np.ascontiguousarray(a, dtype=np.float64).data.cast("B")
                while content:
                    written = self._file.write(content)
                    content, end = content[written:], end + written
        except OSError as error:
            what = f"cannot write events to a scratch file in {tempfile.gettempdir()!r}: {error.strerror or error}"
            hint = "set the environment variable TMPDIR to a folder with room for 16 bytes for each value"
            raise OSError(error.errno, f"{what}; {hint}") from error
        self._offsets.append(end)
        self._shapes.append({name: a.shape for name, a in columns.items()})

    def read(self, i: int, into: HostArray | None = None) -> Columns:
        """Read a block, into memory that is there if it is large enough."""
        at, size = self._offsets[i], (self._offsets[i + 1] - self._offsets[i]) // 8
        values = np.empty(size) if into is None or len(into) < size else into[:size]
        content = values.data.cast("B")
        while content:
            got = os.preadv(self._file.fileno(), [content], at)
            if not got:
                raise OSError("the scratch file of events ends too early: something else has shortened it")
            content, at = content[got:], at + got
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes[i].values()])
        parts = np.split(values, ends[:-1])
        return {name: a.reshape(shape) for (name, shape), a in zip(self._shapes[i].items(), parts, strict=True)}

    def largest(self) -> int:
        """Return the number of values of the largest block."""
        return int(np.max(np.diff(self._offsets))) // 8


class StreamedParts(Parts):
    """Parts of events in scratch files.

    Parameters
    ----------
    recipes : iterable of Recipe
        They make the parts, one after another.
    reader : Reader
        Reads and checks them.

    Raises
    ------
    OSError
        If a scratch file cannot be written.
    """

    def __init__(self, recipes: Iterable[Recipe], reader: Reader) -> None:
        self._data, self._events, self._block_bytes = Scratch(), Scratch(), reader.tuning.block_bytes
        self._standardised: tuple[ProblemWithoutData, Any] | None = None
        self.summaries: list[PartSummary] = []
        self.sizes: list[int] = []
        with bar("reading", unit="parts") as line:
            for name, measurements in chain.from_iterable(recipe.pieces() for recipe in recipes):
                stop_if_due()
                data, summary = reader(name, measurements)
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
        own = [()] * len(self._data) if of_parts is None else of_parts
        blocks = ahead(self._block, len(self._data))
        return [task(problem.of_part(data), *args, *more) for data, more in zip(blocks, own, strict=True)]

    def each_objective(
        self, problem: ProblemWithoutData, raw: bool, task: Callable[..., Result], args: tuple[Any, ...]
    ) -> list[Result]:
        """Return the results of a function of each block's objective; see `Parts`."""
        if raw:
            return super().each_objective(problem, raw, task, args)
        first, buffers = self._first(problem), [np.empty(self._events.largest()) for _ in range(2)]

        def events_of(i: int) -> Events:
            return _events(self._events.read(i, buffers[i % 2]), first.events.nodes, first.backend)

        return [task(first.with_events(events), *args) for events in ahead(events_of, len(self._events))]

    def _first(self, problem: ProblemWithoutData) -> Any:
        """Return the largest block's objective, once the standardised events of all are written."""
        if self._standardised is None or self._standardised[0] is not problem:
            self._standardised, self._events, first = None, Scratch(), None
            for data in ahead(self._block, len(self._data)):
                objective = problem.of_part(data).objective_in(False)
                first = objective if first is None or objective.n > first.n else first
                self._events.append(_columns(objective.events, objective.backend))
            self._standardised = problem, first
        return self._standardised[1]

    def _write(self, data: Dataset) -> None:
        """Write events in blocks."""
        arrays = leaves(data)
        size = max(1, self._block_bytes * data.n // sum(a.nbytes for a in arrays.values()))
        for start in range(0, data.n, size):
            each = {name: a.shape[1] // data.n for name, a in arrays.items()}
            self._data.append(
                {name: a[:, start * each[name] : (start + size) * each[name]] for name, a in arrays.items()}
            )
            self.sizes.append(min(size, data.n - start))

    def _block(self, i: int) -> Dataset:
        """Read the data of a block."""
        arrays, summary = self._data.read(i), self.summaries[0]
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


def _columns(events: Events, backend: Backend) -> Columns:
    """Return the arrays of events by name, on the host."""
    named = {"x": events.x, "weights": events.weights, **{str(i): a for i, a in enumerate(events.data)}}
    return {name: backend.to_host(a) for name, a in named.items() if a is not None}


def _events(columns: Columns, nodes: int, backend: Backend) -> Events:
    """Return the events that have these arrays, on the device."""
    arrays = columns if backend.host_arrays else {name: backend.to_device(a) for name, a in columns.items()}
    data = tuple(a for name, a in arrays.items() if name.isdigit())
    return Events(arrays["x"], data, arrays.get("weights"), nodes)


def ahead(f: Callable[[int], Result], number: int) -> Iterator[Result]:
    """Yield f(0), f(1), ..., each computed in a thread while what came before is used."""
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(copy_context().run, f, 0)
        for i in range(number):
            result = waiting.result()
            if i + 1 < number:
                waiting = thread.submit(copy_context().run, f, i + 1)
            stop_if_due()
            yield result
