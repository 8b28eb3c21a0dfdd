r"""Does the band cover what it claims? Toys around the fit, each fitted again with a band of its own.

The fit's curve is the truth of the toys. A band of z standard deviations covers it at a point in the share of toys in
which it is no farther than that. What is missing is told apart: bias, the mean of the toys' curves less the truth (a
prior, or too few units, pull it), and spread, their standard deviation over what they claim.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.text import table_lines
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.fitting.batch_refit import fit_toys
from ffnn_xp.fitting.local_search import LocalMinimum, LocalSearch
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.minimizers import Status, Tracker
from ffnn_xp.network.evaluation import evaluate
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.objective.objective import Objective
from ffnn_xp.uncertainty.linear_band import Band


@dataclass(frozen=True, repr=False)
class Coverage:
    """What `FitResult.coverage` returns; of each output k at each of m points.

    Attributes
    ----------
    claimed : array with shape (c,)
        Confidence levels.
    pointwise : array with shape (c, k, m)
        Share of toys whose band covers the truth.
    bias : array with shape (k, m)
        Mean of the toys' curves less the truth, in the median of the standard deviations that they claim.
    spread : array with shape (k, m)
        Standard deviation of the toys' curves, in the same units: 1 if the band is as wide as it should be.
    n_toys, n_failed : int
        Toys that have a band, and those without: no minimum, or no covariance.
    """

    claimed: HostArray
    pointwise: HostArray
    bias: HostArray
    spread: HostArray
    n_toys: int
    n_failed: int

    @property
    def averaged(self) -> HostArray:
        """Over points and outputs, ``(c,)``."""
        return np.asarray(self.pointwise.mean(axis=(1, 2)))

    def __repr__(self) -> str:
        lines = [f"Coverage of the band, {self.n_toys} toys around the fit ({self.n_failed} failed)"]
        rows = [("claimed", "averaged", " lowest", "highest")]
        for c, a, p in zip(self.claimed, self.averaged, self.pointwise, strict=True):
            rows.append((f"{c:.1%}", f"{a:.1%}", f"{p.min():.1%}", f"{p.max():.1%}"))
        lines += table_lines(rows)
        rms = float(np.sqrt(np.mean(self.bias**2)))
        lines.append(f"  bias {rms:.2f} standard deviations (rms), spread over claimed width {self.spread.mean():.2f}")
        return "\n".join(lines)


def coverage(
    task: FitProblem,
    theta: HostArray,
    x: Array,
    cl: HostArray,
    number: int,
    rng: np.random.Generator,
) -> Coverage:
    """See `FitResult.coverage`; theta is raw, x are columns ``(d, m)`` on the device."""
    backend, network = task.model.backend, task.network
    toys = fit_toys(task, theta, number, rng)
    truth = backend.to_host(evaluate(network, backend, backend.to_device(theta), x))
    free = task.n_values - task.effective(task.cost(), task.scaling.to_standard(theta))
    curves, widths = [], []
    for measured, start in zip(toys.measured, toys.theta, strict=True):
        end = _to_the_end(task, measured, start)
        if end is None or end.spectrum is None or end.status is Status.SADDLE_POINT or not end.spectrum.factor.shape[1]:
            continue
        std = backend.to_host(Band(end.theta, task.scaling, end.spectrum).std(network, backend, x))
        if not task.errors_known:  # each toy finds its own errors of y
            std = std * np.sqrt(end.value / max(free, 1.0))
        curves.append(backend.to_host(evaluate(network, backend, backend.to_device(task.scaling.to_raw(end.theta)), x)))
        widths.append(std)
    if len(curves) < 2:
        raise ValueError(f"{len(curves)} of {number} toys have a band: the coverage cannot be told; use a prior")
    y, std = np.stack(curves), np.stack(widths)
    z = scipy.special.ndtri(0.5 + cl / 2)
    covered = np.stack([np.mean(np.abs(y - truth) <= one * std, axis=0) for one in z])
    width = np.median(std, axis=0)  # an infinite one among them covers, and says nothing of the others
    return Coverage(
        cl, covered, (y.mean(axis=0) - truth) / width, y.std(axis=0, ddof=1) / width, len(y), number - len(y)
    )


def _to_the_end(task: FitProblem, measured: HostArray, theta: HostArray) -> LocalMinimum | None:
    """The minimum that a fit of one toy comes to from standardised theta, as any fit does."""
    backend = task.model.backend
    objective = Objective(task.network, task.loss, task.events(backend.to_device(measured)), backend)
    cost = NetworkCost(objective, n_values=task.n_values, prior=task.prior)
    local = LocalSearch(cost, smooth=task.network.smooth, may_use_single_precision=False)
    return local.refine(Tracker(cost), theta)
