"""Checks of the covariance of measured values, and the matrix that makes the values independent."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends import host_floats

SYMMETRIC = 1e-8  # relative difference from the transpose that counts as rounding


def whitening_matrix(covariance: Any, n: int, k: int) -> HostArray:
    """Return the inverse Cholesky factor ``(n k, n k)``, or ``(k k, n)``, the factors of each event's block.

    Parameters
    ----------
    covariance : array-like with shape (n, n) for k = 1, (n k, n k), or (n, k, k)
        Values are counted event by event: that of event i, output j is number i k + j.
    n, k : int
        Numbers of events and outputs.

    Raises
    ------
    ValueError
        If shapes do not fit, values are not finite, or the matrix is not symmetric or not positive definite.

    Examples
    --------
    >>> whitening_matrix([[4.0, 0.0], [0.0, 1.0]], 2, 1)
    array([[0.5, 0. ],
           [0. , 1. ]])
    """
    V = host_floats(covariance, "y_cov")
    if V.shape not in ((n * k, n * k), (n, k, k)):
        blocks = "" if k == 1 else f", or ({n}, {k}, {k}) for blocks of each event"
        raise ValueError(f"`y_cov` must have shape ({n * k}, {n * k}){blocks}, got {V.shape}")
    if not np.all(np.isfinite(V)):
        raise ValueError("`y_cov` must be finite: leave values out whose errors are not known")
    scale = np.max(np.abs(V))
    if np.max(np.abs(V - np.swapaxes(V, -1, -2))) > SYMMETRIC * scale:
        raise ValueError("`y_cov` must be symmetric: give the covariance itself, not its Cholesky factor")
    if V.ndim == 2:
        return _inverse_factor(V, "")
    each = np.stack([_inverse_factor(block, f" of event {i}") for i, block in enumerate(V)])
    return np.ascontiguousarray(np.moveaxis(each, 0, -1).reshape(k * k, n))


def _inverse_factor(V: HostArray, whose: str) -> HostArray:
    try:
        C = scipy.linalg.cholesky(V, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        smallest = float(scipy.linalg.eigvalsh(V, check_finite=False)[0])
        raise ValueError(
            f"`y_cov`{whose} must be positive definite, its smallest eigenvalue is {smallest:.3g}: some combination of "
            "values would be known exactly; leave one of them out, or add the error that is missing"
        ) from None
    return np.asarray(scipy.linalg.solve_triangular(C, np.eye(len(V)), lower=True, check_finite=False))
