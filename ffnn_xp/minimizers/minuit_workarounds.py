r"""Workarounds for errors of MINUIT with a Hessian that the user gives.

1. MINUIT 2 up to iminuit 2.33 indexes a user's Hessian by its *internal* numbers: with parameters fixed it reads the
   top left corner of the matrix instead of the rows and columns of the free ones, and reports a wrong covariance as
   valid (root issue 20954). A test on two parameters finds out once whether it does; if so, the free block is moved to
   where MINUIT will read it. Only the `Minuit` object that is calling knows which parameters are fixed.
2. A diagonal element that is zero or negative sends MINUIT to a line search that calls a ``g2`` which it does not have
   next to a Hessian (a TypeError; root issue 20913). Away from a minimum it is given the Gauss-Newton matrix instead,
   whose diagonal is never negative.
3. With limits, MINUIT leaves out a term of the second derivative in its internal coordinates (root issue 22692), and
   may call a point valid that is far from any minimum. The term is added to the diagonal here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache

import numpy as np
from iminuit import Minuit

from ffnn_xp._lib.typing import HostArray

FRAMES = 8  # from cost.hessian up to the Minuit method that calls it


def as_minuit_reads_it(
    H: HostArray, gauss_newton: Callable[[], HostArray], minuit: Minuit, theta: HostArray, gradient: HostArray
) -> HostArray:
    """Return the Hessian in the form from which this `Minuit` object reads the right numbers."""
    if minuit.npar != len(H):  # the Minuit of another function, which calls this cost
        return H
    free = np.flatnonzero(~np.asarray(minuit.fixed, dtype=bool))
    bend = limits_term(minuit, theta, gradient)
    if np.any((np.diag(H) + bend)[free] <= 0):
        H, bend = gauss_newton(), np.maximum(bend, 0.0)
        H = H + np.diag(np.where(np.diag(H) + bend > 0, 0.0, 1e-10 * max(np.diag(H).max(), 1e-300)))
    H = H + np.diag(bend)
    if len(free) == len(H) or not reads_top_left():
        return H
    moved = H.copy()
    moved[: len(free), : len(free)] = H[np.ix_(free, free)]
    return moved


def limits_term(minuit: Minuit, theta: HostArray, gradient: HostArray) -> HostArray:
    r"""Return the term that MINUIT leaves out of the Hessian's diagonal for parameters with limits.

    It minimises in internal coordinates u, with x = x(u) between the limits (Minuit user's guide, sec. 1.3), and takes
    :math:`x'^2\, \partial^2 S/\partial x^2` for the second derivative in u, without
    :math:`x''\, \partial S/\partial x`. The term is divided by :math:`x'^2` here, since MINUIT multiplies by that.
    """
    term = np.zeros(len(theta))
    for i, (low, high) in enumerate(minuit.limits):
        if np.isfinite(low) and np.isfinite(high):  # x = low + (high - low)/2 (sin u + 1)
            half = (high - low) / 2
            s = np.clip((theta[i] - low) / half - 1, -1 + 1e-12, 1 - 1e-12)
            term[i] = -gradient[i] * s / (half * (1 - s * s))
        elif np.isfinite(low) or np.isfinite(high):  # x = low - 1 + sqrt(u^2 + 1), and mirrored
            t = (theta[i] - low if np.isfinite(low) else high - theta[i]) + 1
            sign = 1.0 if np.isfinite(low) else -1.0
            term[i] = sign * gradient[i] / (t * max(t * t - 1, 1e-12))
    return term


def calling_minuit() -> Minuit | None:
    """Return the `Minuit` object whose method has called the cost, if any."""
    frame = sys._getframe(2)
    for _ in range(FRAMES):
        owner = frame.f_locals.get("self")
        if isinstance(owner, Minuit):
            return owner
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


@cache
def reads_top_left() -> bool:
    """Return True if this MINUIT has the indexing error: with x fixed in x^2 + 4 y^2, y must have the variance 1/4."""

    def f(v: HostArray) -> float:
        return float(v[0] ** 2 + 4 * v[1] ** 2)

    m = Minuit(f, np.ones(2), grad=lambda v: np.array([2 * v[0], 8 * v[1]]), hessian=lambda v: np.diag([2.0, 8.0]))
    m.fixed[0] = True
    m.errordef = 1.0
    m.migrad().hesse()
    return not np.isclose(m.covariance[1, 1], 0.25)
