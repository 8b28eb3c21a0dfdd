"""`SearchResult`, which a search from many starts returns, with a row for each, and what it tells on its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.local_search import LocalMinimum


@dataclass(frozen=True)
class FitState:
    """The state of a fit, as a callback gets it at each improvement.

    Attributes
    ----------
    start, starts : int
        Number of the start, and how many there are at most; 0 while ``prior="auto"`` chooses the prior.
    fval : float
        Value now.
    best : float
        Best value of all starts.
    calls : int
        Gradient calls of this start.
    seconds : float
        Since the fit began.
    """

    start: int
    starts: int
    fval: float
    best: float
    calls: int
    seconds: float


@dataclass(frozen=True)
class Restart:
    """A row of the table of starts.

    Attributes
    ----------
    start : int
        Its number, from 1.
    fval, edm : float
        Value and EDM at its end; those of a sample of the events, scaled up, if halving dropped it early.
    status : str
        How it ended: a `Status`, or why it was pruned.
    calls : int
        Gradient calls, also those on a sample of the events.
    seconds : float
        Wall time.
    minimum : int
        Number of the minimum that it came to, 1 for the best, the same for starts that came to the same; 0 if it came
        to none.
    """

    start: int
    fval: float
    edm: float
    status: str
    calls: int
    seconds: float
    minimum: int = 0


@dataclass(frozen=True)
class SearchResult:
    """The result of a multi-start minimization.

    Attributes
    ----------
    best : LocalMinimum or None
        The best point of all starts; None if S is finite nowhere.
    best_start : int
        Number of the start that it comes from.
    starts : tuple of Restart
        One row for each start.
    ends : mapping of int to (array with shape (p,), float)
        Theta and S of the starts that came to a minimum.
    stopped : str
        Why it was ended from outside, if it was.
    hops : int
        Networks that basin hopping has minimized.
    arrivals : sequence of float
        S of each start and each of these networks that came to a minimum (`basin_hopping.HoppingResult`).
    found : int
        How many of these are the best minimum.
    """

    best: LocalMinimum | None = None
    best_start: int = 0
    starts: tuple[Restart, ...] = ()
    ends: Mapping[int, tuple[HostArray, float]] = field(default_factory=dict)
    stopped: str = ""
    hops: int = 0
    arrivals: Sequence[float] = ()
    found: int = 0

    @property
    def value(self) -> float:
        """S at the best point, infinite if there is none."""
        return np.inf if self.best is None else self.best.value

    @property
    def located(self) -> bool:
        """True if the best point is the end of a local search."""
        return self.best is not None and self.best.located

    def cut_short(self, reason: str) -> SearchResult:
        """Return the result as stopped for this reason: its best point counts as not located."""
        best = None if self.best is None else self.best.unlocated()
        return replace(self, best=best, stopped=reason)

    def improved(self, value: float) -> SearchResult:
        """Return the result with a lower value in the row of the best start, which MINUIT has found."""
        rows = [replace(r, fval=min(r.fval, value)) if r.start == self.best_start else r for r in self.starts]
        return replace(self, starts=tuple(rows))
