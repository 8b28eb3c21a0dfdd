"""`EventLoop`: the source of a sum over events, which a backend compiles for its device; `HostLoop`: one for a CPU.

What a loop computes is its caller's. How it is called is decided here and in ``event_loop_cpu.c`` and
``event_loop_gpu.cu``: all numbers and addresses of events lie in one array of integers, made once for a set of events.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
            *copies, row, step = (stride // dtype.itemsize for stride in a.strides)
            shared = len(a.shape) == 2 or (len(a.shape) == 3 and (a.shape[0], len(shape)) == (shape[0], 2))
            if a.dtype != dtype or a.shape[-1] != n or a.shape[-2] not in rows or (step != 1 and n > 1) or not shared:
                return None
            found += [address(a), row, *(copies or [0])]
        return found


class HostLoop:
    """A compiled loop as a function of NumPy arrays: theta, and the arrays of the events.

    Parameters
    ----------
    loop : EventLoop
        What was compiled.
    function : ctypes function
        The compiled function.
    plain : callable
        The function of arrays that it replaces, and which computes with arrays that the loop cannot read.
    part : int
        Events whose sums are added to those of the events before.
    """

    def __init__(self, loop: EventLoop, function: Any, plain: Callable[..., Array], part: int) -> None:
        self.loop, self.function, self.plain, self.part = loop, function, plain, part
        self._known: tuple[Any, ...] = ((), (), None, 0, 0)  # of the last events

    def __call__(self, theta: Array, *arrays: Array | None) -> Array:
        """Return the sum, ``(1 + p,)`` or ``(r, 1 + p)``."""
        shape, seen, events, copies, parts = self._known  # read and replaced as a whole, since threads may share it
        if theta.shape != shape or not all(map(is_, arrays, seen)):
            numbers = self.loop.events(theta.shape, arrays, _address, np.dtype(np.float64))
            events = None if numbers is None else (ctypes.c_longlong * len(numbers))(*numbers)
            copies, parts = (theta.shape[0] if theta.ndim == 2 else 1), -(-arrays[0].shape[-1] // self.part)  # type: ignore[union-attr]
            self._known = theta.shape, arrays, events, copies, parts
        if events is None or theta.dtype != np.float64:
            return self.plain(theta, *arrays)
        total = np.empty((*theta.shape[:-1], theta.shape[-1] + 1))
        if not total.size:
            return total
        if self.function(events, theta.tobytes(), copies, parts, ctypes.byref(ctypes.c_char.from_buffer(total))):
            raise MemoryError("no memory for a sum over events")
        return total


def _address(a: Array) -> int:
    return int(a.ctypes.data)
