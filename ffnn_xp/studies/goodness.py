r"""Does the fit describe the data? Chi-square, toys of it, pulls and their runs.

The p-value is the chance of an S as large as this if the model is right. Where S is a chi-square it is the integral of
that distribution with the effective degrees of freedom; in any case it is the share of toys, refitted with the same
prior, whose S is larger. Pulls that all have the same sign in a region tell of a bad shape even where S is good: the
number of runs of signs along x has a known distribution (A. Wald and J. Wolfowitz, Ann. Math. Stat. 11 (1940) 147).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.text import pair_lines
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.batch_refit import fit_toys
from ffnn_xp.fitting.problem import FitProblem


@dataclass(frozen=True, repr=False)
class Goodness:
    """What `FitResult.goodness` returns.

    Attributes
    ----------
    statistic : str
        What S is called.
    value, ndof : float
        S of the data, and degrees of freedom.
    p_value : float
        Of the chi-square distribution; NaN where S is none, or errors were estimated from the residuals themselves.
    p_toys : float
        Share of toys with a larger S, (1 + k) / (1 + r); NaN without toys, or where errors are estimated.
    n_toys : int
        How many toys reached a minimum.
    pulls : array with shape (k, n)
        (measured - predicted) / standard deviation.
    p_runs : float
        Chance of so few runs of signs: along x of one input, else along the prediction. NaN of counts and classes,
        whose pulls are not as often positive as negative.
    calibration : array with shape (9, 2)
        Claimed central content 0.1 ... 0.9, and the share of pulls within it, if they were normal; empty of counts and
        classes.
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

    def __repr__(self) -> str:
        flat = self.pulls[np.isfinite(self.pulls)]
        toys = "not asked for" if not self.n_toys else f"{self.p_toys:.3g} ({self.n_toys} toys)"
        head = f"Goodness of fit: {self.statistic} {self.value:.6g} with {self.ndof:.5g} degrees of freedom"
        lines = [
            ("p-value", f"{self.p_value:.3g}; by toys {toys}"),
            ("pulls", f"mean {flat.mean():.3g}, width {flat.std():.3g}, largest {np.abs(flat).max():.3g}"),
        ]
        if len(self.calibration):
            lines.append(("runs", f"p-value {self.p_runs:.3g}"))
            lines.append(("calibration", "  ".join(f"{c:.1f}:{s:.2f}" for c, s in self.calibration)))
        return "\n".join([head, *pair_lines(lines)])


def goodness(
    task: FitProblem,
    theta: HostArray,
    value: float,
    ndof: float,
    p_value: float,
    number: int,
    rng: np.random.Generator,
) -> Goodness:
    """See `FitResult.goodness`; theta is raw."""
    backend, data = task.model.backend, task.data_with_errors()
    predicted = task.expected(theta)
    with backend.context(), np.errstate(all="ignore"):
        auxiliary = data.auxiliary_of(backend.xp, task.loss)
        pulls = backend.to_host(task.loss.pulls(backend.xp, backend.to_device(predicted), data.y, auxiliary))
    x = backend.to_host(data.measured_x(backend.xp))[0] if len(task.scaling.x_mean) == 1 else None
    real = task.loss.target_kind == "real"
    p_runs = min(1.0, len(pulls) * min(_p_runs(row, predicted[i] if x is None else x) for i, row in enumerate(pulls)))
    p_toys, arrived = float("nan"), 0
    if number:
        toys = fit_toys(task, theta, number, rng)
        arrived = int(toys.valid.sum())
        if task.errors_known and arrived and task.loss.bounded_below:
            p_toys = (1 + int(np.sum(toys.chi2[toys.valid] >= value))) / (1 + arrived)
    claimed = np.linspace(0.1, 0.9, 9)
    within = np.abs(pulls[np.isfinite(pulls)])
    share = np.array([np.mean(within < scipy.special.ndtri(0.5 + c / 2)) for c in claimed])
    table = np.stack([claimed, share], axis=1)
    if not real:
        p_runs, table = float("nan"), np.empty((0, 2))
    return Goodness(task.loss.display_name, value, ndof, p_value, p_toys, arrived, pulls, p_runs, table)


def _p_runs(pulls: HostArray, along: HostArray) -> float:
    """Chance of so few runs of signs, normal approximation with the correction for continuity."""
    up = pulls[np.argsort(along, kind="stable")] > 0
    a, b = float(up.sum()), float((~up).sum())
    n = a + b
    if a == 0 or b == 0 or n < 3:
        return 1.0
    runs = 1 + float(np.sum(up[1:] != up[:-1]))
    mean = 2 * a * b / n + 1
    variance = (mean - 1) * (mean - 2) / (n - 1)
    return float(scipy.special.ndtr((runs + 0.5 - mean) / np.sqrt(variance))) if variance > 0 else 1.0
