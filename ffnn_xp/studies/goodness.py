"""The goodness of a fit: chi-square with toys, pulls and their runs.

The p-value is the probability of a larger S if the model is right. If S is a chi-square it is the integral of that
distribution with the effective degrees of freedom; for any S it is the share of toys, refitted with the same prior,
whose S is larger. Pulls that all have the same sign in a region show a wrong shape even where S is good: the number of
runs of signs along x has a known distribution (A. Wald and J. Wolfowitz, Ann. Math. Stat. 11 (1940) 147).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.text import Page, Shown, stopped
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting import HERE, REFIT_GOAL, Seeds, Workers, fit_toys
from ffnn_xp.studies.fitted_problem import FittedProblem


@quiet
@dataclass(frozen=True, repr=False)
class Goodness(Shown):
    """The goodness of a fit, as `FitResult.goodness` returns it.

    Attributes
    ----------
    statistic : str
        The name of S.
    value, ndof : float
        S of the data, and degrees of freedom.
    p_value : float
        Probability of a larger S by the chi-square distribution; NaN where S has another one, or where errors were
        estimated from the residuals themselves.
    p_toys : float
        Share of toys with a larger S, (1 + k) / (1 + r); NaN without toys, or where errors are estimated.
    n_toys : int
        Number of toys that reached a minimum.
    pulls : array with shape (k, n)
        (measured - predicted) / standard deviation.
    p_runs : float
        Probability of so few runs of signs, along x with one input, else along the prediction. NaN for counts and
        classes, whose pulls are not as often positive as negative.
    calibration : array with shape (9, 2)
        Nominal central content 0.1 ... 0.9 of a normal distribution, and the observed share of pulls within it; empty
        for counts and classes.
    stopped : str
        Why there are fewer toys than were asked for, if there are.
    """

    statistic: str
    value: float
    ndof: float
    p_value: float
    p_toys: float
    n_toys: int
    pulls: HostArray
    p_runs: float
    calibration: HostArray
    stopped: str = ""

    def _page(self) -> Page:
        pulls = self.pulls[np.isfinite(self.pulls)]
        toys = f"{self.p_toys:.3g} ({self.n_toys} toys)" if self.n_toys else "none"
        title = f"{self.statistic} {self.value:.6g} with {self.ndof:.5g} degrees of freedom"
        size = "none that is finite"
        if len(pulls):
            size = f"mean {pulls.mean():.3g}, width {pulls.std():.3g}, largest {np.abs(pulls).max():.3g}"
        p = "unknown" if np.isnan(self.p_value) else f"{self.p_value:.3g}"
        lines = [("p-value", f"{p}; by toys {toys}"), ("pulls", size)]
        if len(self.calibration):
            lines.append(("runs", f"p-value {self.p_runs:.3g}"))
            lines.append(("calibration", "  ".join(f"{c:.1f}:{s:.2f}" for c, s in self.calibration)))
        return Page("Goodness of fit", title, lines, notes=[stopped(self.stopped)])


def assess_goodness(fitted: FittedProblem, seeds: Seeds = (), workers: Workers = HERE) -> Goodness:
    """Assess a fit by its chi-square, its pulls, and a toy of each seed; see `FitResult.goodness`."""
    problem, theta = fitted.problem, fitted.parameters
    backend, data, loss = problem.model.backend, problem.data_with_errors(), problem.loss
    predicted = problem.expected(theta)
    with backend.context(), np.errstate(all="ignore"):
        arguments, weighted = backend.to_device(predicted), not problem.sandwich
        pulls = backend.to_host(data.pulls(backend.xp, loss, arguments, weighted=weighted))
    x = backend.to_host(data.measured_x(backend.xp))[0] if len(problem.scaling.x_mean) == 1 else None
    p_runs = min(1.0, len(pulls) * min(_p_runs(row, predicted[i] if x is None else x) for i, row in enumerate(pulls)))
    p_toys, n_toys, stopped = float("nan"), 0, ""
    if seeds:
        toys = fit_toys(problem, theta, seeds, workers)
        stopped = toys.stopped
        n_toys = int(toys.valid.sum())
        if problem.errors_known and n_toys and loss.bounded_below:
            tie = REFIT_GOAL * loss.errordef  # a toy's S is known to its EDM: a tie is not decided by rounding
            p_toys = (1 + int(np.sum(toys.chi2[toys.valid] >= fitted.chi2 - tie))) / (1 + n_toys)
    nominal, within = np.linspace(0.1, 0.9, 9), np.abs(pulls[np.isfinite(pulls)])
    if loss.target_kind == "real" and len(within):
        observed = np.mean(within[:, None] < scipy.special.ndtri(0.5 + nominal / 2), axis=0)
        calibration = np.stack([nominal, observed], axis=1)
    else:
        p_runs, calibration = float("nan"), np.empty((0, 2))
    return Goodness(
        loss.display_name, fitted.chi2, fitted.ndof, fitted.p_value, p_toys, n_toys, pulls, p_runs, calibration, stopped
    )


def _p_runs(pulls: HostArray, along: HostArray) -> float:
    """Compute the probability of so few runs of signs, by the normal approximation with continuity correction."""
    up = pulls[np.argsort(along, kind="stable")] > 0
    a, b = float(up.sum()), float((~up).sum())
    n = a + b
    if a == 0 or b == 0 or n < 3:
        return 1.0
    runs = 1 + float(np.sum(up[1:] != up[:-1]))
    mean = 2 * a * b / n + 1
    variance = (mean - 1) * (mean - 2) / (n - 1)
    return float(scipy.special.ndtr((runs + 0.5 - mean) / np.sqrt(variance))) if variance > 0 else 1.0
