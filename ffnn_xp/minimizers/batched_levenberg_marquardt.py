r"""Levenberg-Marquardt for many replicas at once, on the device: restarts, toys, bootstrap copies.

Each replica has its own point, damping and fate; they share every product. One step solves, for all of them together,
:math:`(B + \mu D)\,s = -g` with D = diag(B), and each mu follows its own gain ratio (H. B. Nielsen, IMM-REP-1999-05,
eq. 2.4). Points, gradients and matrices stay on the device; four numbers for each replica come to the host per step,
and masks there decide. Replicas that have arrived, that gain no more, or that are hopeless leave the batch.

With fewer values m than parameters p the m x m dual is solved instead. With :math:`B = J^T J + P` (P the prior's
diagonal), :math:`g = J^T\rho + P\theta` and :math:`\Delta = P + \mu D`,

.. math:: (B + \mu D)^{-1} g = \Delta^{-1} (J^T K^{-1} (\rho - J\Delta^{-1} P\theta) + P\theta),
          \qquad K = 1 + J \Delta^{-1} J^T

by the push-through and Woodbury identities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .._typing import Array, HostArray, Mask, Namespace, Rows
from .levenberg_marquardt import DIGITS, GAIN, PATIENCE, TINY
from .problem import StopWalk

DAMPING = 1e-2  # first mu: random starts are far
HOPELESS = 30.0  # EDMs: a start that would have to gain more, after the first steps, hardly ever does
FAIR = 12  # steps before that is judged
STUCK = 1e14  # mu


class ReplicaProblem(Protocol):
    """Value and derivatives of r functions of their own theta, on the device; rows say which of the r are asked."""

    @property
    def xp(self) -> Namespace:
        """The arrays' namespace."""

    @property
    def device(self) -> object:
        """Where new arrays are made."""

    @property
    def errordef(self) -> float:
        """Rise at one standard deviation."""

    @property
    def epsilon(self) -> float:
        """Relative precision of the numbers."""

    def value_and_gradient(self, theta: Array, rows: Rows) -> Array:
        """S and its gradient packed, ``(r, 1 + p)``."""

    def gauss_newton(self, theta: Array, rows: Rows) -> Array:
        """Positive semidefinite matrices, ``(r, p, p)``."""

    @property
    def dual(self) -> bool:
        """Whether there are fewer values than parameters."""

    def residual_rows(self, theta: Array, rows: Rows) -> Array:
        """Residuals and their derivatives, ``(r, m, 1 + p)``, the prior left out; asked for if `dual`."""

    def prior_curvature(self, rows: Rows) -> Array:
        """Second derivative of the priors, ``(r, p)``: a diagonal."""

    def numbers(self, a: Array) -> HostArray:
        """A few numbers for each replica, on the host."""

    def on_device(self, a: HostArray) -> Array:
        """And the way back: dampings."""

    def take(self, a: Array, rows: Rows) -> Array:
        """Some rows of an array."""


@dataclass(frozen=True)
class BatchArrival:
    """Where r walks ended.

    Attributes
    ----------
    theta : array with shape (r, p)
        On the device.
    value, edm : array with shape (r,)
        On the host; infinite where a start had no finite value.
    converged : boolean array with shape (r,)
        Whether EDM is below the goal.
    steps : array with shape (r,)
        How many were tried.
    status : list of str
        "converged", "no gain", "hopeless", "no finite value", "stopped" or "step limit".
    stopped : str
        Why the walk was ended from outside, if it was.
    """

    theta: Array
    value: HostArray
    edm: HostArray
    converged: Mask
    steps: Rows
    status: list[str]
    stopped: str = ""


@dataclass
class _Batch:
    """The replicas that are still walking, and what is known of each: B is the matrix, or the dual's rows."""

    rows: Rows
    theta: Array
    g: Array
    B: Array
    value: HostArray
    mu: HostArray
    nu: HostArray
    stale: Rows

    def keep(self, problem: ReplicaProblem, stay: Mask) -> None:
        at = np.flatnonzero(stay)
        for name in ("theta", "g", "B"):
            setattr(self, name, problem.take(getattr(self, name), at))
        for name in ("rows", "value", "mu", "nu", "stale"):
            setattr(self, name, getattr(self, name)[at])


@np.errstate(all="ignore")  # a trial may overflow: what is not finite is seen, and not taken
def batched_levenberg_marquardt(
    problem: ReplicaProblem,
    theta: Array,
    *,
    edm_goal: float,
    max_iterations: int = 200,
    damping: float = DAMPING,
    hopeless: Callable[[int, HostArray, HostArray], Mask] | None = None,
    watch: Callable[[float, int], None] | None = None,
) -> BatchArrival:
    """Walk each replica to EDM < `edm_goal`, or until it gains no more.

    Parameters
    ----------
    problem : ReplicaProblem
        The functions.
    theta : array with shape (r, p)
        The starts, on the device.
    edm_goal : float
        In units of S.
    max_iterations : int
        Upper limit of steps.
    damping : float
        First mu, in units of the diagonal.
    hopeless : callable, optional
        Called at each step with its number and the replicas' values and EDM; True for those that shall leave.
    watch : callable, optional
        Called with (best value, step) at each step; may raise `StopWalk`, which keeps what was found.
    """
    xp, r = problem.xp, int(theta.shape[0])
    value, edm = np.full(r, np.inf), np.full(r, np.inf)
    steps, status = np.zeros(r, dtype=np.int64), ["step limit"] * r
    left: list[tuple[Rows, Array]] = []
    everyone, stopped = np.arange(r), ""
    little = min(GAIN / PATIENCE * problem.errordef, 0.1 * edm_goal)  # gain of a step that is not worth going on
    packed = problem.value_and_gradient(theta, everyone)
    now = _finite(problem, packed)
    batch = _Batch(
        everyone,
        theta,
        packed[:, 1:],
        _curvature(problem, theta, everyone),
        now,
        np.full(r, damping),
        np.full(r, 2.0),
        np.zeros(r, dtype=np.int64),
    )
    value[:] = now

    def leave(gone: Mask, word: str) -> None:
        if gone.any():
            at = np.flatnonzero(gone)
            left.append((batch.rows[at], problem.take(batch.theta, at)))
            for row in batch.rows[at]:
                status[row] = word
            batch.keep(problem, ~gone)

    leave(~np.isfinite(now), "no finite value")
    try:
        for iteration in range(max_iterations):
            if not len(batch.rows):
                break
            if watch is not None:
                watch(float(value.min()), iteration)
            edm[batch.rows] = np.inf
            step, predicted, distance = (_dual_step if problem.dual else _step)(problem, batch)
            trial = batch.theta + step
            packed = problem.value_and_gradient(trial, batch.rows)
            steps[batch.rows] += 1
            told = xp.stack([packed[:, 0], xp.sum(packed, axis=-1), predicted, distance], axis=-1)
            new, check, gain, away = problem.numbers(told).T
            edm[batch.rows] = np.where(away >= 0, away, np.inf)  # NaN too becomes infinite
            fine = np.isfinite(new) & np.isfinite(check)
            with np.errstate(all="ignore"):
                ratio = np.where(fine, (batch.value - new) / gain, -1.0)
            better = fine & (ratio > 0) & (new < batch.value)
            arrived = edm[batch.rows] < edm_goal
            rounding = ~(gain >= DIGITS * problem.epsilon * np.abs(batch.value))
            spent = (batch.stale >= PATIENCE) | (batch.mu > STUCK) | (rounding & np.isfinite(gain))
            lost = np.zeros_like(arrived)
            if hopeless is not None:
                lost = hopeless(iteration, batch.value, edm[batch.rows])
            batch.stale = np.where(better & (batch.value - new >= little), 0, batch.stale + better)
            _accept(problem, batch, better & ~arrived & ~spent & ~lost, trial, packed, new, ratio)
            value[batch.rows] = batch.value
            words = np.where(arrived, "converged", np.where(spent, "no gain", "hopeless"))
            for word in ("converged", "no gain", "hopeless"):
                gone = (arrived | spent | lost) & (words == word)
                leave(gone, word)
                words, arrived, spent, lost = (a[~gone] for a in (words, arrived, spent, lost))
    except (StopWalk, KeyboardInterrupt) as stop:
        stopped = str(stop) or "interrupted by the user"
        for row in batch.rows:
            status[row] = "stopped"
    left.append((batch.rows, batch.theta))
    order = np.argsort(np.concatenate([rows for rows, _ in left]), kind="stable")
    end = problem.take(xp.concat([t for _, t in left], axis=0), order)
    return BatchArrival(end, value, edm, edm < edm_goal, steps, status, stopped)


def _curvature(problem: ReplicaProblem, theta: Array, rows: Rows) -> Array:
    """Matrices ``(r, p, p)``, or where they are shorter residuals and derivatives ``(r, m, 1 + p)``."""
    return problem.residual_rows(theta, rows) if problem.dual else problem.gauss_newton(theta, rows)


def _floored(xp: Namespace, d: Array) -> Array:
    """A diagonal ``(r, p)`` without zeros."""
    top = xp.max(d, axis=-1, keepdims=True)
    return xp.maximum(d, xp.where(top > 0, 1e-10 * top, xp.ones_like(top)))


def _dual_step(problem: ReplicaProblem, batch: _Batch) -> tuple[Array, Array, Array]:
    """The same as `_step` from m x m systems."""
    xp = problem.xp
    fine = xp.all(xp.isfinite(batch.B), axis=(-2, -1), keepdims=True)
    rows = xp.where(fine, batch.B, xp.zeros_like(batch.B))
    rho, J = rows[..., 0], rows[..., 1:]
    P = problem.prior_curvature(batch.rows)
    D = _floored(xp, xp.sum(J * J, axis=-2) + P)
    pull = P * batch.theta
    eye = xp.eye(J.shape[-2], dtype=J.dtype, device=problem.device)

    def solved(mu: Array) -> Array:
        delta = P + mu * D
        K = (J / delta[:, None, :]) @ xp.matrix_transpose(J) + eye
        right = rho[..., None] - J @ (pull / delta)[..., None]
        return (xp.sum(J * xp.linalg.solve(K, right), axis=-2) + pull) / delta

    tiny = max(TINY, 100 * problem.epsilon)
    mu = problem.on_device(np.maximum(batch.mu, tiny))[:, None]
    s = -solved(mu)
    newton = solved(tiny * xp.ones_like(mu))
    predicted = 0.5 * xp.sum(s * (mu * D * s - batch.g), axis=-1)
    return s, predicted, 0.5 * xp.sum(batch.g * newton, axis=-1)


def _step(problem: ReplicaProblem, batch: _Batch) -> tuple[Array, Array, Array]:
    """Damped steps ``(r, p)``, the gains that they promise, and EDM."""
    xp = problem.xp
    d = _floored(xp, xp.abs(xp.linalg.diagonal(batch.B)))
    scale = 1 / xp.sqrt(d)
    A = batch.B * scale[:, :, None] * scale[:, None, :]
    eye = xp.eye(A.shape[-1], dtype=A.dtype, device=problem.device)
    A = xp.where(xp.isfinite(A), A, eye)
    g = scale * batch.g
    tiny = max(TINY, 100 * problem.epsilon)
    mu = problem.on_device(np.maximum(batch.mu, tiny))[:, None]
    s = -xp.linalg.solve(A + mu[:, :, None] * eye, g[:, :, None])[:, :, 0]
    newton = xp.linalg.solve(A + tiny * eye, g[:, :, None])[:, :, 0]
    # with (A + mu) s = -g the promised gain -(g s + s A s / 2) is (mu s s - g s) / 2: no further product
    predicted = 0.5 * xp.sum(s * (mu * s - g), axis=-1)
    return scale * s, predicted, 0.5 * xp.sum(g * newton, axis=-1)


def _accept(
    problem: ReplicaProblem,
    batch: _Batch,
    better: Mask,
    trial: Array,
    packed: Array,
    new: HostArray,
    ratio: HostArray,
) -> None:
    """Move the replicas that got better, with a new matrix for each; damp the others more."""
    xp, at = problem.xp, np.flatnonzero(better)
    if len(at):
        where = np.arange(len(better))
        where[at] = len(better) + np.arange(len(at))
        there = problem.take(trial, at)
        fresh = _curvature(problem, there, batch.rows[at])
        if len(at) == len(better):
            batch.theta, batch.g, batch.B = trial, packed[:, 1:], fresh
        else:
            batch.theta = problem.take(xp.concat([batch.theta, there], axis=0), where)
            batch.g = problem.take(xp.concat([batch.g, problem.take(packed[:, 1:], at)], axis=0), where)
            batch.B = problem.take(xp.concat([batch.B, fresh], axis=0), where)
    batch.value = np.where(better, new, batch.value)
    factor = np.maximum(1 / 3, 1 - (2 * np.clip(ratio, 0, 2) - 1) ** 3)
    batch.mu = np.where(better, np.maximum(batch.mu * factor, TINY), batch.mu * batch.nu)
    batch.nu = np.where(better, 2.0, 2 * batch.nu)


def _finite(problem: ReplicaProblem, packed: Array) -> HostArray:
    """Values, infinite where they or their gradients are not finite."""
    xp = problem.xp
    value, check = problem.numbers(xp.stack([packed[:, 0], xp.sum(packed, axis=-1)], axis=-1)).T
    return np.where(np.isfinite(value) & np.isfinite(check), value, np.inf)
