"""`Found`: a point to be certified, and whether it is a minimum by all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.infinity import Infinity
from ffnn_xp.fitting.local_search import NEWTON
from ffnn_xp.fitting.prior_selection import PriorSelection
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.fitting.search_result import SearchResult
from ffnn_xp.minimizers import Certificate, EDMBounds, edm_goal
from ffnn_xp.objective import DataCost, NetworkCost
from ffnn_xp.uncertainty import Spectrum

ASIDE = 1e-8  # length of a step in standardised units that leaves a kink, and nothing else


@dataclass(frozen=True)
class Found:
    """A point to be certified, with all that is known about it.

    Attributes
    ----------
    problem : FitProblem
        The problem that was fitted.
    raw_cost : DataCost
        Its cost in raw units.
    cost : NetworkCost
        The same cost in standardised units, which was minimized.
    search : SearchResult
        The best point, and the starts it comes from.
    spectrum : Spectrum or None
        The spectrum of the Hessian there, if it is known.
    certificate : Certificate or None
        The run of MIGRAD that counts.
    recipe : PriorSelection or None
        The choice of the prior, with ``prior="auto"``.
    infinity : Infinity or None
        What the data lack, if the minimum lies at infinity.
    beside : array with shape (p,) or None
        A point next to it where S is lower than a minimum may be, if there is one (`beside.lower_beside`).
    """

    problem: FitProblem
    raw_cost: DataCost
    cost: NetworkCost
    search: SearchResult
    spectrum: Spectrum | None
    certificate: Certificate | None
    recipe: PriorSelection | None = None
    infinity: Infinity | None = None
    beside: HostArray | None = None

    @property
    def theta(self) -> HostArray:
        """The best point, in standardised units."""
        assert self.search.best is not None
        return self.search.best.theta

    @property
    def bounds(self) -> EDMBounds | None:
        """The bounds of EDM from conjugate gradients, where no matrices are formed."""
        return None if self.search.best is None else self.search.best.bounds

    @property
    def goal(self) -> float:
        """MIGRAD's goal for EDM."""
        return edm_goal(self.raw_cost.errordef)

    @property
    def certified_matrix_free(self) -> bool:
        """True if the bounds of EDM certify the minimum."""
        if self.spectrum is not None or self.bounds is None or self.problem.unsettled or self.infinity is not None:
            return False
        if self.beside is not None:
            return False
        return self.bounds.upper < self.goal

    @property
    def certified(self) -> bool:
        """True if the point is a minimum, by MIGRAD and the Hessian or by the bounds of EDM."""
        spectrum, certificate = self.spectrum, self.certificate
        if spectrum is None or certificate is None:
            return self.certified_matrix_free
        if not certificate.certified or spectrum.n_negative or not spectrum.factor.shape[1] or self.problem.unsettled:
            return False
        if self.beside is not None:
            return False
        return self.edm_newton < NEWTON * self.goal if self.problem.network.smooth else not self._falls

    @cached_property
    def _falls(self) -> bool:
        """True if S, which has kinks, is lower along Newton's step, or at once along gradients to the right and left.

        At a kink the gradient is that of one side, and may vanish where S falls on the other.
        """
        assert self.spectrum is not None
        cost, factor, scale = self.cost, self.spectrum.factor, self.spectrum.scale
        escape = self.problem.tuning.local_search.escape
        at_once = replace(escape, line_steps=escape.line_steps[:1])
        value, gradient = cost.value_and_gradient(self.theta)
        aside = ASIDE * np.random.default_rng(0).normal(size=len(scale))
        lines = [(escape, factor @ (factor.T @ gradient))]
        lines += [(at_once, scale**2 * cost.value_and_gradient(self.theta + d)[1]) for d in (aside, -aside)]
        fall = escape.min_gain * cost.errordef
        return any(e.lower_point(cost, self.theta, value, along, fall) is not None for e, along in lines if along.any())

    @cached_property
    def edm_newton(self) -> float:
        """EDM = g^T H^-1 g / 2 with our own Hessian on the identified directions, or its lower bound.

        MIGRAD's EDM rests on a covariance that it has updated, which may be far too small along some direction.
        """
        if self.spectrum is None:
            return float("nan") if self.bounds is None else self.bounds.lower
        return self.spectrum.edm(self.cost.value_and_gradient(self.theta)[1], self.cost.errordef)
