r"""`Descents`: L-BFGS steps of many replicas at once, as arrays with a row for each.

They are those of `quasi_newton.Descent`, one replica's numbers not seen by another. Most steps end at their first
point, and these are taken together; where a line search needs more, it goes on in Python, for that replica alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from ffnn_xp._lib.typing import HostArray, Rows
from ffnn_xp.minimizers.ask_tell import AskTell
from ffnn_xp.minimizers.quasi_newton import CURVATURE, DECREASE, ROUNDING, Coordinates, Descent, End, Step


def times(A: HostArray, x: HostArray) -> HostArray:
    """Compute the products of matrices ``(r, k, m)`` and vectors ``(r, m)``, each on its own."""
    return np.asarray((A @ x[:, :, None])[:, :, 0])


def along(x: HostArray, A: HostArray) -> HostArray:
    """Compute the products of vectors ``(r, k)`` and matrices ``(r, k, m)``, each on its own."""
    return np.asarray((x[:, None, :] @ A)[:, 0, :])


def dot(x: HostArray, y: HostArray) -> HostArray:
    """Compute the products of vectors ``(r, m)``, ``(r,)``."""
    return np.asarray(np.add.reduce(x * y, axis=1))


def chosen(rows: Rows, r: int) -> Rows | slice:
    """Return how these rows of r are taken from an array: all of them as they are, without a copy."""
    return slice(None) if len(rows) == r else rows


class Memories:
    """The last steps of many replicas: each has those of a `quasi_newton.Memory`.

    The inverse of R gets a column with each step, so that nothing is solved. A step takes the place of the oldest one,
    where it is in the arrays does not matter.

    Parameters
    ----------
    r, most, p : int
        Numbers of replicas, of steps that each remembers, and of parameters.
    """

    def __init__(self, r: int, most: int, p: int) -> None:
        self._most, self.length = most, np.zeros(r, dtype=np.int64)
        self._SY = np.zeros((r, 2 * most, p))  # steps, and below them the changes of the gradient
        self._inverse, self._YY = np.zeros((r, most, most)), np.zeros((r, most, most))
        self._D, self._gamma = np.zeros((r, most)), np.ones(r)

    def add(self, rows: Rows, step: HostArray, change: HostArray) -> None:
        """Remember a step of each of these replicas, unless the gradient along it did not grow."""
        grows = dot(step, change) > np.finfo(np.float64).eps * dot(change, change)
        if not np.all(grows):
            rows, step, change = rows[grows], step[grows], change[grows]
        m, here = self._most, np.arange(len(rows))
        at = self.length[rows] % m
        self._SY[rows, at], self._SY[rows, m + at] = step, change
        of = chosen(rows, len(self.length))
        products = times(self._SY[of], change)
        c, y = products[:, :m], products[:, m:]
        D = c[here, at].copy()
        c[here, at] = 0
        inverse = self._inverse[of]
        inverse[here, at] = 0
        column = times(inverse, c) / -D[:, None]
        column[here, at] = 1 / D
        self._inverse[rows, at], self._inverse[rows, :, at] = 0, column
        self._YY[rows, at], self._YY[rows, :, at] = y, y
        self._D[rows, at], self._gamma[of] = D, D / y[here, at]
        self.length[of] += 1

    def clear(self, rows: Rows) -> None:
        """Forget all steps of these replicas."""
        self._inverse[rows], self._gamma[rows], self.length[rows] = 0, 1, 0

    def direction(self, rows: Rows, g: HostArray) -> HostArray:
        """Return the directions of the next steps, from points with these gradients ``(r, p)``."""
        of = chosen(rows, len(self.length))
        m, SY, inverse, gamma = self._most, self._SY[of], self._inverse[of], self._gamma[of][:, None]
        products = times(SY, g)
        w = times(inverse, products[:, :m])
        v = along(self._D[of] * w + gamma * (times(self._YY[of], w) - products[:, m:]), inverse)
        return np.asarray(-gamma * g - along(np.concatenate([v, -gamma * w], axis=1), SY))


class CoordinatesOfMany(Protocol):
    """Coordinates of each of many replicas."""

    def put(self, i: int, W: Any) -> None:
        """Take the coordinates of a replica."""

    def back(self, rows: Rows, z: HostArray) -> HostArray:
        """Compute W z of these replicas, ``(r, p)``."""

    def forth(self, rows: Rows, g: HostArray) -> HostArray:
        """Compute W^T g of these replicas, ``(r, p)``."""


class OneByOne:
    """Coordinates that are computed one after another."""

    def __init__(self) -> None:
        self._each: dict[int, Coordinates] = {}

    def put(self, i: int, W: Coordinates) -> None:
        """Take the coordinates of a replica."""
        self._each[i] = W

    def back(self, rows: Rows, z: HostArray) -> HostArray:
        """Compute W z of these replicas, ``(r, p)``."""
        return np.stack([self._each[i].back(one) for i, one in zip(rows.tolist(), z, strict=True)])

    def forth(self, rows: Rows, g: HostArray) -> HostArray:
        """Compute W^T g of these replicas, ``(r, p)``."""
        return np.stack([self._each[i].forth(one) for i, one in zip(rows.tolist(), g, strict=True)])


class Descents:
    """The descents of r replicas that go on; all remember as many steps as the first.

    Attributes
    ----------
    points : array with shape (r, p)
        The points to be evaluated next.
    going : boolean array with shape (r,)
        The replicas that have a descent.
    """

    def __init__(self, r: int, first: Descent) -> None:
        p, self._r = len(first.theta), r
        make: Callable[[int], CoordinatesOfMany] | None = getattr(type(first.W), "together", None)
        self._W: CoordinatesOfMany = OneByOne() if make is None else make(r)
        self._by, self._memories = first.by, Memories(r, first.by.memory, p)
        self._asked: dict[int, Descent] = {}
        self._searches: dict[int, AskTell[Step]] = {}
        self._theta, self._g, self._u = np.zeros((r, p)), np.zeros((r, p)), np.zeros((r, p))
        self._d, self._D, self.points = np.zeros((r, p)), np.zeros((r, p)), np.zeros((r, p))
        self._value, self._t, self._slope = np.zeros(r), np.zeros(r), np.zeros(r)
        self._poor, self._least = np.zeros(r, dtype=np.int64), np.zeros(r)
        self.going = np.zeros(r, dtype=bool)

    def begin(self, i: int, asked: Descent) -> Iterator[tuple[int, End]]:
        """Begin the descent of a replica; yield its end if it ends at once."""
        if asked.by != self._by:
            raise ValueError("minimizations that run together take the same steps")
        rows = np.array([i])
        self._W.put(i, asked.W)
        self._asked[i], self.going[i] = asked, True
        self._theta[i], self._value[i], self._g[i] = asked.theta, asked.value, asked.gradient
        self._u[i], self._poor[i], self._least[i] = asked.W.forth(asked.gradient), 0, np.inf
        self._memories.clear(rows)
        return self._go_on(rows, np.zeros(1, dtype=np.int64))

    def tell(self, rows: Rows, values: HostArray, gradients: HostArray) -> Iterator[tuple[int, End]]:
        """Take values and gradients of these replicas at their points; yield those that end, and where."""
        of = chosen(rows, self._r)
        t, slope, S = self._t[of], self._slope[of], self._value[of]
        s, rise = dot(gradients, self._D[of]), values - S
        rise = np.where(np.abs(rise) <= ROUNDING * np.abs(S), 0.5 * t * (slope + s), rise)
        ended = (rise < DECREASE * t * slope) & (np.abs(s) <= -CURVATURE * slope)
        tries = np.ones(len(rows), dtype=np.int64)
        if self._searches or not np.all(ended):
            values, gradients = values.copy(), gradients.copy()
            for j, i in enumerate(rows.tolist()):
                if i in self._searches or not ended[j]:
                    step = self._search_on(i, float(values[j]), gradients[j])
                    ended[j] = step is not None
                    if step is not None:
                        self._t[i], values[j], gradients[j], tries[j] = step
            rows, values, gradients, tries = rows[ended], values[ended], gradients[ended], tries[ended]
        nowhere = self._t[rows] == 0
        if np.any(nowhere):
            yield from self._forget(rows[nowhere], tries[nowhere])
            rows, values, gradients, tries = (a[~nowhere] for a in (rows, values, gradients, tries))
        if len(rows):
            yield from self._move(rows, values, gradients, tries)

    def _search_on(self, i: int, value: float, gradient: HostArray) -> Step | None:
        """Go on with a line search, from its first point or from a later one; return the step if it is found."""
        try:
            if i not in self._searches:
                theta, S, g, t = self._theta[i], float(self._value[i]), self._g[i], float(self._t[i])
                self._searches[i] = self._by.line_search.along(theta, S, g, self._D[i], t)
                next(self._searches[i])
            self.points[i] = self._searches[i].send((value, gradient.copy()))
        except StopIteration as end:
            del self._searches[i]
            return end.value  # type: ignore[no-any-return]
        return None

    def _move(self, rows: Rows, values: HostArray, g: HostArray, tries: Rows) -> Iterator[tuple[int, End]]:
        """Move replicas to the ends of their steps, and go on from there."""
        of = chosen(rows, self._r)
        t, gain, u = self._t[of][:, None], self._value[of] - values, self._W.forth(rows, g)
        self._memories.add(rows, t * self._d[of], u - self._u[of])
        self._theta[of] += t * self._D[of]
        self._value[of], self._g[of], self._u[of] = values, g, u
        size = np.sqrt(dot(u, u))
        better = (gain > ROUNDING * np.abs(values)) | (size < 0.5 * self._least[of])
        poor = np.where(better, 0, self._poor[of] + tries)
        self._poor[of], self._least[of] = poor, np.where(better, size, self._least[of])
        stuck = poor >= self._by.line_search.max_tries
        if np.any(stuck):
            yield from map(self._end, rows[stuck].tolist())
            rows, tries = rows[~stuck], tries[~stuck]
        yield from self._go_on(rows, tries)

    def _forget(self, rows: Rows, tries: Rows) -> Iterator[tuple[int, End]]:
        """End the replicas that found no lower point down the gradient, and let others try that."""
        fresh = self._memories.length[rows] == 0
        yield from map(self._end, rows[fresh].tolist())
        self._memories.clear(rows[~fresh])
        yield from self._go_on(rows[~fresh], tries[~fresh])

    def _go_on(self, rows: Rows, tries: Rows) -> Iterator[tuple[int, End]]:
        """Ask whether these replicas go on, and begin their next steps."""
        of = chosen(rows, self._r)
        u = self._u[of]
        largest, edm = np.maximum.reduce(np.abs(u), axis=1), 0.5 * dot(u, u)
        numbers = zip(rows.tolist(), *(a.tolist() for a in (self._value[of], edm, largest, tries)), strict=True)
        ends = [not (top > 0 and self._asked[i].keep_going(S, e, top, k)) for i, S, e, top, k in numbers]
        if any(ends):
            yield from map(self._end, rows[ends].tolist())
            rows, u, edm = (a[np.logical_not(ends)] for a in (rows, u, edm))
            of = rows
        if not len(rows):
            return
        d = self._memories.direction(rows, u)
        D = self._W.back(rows, d)
        fresh = self._memories.length[of] == 0
        first = self._by.first_length / np.maximum(np.sqrt(2 * edm), 1e-300)
        t, slope = np.where(fresh, np.minimum(1.0, first), 1.0), dot(self._g[of], D)
        self._d[of], self._D[of], self._t[of], self._slope[of] = d, D, t, slope
        self.points[of] = self._theta[of] + t[:, None] * D
        rises = ~(slope < 0)  # by rounding
        if np.any(rises):
            yield from self._forget(rows[rises], np.zeros(int(np.sum(rises)), dtype=np.int64))

    def _end(self, i: int) -> tuple[int, End]:
        """End a replica's descent."""
        self.going[i] = False
        del self._asked[i]
        return i, (self._theta[i].copy(), float(self._value[i]), self._g[i].copy())
