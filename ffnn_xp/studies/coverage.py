"""The coverage of a band, by toys around the fit, each fitted again with a band of its own.

The fit's curve is the truth of the toys. The coverage at a point is the share of toys whose curve is at most z standard
deviations of its band away from the truth. Two causes of a wrong coverage are separated: bias, the mean of the toys'
curves less the truth (from a prior, or too few units), and spread, the curves' standard deviation over that of their
bands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.limits import StopMinimization, deadline_in_force, stoppable
from ffnn_xp._lib.progress import bar
from ffnn_xp._lib.text import Page, Shown, stopped
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.fitting import HERE, FitProblem, LocalMinimum, Refits, Seeds, Workers, residual_width
from ffnn_xp.minimizers import Budget, Status, Tracker
from ffnn_xp.network import evaluate
from ffnn_xp.objective import NetworkCost, Objective
from ffnn_xp.studies.fitted_problem import FittedProblem
from ffnn_xp.uncertainty import LinearBand


@quiet
@dataclass(frozen=True, repr=False)
class Coverage(Shown):
    """The coverage of each output k at each of m points, as `FitResult.coverage` returns it.

    Attributes
    ----------
    claimed : array with shape (c,)
        Nominal coverage: the confidence levels.
    pointwise : array with shape (c, k, m)
        Observed coverage: the share of toys whose band covers the truth.
    bias : array with shape (k, m)
        Mean of the toys' curves less the truth, in units of the median standard deviation of their bands.
    spread : array with shape (k, m)
        Standard deviation of the toys' curves, in the same units: 1 if the band is as wide as it should be.
    n_toys, n_failed : int
        Toys that have a band, and those without: no minimum, or no covariance.
    stopped : str
        Why there are fewer toys than were asked for, if there are.
    """

    claimed: HostArray
    pointwise: HostArray
    bias: HostArray
    spread: HostArray
    n_toys: int
    n_failed: int
    stopped: str = ""

    @property
    def averaged(self) -> HostArray:
        """The observed coverage averaged over points and outputs, ``(c,)``."""
        return np.asarray(self.pointwise.mean(axis=(1, 2)))

    def _page(self) -> Page:
        title = f"{self.n_toys} toys around the fit ({self.n_failed} failed)"
        rows = [("nominal", "averaged", " lowest", "highest")]
        for c, a, p in zip(self.claimed, self.averaged, self.pointwise, strict=True):
            rows.append((f"{c:.1%}", f"{a:.1%}", f"{p.min():.1%}", f"{p.max():.1%}"))
        rms = float(np.sqrt(np.mean(self.bias**2)))
        spread = f"bias {rms:.2f} standard deviations (rms), spread over nominal width {self.spread.mean():.2f}"
        return Page("Coverage of the band", title, rows=rows, notes=[spread, stopped(self.stopped)])


def measure_coverage(fitted: FittedProblem, x: Array, cl: HostArray, seeds: Seeds, workers: Workers = HERE) -> Coverage:
    """Measure the coverage of the linear band at raw columns x ``(d, m)`` on the device, by a toy of each seed.

    See `FitResult.coverage`.
    """
    problem, theta, number = fitted.problem, fitted.parameters, len(seeds)
    backend, network = problem.model.backend, problem.network
    truth = backend.to_host(evaluate(network, backend, backend.to_device(theta), x))
    standard = problem.scaling.to_standard(theta)
    found: list[_Curves] = []
    with stoppable(workers.deadline) as stop, bar("coverage", number, "toys") as line:
        task = _CurvesOfToys(Refits(problem, standard), backend.to_host(x), problem.effective(problem.cost(), standard))
        for lot in workers.map(task, task.refits.lots(seeds)):
            found.append(lot)
            line.advance(lot.number)
    done = sum(lot.number for lot in found)
    stopped = stop.after(done, number, "toys")
    curves, widths = [a for lot in found for a in lot.curves], [a for lot in found for a in lot.widths]
    if len(curves) < 2:
        hint = stopped or "use a prior"
        raise ValueError(f"{len(curves)} of {number} toys have a band, too few to measure a coverage: {hint}")
    y, std = np.stack(curves), np.stack(widths)
    z = scipy.special.ndtri(0.5 + cl / 2)
    covered = np.stack([np.mean(np.abs(y - truth) <= one * std, axis=0) for one in z])
    width = np.median(std, axis=0)  # the median, since an infinite width covers too
    bias, spread = (y.mean(axis=0) - truth) / width, y.std(axis=0, ddof=1) / width
    return Coverage(cl, covered, bias, spread, len(y), done - len(y), stopped)


class _Curves(NamedTuple):
    """The number of toys of a lot, and of those that have a band the curves and its widths, each ``(k, m)``."""

    number: int
    curves: list[HostArray]
    widths: list[HostArray]


@dataclass(frozen=True)
class _CurvesOfToys:
    """Curves and bands of toys: a task for `Workers`, of the seeds of a lot.

    Parameters
    ----------
    refits : Refits
        The toys.
    x : array with shape (d, m)
        Raw inputs on the host.
    effective : float
        The effective number of parameters of the fit.
    """

    refits: Refits
    x: HostArray
    effective: float

    def __call__(self, seeds: Seeds) -> _Curves:
        """Draw toys, fit each and compute its band."""
        problem, budget, toys = self.refits.problem, Budget(deadline_in_force()), self.refits.toys(seeds)
        backend, network, curves = problem.model.backend, problem.network, _Curves(len(seeds), [], [])
        ends = self.refits.minimized(self.refits.of_measurements(toys), len(toys))
        if ends.stopped:
            raise StopMinimization(ends.stopped)
        x = backend.to_device(self.x)
        for measured, start in zip(toys, ends.theta, strict=True):
            band = _band_of_toy(problem, measured, start, self.effective, budget)
            if band is not None:
                curves.widths.append(backend.to_host(band.std(network, backend, x)))
                curves.curves.append(backend.to_host(evaluate(network, backend, backend.to_device(band.parameters), x)))
        return curves


def _band_of_toy(
    problem: FitProblem, measured: HostArray, theta: HostArray, effective: float, budget: Budget
) -> LinearBand | None:
    """Return the band of a toy from standardised theta, as a fit of it would have one; None where it has none.

    Unknown errors of y are estimated from the toy's own residuals, and the minimum is refined with them.
    """
    cost, end = _refined(problem, measured, theta, budget)
    if end is not None and not problem.errors_known:
        own = residual_width(problem, end.theta, effective, problem.model.backend.to_device(measured))
        problem = problem.with_y_error(own)
        cost, end = _refined(problem, measured, end.theta, budget)
    if end is None or end.spectrum is None or end.status is Status.SADDLE_POINT or not end.spectrum.factor.shape[1]:
        return None
    return LinearBand(end.theta, problem.scaling, problem.covariance_of(cost, end.theta, end.spectrum))


def _refined(
    problem: FitProblem, measured: HostArray, theta: HostArray, budget: Budget
) -> tuple[NetworkCost, LocalMinimum | None]:
    """Return a toy's cost, and its minimum, refined from standardised theta as in any fit."""
    backend = problem.model.backend
    objective = Objective(problem.network, problem.loss, problem.events(backend.to_device(measured)), backend)
    cost = NetworkCost(objective, n_values=problem.n_values, prior=problem.prior)
    local = replace(problem.local_search(cost), may_use_single_precision=False)
    return cost, local.refine(Tracker(cost, budget), theta)
