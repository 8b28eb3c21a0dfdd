r"""The parameters outside of a subset: they are refitted while the values of the subset stay as they are.

The others move in coordinates :math:`\phi = \hat\phi + W z` in which S is well conditioned (`KroneckerCoordinates`):
the subset's values are k linear conditions on z, Q is an orthonormal basis of them, and Newton's steps go along the
rest, :math:`(1 - Q Q^T) z`, each solved by the eigenvalues of the Hessian or, with many parameters, by conjugate
gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers import ConjugateGradients, EDMBounds, KroneckerCoordinates, SaddleEscape, rounding_error
from ffnn_xp.objective import NetworkCost

Product = Callable[[HostArray], HostArray]


@dataclass(frozen=True)
class ProfileCostTuning:
    """Numbers for the other parameters, which follow those of a subset."""

    edm_goal: float = tuned(1e-9, "EDM of the others, in units of errordef; smaller: less noise in S, more steps")
    edm_allowed: float = tuned(1e-4, "EDM where S gains no more; larger: more noise in S, fewer refits count as failed")
    max_steps: int = tuned(3000, "steps of a refit at most; more: longer before it is given up")
    radius: float = tuned(1.0, "length of a refit's first step, in standard deviations; larger: fewer steps, or more")
    least_radius: float = tuned(1e-8, "length at which a step gains no more; smaller: longer before it is given up")
    first_step: float = tuned(
        0.5, "first step of the line, in standard deviations; larger: fewer refits, more halvings"
    )
    growth: float = tuned(1.2, "factor from one step to the next; larger: fewer refits far from the minimum")
    least_step: float = tuned(1 / 64, "share of a step below which it is not halved; smaller: jumps are found later")
    most_gain: float = tuned(
        0.03, "gain of a refit, in units of errordef, above which its step is halved; larger: fewer refits, more jumps"
    )
    matrix_limit: int = tuned(500, "parameters up to which Hessians are formed; more: fewer products, more memory")
    solve: ConjugateGradients = field(default=ConjugateGradients(tolerance=1e-4))
    solve_covariance: ConjugateGradients = field(default=ConjugateGradients(tolerance=1e-8, max_iterations=1000))


DEFAULT = ProfileCostTuning()


class OtherParameters:
    """The parameters outside of a subset, which are refitted while the subset's values stay as they are.

    Parameters
    ----------
    cost : NetworkCost
        The cost in standardised theta.
    minimum : array with shape (p,)
        The point at which the coordinates z are made.
    rows : array with shape (k, p)
        Derivatives of the subset's values in standardised theta.
    tuning : ProfileCostTuning
        The numbers of the method.
    """

    def __init__(
        self, cost: NetworkCost, minimum: HostArray, rows: HostArray, tuning: ProfileCostTuning = DEFAULT
    ) -> None:
        self.cost, self.tuning = cost, tuning
        self.smooth = cost.objective.network.smooth
        self._matrices = len(minimum) <= tuning.matrix_limit
        self.W = KroneckerCoordinates(cost.kronecker_factors(minimum))
        conditions = np.stack([self.W.forth(row) for row in rows], axis=1)
        k = len(rows)
        Q, R = np.linalg.qr(conditions, mode="complete" if self._matrices else "reduced")
        self._Q, self._R, self._free = Q[:, :k], R[:k], Q[:, k:]
        self._moves = np.stack([self.W.back(z) for z in self._free.T], axis=1) if self._free.size else self._free

    def shift(self, change: HostArray) -> HostArray:
        """Return the shortest move in z that changes the subset's values ``(k,)`` by so much."""
        return np.asarray(self._Q @ np.linalg.solve(self._R.T, change))

    def following(self, phi: HostArray, shift: HostArray) -> HostArray:
        """Return the move in z with which the others stay at their minimum, to first order, for a shift of the subset.

        Where the exact Hessian is not positive, the Gauss-Newton matrix replaces it.
        """
        response = None
        for exact in (True, False) if self.smooth else (False,):
            right = self.W.forth(self.product(phi, exact=exact)(self.W.back(shift)))
            response = self._newton(phi, right, exact=exact)
            if response.negative_direction is None:
                break
        assert response is not None
        return np.asarray(shift - response.step)

    def refit(self, phi: HostArray, most: float = np.inf) -> tuple[HostArray, str]:
        """Minimise in the others, by Newton's steps in a trust region; return the point, and why it failed if it did.

        It also fails, early, where S falls by more than `most`.
        """
        cost, t, unit = self.cost, self.tuning, float(np.sqrt(self.cost.errordef))
        goal, radius = t.edm_goal * cost.errordef, t.radius * unit
        value, g = cost.value_and_gradient(phi)
        if not np.isfinite(value):
            return phi, f"cannot start where S is {value}"
        least = value - most
        for _ in range(t.max_steps):
            found = self._newton(phi, self.W.forth(g), exact=self.smooth)
            down, z = found.negative_direction, -found.step
            if down is None and found.lower < goal:
                return phi + self.W.back(z), ""  # with an error that is quadratic: MINOS compares gradients
            if down is not None and np.linalg.norm(z) < radius:
                z = z - np.copysign(radius / np.linalg.norm(down), down @ self.W.forth(g)) * down
            z = z * min(1.0, radius / float(np.linalg.norm(z)))
            step = self.W.back(z)
            predicted = -float(g @ step + 0.5 * step @ self.product(phi, exact=self.smooth)(step))
            if down is not None and predicted < goal:
                lower = SaddleEscape().lower_point(cost, phi, value, self.W.back(down))
                if lower is None:
                    return phi, ""  # weakly determined, as in the fit
                step, radius = lower - phi, t.radius * unit
            new, new_g = cost.value_and_gradient(phi + step)
            gain = (value - new) / predicted
            if gain > 0:
                phi, value, g = phi + step, new, new_g
            if gain > 0.75:
                radius = max(radius, 2 * float(np.linalg.norm(z)))
            elif not gain > 0.25:
                radius = 0.25 * float(np.linalg.norm(z))
            if value < least:
                return phi, f"lowers S by more than {most:.2g}"
            if radius < t.least_radius * unit:
                allowed = max(t.edm_allowed * cost.errordef, rounding_error(cost.epsilon, value))
                fine = not self.smooth or found.lower < allowed
                return phi, "" if fine else f"gains no more, with an EDM of {found.lower:.2g}"
        return phi, f"did not converge in {t.max_steps} steps: a prior would help"

    def product(self, phi: HostArray, *, exact: bool) -> Product:
        """Return the function that multiplies by the exact Hessian or by the Gauss-Newton matrix."""
        if self._matrices:
            return self.cost.matrix("hessian" if exact else "gauss_newton", phi).__matmul__
        return partial(self.cost.hessian_product if exact else self.cost.gauss_newton_product, phi)

    def _newton(self, phi: HostArray, right: HostArray, *, exact: bool) -> EDMBounds:
        """Solve with the others' part of the Hessian in z, by its eigenvalues or by conjugate gradients."""
        times = self.product(phi, exact=exact)
        if self._matrices:
            return _by_eigenvalues(self._moves.T @ times(self._moves), right, self._free, self.cost.epsilon)

        def along(z: HostArray) -> HostArray:
            return np.asarray(z - self._Q @ (self._Q.T @ z))

        def product(z: HostArray) -> HostArray:
            return along(self.W.forth(times(self.W.back(z))))

        return self.tuning.solve.bounds(product, along(right), along)


def _by_eigenvalues(H: HostArray, right: HostArray, basis: HostArray, epsilon: float) -> EDMBounds:
    """Solve H x = right in a basis ``(p, q)`` on the eigenvectors of H ``(q, q)`` with positive eigenvalues.

    Raises
    ------
    LinAlgError
        If H is not finite.
    """
    if not np.all(np.isfinite(H)):
        raise np.linalg.LinAlgError("the Hessian is not finite")
    w, V = np.linalg.eigh(symmetric(H))
    cut = len(w) * epsilon * float(np.max(np.abs(w), initial=0.0))
    V, c = basis @ V, V.T @ (basis.T @ right)
    x = np.where(w > cut, c / np.where(w > cut, w, 1.0), 0.0)
    edm = 0.5 * float(c @ x)
    return EDMBounds(V @ x, edm, edm, 1, V[:, 0] if len(w) and w[0] < -cut else None)


def symmetric(A: HostArray) -> HostArray:
    """Return the symmetric part of a matrix."""
    return np.asarray(0.5 * (A + A.T))
