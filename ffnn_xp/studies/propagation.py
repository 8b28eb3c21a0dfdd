r"""Linear propagation of correlated errors: :math:`C_u = D C_y D^T` with :math:`D = \partial u/\partial y`.

D comes from central differences along the columns of A, where :math:`C_y = A A^T`: one for each column, with a step of
a small part of a standard deviation. It is exact for linear functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.network import evaluate
from ffnn_xp.studies.fitted_problem import FittedProblem
from ffnn_xp.uncertainty import LinearBand

STEP = 1e-3  # step in standard deviations: a central difference's error is of second order in it


def propagate(function: Callable[[HostArray], Any], y: HostArray, A: HostArray) -> tuple[HostArray, HostArray]:
    """Return the function's value ``()`` or ``(m,)``, and its covariance ``()`` or ``(m, m)``.

    Parameters
    ----------
    function : callable
        Function of an array in the shape of y.
    y : array
        The point at which errors are propagated.
    A : array with shape (y.size, r)
        A root of their covariance.

    Raises
    ------
    ValueError
        If the function gives anything but finite numbers in a scalar or a vector.

    Examples
    --------
    >>> value, variance = propagate(lambda y: y[0] / y[1], np.array([4.0, 2.0]), np.array([[0.4], [0.2]]))
    >>> float(value), round(float(variance), 12)  # both go up and down together
    (2.0, 0.0)
    """
    value = np.asarray(function(y), dtype=np.float64)
    if value.ndim > 1 or not np.all(np.isfinite(value)):
        raise ValueError(f"`function` must give a finite number or vector, got {value!r}")
    columns = []
    for a in A.T:
        step = STEP * a.reshape(y.shape)
        up, down = (np.asarray(function(y + sign * step), dtype=np.float64) for sign in (1, -1))
        columns.append(np.atleast_1d(up - down) / (2 * STEP))
    D = np.stack(columns, axis=1)
    covariance = D @ D.T
    return value, covariance if value.ndim else covariance[0, 0]


def propagate_predictions(
    fitted: FittedProblem, known: LinearBand, function: Callable[[HostArray], Any], x: Array
) -> tuple[HostArray, HostArray]:
    """Propagate predictions' errors at raw columns x ``(d, n)`` on the device; see `FitResult.propagate`."""
    backend, network = fitted.problem.model.backend, fitted.problem.network
    A = backend.to_host(known.covariance_root(network, backend, x))
    if not np.all(np.isfinite(A)):
        raise ValueError("a prediction depends on a direction that the fit does not determine: use a prior")
    rows = backend.to_host(evaluate(network, backend, backend.to_device(fitted.parameters), x)).T
    return propagate(function, rows[:, 0] if rows.shape[1] == 1 else rows, A)
