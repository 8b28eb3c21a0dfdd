r"""Levenberg-Marquardt for many replicas at once, on the device: restarts, toys, bootstrap copies.

Each replica has its own point and damping; they share every product. One step solves, for all of them together,
:math:`(B + \mu D)\,s = -g` with D = diag(B), and each mu follows its own gain ratio (H. B. Nielsen, IMM-REP-1999-05,
eq. 2.4). Points, gradients and matrices stay on the device; four numbers for each replica are copied to the host per
step, and masks there decide. Replicas that have converged, that gain no more, or that are pruned are removed from the
batch; where each new number of replicas costs a compilation, they stay and are computed without need.

With fewer values m than parameters p the m x m dual is solved instead. With :math:`B = J^T J + P` (P the prior's
diagonal), :math:`g = J^T\rho + P\theta` and :math:`\Delta = P + \mu D`,

.. math:: (B + \mu D)^{-1} g = \Delta^{-1} (J^T K^{-1} (\rho - J\Delta^{-1} P\theta) + P\theta),
          \qquad K = 1 + J \Delta^{-1} J^T

by the push-through and Woodbury identities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.limits import stoppable
from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import Array, HostArray, Mask, Namespace, Rows
from ffnn_xp.minimizers.base import UNLIMITED, Budget, Status
from ffnn_xp.minimizers.batched_base import BatchResult, ReplicaProblem
from ffnn_xp.minimizers.levenberg_marquardt import LEAST_DAMPING, MOST_DAMPING, ROUNDING_DIGITS, DampedSteps

PruneReplicas = Callable[[int, HostArray, HostArray], Mask]
"""A function of the number of the step, the replicas' values and EDM; it returns True for replicas to prune."""


@dataclass
class _Batch:
    """The replicas that are still minimised, and the state of each.

    Value and gradient are packed; B is the matrix, or the rows of the dual. Replicas that have ended are dropped, or,
    where shapes have to stay the same, marked in `gone`.
    """

    rows: Rows
    theta: Array
    packed: Array
    B: Array
    value: HostArray
    mu: HostArray
    nu: HostArray
    stale: Rows
    gone: Mask

    def keep(self, problem: ReplicaProblem, stay: Mask) -> None:
        """Keep the replicas that `stay`, and drop the others."""
        at = np.flatnonzero(stay)
        for name in ("theta", "packed", "B"):
            setattr(self, name, problem.take(getattr(self, name), at))
        for name in ("rows", "value", "mu", "nu", "stale", "gone"):
            setattr(self, name, getattr(self, name)[at])


@dataclass(frozen=True)
class BatchedLevenbergMarquardt(DampedSteps):
    """Levenberg-Marquardt steps for each replica, until EDM is below the goal or they gain no more."""

    damping: float = tuned(1e-2, "larger: shorter first steps, safer from random starts, slower near a minimum")

    @np.errstate(all="ignore")  # a trial point may overflow: values that are not finite are rejected
    def run(
        self,
        problem: ReplicaProblem,
        theta: Array,
        budget: Budget = UNLIMITED,
        *,
        prune: PruneReplicas | None = None,
    ) -> BatchResult:
        """Minimise all replicas; where the budget is used up, the last points are kept.

        Parameters
        ----------
        problem : ReplicaProblem
            The functions.
        theta : array with shape (r, p)
            The starts, on the device.
        budget : Budget
            The limits, of each replica; instead of its `prune` that of this call is used.
        prune : callable, optional
            Called at each step with its number and the replicas' values and EDM; returns True for replicas to prune.
        """
        xp, r = problem.xp, int(theta.shape[0])
        value, edm = np.full(r, np.inf), np.full(r, np.inf)
        steps, status = np.zeros(r, dtype=np.int64), [Status.BUDGET_USED_UP] * r
        left: list[tuple[Rows, Array]] = []
        everyone, reported = np.arange(r), np.inf
        edm_goal = self.edm_goal * problem.errordef
        little = min(self.min_gain / self.patience * problem.errordef, 0.1 * edm_goal)  # too small a gain of a step
        summarise, select = problem.bound(_summary), problem.bound(_selected)
        with stoppable(budget.deadline) as stop:
            budget.check(0)
            packed, B = problem.value_and_gradient(theta, everyone), _curvature(problem, theta, everyone)
        if stop.reason:
            return BatchResult(theta, value, edm, edm < edm_goal, steps, (Status.INTERRUPTED,) * r, stop.reason)
        first, check = problem.numbers(summarise(packed)).T
        now = np.where(np.isfinite(first) & np.isfinite(check), first, np.inf)
        batch = _Batch(
            everyone,
            theta,
            packed,
            B,
            now,
            np.full(r, self.damping),
            np.full(r, 2.0),
            np.zeros(r, dtype=np.int64),
            np.zeros(r, dtype=bool),
        )
        value[:] = now
        tiny = max(LEAST_DAMPING, 100 * problem.epsilon)
        stepping = problem.bound(_dual_step if problem.dual else _step, tiny)
        eye = problem.on_device(np.eye(batch.B.shape[-2]))

        def end_replicas(*ways: tuple[Mask, Status]) -> None:
            """End replicas, each with the status of the first mask that is True for it."""
            gone = np.logical_or.reduce([mask for mask, _ in ways])
            if not gone.any():
                return
            at = np.flatnonzero(gone)
            for mask, how in reversed(ways):
                for row in batch.rows[mask].tolist():
                    status[row] = how
            if problem.compiles:
                batch.gone = batch.gone | gone
            else:
                left.append((batch.rows[at], problem.take(batch.theta, at)))
                batch.keep(problem, ~gone)

        end_replicas((~np.isfinite(now), Status.NOT_FINITE))
        with stoppable(budget.deadline) as stop:
            for iteration in range(self.max_iterations):
                if batch.gone.all():
                    break
                budget.check(iteration)
                lowest = float(value.min())
                if lowest < reported:
                    reported = lowest
                    budget.tell(lowest, iteration)
                moving, rows = ~batch.gone, batch.rows[~batch.gone]
                edm[rows] = np.inf
                mu = problem.on_device(np.maximum(batch.mu, tiny))
                P = (problem.prior_curvature(batch.rows),) if problem.dual else ()
                trial, predicted, trial_edm = stepping(batch.theta, batch.packed, batch.B, mu, eye, *P)
                packed = problem.value_and_gradient(trial, batch.rows)
                steps[rows] += 1
                new, check, gain, away = problem.numbers(summarise(packed, predicted, trial_edm)).T
                far = np.where(away >= 0, away, np.inf)  # NaN too becomes infinite
                edm[batch.rows] = far
                finite = np.isfinite(new) & np.isfinite(check)
                ratio = np.where(finite, (batch.value - new) / gain, -1.0)
                better = moving & finite & (ratio > 0) & (new < batch.value)
                converged = far < edm_goal
                rounding = ~(gain >= ROUNDING_DIGITS * problem.epsilon * np.abs(batch.value))
                stuck = (batch.stale >= self.patience) | (batch.mu > MOST_DAMPING) | (rounding & np.isfinite(gain))
                no_gain, pruned = moving & stuck, np.zeros_like(converged)
                if prune is not None:
                    pruned = moving & prune(iteration, batch.value, far)
                batch.stale = np.where(better & (batch.value - new >= little), 0, batch.stale + better)
                accepted = better & ~converged & ~no_gain & ~pruned
                _accept(problem, batch, accepted, (trial, packed), new, ratio, select)
                value[batch.rows] = batch.value
                end_replicas((converged, Status.MINIMUM), (no_gain, Status.NO_GAIN), (pruned, Status.PRUNED))
        if stop.reason:
            for row in batch.rows[~batch.gone]:
                status[row] = Status.INTERRUPTED
        left.append((batch.rows, batch.theta))
        order = np.argsort(np.concatenate([rows for rows, _ in left]), kind="stable")
        end = problem.take(xp.concat([t for _, t in left], axis=0), order)
        return BatchResult(end, value, edm, edm < edm_goal, steps, tuple(status), stop.reason)


def _curvature(problem: ReplicaProblem, theta: Array, rows: Rows) -> Array:
    """Compute matrices ``(r, p, p)``, or residuals and their derivatives ``(r, m, 1 + p)`` where these are smaller."""
    return problem.residual_rows(theta, rows) if problem.dual else problem.gauss_newton(theta, rows)


def _floored(xp: Namespace, d: Array) -> Array:
    """Return a diagonal ``(r, p)`` with small numbers in place of zeros."""
    top = xp.max(d, axis=-1, keepdims=True)
    return xp.maximum(d, xp.where(top > 0, 1e-10 * top, xp.ones_like(top)))


def _dual_step(
    tiny: float, xp: Namespace, theta: Array, packed: Array, B: Array, mu: Array, eye: Array, P: Array
) -> tuple[Array, Array, Array]:
    """Compute the results of `_step` from m x m systems; P is the priors' curvature."""
    g = packed[:, 1:]
    fine = xp.all(xp.isfinite(B), axis=(-2, -1), keepdims=True)
    rows = xp.where(fine, B, xp.zeros_like(B))
    rho, J = rows[..., 0], rows[..., 1:]
    D = _floored(xp, xp.sum(J * J, axis=-2) + P)
    pull = P * theta
    delta = P + _with_tiny(xp, mu, tiny) * D
    K = (J / delta[..., None, :]) @ xp.matrix_transpose(J) + eye
    right = rho[..., None] - J @ (pull / delta)[..., None]
    solved = (xp.sum(J * xp.linalg.solve(K, right), axis=-2) + pull) / delta
    s, newton = -solved[0, ...], solved[1, ...]
    predicted = 0.5 * xp.sum(s * (mu[:, None] * D * s - g), axis=-1)
    return theta + s, predicted, 0.5 * xp.sum(g * newton, axis=-1)


def _step(
    tiny: float, xp: Namespace, theta: Array, packed: Array, B: Array, mu: Array, eye: Array
) -> tuple[Array, Array, Array]:
    """Compute the points after damped steps ``(r, p)``, the predicted gains, and EDM."""
    d = _floored(xp, xp.abs(xp.linalg.diagonal(B)))
    scale = 1 / xp.sqrt(d)
    A = B * scale[:, :, None] * scale[:, None, :]
    A = xp.where(xp.isfinite(A), A, eye)
    g = scale * packed[:, 1:]
    both = A + _with_tiny(xp, mu, tiny)[..., None] * eye
    solved = xp.linalg.solve(both, xp.stack([g, g], axis=0)[..., None])[..., 0]
    s, newton = -solved[0, ...], solved[1, ...]
    # with (A + mu) s = -g the predicted gain -(g s + s A s / 2) is (mu s s - g s) / 2: no further product
    predicted = 0.5 * xp.sum(s * (mu[:, None] * s - g), axis=-1)
    return theta + scale * s, predicted, 0.5 * xp.sum(g * newton, axis=-1)


def _with_tiny(xp: Namespace, mu: Array, tiny: float) -> Array:
    """Return the dampings of the steps and of EDM, ``(2, r, 1)``, so that one call solves for both.

    Two calls at a time, compiled by JAX for a CPU, may wait for each other's threads for ever (jaxlib 0.10.2).
    """
    return xp.stack([mu, xp.full_like(mu, tiny)], axis=0)[..., None]


def _summary(xp: Namespace, packed: Array, *more: Array) -> Array:
    """Pack the numbers that the host needs, ``(r, 2 + ...)``: S, a number as finite as the gradient, and `more`."""
    return xp.stack([packed[:, 0], xp.sum(packed, axis=-1), *more], axis=-1)


def _selected(xp: Namespace, better: Array, there: tuple[Array, ...], here: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return arrays ``(r, ...)`` with the rows of `there` where `better` ``(r,)``, else those of `here`."""
    move = better[:, None] > 0
    return tuple(xp.where(move, a, b) for a, b in zip(there, here, strict=True))


def _accept(
    problem: ReplicaProblem,
    batch: _Batch,
    better: Mask,
    there: tuple[Array, Array],
    new: HostArray,
    ratio: HostArray,
    select: Callable[..., tuple[Array, ...]],
) -> None:
    """Move the replicas that got better to their new points and compute their matrices; damp the others more."""
    xp, at = problem.xp, np.flatnonzero(better)
    if problem.compiles:
        move = problem.on_device(better.astype(np.float64))
        batch.theta, batch.packed = select(move, there, (batch.theta, batch.packed))
        batch.B = _curvature(problem, batch.theta, batch.rows)
    elif len(at):
        where = np.arange(len(better))
        where[at] = len(better) + np.arange(len(at))
        theta, packed = (problem.take(a, at) for a in there)
        fresh = _curvature(problem, theta, batch.rows[at])
        if len(at) == len(better):
            (batch.theta, batch.packed), batch.B = there, fresh
        else:
            batch.theta = problem.take(xp.concat([batch.theta, theta], axis=0), where)
            batch.packed = problem.take(xp.concat([batch.packed, packed], axis=0), where)
            batch.B = problem.take(xp.concat([batch.B, fresh], axis=0), where)
    batch.value = np.where(better, new, batch.value)
    factor = np.maximum(1 / 3, 1 - (2 * np.clip(ratio, 0, 2) - 1) ** 3)
    batch.mu = np.where(better, np.maximum(batch.mu * factor, LEAST_DAMPING), batch.mu * batch.nu)
    batch.nu = np.where(better, 2.0, 2 * batch.nu)
