"""`EventLoop`: the source of a sum over events, which a backend compiles for its device; `HostLoop`: one for a CPU.

What a loop computes is its caller's. How it is called is decided here and in ``event_loop_cpu.c`` and
``event_loop_gpu.cu``: all numbers and addresses of events lie in one array of integers, made once for a set of events.
"""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from operator import is_
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import Array


@dataclass(frozen=True)
class EventLoop:
    """The source of a sum over events, in what C and CUDA have in common; each backend puts its own lines around it.

    Attributes
    ----------
    source : str
        The source: a function ``sum_of_part``, the same for all widths.
    widths : tuple of int
        Numbers of units of each layer.
    columns : int
        Number of arrays of data.
    """

    source: str
    widths: tuple[int, ...]
    columns: int

    @property
    def parameters(self) -> int:
        """The length p of theta; the sum has 1 + p numbers."""
        return sum(h * (below + 1) for below, h in pairwise(self.widths))

    @property
    def rows(self) -> int:
        """The numbers that the loop keeps of each event: inputs of layers with a 1, derivatives, and the statistic."""
        return sum(below + 1 + h for below, h in pairwise(self.widths)) + 1

    def inside(self, template: str, **values: str) -> str:
        """Return the source with the lines of a device around it, from a file beside this one."""
        text = (resources.files(__package__) / template).read_text(encoding="utf-8")
        for name, value in {**values, "LOOP": self.source}.items():
            text = text.replace(f"@{name}@", value)
        return text

    def events(
        self, shape: tuple[int, ...], arrays: Sequence[Any], address: Callable[[Any], int], dtype: Any
    ) -> list[int] | None:
        """Return the numbers and addresses of events; None if the loop cannot read them.

        Parameters
        ----------
        shape : tuple of int
            The shape of theta, ``(p,)`` or ``(r, p)``.
        arrays : sequence of arrays with shape (k, n) or (r, k, n)
            Inputs, weights or None, and the data.
        address : callable
            Returns the address of an array.
        dtype : dtype
            The type of the loop's numbers.
        """
        x, weights, *data = arrays
        n, outputs = x.shape[-1], self.widths[-1]
        if n == 0 or len(data) != self.columns or not 1 <= len(shape) <= 2 or shape[-1] != self.parameters:
            return None
        found = [n, self.parameters, self.rows, *self.widths]
        for a, rows in [(x, (self.widths[0], self.widths[0] + 1)), (weights, (1,)), *((a, (outputs,)) for a in data)]:
            if a is None:
                found += [0, 0, 0]
                continue
            *copies, row, step = (stride / dtype.itemsize for stride in a.strides)
            whole = row % 1 == 0 and (step == 1 or n == 1) and all(copy % 1 == 0 for copy in copies)
            shared = len(a.shape) == 2 or (len(a.shape) == 3 and (a.shape[0], len(shape)) == (shape[0], 2))
            if a.dtype != dtype or a.shape[-1] != n or a.shape[-2] not in rows or not (whole and shared):
                return None
            found += [address(a), int(row), int(copies[0]) if copies else 0]
        return found


class CompiledLoop(ABC):
    """A loop as a function of arrays, theta and those of the events; a subclass runs it on its device.

    Parameters
    ----------
    loop : EventLoop
        The loop.
    plain : callable
        The function of arrays that it replaces, and which computes with arrays that the loop cannot read.
    dtype : dtype
        The type of its numbers.
    """

    def __init__(self, loop: EventLoop, plain: Callable[..., Array], dtype: str) -> None:
        self.loop, self.plain, self.dtype = loop, plain, np.dtype(dtype)
        self._known: tuple[Any, ...] = ((), (), None)  # of the last events

    @staticmethod
    @abstractmethod
    def address(a: Any) -> int:
        """Return the address of an array's first number."""

    @abstractmethod
    def placed(self, numbers: list[int]) -> Any:
        """Return the numbers and addresses of events where the loop reads them."""

    @abstractmethod
    def run(self, theta: Array, events: Any, n: int) -> Array:
        """Return the sum over n events, ``(1 + p,)`` or ``(r, 1 + p)``."""

    def __call__(self, theta: Array, *arrays: Array | None) -> Array:
        """Return the sum, ``(1 + p,)`` or ``(r, 1 + p)``."""
        shape, seen, events = self._known  # read and replaced as a whole, since threads may share it
        if theta.shape != shape or not all(map(is_, arrays, seen)):
            numbers = self.loop.events(theta.shape, arrays, self.address, self.dtype)
            events = None if numbers is None else self.placed(numbers)
            self._known = theta.shape, arrays, events
        if events is None or theta.dtype != self.dtype:
            return self.plain(theta, *arrays)
        return self.run(theta, events, arrays[0].shape[-1])  # type: ignore[union-attr]


class HostLoop(CompiledLoop):
    """A loop that a C compiler has compiled.

    Parameters
    ----------
    loop, plain
        As in `CompiledLoop`.
    function : ctypes function
        The compiled function.
    part : int
        Events whose sums are added to those of the events before.
    """

    def __init__(self, loop: EventLoop, plain: Callable[..., Array], function: Any, part: int) -> None:
        super().__init__(loop, plain, "float64")
        void, number = ctypes.c_void_p, ctypes.c_longlong
        function.argtypes = [void, ctypes.c_char_p, number, number, void]
        self.function, self.part = function, part

    @staticmethod
    def address(a: Any) -> int:
        """Return the address of an array's first number."""
        return int(a.ctypes.data)

    def placed(self, numbers: list[int]) -> Any:
        """Return the numbers in an array of C."""
        return (ctypes.c_longlong * len(numbers))(*numbers)

    def run(self, theta: Array, events: Any, n: int) -> Array:
        """Return the sum; other threads of Python go on meanwhile."""
        copies = theta.shape[0] if theta.ndim == 2 else 1
        total = np.empty((*theta.shape[:-1], theta.shape[-1] + 1))
        out = ctypes.byref(ctypes.c_char.from_buffer(total.data)) if copies else None
        if self.function(events, theta.tobytes(), copies, -(-n // self.part), out):
            raise MemoryError("no memory for a sum over events")
        return total
