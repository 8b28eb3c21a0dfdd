r"""Prior selection, ``prior="auto"``: the prior's strength is chosen by cross-validation.

The prior is Gaussian with precision :math:`\lambda P` on the standardised parameters, P being d for the weights of the
first matrix, 1 for its biases, 20 for all later weights and biases, 0 for the output's bias. Networks are minimized
along a regularization path: the strength :math:`\lambda` is halved again and again, and each minimization starts where
the one before ended. A strong prior shows the gross shape first, which leads past the poor minima that a weak one has.
The chosen strength is that with the smallest S of held-out data, of five folds, or of one of them where there are many
events.

More networks follow the path in each fold, and are minimized on there to see what they are wrong by (`fold_networks`,
`held_out`). Then all are minimized with all data. A prediction is the mean of this ensemble with equal weights, of
probabilities too: on held-out digits the log-loss is smaller by a twentieth than that of the best network
(`benchmarks/probabilities.py`). Of measured values the density is a Student's t around that mean

.. math:: t_\nu\!\left(\frac{y - \bar y(x)}{s}\right),
          \qquad s^2 = a\,\sigma^2 + b\,\sigma^2\,j^T (J^T J + \lambda P)^{-1} j

whose a, b and number of degrees of freedom are fitted to the held-out residuals, so that they include what a linear
band leaves out. Where no errors of y are given the noise's width :math:`\sigma` may depend on x (`width_selection`);
then the certified fit has these errors.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from ffnn_xp._lib.journal import recorded
from ffnn_xp._lib.limits import stop_if_due, stoppable
from ffnn_xp._lib.typing import HostArray
from ffnn_xp._lib.validation import Seed
from ffnn_xp.fitting.fold_networks import FoldNetworks
from ffnn_xp.fitting.folds import CostBatch
from ffnn_xp.fitting.held_out import held_out_error, hold_out
from ffnn_xp.fitting.hidden_layers import follow_best
from ffnn_xp.fitting.members import member
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.fitting.progress import Report
from ffnn_xp.fitting.regularization_path import PathMinimizer
from ffnn_xp.fitting.search_result import FitState
from ffnn_xp.fitting.width_selection import HeldOut, choose_width, relative_errors, rounding_error
from ffnn_xp.fitting.workers import HERE, Workers
from ffnn_xp.uncertainty import Calibration, Predictive, VaryingWidth

FEWEST_TO_CHOOSE = 10  # events without which cross-validation says nothing


@dataclass(frozen=True)
class PriorSelection:
    r"""The prior that was chosen, and the ensemble of networks that comes with it.

    Attributes
    ----------
    strength : float
        The regularization strength :math:`\lambda`, in units of S per event of a constant prediction.
    precision : array with shape (p,)
        Precisions of the prior, for S with errors 1 of the standardised outputs where none are given.
    path : array with shape (s, 2)
        Strengths that were tried, and S per held-out value of each.
    held_out : int
        Number of values that were held out, each once.
    members : list of array with shape (p,)
        Standardised parameters of the networks, the one with the smallest S first.
    calibration : Calibration or None
        Calibration of the predictive density; None for other statistics than those of measured values, where no
        p x p matrices are formed, and where the choice was cut short.
    y_error : array with shape (k,)
        Width of the held-out residuals of the standardised outputs, the errors of y where none are given; else ones.
    stopped : str
        Why it was cut short, if it was.
    gradients : float
        Gradients of all events that the choice has cost.
    predictive : Predictive or None
        The prediction of all networks, for measured values and for probabilities.
    hidden_layers : tuple of (tuple of int, float)
        Hidden layers that were tried, with S per held-out value of each, if they were left open.
    """

    strength: float
    precision: HostArray
    path: HostArray
    held_out: int
    members: list[HostArray]
    calibration: Calibration | None
    y_error: HostArray
    stopped: str = ""
    gradients: float = 0.0
    predictive: Predictive | None = field(default=None, repr=False)
    hidden_layers: tuple[tuple[tuple[int, ...], float], ...] = ()

    def words(self) -> str:
        """Return the choice in a line of text."""
        score = float(self.path[np.argmin(np.abs(np.log(self.path[:, 0] / self.strength))), 1])
        text = (
            f"strength {self.strength:.2g} of {len(self.path)} tried, by S of {self.held_out} held-out values, "
            f"{score:.3g} each; {len(self.members)} networks"
        )
        c = self.calibration
        if c is not None:
            text += f"; width^2 {c.a:.2g} noise + {c.b:.2g} band, nu {c.nu:.2g}"
            if self.predictive is not None and self.predictive.width is not None:
                text += ", the noise depends on x"
        if self.hidden_layers:
            tried = (f"{'-'.join(map(str, units))} ({score:.3g})" for units, score in self.hidden_layers)
            text += f"; hidden layers by the same S: {', '.join(tried)}"
        return text + (f"; cut short: {self.stopped}" if self.stopped else "")


def why_not_chosen(problem: FitProblem) -> str:
    """Return why the prior of a problem cannot or need not be chosen by events that are held out; empty if it can."""
    if problem.loss.has_linear_operator:
        return "events that are correlated or summed cannot be held out"
    if problem.in_parts:
        return "events in parts are not held out: choose it on a sample, and give that number"
    if problem.data.n < FEWEST_TO_CHOOSE:
        return f"{problem.data.n} events are too few to hold some out"
    if problem.layout.n_layers == 1 and problem.layout.n_parameters < problem.n_values:
        return "a network without hidden units needs none"
    return ""


def choose(
    problems: Sequence[FitProblem], seed: Seed, began: float, workers: Workers = HERE, report: Report | None = None
) -> tuple[FitProblem, PriorSelection]:
    """Choose the hidden layers, the strength, the ensemble and its calibration for a problem that has no prior yet.

    A larger network is taken where S of the held-out values is smaller by a share (`PriorSelectionTuning.larger`).

    Parameters
    ----------
    problems : sequence of FitProblem
        The problem with each of the networks in question, the smallest first.
    seed : int, tuple of int or None
        Seed of the folds and starts.
    began : float
        `time.monotonic` value.
    workers : Workers
        Those who minimize networks too large for a batch. The path ends early enough before their deadline for the
        calibration and a certificate.
    report : callable or None
        Called with a `FitState` where a network gets better; returns True to stop.
    """
    n, rng = problems[0].data.n, np.random.default_rng(seed)
    tuning = problems[0].tuning.prior_selection
    fold = rng.permutation(np.arange(n) % tuning.folds)
    lowest = np.inf

    def tell(value: float, calls: int) -> bool | None:
        nonlocal lowest
        lowest = min(lowest, value)
        return None if report is None else report(FitState(0, 0, value, lowest, calls, time.monotonic() - began))

    time_of = problems[0].tuning.time
    last = time_of.until(time_of.path, began, workers.deadline)
    path = PathMinimizer(replace(workers, deadline=last), problems[0].tuning.path, None if report is None else tell)
    best, tried = follow_best(problems, fold, rng, path)
    problem, whole, unit = best.problem, best.whole, best.unit
    calibrates = problem.with_matrices and problem.loss.auxiliary == "y_err"
    folds, many = FoldNetworks.of(best, fold, path, everywhere=calibrates), n >= tuning.many_events
    few = tuning.fewest_members if many else tuning.few_members
    most = few if many else tuning.most_members
    found, precision = folds.ensemble(few, most, tuning.scatter, minimized=calibrates), folds.precision
    noise, predictive = None, None
    with stoppable(workers.deadline) as cut:
        if calibrates:
            stop_if_due()
            noise = recorded("calibration", partial(_noise, problem, folds, rng, path))
            problem = replace(problem, relative_error=noise.relative_error)
    if not (path.stopped or cut.reason):
        batch = CostBatch([whole.objective] * len(found))
        found = path.minimize(batch, found, precision, path.tuning.last_evaluations)
    values = [whole.chi2(theta) + float(np.sum(precision * theta**2)) for theta in found]
    members = [found[i] for i in np.argsort(values)]
    y_error = held_out_error(problem, folds.of_folds())
    with stoppable(workers.deadline) as stop:
        if problem.with_matrices and (noise is not None or problem.loss.target_kind in ("successes", "class")):
            stop_if_due()
            predictive = Predictive(tuple(member(problem, theta, precision) for theta in members), None)
            if noise is not None:
                varies = noise.relative_error is not None
                equal, middle = replace(problem, relative_error=None), members[len(members) // 2]
                predictive = Predictive(
                    predictive.members,
                    noise.calibration,
                    width=noise.width,
                    scatter=noise.scatter,
                    middle=member(equal, middle, precision).band if varies else None,
                )
    return problem, PriorSelection(
        float(best.strengths[best.at]) / unit,
        precision,
        np.stack([best.strengths[: len(best.scores)] / unit, best.scores], axis=1),
        sum(len(part.out) for part in best.parts) * problem.loss.ndof_per_event(problem.data.n_values),
        members,
        None if predictive is None else predictive.calibration,
        y_error,
        path.stopped or cut.reason or stop.reason,
        path.events / n,
        predictive,
        tuple((each.problem.layout.widths[1:-1], each.score) for each in tried) if len(problems) > 1 else (),
    )


class Noise(NamedTuple):
    """The calibration of a density, the width of the noise where it depends on x, and what goes with them.

    Attributes
    ----------
    calibration : Calibration
        The calibration.
    width : VaryingWidth or None
        The width as a function of x.
    scatter : array with shape (k,)
        The largest scatter of networks at the events of the calibration.
    relative_error : array with shape (k, n) or None
        The widths at all events, in units of that of mean weight.
    """

    calibration: Calibration
    width: VaryingWidth | None
    scatter: HostArray
    relative_error: HostArray | None


def _noise(problem: FitProblem, folds: FoldNetworks, rng: np.random.Generator, path: PathMinimizer) -> Noise:
    """Calibrate the density by held-out events; where no errors of y are given its width may depend on x."""
    backend = problem.model.backend
    held_out = hold_out(problem, folds.of_folds(), folds.precision)
    if problem.errors_known:
        return Noise(held_out.calibrate(held_out.y_error), None, held_out.scatter, None)
    with backend.context():
        rounding = rounding_error(backend.to_host(problem.data.y))
    calibration, width = choose_width(held_out, rounding, rng, path, problem.tuning.width)
    relative = None if width is None else _relative_error(folds, held_out, width)
    return Noise(calibration, width, held_out.scatter, relative)


def _relative_error(folds: FoldNetworks, held_out: HeldOut, width: VaryingWidth) -> HostArray | None:
    """Return the errors of all values ``(k, n)`` in units of that of mean weight, if all have been held out.

    The widths are those at the predictions and bands of networks that did not know the event.
    """
    order = np.concatenate([part.out for part, _ in folds.of_folds()])
    if len(order) < folds.followed.problem.data.n:
        return None
    widths = np.empty_like(held_out.residuals)
    widths[:, order] = width(held_out.x, held_out.predictions, held_out.bands / held_out.root_weights)
    return relative_errors(widths, folds.followed.problem.tuning.width.least)
