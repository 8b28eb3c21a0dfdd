r"""Levenberg-Marquardt: Gauss-Newton steps, damped where the quadratic picture fails. For functions with kinks.

Each step solves :math:`(B + \mu D)\,s = -g` with the Gauss-Newton matrix B and Marquardt's diagonal D = diag(B), and mu
follows the gain ratio of real to predicted decrease (H. B. Nielsen, IMM-REP-1999-05, eq. 2.4). Convergence is judged as
MINUIT does, by EDM = g^T B^-1 g / 2. At kinks the gradient has no zero, so the walk also ends where it gains no more;
there it gets closer than a quasi-Newton method, whose model of the curvature the kinks spoil.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.base import MinimizerResult, Problem, marquardt_diagonal

GAIN = 1e-3  # in `PATIENCE` steps together, in units of errordef: less is not worth going on
PATIENCE = 5
DIGITS = 50  # a predicted gain of fewer epsilons than this is rounding
TINY = 1e-12  # damping at which the solution of a singular system stays finite


def levenberg_marquardt(
    problem: Problem,
    theta: HostArray,
    *,
    edm_goal: float,
    max_iterations: int = 200,
    damping: float = 1e-3,
    hopeless: Callable[[HostArray, float], bool] | None = None,
) -> MinimizerResult:
    """Walk to EDM < `edm_goal`, or as near to a kink as it gets.

    Parameters
    ----------
    problem : Problem
        Value, gradient and Gauss-Newton matrix are used.
    theta : array with shape (p,)
        The start.
    edm_goal : float
        In units of S.
    max_iterations : int
        Upper limit of factorisations.
    damping : float
        First mu, in units of the diagonal.
    hopeless : callable, optional
        Called with theta and EDM at each step; True ends the walk there.
    """
    value, g = problem.value_and_gradient(theta)
    B, mu, nu = problem.gauss_newton(theta), damping, 2.0
    history = [value]
    for _ in range(max_iterations):
        D = marquardt_diagonal(B)
        edm = _edm(B, D, g)
        stuck = len(history) > PATIENCE and history[-1 - PATIENCE] - value < GAIN * problem.errordef
        if edm < edm_goal or stuck or mu > 1e14:
            break
        if hopeless is not None and hopeless(theta, edm):
            return MinimizerResult(theta, value, edm, converged=False, hopeless=True)
        step = _solve(B, mu * D, -g)
        if step is None:
            mu, nu = max(mu * nu, TINY), 2 * nu
            continue
        predicted = -float(g @ step + 0.5 * step @ (B @ step))
        if predicted < DIGITS * problem.epsilon * abs(value):
            break
        new_value, new_g = problem.value_and_gradient(theta + step)
        gain = (value - new_value) / predicted
        if gain > 0:
            theta, value, g = theta + step, new_value, new_g
            B = problem.gauss_newton(theta)
            mu, nu = max(mu * max(1 / 3, 1 - (2 * gain - 1) ** 3), TINY), 2.0
            history.append(value)
        else:
            mu, nu = mu * nu, 2 * nu
    return MinimizerResult(theta, value, edm, bool(edm < edm_goal))


def _edm(B: HostArray, D: HostArray, g: HostArray) -> float:
    step = _solve(B, TINY * D, g)
    return np.inf if step is None else 0.5 * float(g @ step)


def _solve(B: HostArray, damping: HostArray, rhs: HostArray) -> HostArray | None:
    """(B + diag(damping))^-1 rhs, or None where the matrix is not positive definite."""
    scale = 1 / np.sqrt(marquardt_diagonal(B))
    A = B * (scale[:, None] * scale)
    A[np.diag_indices_from(A)] += damping * scale * scale
    try:
        factor = scipy.linalg.cho_factor(A, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    step: HostArray = np.multiply(scale, scipy.linalg.cho_solve(factor, scale * rhs, check_finite=False))
    return step if np.isfinite(step).all() else None
