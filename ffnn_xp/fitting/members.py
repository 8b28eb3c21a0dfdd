"""The networks of an ensemble, each with its error band and the errors of y by its residuals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Namespace
from ffnn_xp.fitting.problem import FitProblem, effective_number
from ffnn_xp.fitting.y_error import residual_width
from ffnn_xp.objective import GaussianPrior, NetworkCost
from ffnn_xp.uncertainty import LinearBand, Member, Spectrum, sandwich

MOST_EFFECTIVE = 0.9  # share of the values that parameters can take up: what is left gives the errors of y
SWITCHED_OFF = 10  # times the smaller errors, from which on an error says that its value is not to be used


def member(problem: FitProblem, theta: HostArray, precision: HostArray) -> Member:
    """Return a network of the ensemble with the band of its Gauss-Newton matrix, and the errors of its residuals.

    The network is the minimum for one error of all events. Where these are not the same, the band says what they make
    of this minimum.
    """
    one = replace(problem, prior=GaussianPrior(precision), y_error=np.ones(problem.data.n_values), relative_error=None)
    cost = one.cost()
    G, square, scores = cost.gauss_newton(theta), 1.0, None
    held = min(effective_number(G, 1.0, GaussianPrior(precision)), MOST_EFFECTIVE * problem.n_values)
    if problem.loss.auxiliary != "y_err":
        y_error = np.zeros(len(problem.scaling.y_mean))
    elif problem.errors_known:
        y_error = typical_error(problem)
    else:
        residual = residual_width(one, theta, held)
        y_error, square = residual * problem.scaling.y_scale, float(np.mean(residual**2))
        if problem.relative_error is not None and not problem.sandwich:
            scores = expected_scores(problem, theta, residual_width(problem, theta, held))
    covariance = network_covariance(problem, cost, theta, G, square, scores)
    return Member(LinearBand(theta, problem.scaling, covariance), y_error, held)


def expected_scores(problem: FitProblem, theta: HostArray, y_error: HostArray) -> HostArray:
    """Return the expected sum ``(p, p)`` of outer products of gradients for errors 1, by the relative errors.

    Parameters
    ----------
    problem : FitProblem
        The problem, with relative errors.
    theta : array with shape (p,)
        The standardised network.
    y_error : array with shape (k,)
        Errors of the standardised outputs, which the relative ones multiply.
    """
    assert problem.relative_error is not None
    cost = replace(problem, prior=None, y_error=1 / y_error, relative_error=1 / problem.relative_error).cost()
    return np.asarray(2 * cost.errordef * cost.gauss_newton(theta))


def network_covariance(
    problem: FitProblem,
    cost: NetworkCost,
    theta: HostArray,
    G: HostArray,
    square: float,
    scores: HostArray | None = None,
) -> Spectrum:
    """Return the covariance at errors of y with this mean square, from a cost with errors 1 and its matrix G.

    It is a sandwich with `scores` ``(p, p)``, if there are some, or if the problem asks for it.
    """
    spectrum = Spectrum.of_hessian(G / square, cost.errordef)
    if scores is None and not problem.sandwich:
        return spectrum
    assert cost.prior is not None
    scores = cost.scores(theta) if scores is None else scores
    return sandwich(spectrum, scores / square**2, cost.errordef, cost.prior.precision / square)


def typical_error(problem: FitProblem) -> HostArray:
    """Return the root mean square of the given errors of y, ``(k,)`` in raw units.

    Values that were switched off by huge errors, compared with the lower quartile, do not count.
    """
    squares, used = np.sum(problem.each(_squared_errors_in_use), axis=0)
    return np.asarray(np.sqrt(squares / used))


def _squared_errors_in_use(problem: FitProblem) -> HostArray:
    """Sum the squared errors of y, but for huge ones, and count them, ``(2, k)``."""
    backend = problem.model.backend
    with backend.context():
        return backend.to_host(backend.bind(_squares_and_numbers)(problem.data.inverse_error))


def _squares_and_numbers(xp: Namespace, inverse: Array) -> Array:
    """Sum squares of the errors, and count them, ``(2, k)``, from inverse errors ``(k, n)``, but for huge errors."""
    at = 3 * (inverse.shape[-1] - 1) // 4
    used = SWITCHED_OFF * inverse >= xp.sort(inverse, axis=-1)[:, at : at + 1]
    error = 1 / xp.where(used, inverse, float("inf"))
    return xp.stack([xp.sum(error * error, axis=-1), xp.sum(xp.astype(used, error.dtype), axis=-1)])
