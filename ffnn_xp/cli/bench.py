"""What a fit's unit of cost takes on this machine: value and gradient, and the Gauss-Newton matrix, on each library.

Made-up events of least squares; times are medians of calls as MINUIT makes them, host vectors in, host numbers out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ffnn_xp.backends import Backend
from ffnn_xp.costs.catalogue import LeastSquares
from ffnn_xp.model.model import Model

CALLS = 5  # at least
LONG = 1.0  # seconds of a first call after which one more has to do


@dataclass(frozen=True)
class Timing:
    """One line of the table.

    Attributes
    ----------
    backend : str
        Library and device.
    widths : tuple of int
        Of the network.
    events : int
        Their number.
    first : float
        Seconds of the first value and gradient: where a library compiles, it does so here.
    sweep : float
        Seconds of a later one.
    matrix : float
        Seconds of a Gauss-Newton matrix; NaN if it was not asked for.
    """

    backend: str
    widths: tuple[int, ...]
    events: int
    first: float
    sweep: float
    matrix: float

    @property
    def gflops(self) -> float:
        """1e9 multiplications and additions of the sweep's matrix products a second: three products for a layer."""
        products = 6 * sum(a * b for a, b in pairwise(self.widths)) - 2 * self.widths[0] * self.widths[1]
        return products * self.events / self.sweep / 1e9


def timings(
    backends: Sequence[Backend],
    widths: Sequence[tuple[int, ...]],
    events: Sequence[int],
    *,
    seconds: float = 0.3,
    most: int = 3_000_000,
) -> Iterator[Timing]:
    """Measure each network with each number of events on each backend.

    Parameters
    ----------
    backends : sequence of Backend
        See `get_backend`.
    widths : sequence of tuple of int
        Networks, tanh in between.
    events : sequence of int
        How many.
    seconds : float
        For each measurement, about.
    most : int
        Events times parameters up to which the Gauss-Newton matrix is measured too.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> (row,) = timings([fx.get_backend("numpy")], [(2, 3, 1)], [100], seconds=0.01)
    >>> row.backend, row.events, row.sweep > 0
    ('numpy on cpu', 100, True)
    """
    for shape in widths:
        for n in events:
            rng = np.random.default_rng(n)
            x, y = rng.normal(size=(n, shape[0])), rng.normal(size=(n, shape[-1]))
            for backend in backends:
                cost = LeastSquares(x, y, 1.0, Model(shape, backend=backend, seed=1))
                theta = cost.start.copy()

                def sweep(cost: LeastSquares = cost, theta: np.ndarray = theta) -> None:
                    theta[0] += 1e-9  # what was asked for already is remembered
                    cost.value_and_gradient(theta)

                def matrix(cost: LeastSquares = cost, theta: np.ndarray = theta) -> None:
                    theta[0] += 1e-9
                    cost.matrix("gauss_newton", theta)

                first, later = _timed(sweep, seconds)
                _, whole = _timed(matrix, seconds) if n * cost.npar <= most else (np.nan, np.nan)
                yield Timing(label(backend), shape, n, first, later, whole)


def label(backend: Backend) -> str:
    """What a line of the table calls a library and its device."""
    return f"{backend.name} on {backend.device}"


def _timed(f: Callable[[], None], seconds: float) -> tuple[float, float]:
    """Seconds of the first call, and the median of some later ones."""
    began = time.perf_counter()
    f()
    first = time.perf_counter() - began
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < (1 if first > LONG else CALLS) or (time.perf_counter() < end and len(times) < 2000):
        began = time.perf_counter()
        f()
        times.append(time.perf_counter() - began)
    return first, float(np.median(times))
