r"""`Descents`: L-BFGS steps of many replicas at once, as arrays with a row for each.

They are those of `quasi_newton.Descent`, one replica's numbers not seen by another. Most steps end at their first
point, and these are taken together; where a line search needs more, it goes on in Python, for that replica alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from ffnn_xp._lib.typing import HostArray, Mask, Rows
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


class Memories:
    """The last steps of many replicas: each has those of a `quasi_newton.Memory`.

    The inverse of R gets a column with each step, so that nothing is solved. A step takes the place of the oldest one:
    where it is in the arrays does not matter.

    Parameters
    ----------
    r, most, p : int
        Numbers of replicas, of steps that each remembers, and of parameters.
    """

    def __init__(self, r: int, most: int, p: int) -> None:
        self._most, self.length = most, np.zeros(r, dtype=np.int64)
        self._SY = np.zeros((r, 2 * most, p))  # steps, and below them the changes of the gradient
        self._squares = np.zeros((r, 2, most, most))  # the inverse of R, and Y^T Y
        self._lines = np.ones((r, 2, most))  # D, and gamma

    def clear(self, rows: Rows) -> None:
        """Forget all steps of these replicas."""
        self._squares[rows], self.length[rows] = 0, 0

    def learn(self, rows: Rows, step: HostArray, change: HostArray, g: HostArray) -> HostArray:
        """Remember a step of each of these replicas, unless the gradient along it did not grow.

        Return the directions of the next steps ``(r, p)``, from points with gradients g; down g where none is known.
        """
        m, here = self._most, np.arange(len(rows))
        SY, squares, lines, length = self._SY[rows], self._squares[rows], self._lines[rows], self.length[rows]
        inverse, YY, at = squares[:, 0], squares[:, 1], length % m
        grows = dot(step, change) > np.finfo(np.float64).eps * dot(change, change)
        if not np.all(grows):
            rows, at, here, step, change = rows[grows], at[grows], here[grows], step[grows], change[grows]
        SY[here, at], SY[here, m + at] = step, change
        products = times(SY[here] if len(here) < len(SY) else SY, change)
        c, y, few = products[:, :m], products[:, m:], np.arange(len(here))
        D, square = c[few, at], y[few, at]
        c[few, at] = 0
        inverse[here, at] = 0
        column = times(inverse[here], c) / -D[:, None]
        column[few, at] = 1 / D
        inverse[here, :, at], YY[here, at], YY[here, :, at] = column, y, y
        lines[here, 0, at], lines[here, 1] = D, (D / square)[:, None]
        self._SY[rows, at], self._SY[rows, m + at] = step, change
        self._squares[rows], self._lines[rows] = squares[here], lines[here]
        self.length[rows] += 1
        length[here] += 1
        gamma = np.where(length > 0, lines[:, 1, 0], 1.0)[:, None]
        products = times(SY, g)
        w = times(inverse, products[:, :m])
        v = along(lines[:, 0] * w + gamma * (times(YY, w) - products[:, m:]), inverse)
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


THETA, G, U, STEP, ALONG = range(5)
"""The vectors of a replica: the point, the gradient in theta and in z, and the direction in z and in theta."""

VALUE, T, SLOPE, POOR, LEAST = range(5)
"""Its numbers: S, the length of the step to be tried, the slope along it, the points that gained next to nothing one
after another, and the least gradient."""


class Descents:
    """The descents of r replicas; all remember as many steps as the first.

    Attributes
    ----------
    points : array with shape (r, p)
        The points to be evaluated next.
    going : boolean array with shape (r,)
        The replicas that have a descent.
    """

    def __init__(self, r: int, first: Descent) -> None:
        p = len(first.theta)
        make: Callable[[int], CoordinatesOfMany] | None = getattr(type(first.W), "together", None)
        self._W: CoordinatesOfMany = OneByOne() if make is None else make(r)
        self._by, self._memories = first.by, Memories(r, first.by.memory, p)
        self._asked: dict[int, Descent] = {}
        self._searches: dict[int, AskTell[Step]] = {}
        self._vectors, self._numbers = np.zeros((r, 5, p)), np.zeros((r, 5))
        self.points, self.going = np.zeros((r, p)), np.zeros(r, dtype=bool)

    def begin(self, i: int, asked: Descent) -> Iterator[tuple[int, End]]:
        """Begin the descent of a replica; yield its end if it ends at once."""
        if asked.by != self._by:
            raise ValueError("minimizations that run together take the same steps")
        self._W.put(i, asked.W)
        self._asked[i], self.going[i] = asked, True
        u, zero = asked.W.forth(asked.gradient), np.zeros(len(asked.theta))
        vectors = np.stack([asked.theta, asked.gradient, u, zero, zero])[None]
        numbers = np.array([[asked.value, 0.0, 0.0, 0.0, np.inf]])
        yield from self._down(np.array([i]), vectors, numbers, np.zeros(1, dtype=np.int64))

    def tell(self, rows: Rows, values: HostArray, gradients: HostArray) -> Iterator[tuple[int, End]]:
        """Take values and gradients of these replicas at their points; yield those that end, and where."""
        vectors, numbers = self._vectors[rows], self._numbers[rows]
        S, slope, t = numbers[:, VALUE], numbers[:, SLOPE], numbers[:, T]
        s, rise = dot(gradients, vectors[:, ALONG]), values - S
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
                        numbers[j, T], values[j], gradients[j], tries[j] = step
            rows, values, gradients, tries = rows[ended], values[ended], gradients[ended], tries[ended]
            vectors, numbers = vectors[ended], numbers[ended]
        nowhere = numbers[:, T] == 0
        if np.any(nowhere):
            yield from self._forget(rows[nowhere], vectors[nowhere], numbers[nowhere], tries[nowhere])
            there = ~nowhere
            rows, values, gradients, tries = rows[there], values[there], gradients[there], tries[there]
            vectors, numbers = vectors[there], numbers[there]
        if len(rows):
            yield from self._move(rows, vectors, numbers, values, gradients, tries)

    def _search_on(self, i: int, value: float, gradient: HostArray) -> Step | None:
        """Go on with a line search, from its first point or from a later one; return the step if it is found."""
        try:
            if i not in self._searches:
                (theta, g, _, _, D), (S, t) = self._vectors[i], self._numbers[i, :2].tolist()
                self._searches[i] = self._by.line_search.along(theta, S, g, D, t)
                next(self._searches[i])
            self.points[i] = self._searches[i].send((value, gradient.copy()))
        except StopIteration as found:
            del self._searches[i]
            return found.value  # type: ignore[no-any-return]
        return None

    def _move(
        self, rows: Rows, vectors: HostArray, numbers: HostArray, values: HostArray, g: HostArray, tries: Rows
    ) -> Iterator[tuple[int, End]]:
        """Move replicas to the ends of their steps, and go on from there."""
        t, gain, u = numbers[:, T, None], numbers[:, VALUE] - values, self._W.forth(rows, g)
        step, change = t * vectors[:, STEP], u - vectors[:, U]
        vectors[:, THETA] += t * vectors[:, ALONG]
        vectors[:, G], vectors[:, U], numbers[:, VALUE] = g, u, values
        size = np.sqrt(dot(u, u))
        better = (gain > ROUNDING * np.abs(values)) | (size < 0.5 * numbers[:, LEAST])
        numbers[:, POOR] = np.where(better, 0, numbers[:, POOR] + tries)
        numbers[:, LEAST] = np.where(better, size, numbers[:, LEAST])
        d = self._memories.learn(rows, step, change, u)
        ends = self._ends(rows, vectors, numbers, tries)
        if any(ends):
            yield from self._end(ends, rows, vectors, numbers)
            go = np.logical_not(ends)
            rows, vectors, numbers, d = rows[go], vectors[go], numbers[go], d[go]
        if len(rows):
            yield from self._try(rows, vectors, numbers, d, 1.0)

    def _forget(self, rows: Rows, vectors: HostArray, numbers: HostArray, tries: Rows) -> Iterator[tuple[int, End]]:
        """End the replicas that found no lower point down the gradient, and let others try that."""
        ends = self._memories.length[rows] == 0
        yield from self._end(ends, rows, vectors, numbers)
        yield from self._down(rows[~ends], vectors[~ends], numbers[~ends], tries[~ends])

    def _down(self, rows: Rows, vectors: HostArray, numbers: HostArray, tries: Rows) -> Iterator[tuple[int, End]]:
        """Go on with a step down the gradient."""
        self._memories.clear(rows)
        ends = self._ends(rows, vectors, numbers, tries)
        yield from self._end(ends, rows, vectors, numbers)
        go = np.logical_not(ends)
        if np.any(go):
            u = vectors[go, U]
            length = self._by.first_length / np.maximum(np.sqrt(dot(u, u)), 1e-300)
            yield from self._try(rows[go], vectors[go], numbers[go], -u, np.minimum(1.0, length))

    def _try(
        self, rows: Rows, vectors: HostArray, numbers: HostArray, d: HostArray, t: HostArray | float
    ) -> Iterator[tuple[int, End]]:
        """Begin with steps along these directions in z; t are the lengths to be tried first."""
        D = self._W.back(rows, d)
        vectors[:, STEP], vectors[:, ALONG] = d, D
        numbers[:, T], numbers[:, SLOPE] = t, dot(vectors[:, G], D)
        self._vectors[rows], self._numbers[rows] = vectors, numbers
        self.points[rows] = vectors[:, THETA] + numbers[:, T, None] * D
        rises = ~(numbers[:, SLOPE] < 0)  # by rounding
        if np.any(rises):
            none = np.zeros(int(np.sum(rises)), dtype=np.int64)
            yield from self._forget(rows[rises], vectors[rises], numbers[rises], none)

    def _ends(self, rows: Rows, vectors: HostArray, numbers: HostArray, tries: Rows) -> list[bool]:
        """Return for each of these replicas whether it goes on no more."""
        u = vectors[:, U]
        largest, edm = np.maximum.reduce(np.abs(u), axis=1), 0.5 * dot(u, u)
        most, each = self._by.line_search.max_tries, zip(rows.tolist(), edm.tolist(), largest.tolist(), strict=True)
        return [
            poor >= most or not (top > 0 and self._asked[i].keep_going(S, e, top, k))
            for (i, e, top), S, poor, k in zip(
                each, numbers[:, VALUE].tolist(), numbers[:, POOR].tolist(), tries.tolist(), strict=True
            )
        ]

    def _end(
        self, ends: list[bool] | Mask, rows: Rows, vectors: HostArray, numbers: HostArray
    ) -> Iterator[tuple[int, End]]:
        """End the descents of those of these replicas that end."""
        for j in np.flatnonzero(ends).tolist():
            i = int(rows[j])
            self.going[i] = False
            del self._asked[i]
            yield i, (vectors[j, THETA].copy(), float(numbers[j, VALUE]), vectors[j, G].copy())
