"""Many minimizations as generators: their requests are answered together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ffnn_xp.minimizers import AskTellHessian, HessianRequest, QuasiNewton, run_ask_tell, run_batched

from .test_quasi_newton import Plain, rosenbrock


def test_many_minimizations_are_evaluated_together() -> None:
    """Each ends as it would alone; at each time all that go on are evaluated."""
    rng = np.random.default_rng(5)
    starts = rng.normal(size=(4, 10))
    asked: list[list[int]] = []

    def minimization(start: np.ndarray, steps: int) -> AskTellHessian[tuple[np.ndarray, float, np.ndarray]]:
        left = iter(range(steps))
        value, g = yield start
        keep_going = lambda value, edm, largest, evaluations: next(left, None) is not None  # noqa: E731
        end = yield from QuasiNewton(5).steps(Plain(), start, value, g, keep_going)
        return end

    def evaluate(theta: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append(rows.tolist())
        values, gradients = zip(*map(rosenbrock, theta), strict=True)
        return np.array(values), np.array(gradients)

    lengths = (3, 30, 0, 12)
    ends = run_batched([minimization(s, k) for s, k in zip(starts, lengths, strict=True)], evaluate)
    for start, steps, end in zip(starts, lengths, ends, strict=True):
        alone = run_ask_tell(minimization(start, steps), rosenbrock)
        np.testing.assert_allclose(end[0], alone[0], rtol=1e-6)
        assert end[1] == pytest.approx(alone[1], rel=1e-6)
    assert asked[0] == [0, 1, 2, 3]
    first, asked = asked, []
    whole = run_batched([minimization(s, k) for s, k in zip(starts, lengths, strict=True)], evaluate, fixed_shape=True)
    assert all(rows == [0, 1, 2, 3] for rows in asked)
    assert len(asked) == len(first)
    for end, other in zip(ends, whole, strict=True):
        np.testing.assert_array_equal(end[0], other[0])
    asked = first
    assert asked[1] == [0, 1, 3]
    assert asked[-1] == [1]
    assert all(set(later) <= set(earlier) for earlier, later in pairwise(asked))


def test_matrices_wait_until_nobody_asks_for_anything_else() -> None:
    """Then they are asked for together, the exact ones first, and each minimization is sent its own."""
    asked: list[object] = []

    def minimization(points: int, exact: bool) -> AskTellHessian[float]:
        for _ in range(points):
            yield np.zeros(1)
        B = yield HessianRequest(np.array([float(points)]), exact)
        return float(B[0, 0])

    def evaluate(theta: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append(rows.tolist())
        return np.zeros(len(rows)), np.zeros((len(rows), 1))

    def matrices(theta: np.ndarray, rows: np.ndarray, exact: bool) -> np.ndarray:
        asked.append((exact, rows.tolist()))
        return 10 * theta[:, :, None] + exact

    minimizations = [minimization(0, True), minimization(2, True), minimization(1, False)]
    assert run_batched(minimizations, evaluate, matrices=matrices, first=5) == [1, 21, 10]
    assert asked == [[6, 7], [6], (True, [5, 6]), (False, [7])]
