"""The steps of many replicas at once: those of each alone, whoever else is there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from ffnn_xp.minimizers import HessianRequest, KroneckerCoordinates, LineSearch, QuasiNewton, run_ask_tell, run_batched
from ffnn_xp.minimizers.descents import Memories
from ffnn_xp.minimizers.quasi_newton import Coordinates, Memory

from .test_quasi_newton import Plain, Scaled, bumps, rosenbrock, wall

P = 12


def kronecker(seed: int) -> KroneckerCoordinates:
    rng = np.random.default_rng(seed)
    G, A = rng.normal(size=(3, 9)), rng.normal(size=(4, 11))
    return KroneckerCoordinates([(G @ G.T, A @ A.T, np.ones((3, 4)))])


def scaled(seed: int) -> Scaled:
    return Scaled(10.0 ** np.random.default_rng(seed).uniform(-1, 1, P))


@pytest.mark.parametrize(("most", "learnt"), [(5, 3), (5, 17), (20, 12)])
def test_memories_are_those_of_each(most: int, learnt: int) -> None:
    """Of replicas that learn at different times, of which some see no curvature, and some forget."""
    rng = np.random.default_rng(1)
    r, p = 6, 8
    many, each = Memories(r, most, p), [Memory(most, p) for _ in range(r)]
    A = rng.normal(size=(r, p, 2 * p))
    A = A @ np.swapaxes(A, 1, 2)
    for k in range(learnt):
        rows = np.flatnonzero(rng.uniform(size=r) < 0.8)
        step = rng.normal(size=(len(rows), p))
        change = np.einsum("rij,rj->ri", A[rows], step)
        change[:1] *= -1 if k % 3 == 1 else 1
        g = rng.normal(size=step.shape)
        there = many.learn(rows, step, change, g)
        for j, (i, s, y) in enumerate(zip(rows.tolist(), step, change, strict=True)):
            each[i].add(s, y)
            np.testing.assert_allclose(there[j], each[i].direction(g[j]), rtol=1e-7, atol=1e-9)
        if k == 7:
            many.clear(np.array([2]))
            each[2].clear()


def descend(W: Coordinates, start: np.ndarray, f: Any, most: int) -> Iterator[Any]:
    value, g = yield start
    left = iter(range(most))
    keep_going = lambda S, edm, largest, evaluations: largest > 1e-7 and next(left, None) is not None  # noqa: E731
    return (yield from QuasiNewton(6).steps(W, start, value, g, keep_going))


@pytest.mark.parametrize("coordinates", [kronecker, scaled])
def test_each_takes_the_steps_that_it_takes_alone(coordinates: Any) -> None:
    """Also where line searches need many points; and to the last bit whoever else is there."""
    starts = np.random.default_rng(5).normal(size=(7, P))

    def evaluate(theta: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, gradients = zip(*map(rosenbrock, theta), strict=True)
        return np.array(values), np.array(gradients)

    def of(numbers: range) -> list[Any]:
        return run_batched([descend(coordinates(i), starts[i], rosenbrock, 5 + 8 * i) for i in numbers], evaluate)

    together = of(range(7))
    for i, end in enumerate(together):
        alone = run_ask_tell(descend(coordinates(i), starts[i], rosenbrock, 5 + 8 * i), rosenbrock)
        assert end[1] == pytest.approx(alone[1], rel=1e-5, abs=1e-10)
        of_two = of(range(i, i + 2) if i < 6 else range(5, 7))[0 if i < 6 else 1]
        np.testing.assert_array_equal(of_two[0], end[0])
        assert of_two[1] == end[1]


def noted(f: Any, points: list[np.ndarray], at: np.ndarray) -> Any:
    points.append(at)
    return f(at)


@pytest.mark.parametrize("f", [wall, bumps])
def test_a_search_that_needs_many_points_is_that_of_one(f: Any) -> None:
    asked = np.zeros(3, dtype=np.int64)

    def evaluate(theta: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, gradients = zip(*map(f, theta), strict=True)
        return np.array(values), np.array(gradients)

    starts = [np.array([start]) for start in (0.0, -0.7, 0.03)]
    ends = run_batched([descend(Plain(), start, f, 100) for start in starts], evaluate, evaluations=asked)
    for start, end, number in zip(starts, ends, asked.tolist(), strict=True):
        points: list[np.ndarray] = []
        alone = run_ask_tell(descend(Plain(), start, f, 100), partial(noted, f, points))
        assert end[1] == pytest.approx(alone[1], rel=1e-9)
        assert number == len(points)


def test_of_a_gradient_that_is_not_true_no_step_is_made() -> None:
    """It tries as often as a line search may, also where it remembers steps, and once more down."""
    asked = np.zeros(2, dtype=np.int64)

    def wrong(theta: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = np.sum(theta**2, axis=1) <= 1
        return np.sum(theta**2, axis=1), np.where(inside[:, None], -2.0, 2.0) * theta

    starts = (np.array([0.5, 0.1]), np.array([4.0, 3.0]))
    inner, outer = run_batched([descend(Plain(), s, None, 50) for s in starts], wrong, evaluations=asked)
    np.testing.assert_array_equal(inner[0], starts[0])
    assert asked[0] == 1 + LineSearch().max_tries
    assert outer[1] <= 25.0
    assert asked[1] > 2


def test_minimizations_that_take_other_steps_do_not_run_together() -> None:
    def other(memory: int) -> Iterator[Any]:
        yield from QuasiNewton(memory).steps(Plain(), np.ones(2), 1.0, np.ones(2), lambda *_: True)
        yield HessianRequest(np.ones(2), exact=True)

    with pytest.raises(ValueError, match="same steps"):
        run_batched([other(3), other(4)], lambda theta, rows: (np.zeros(len(rows)), theta))
