"""`FittedProblem`: a problem and its minimum, the input of all studies of a fit."""

from __future__ import annotations

from dataclasses import dataclass, field

from ffnn_xp._lib.typing import HostArray
from ffnn_xp._lib.validation import Seed
from ffnn_xp.fitting import FitProblem
from ffnn_xp.objective import NetworkCost
from ffnn_xp.uncertainty import LinearBand


@dataclass(frozen=True)
class FittedProblem:
    """A problem and the minimum that a fit found for it.

    Parameters
    ----------
    problem : FitProblem
        The problem that was fitted, with network, data and statistic.
    cost : NetworkCost
        The cost in standardised units.
    parameters : array with shape (p,)
        The minimum in raw units, on the host.
    chi2, ndof, p_value : float
        The data's part of S there, its degrees of freedom, and the probability of a larger one.
    minima : dict
        Other minima, by number of starts and seed, cached for all bands.
    """

    problem: FitProblem
    cost: NetworkCost
    parameters: HostArray
    chi2: float
    ndof: float
    p_value: float
    minima: dict[tuple[int, Seed], list[LinearBand]] = field(default_factory=dict)
