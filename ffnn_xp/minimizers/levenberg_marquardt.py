r"""Levenberg-Marquardt: Gauss-Newton steps, damped where the quadratic picture fails.

Each step solves :math:`(B + \mu D)\,s = -g` with Marquardt's diagonal D = diag(B), and mu follows the gain ratio of
real to predicted decrease (H. B. Nielsen, IMM-REP-1999-05, eq. 2.4). B is the Gauss-Newton matrix while the way is
far; near the end, where the residuals' own curvature would leave only linear convergence, it is the exact Hessian
wherever that can be factorised. Convergence is judged as MINUIT does, by EDM = g^T B^-1 g / 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from .._typing import HostArray
from .problem import Problem

NEAR = 0.1  # EDM in units of errordef below which the exact Hessian is tried
NEARLY = 50  # times the goal: so close, Newton steps end in a few, or the way leads along a valley without end
PATIENCE = 5
DIGITS = 50  # a predicted gain of fewer epsilons than this is rounding
TINY = 1e-12  # damping at which the solution of a singular system stays finite


@dataclass(frozen=True)
class Arrival:
    """Where a walk ended: theta, the value there, EDM, whether the goal was reached, and after how many steps."""

    theta: HostArray
    value: float
    edm: float
    converged: bool
    iterations: int


def levenberg_marquardt(
    problem: Problem,
    theta: HostArray,
    *,
    edm_goal: float,
    exact_end: bool = True,
    max_iterations: int = 200,
    damping: float = 1e-3,
) -> Arrival:
    """Walk to EDM < `edm_goal`.

    Parameters
    ----------
    problem : Problem
        All its derivatives are used.
    theta : array with shape (p,)
        The start.
    edm_goal : float
        In units of S. Within 50 times the goal the walk ends after `PATIENCE` more steps.
    exact_end : bool
        Whether the exact Hessian is to be tried near the end. Without it the walk also ends when it has gained less
        than a thousandth of errordef in `PATIENCE` steps: at kinks the gradient has no zero.
    max_iterations : int
        Upper limit of factorisations.
    damping : float
        First mu, in units of the diagonal.
    """
    value, g = problem.value_and_gradient(theta)
    B, exact = problem.gauss_newton(theta), False
    mu, nu = damping, 2.0
    history, near = [value], 0
    for iteration in range(1, max_iterations + 1):
        D = _marquardt_diagonal(B)
        edm = _edm(B, D, g)
        near += edm < NEARLY * edm_goal
        if edm < edm_goal or near > PATIENCE:
            return Arrival(theta, value, edm, bool(edm < edm_goal), iteration)
        step = _solve(B, mu * D, -g)
        if step is None:
            if exact:  # not a bowl here: the Gauss-Newton matrix always is one
                B, exact = problem.gauss_newton(theta), False
                continue
            mu, nu = max(mu * nu, TINY), 2 * nu
            continue
        predicted = -float(g @ step + 0.5 * step @ (B @ step))
        new_value, new_g = problem.value_and_gradient(theta + step)
        gain = (value - new_value) / predicted if predicted > 0 else -1.0
        if gain > 0:
            small = predicted < DIGITS * problem.epsilon * abs(value)
            theta, value, g = theta + step, new_value, new_g
            exact = exact_end and edm < NEAR * problem.errordef
            B = problem.hessian(theta) if exact else problem.gauss_newton(theta)
            mu, nu = max(mu * max(1 / 3, 1 - (2 * gain - 1) ** 3), TINY), 2.0
            history.append(value)
            stuck = len(history) > PATIENCE and history[-1 - PATIENCE] - value < 1e-3 * problem.errordef
            if small or (stuck and not exact_end):
                break
        else:
            mu, nu = mu * nu, 2 * nu
            if predicted < DIGITS * problem.epsilon * abs(value) or mu > 1e14:
                break  # the value itself has no more digits
    edm = _edm(B, _marquardt_diagonal(B), g)
    return Arrival(theta, value, edm, bool(edm < edm_goal), max_iterations)


def _marquardt_diagonal(B: HostArray) -> HostArray:
    d: HostArray = np.abs(np.diag(B))
    return np.maximum(d, 1e-10 * max(float(d.max()), 1e-300))


def _edm(B: HostArray, D: HostArray, g: HostArray) -> float:
    step = _solve(B, TINY * D, g)
    return np.inf if step is None else 0.5 * float(g @ step)


def _solve(B: HostArray, damping: HostArray, rhs: HostArray) -> HostArray | None:
    """(B + diag(damping))^-1 rhs, or None where the matrix is not positive definite."""
    scale = 1 / np.sqrt(_marquardt_diagonal(B))
    A = B * (scale[:, None] * scale)
    A[np.diag_indices_from(A)] += damping * scale * scale
    try:
        factor = scipy.linalg.cho_factor(A, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    step: HostArray = np.multiply(scale, scipy.linalg.cho_solve(factor, scale * rhs, check_finite=False))
    return step if np.isfinite(step).all() else None
