r"""MINUIT on a subset of the parameters of a fit, with the others fixed or profiled.

MINUIT's matrices are k x k for a subset of k, so this works at any number p of parameters. For the profile the others
are refitted in coordinates :math:`\phi = \hat\phi + W z` in which S is well conditioned (`KroneckerCoordinates`): the
subset's values are k linear conditions on z, Q is an orthonormal basis of them, and Newton's steps go along the rest,
:math:`(1 - Q Q^T) z`, each solved by conjugate gradients. The derivative of the profile is the gradient in the subset
alone (envelope theorem), and its curvature at the minimum is the inverse of the subset's covariance,
:math:`\Sigma_{ss} = 2 e\, (H^{-1})_{ss}`, one solve for each parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import iminuit
import numpy as np

from ffnn_xp._lib.errors import did_you_mean, nearest
from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data import Scaling
from ffnn_xp.minimizers import ConjugateGradients, EDMBounds, KroneckerCoordinates, SaddleEscape, at_minimum
from ffnn_xp.objective import CostWithGradient, NetworkCost

Others = Literal["fixed", "profiled"]
OTHERS = ("fixed", "profiled")
MOST = 500  # parameters of a subset at most: each costs a solve, and MINUIT's matrices are k x k


@dataclass(frozen=True)
class ProfileCostTuning:
    """Numbers for the other parameters, which follow those of a subset."""

    edm_goal: float = tuned(1e-9, "EDM of the others, in units of errordef; smaller: less noise in S, more products")
    newton_steps: int = tuned(30, "Newton's steps at most")
    step_shares: tuple[float, ...] = tuned((1.0, 0.5, 0.25, 0.1, 0.03), "shares of a Newton step that are tried")
    solve: ConjugateGradients = field(default=ConjugateGradients(tolerance=1e-4))
    solve_covariance: ConjugateGradients = field(default=ConjugateGradients(tolerance=1e-8, max_iterations=1000))


DEFAULT = ProfileCostTuning()


@quiet
class SubsetCost(CostWithGradient):
    """S as a function of a subset of the parameters in raw units, with the others fixed or profiled.

    Parameters
    ----------
    cost : NetworkCost
        The cost in standardised theta.
    scaling : Scaling
        The map between standardised and raw units.
    standardised : array with shape (p,)
        The minimum of the cost.
    names : sequence of str
        The parameters of the subset.
    others : {"fixed", "profiled"}
        Whether the other parameters are fixed or profiled.
    """

    has_g2 = True

    def __init__(
        self, cost: NetworkCost, scaling: Scaling, standardised: HostArray, names: Sequence[str], others: Others
    ) -> None:
        self._subset = _positions(cost.objective.network.layout.names, names)
        if others not in OTHERS:
            raise ValueError(f"`others` must be 'fixed' or 'profiled', got {others!r}: {did_you_mean(others, OTHERS)}")
        self._cost, self._scaling, self._others = cost, scaling, others
        self._minimum = standardised
        self._raw = scaling.to_raw(standardised)
        self._here = standardised
        self._W = KroneckerCoordinates(cost.kronecker_factors(standardised))
        self._unit = np.zeros((len(self._subset), len(self._raw)))
        self._unit[np.arange(len(self._subset)), self._subset] = 1.0
        self._rows = scaling.transpose(self._unit)  # derivatives of the subset's values in standardised theta
        conditions = np.stack([self._W.forth(row) for row in self._rows], axis=1)
        self._Q, self._R = np.linalg.qr(conditions)
        self._product = cost.hessian_product if cost.objective.network.smooth else cost.gauss_newton_product
        self._last: tuple[bytes, float, HostArray] = b"", np.inf, np.empty(0)
        super().__init__(dict.fromkeys(names), 0)
        self.inverse_hessian = self._inverse_hessian()

    @property
    def start(self) -> HostArray:
        """The subset's values at the minimum, ``(k,)``."""
        return np.asarray(self._raw[self._subset])

    def value_and_gradient(self, v: HostArray) -> tuple[float, HostArray]:
        """Compute S and its gradient at values ``(k,)`` of the subset."""
        v = np.ascontiguousarray(v, dtype=np.float64)
        if self._last[0] != v.tobytes():
            phi = self._with(v)
            if self._others == "profiled":
                phi = self._settle(phi)
            value, g = self._cost.value_and_gradient(phi)
            self._last = v.tobytes(), value, self._scaling.inverse_transpose(g)[self._subset]
        return self._last[1], self._last[2].copy()

    def parameters(self, v: HostArray) -> HostArray:
        """Return all parameters in raw units, ``(p,)``, for these values of the subset."""
        phi = self._with(np.asarray(v, dtype=np.float64))
        return self._scaling.to_raw(self._settle(phi) if self._others == "profiled" else phi)

    def g2(self, *args: Any) -> HostArray:
        """Return the diagonal of the second derivative at the minimum, ``(k,)``."""
        return np.diag(np.linalg.inv(self.inverse_hessian)).copy()

    def _with(self, v: HostArray) -> HostArray:
        """Return standardised parameters with these values of the subset; profiled others are moved by the metric."""
        if self._others == "fixed":
            raw = self._raw.copy()
            raw[self._subset] = v
            return self._scaling.to_standard(raw)
        change = v - self._scaling.to_raw(self._here)[self._subset]
        return self._here + self._W.back(self._Q @ np.linalg.solve(self._R.T, change))

    def _settle(self, phi: HostArray) -> HostArray:
        """Minimise in the other parameters, by Newton's steps that do not change the subset's values."""
        cost, W = self._cost, self._W

        def along(z: HostArray) -> HostArray:
            return np.asarray(z - self._Q @ (self._Q.T @ z))

        def newton(times: Callable[..., HostArray], phi: HostArray, g: HostArray) -> EDMBounds:
            def product(z: HostArray) -> HostArray:
                return along(W.forth(times(phi, W.back(z))))

            return DEFAULT.solve.bounds(product, along(W.forth(g)), along)

        value, g = cost.value_and_gradient(phi)
        for _ in range(DEFAULT.newton_steps):
            found = newton(self._product, phi, g)
            if found.negative_direction is not None:
                found = newton(cost.gauss_newton_product, phi, g)
            if found.lower < DEFAULT.edm_goal * cost.errordef:
                phi = phi - W.back(found.step)  # one more step, whose error is quadratic: MINOS compares gradients
                break
            for share in DEFAULT.step_shares:
                trial = phi - share * W.back(found.step)
                new, new_g = cost.value_and_gradient(trial)
                if new < value:
                    phi, value, g = trial, new, new_g
                    break
            else:
                break
        self._here = phi
        return phi

    def _inverse_hessian(self) -> HostArray:
        """Compute the inverse Hessian of the subset's S at the minimum, ``(k, k)``."""
        if self._others == "fixed":
            columns = [
                self._scaling.inverse_transpose(self._product(self._minimum, move))[self._subset]
                for move in self._scaling.inverse(self._unit)
            ]
            return np.asarray(np.linalg.inv(_symmetric(np.stack(columns))), dtype=np.float64)
        solved = self._solved(self._product)
        down = [found.negative_direction for found in solved if found.negative_direction is not None]
        if down:  # weakly determined if S is nowhere lower, as in the fit: then the Gauss-Newton matrix replaces it
            value, escape = self._cost.value_and_gradient(self._minimum)[0], SaddleEscape()
            fall = escape.negligible_fall * self._cost.errordef
            if any(escape.lower_point(self._cost, self._minimum, value, v, fall) is not None for v in down):
                raise ValueError("S falls along some direction here: a point that is no minimum has no profile")
            solved = self._solved(self._cost.gauss_newton_product)
        return _symmetric(np.stack([found.step for found in solved]) @ self._rows.T)

    def _solved(self, product: Callable[..., HostArray]) -> list[EDMBounds]:
        """Solve with H for the derivative of each of the subset's values."""
        times = partial(product, self._minimum)
        return [DEFAULT.solve_covariance.bounds(times, row, self._W.precondition) for row in self._rows]

    def _errordef(self) -> float:
        return float(self._cost.errordef)

    def _ndata(self) -> int:
        return int(self._cost.ndata)


def minuit_of_subset(
    cost: NetworkCost, scaling: Scaling, standardised: HostArray, names: Sequence[str], others: Others
) -> iminuit.Minuit:
    """Return a live `Minuit` of the subset at the minimum, with its covariance; MIGRAD has run."""
    subset = SubsetCost(cost, scaling, standardised, names, others)
    return at_minimum(subset, subset.start, subset.inverse_hessian)


def _positions(known: Sequence[str], names: Sequence[str]) -> list[int]:
    if isinstance(names, str) or not len(names):
        raise ValueError(f"`names` must be one or more names of parameters, as a list, got {names!r}")
    if len(names) > MOST:
        raise ValueError(f"`names` may hold at most {MOST} parameters, got {len(names)}")
    where = {name: i for i, name in enumerate(known)}
    for name in names:
        if name not in where:
            raise ValueError(f"there is no parameter {name!r}: {nearest(name, known)}`fit.names` lists them all")
    if len(set(names)) < len(names):
        raise ValueError(f"`names` has a parameter twice: {list(names)}")
    return [where[name] for name in names]


def _symmetric(A: HostArray) -> HostArray:
    return np.asarray(0.5 * (A + A.T))
