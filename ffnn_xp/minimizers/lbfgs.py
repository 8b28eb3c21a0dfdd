"""SciPy's L-BFGS for the coarse stage: cheap steps from a random start into the basin of a minimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers.base import UNLIMITED, Budget, MinimizerResult, Problem, Status, Tracker


@dataclass(frozen=True)
class ScipyLBFGS:
    """SciPy's L-BFGS-B, until one step gains less than a share of the value.

    It computes no EDM, and cannot be pruned.

    Parameters
    ----------
    ftol : float
        Relative gain of a step that ends it.
    max_iterations : int
        Upper limit of steps.
    memory : int
        Steps that are remembered.
    """

    ftol: float = tuned(1e-4, "larger: fewer gradients here, more in the next stage")
    max_iterations: int = 3000
    memory: int = tuned(20, "more steps remembered: fewer gradients, more time for each")

    def run(self, problem: Problem, theta: HostArray, budget: Budget = UNLIMITED) -> MinimizerResult:
        """Minimise from theta with shape (p,); value and gradient are used."""
        tracker = Tracker.of(problem, budget)
        result: Any = scipy.optimize.minimize(
            tracker.value_and_gradient,
            theta,
            jac=True,
            method="L-BFGS-B",
            options={
                "maxcor": self.memory,
                "ftol": self.ftol,
                "gtol": 0.0,
                "maxiter": self.max_iterations,
                "maxfun": 10 * self.max_iterations,
            },
        )
        value = float(result.fun)
        if not np.isfinite(value):
            return MinimizerResult(np.asarray(result.x), value, np.inf, Status.NOT_FINITE)
        status = Status.BUDGET_USED_UP if result.status == 1 else Status.NO_GAIN
        return MinimizerResult(np.asarray(result.x), value, np.inf, status)
