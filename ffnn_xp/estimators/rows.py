"""Equal rows as one event: a sample weight of 3 and the same row three times are the same data.

scikit-learn asks of an estimator that an integer weight does what repeated rows do, and zero what their absence does.
Cross-validation breaks that where a row lies in one fold and its copy in another: then what is held out has been seen.
So rows that are equal in all their numbers are one event, whose weight is the sum of theirs, and the events are sorted:
the fit does not depend on the order of the rows either.
"""

from __future__ import annotations

import numpy as np

from ffnn_xp._lib.typing import HostArray, Rows


def distinct_rows(table: HostArray, weights: HostArray) -> tuple[Rows, HostArray]:
    """Return the first index of each distinct row that has a weight, in the order of the rows' values, and its weight.

    Parameters
    ----------
    table : array with shape (n, m)
        All numbers of each row.
    weights : array with shape (n,)
        Weights, zero or positive.

    Returns
    -------
    first : array with shape (u,)
    weights : array with shape (u,)
        Sums of the weights of equal rows.

    Examples
    --------
    >>> first, weights = distinct_rows(np.array([[3.0], [1.0], [3.0], [2.0]]), np.array([1.0, 1.0, 0.5, 0.0]))
    >>> first, weights
    (array([1, 0]), array([1. , 1.5]))
    """
    used: Rows = np.flatnonzero(weights)
    _, first, event = np.unique(table[used], axis=0, return_index=True, return_inverse=True)
    return used[first], np.bincount(event.ravel(), weights[used]).astype(np.float64)
