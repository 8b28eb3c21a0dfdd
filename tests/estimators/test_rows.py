"""Equal rows are one event: against the same sum over all rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="needs scikit-learn, the extra sklearn")

from ffnn_xp.estimators import FFNNRegressor
from ffnn_xp.estimators.rows import distinct_rows


@given(st.lists(st.tuples(st.integers(-1, 1), st.integers(-1, 1), st.integers(0, 3)), max_size=20))
def test_weights_of_distinct_rows(rows: list[tuple[int, int, int]]) -> None:
    expected: dict[tuple[float, float], float] = {}
    for a, b, w in rows:
        if w:
            expected[(a, b)] = expected.get((a, b), 0) + w
    array = np.array(rows, float).reshape(-1, 3)
    first, weights = distinct_rows(array[:, :2], array[:, 2])
    assert [tuple(row) for row in array[first, :2]] == sorted(expected)
    assert dict(zip(map(tuple, array[first, :2]), weights, strict=True)) == expected


@pytest.mark.slow
def test_a_factor_on_all_weights_changes_nothing_where_errors_are_estimated(rng: np.random.Generator) -> None:
    X = rng.normal(size=(30, 2))
    y = X[:, 0] + 0.1 * rng.normal(size=30)
    weights = rng.uniform(1, 2, 30)
    one, other = (FFNNRegressor((2,), prior=1.0, random_state=1).fit(X, y, c * weights) for c in (1.0, 8.0))
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-9)


def test_known_errors_are_absolute(rng: np.random.Generator) -> None:
    """A weight of 4 halves the standard deviation; events with different errors are different rows."""
    X = np.repeat(rng.normal(size=(10, 1)), 2, axis=0)
    y = X[:, 0] * 2
    y_err = np.tile([0.1, 0.2], 10)
    one, four = (FFNNRegressor((), prior=None).fit(X, y, np.full(20, w), y_err=y_err) for w in (1.0, 4.0))
    assert one.fit_.n_data == four.fit_.n_data == 20
    np.testing.assert_allclose(one.predict(X, return_std=True)[1], 2 * four.predict(X, return_std=True)[1], rtol=1e-9)


@pytest.mark.slow
def test_the_order_of_rows_changes_nothing(rng: np.random.Generator) -> None:
    """The rows that are held out are the same too, so that the result is the same to the last digit."""
    X = rng.normal(size=(40, 2))
    y = np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=40)
    turned = rng.permutation(40)
    one = FFNNRegressor((3,), random_state=1).fit(X, y)
    other = FFNNRegressor((3,), random_state=1).fit(X[turned], y[turned])
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_negative_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        FFNNRegressor().fit([[0.0], [1.0]], [0.0, 1.0], sample_weight=[1.0, -1.0])


def test_no_row_has_a_weight() -> None:
    with pytest.raises(ValueError, match="zero"):
        FFNNRegressor().fit([[0.0], [1.0]], [0.0, 1.0], sample_weight=[0.0, 0.0])
