"""The recipe: data to a certified `FitResult`.

Standardise (`task`); walk from random starts to a minimum (`walk`); estimate the errors of y if they are unknown
(`y_error`); take the covariance from the exact Hessian; go back to raw units, exactly; let MIGRAD certify the point; say
what it is worth (`verdict`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data.streaming import prepared_for_fit
from ffnn_xp.fitting import successive_halving as competition
from ffnn_xp.fitting.multistart import FAR, SIGMAS, FitState, Search
from ffnn_xp.fitting.options import check_options
from ffnn_xp.fitting.prior_selection import PriorSelection, check_enough, choose, member, typical_error
from ffnn_xp.fitting.problem import FitProblem, check_degrees_of_freedom, read_problem
from ffnn_xp.fitting.progress import progress_line
from ffnn_xp.fitting.successive_halving import halve_candidates
from ffnn_xp.fitting.y_error import estimate_y_error, residual_width
from ffnn_xp.losses import LeastSquaresLoss, Loss, Measured, NormalLoss
from ffnn_xp.minimizers import Certificate, certify, migrad_alone
from ffnn_xp.model.certification import Outcome, verdict
from ffnn_xp.network import ModelLike, glorot
from ffnn_xp.objective import GaussianPrior
from ffnn_xp.uncertainty import Member, Predictive, Spectrum

MATRIX_LIMIT = 6000  # parameters above which p x p matrices are not formed: no covariance, EDM by products
HARDLY = 1e-5  # gain of MIGRAD, in units of errordef, for which the curvature is not computed again
AT_KINKS = 5  # runs of MIGRAD, at most
IN_VALLEYS = 4  # the same, with a walk between
STARTS = 10  # at most, where chi-square can end the search
GAIN = 0.5  # of the random starts of networks too large to compete: nearly linear, more of them find the deep minimum
SINGLY = 2  # that are tried before many compete: often one is enough
CONTEST = 8  # starts from which on they compete
CONTESTANTS = 8000  # over the number of parameters: how many compete, at most 500
WORTH = 2.0  # gradients that a certificate may cost, over those that the choice of a prior did


def fit(
    model: ModelLike,
    x: Any,
    y: Any,
    y_err: Any,
    *,
    loss: str | Loss,
    weights: Any,
    mask: Any,
    exposure: Any,
    trials: Any,
    y_cov: Any,
    x_err: Any,
    covariance: str,
    prior: float | str | None,
    restarts: int | str,
    minimizer: str,
    seed: int | list[int] | None,
    start: HostArray | None,
    progress: bool | None,
    callback: Callable[[FitState], bool | None] | None,
    max_seconds: float | None,
) -> Outcome:
    """See `Model.fit`; `start` are the model's parameters in raw units if they are to be the first start."""
    began = time.monotonic()
    check_options(prior, restarts, minimizer, covariance, max_seconds)
    extras = {"exposure": exposure, "trials": trials, "y_cov": y_cov}
    model = prepared_for_fit(model, x, y)
    task = read_problem(model, x, y, y_err, loss, weights, mask, x_err, extras, covariance, prior)
    network = task.network
    check_degrees_of_freedom(task, auto=prior == "auto")
    if prior == "auto":
        check_enough(task)
    model.build(network.layout.widths[0], network.layout.widths[-1])
    deadline = np.inf if max_seconds is None else began + max_seconds
    if minimizer == "migrad":
        theta = model.backend.to_host(model.parameters) if start is None else start
        return _migrad_alone(task, theta, began, deadline)
    chosen = None
    if prior == "auto":
        chosen = choose(task, seed, deadline)
        task = _with_prior(task, chosen)
    number = _number_of_starts(restarts, task) if chosen is None else 1
    cost = task.cost()
    with progress_line(progress, callback) as report:
        search = Search(
            cost,
            good_enough=_good_enough(task),
            starts=number,
            smooth=network.smooth,
            matrices=task.layout.n_parameters <= MATRIX_LIMIT,
            deadline=deadline,
            callback=report,
            most=np.inf if chosen is None else WORTH * chosen.gradients,
        )
        starts = _starts(task, start, number, seed) if chosen is None else iter(chosen.members[:1])
        if number < CONTEST or not _may_compete(task):
            search.run(starts)
        else:
            search.run(islice(starts, SINGLY if task.is_chi_square else 1), finish=False)
            if not (search.satisfied or search.stopped):
                rest, rng = np.stack(list(starts)), np.random.default_rng(number)
                search.contest(
                    lambda look: halve_candidates(cost, rest, far=FAR, unit=_unit(task, search), rng=rng, watch=look)
                )
        search.number_minima(_unit(task, search))
        if chosen is None and not task.errors_known:
            try:
                task = estimate_y_error(task, search)
            except KeyboardInterrupt:
                search.stopped, search.arrived, search.distance = "interrupted by the user", None, None
                task = estimate_y_error(task, search)  # of a walk that was cut short: at once
    outcome = _certified(task, search, began)
    result = replace(outcome.result, recipe=chosen)
    return replace(outcome, predictive=_predictive(task, chosen, outcome), result=result)


def _with_prior(task: FitProblem, chosen: PriorSelection) -> FitProblem:
    """With the prior that was chosen.

    Its strength is that beside the errors of y: with other errors S is another multiple of the same function.
    """
    prior = GaussianPrior(chosen.precision / float(np.mean(chosen.y_error**2)))
    return replace(task, prior=prior, y_error=chosen.y_error)


def _predictive(task: FitProblem, chosen: PriorSelection | None, outcome: Outcome) -> Predictive | None:
    """The density of new measurements: of the mixture, or of the one network, if it has a band."""
    if not isinstance(task.loss, Measured):
        return None
    if chosen is not None and chosen.calibration is not None:
        return Predictive(tuple(member(task, t, chosen.precision) for t in chosen.members), chosen.calibration)
    if outcome.band is None or not isinstance(task.loss, LeastSquaresLoss):
        return None
    y_error = outcome.result.y_error
    return Predictive((Member(outcome.band, typical_error(task) if y_error is None else y_error),))


def _certified(task: FitProblem, search: Search, began: float) -> Outcome:
    """From the best point of the walk to MINUIT's word on it.

    Where MIGRAD goes down a valley that the walk had left as flat, and S falls further from there, the walk goes on;
    where it went down and saw no minimum, it is asked again with the curvature there.
    """
    if search.theta is None:
        raise ValueError(
            "the cost is not finite at any start: the data or their errors span too many orders of magnitude, or the "
            "output's nonlinearity overflows; rescale y, or use output='identity'"
        )
    raw = task.raw_cost()
    shape = search.arrived
    try:
        for run in range(1, IN_VALLEYS + 1):
            if shape is None or shape.n_negative:
                return verdict(task, raw, None, search, shape, began)
            certificate = _asked(search, search.theta, shape)
            if task.errors_known:  # else the table stays in the units of the first errors of y
                search.improved(certificate.fval)
            search.theta = certificate.values
            if search.value - certificate.fval <= HARDLY * raw.errordef:  # near enough to where the shape is known
                break
            shape, beyond = search.descent.shape_at(search.theta)
            if beyond is None and certificate.cut_short:
                beyond = search.theta  # as far as MIGRAD may go
            if beyond is None and not (certificate.certified or not search.smooth):  # what it learnt led it astray
                search.value = certificate.fval
                continue
            if beyond is None or not search.smooth or run == IN_VALLEYS or not search.go_on(beyond):
                break  # with a word on the point that it is about
            shape = search.arrived
    except KeyboardInterrupt:
        search.stopped, shape, certificate = "interrupted by the user", None, None
    return verdict(task, raw, certificate, search, shape, began)


def _asked(search: Search, theta: HostArray, shape: Spectrum) -> Certificate:
    """MIGRAD's run from this point with this curvature, on the standardised problem.

    EDM is the same in any coordinates, but in raw units MINUIT would compute it from numbers that differ by the square
    of an input's mean over its width, and see nothing but rounding. At kinks it is asked again, with a new covariance,
    where it does not see a minimum: its own, built from gradients that jump, degrades. The smallest EDM counts.
    """
    problem = search.problem
    runs: list[Certificate] = []
    while len(runs) < (1 if search.smooth else AT_KINKS):
        runs.append(certify(problem, theta, shape.inverse_hessian(problem.errordef)))
        if runs[-1].certified or np.array_equal(runs[-1].values, theta) or time.monotonic() > search.deadline:
            break
        theta = runs[-1].values
        shape, _ = search.descent.shape_at(theta)
    return min(runs, key=lambda run: (not run.certified, run.edm))


def _migrad_alone(task: FitProblem, theta: HostArray, began: float, deadline: float) -> Outcome:
    """The lesson's way, and the same account of where it ended.

    With unknown errors it runs twice: the first run's residuals are the second's errors.
    """
    if not task.errors_known:
        task = task.with_y_error(residual_width(task, task.scaling.to_standard(theta), 0.0))
        theta = np.asarray(migrad_alone(task.raw_cost(), theta, deadline=deadline).values)
        task = task.with_y_error(residual_width(task, task.scaling.to_standard(theta), float(task.layout.n_parameters)))
    raw = task.raw_cost()
    minuit = migrad_alone(raw, theta, deadline=deadline)
    search = Search(task.cost(), smooth=task.network.smooth)
    search.theta = task.scaling.to_standard(np.asarray(minuit.values))
    return verdict(
        task, raw, Certificate.of(minuit), search, search.descent.shape_at(search.theta)[0], began, live=minuit
    )


def _may_compete(task: FitProblem) -> bool:
    """Whether starts can be walked in a batch, of small networks and at first on a sample of the events.

    S of a predicted width has no floor to measure a start's distance from; combined outputs have no such sample.
    """
    small = task.layout.n_parameters <= competition.LIMIT
    return small and not isinstance(task.loss, NormalLoss) and not task.loss.has_linear_operator


def _number_of_starts(restarts: int | str, task: FitProblem) -> int:
    if restarts != "auto":
        return int(restarts)
    if _may_compete(task):
        return int(np.clip(CONTESTANTS // task.layout.n_parameters, STARTS, 500))
    if task.is_chi_square:
        return STARTS
    return int(np.clip(2000 // task.layout.n_parameters, 3, 16))


def _good_enough(task: FitProblem) -> float:
    """Chi-square that no better fit would lower by much; without known errors there is no such value."""
    ndof = task.n_values - task.layout.n_parameters
    mean, square = task.weight_moments()  # of a sum of weighted squares of normal numbers
    return mean * ndof + SIGMAS * np.sqrt(2 * square * ndof) if task.is_chi_square and ndof > 0 else -np.inf


def _unit(task: FitProblem, search: Search) -> float:
    """What one standard deviation raises S by; if errors are unknown, as the best residuals so far have it."""
    if task.errors_known or not np.isfinite(search.value):
        return float(search.problem.errordef)
    return float(search.problem.errordef * min(1.0, search.value / task.n_values))


def _starts(
    task: FitProblem, start: HostArray | None, number: int, seed: int | list[int] | None
) -> Iterator[HostArray]:
    rng = np.random.default_rng(seed)
    if start is not None:
        yield task.scaling.to_standard(start)
    gain = 1.0 if task.layout.n_parameters <= competition.LIMIT else GAIN
    for _ in range(number - (start is not None)):
        yield glorot(task.layout, rng, gain)
