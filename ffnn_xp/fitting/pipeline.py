"""The steps of a fit, from data to a certified minimum.

Read and standardise the data (`problem`); choose the prior, if that is wanted (`prior_selection`); minimize from random
starts (`multistart`); estimate the errors of y if they are unknown (`y_error`); take the covariance from the exact
Hessian; let MIGRAD certify the point; and write the message (`certification`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np

from ffnn_xp._lib.journal import keeping, recorded, recorded_seed
from ffnn_xp._lib.limits import TIME_IS_UP, deadline_of, stop_if_due, stoppable
from ffnn_xp._lib.progress import Bar, bar
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data import Measurements, model_for_fit
from ffnn_xp.distributed import are_in_parts
from ffnn_xp.fitting.certification import certify_fit
from ffnn_xp.fitting.found import Found
from ffnn_xp.fitting.identity import identity_of
from ffnn_xp.fitting.in_parts import read_in_parts
from ffnn_xp.fitting.local_search import NEWTON, LocalMinimum
from ffnn_xp.fitting.members import typical_error
from ffnn_xp.fitting.multistart import MultiStart
from ffnn_xp.fitting.options import FitOptions
from ffnn_xp.fitting.prior_selection import PriorSelection, choose, why_not_chosen
from ffnn_xp.fitting.problem import FitProblem, check_degrees_of_freedom, read_problem
from ffnn_xp.fitting.progress import report_to
from ffnn_xp.fitting.record import FitRecord
from ffnn_xp.fitting.search_result import SearchResult
from ffnn_xp.fitting.workers import Workers
from ffnn_xp.fitting.y_error import estimate_y_error
from ffnn_xp.minimizers import Certificate, edm_goal, is_lower
from ffnn_xp.network import ModelLike, glorot
from ffnn_xp.objective import GaussianPrior, NetworkCost
from ffnn_xp.uncertainty import Calibration, Member, Predictive, Spectrum

STILL_FALLS = "S still fell between kinks, by {:.2g} at the end; fit(..., start='current') goes on from here"


def fit(model: ModelLike, measurements: Measurements, options: FitOptions) -> FitRecord:
    """Fit a model to measurements; see `Model.fit`."""
    with bar("fit") as line:
        return _fit(model, measurements, options, line)


def _fit(model: ModelLike, measurements: Measurements, options: FitOptions, line: Bar) -> FitRecord:
    """Read the data, take all steps of a fit, and say on the progress line which."""
    began = time.monotonic()
    problem: FitProblem
    if are_in_parts(measurements, options.tuning.parts):
        problem = read_in_parts(model, measurements, options)
    else:
        problem = read_problem(model_for_fit(model, measurements), measurements, options)

    def identity() -> dict[str, str]:
        others = {name: getattr(options, name) for name in ("restarts", "seed", "start")}
        how = {"prior=auto": options.prior == "auto", "executor": options.executor is not None}
        how["`layers` left open"] = len(_networks(problem, options)) > 1
        return identity_of(problem, "fit", **others, **how)

    with keeping(options.checkpoint, identity):
        return _of_problem(problem, options, began, line)


def _of_problem(problem: FitProblem, options: FitOptions, began: float, line: Bar) -> FitRecord:
    """Take all steps of a fit from the checked problem on."""
    report, start, model = report_to(line, options.callback), options.start, problem.model
    seed = recorded_seed(options.seed)
    auto = options.prior == "auto"
    no_prior = why_not_chosen(problem) if auto else ""
    auto = auto and not no_prior
    if not auto:
        check_degrees_of_freedom(problem)
    deadline = deadline_of(options.max_seconds, began)
    given = [] if start is None else [_standardised(problem, start)]
    chosen, workers = None, Workers(options.executor, deadline)
    if auto:
        problem, chosen = choose(_networks(problem, options), seed, began, workers, report)
        problem = _with_prior(problem, chosen)
    model.build_network(problem.network)
    limits, rng = problem.tuning.time, np.random.default_rng(seed)
    given += [] if chosen is None else chosen.members[:1]
    number = _number_of_starts(options, problem, len(given))
    cost = problem.cost()
    most = np.inf if chosen is None else problem.tuning.prior_selection.certificate * chosen.gradients
    local = problem.local_search(cost)
    if number > len(given) and not _compete(problem, number):
        local = replace(local, sample=_sample(problem, cost, rng))
    search = MultiStart(
        cost,
        local,
        good_enough=_good_enough(problem) if options.restarts == "auto" else -np.inf,
        n_starts=number,
        deadline=deadline,
        last_start=limits.until(limits.starts, began, deadline),
        callback=report,
        max_evaluations=most,
        tuning=problem.tuning.multi_start,
        halving=problem.tuning.halving,
        hopping=problem.tuning.hopping,
        workers=workers,
        began=began,
    )
    if chosen is not None and chosen.stopped:
        best = chosen.members[0]
        end = LocalMinimum.unfinished(best, cost.value_and_gradient(best)[0])
        found = SearchResult(end, stopped=chosen.stopped)
    else:
        found = _search(problem, search, chain(given, _random_starts(problem, number - len(given), rng)), rng)
    found = search.past_lower_points(found)
    with stoppable(limits.until(limits.minima, began, deadline)):
        stop_if_due()
        found = search.number_minima(found, _unit(problem, found.value))
    if chosen is None and not problem.errors_known:
        with stoppable(deadline) as stop:
            problem, search, found = estimate_y_error(problem, search, found)
        if stop.reason:
            problem, search, found = estimate_y_error(problem, search, found.cut_short(stop.reason))
    line.advance(0, "MINUIT's certificate")
    last = limits.until(limits.certificate, began, deadline)
    record = _certified(problem, search, found, chosen, last)
    return replace(record, predictive=_predictive(problem, chosen, record), no_prior=no_prior)


def _search(
    problem: FitProblem, search: MultiStart, starts: Iterator[HostArray], rng: np.random.Generator
) -> SearchResult:
    """Find the best minimum: many starts of a small network compete, others are minimized one after another."""
    if not _compete(problem, search.n_starts):
        return search.run(starts)
    found = search.compete(starts, partial(_unit, problem), rng)
    return search.refine(found) if found.stopped == TIME_IS_UP and not found.located else found


def _networks(problem: FitProblem, options: FitOptions) -> list[FitProblem]:
    """Return the problem with each of the networks among which the model leaves the choice, unless a start is given."""
    if options.start is not None:
        return [problem]
    widths = problem.layout.widths
    larger = problem.model.networks_for(widths[0], widths[-1])[1:]
    return [problem, *map(problem.with_network, larger)]


def _with_prior(problem: FitProblem, chosen: PriorSelection) -> FitProblem:
    """Return the problem with the prior and the errors of y that were chosen.

    The prior was chosen for errors 1; with other errors the data's part of S is another multiple of the same function.
    """
    prior = GaussianPrior(chosen.precision / float(np.mean(chosen.y_error**2)))
    return replace(problem, prior=prior, y_error=chosen.y_error)


def _predictive(problem: FitProblem, chosen: PriorSelection | None, record: FitRecord) -> Predictive | None:
    """Return the density of new measurements, of the ensemble or of the one network, if it has a band."""
    if chosen is not None and chosen.predictive is not None:
        return chosen.predictive
    loss = problem.loss
    if record.error_band is None or loss.pull_nu is None:
        return None
    y_error = np.empty(0)
    if not loss.predicts_width:
        y_error = typical_error(problem) if record.y_error is None else record.y_error
    return Predictive(
        (Member(record.error_band, y_error),), Calibration(nu=loss.pull_nu), predicts_width=loss.predicts_width
    )


def _certified(
    problem: FitProblem, search: MultiStart, found: SearchResult, chosen: PriorSelection | None, last: float
) -> FitRecord:
    """Certify the best point with MINUIT, and make the record.

    Where MIGRAD moves along a weakly determined direction to a point that is no minimum, the local search goes on from
    there; where it moves and does not certify a minimum, it runs again with the Hessian at its last point. Where S has
    kinks, the local search goes on wherever S has fallen on the way to the certificate. All of it ends at the time
    `last`.
    """
    if found.best is None:
        raise ValueError(
            "the cost is not finite at any start: the data or their errors span too many orders of magnitude, or the "
            "output's nonlinearity overflows; rescale y, or use output='identity'"
        )
    raw, tuning = problem.raw_cost(), problem.tuning.certification
    best: LocalMinimum = found.best
    spectrum, certificate, smooth, fall = best.spectrum, None, problem.network.smooth, 0.0
    errordef, escape = search.cost.errordef, problem.tuning.local_search.escape
    with stoppable(last) as stop:
        stop_if_due()
        for run in range(1, tuning.runs + 1):
            if spectrum is None or spectrum.n_negative:
                certificate = None
                break
            certificate = recorded("MIGRAD", partial(_run_migrad, problem, search, best.theta, spectrum))
            if problem.errors_known:  # else the table stays in the units of the first errors of y
                found = found.improved(certificate.fval)
            fall = 0.0
            if not is_lower(search.cost, certificate.fval, best.value):
                break  # the minimum stays the point that the spectrum is of
            fall = 0.0 if smooth else best.value - certificate.fval
            best = replace(best, theta=certificate.values, value=certificate.fval)
            spectrum, beyond = search.local.spectrum_at(best.theta)
            newton = spectrum.edm(search.cost.value_and_gradient(best.theta)[1], errordef)
            falls = newton > NEWTON * edm_goal(errordef) if smooth else fall > escape.min_gain * errordef
            if beyond is None and (certificate.cut_short or falls):
                beyond = best.theta  # MIGRAD used up its calls, or trusts its covariance too much: the search goes on
            if beyond is None and not certificate.certified and smooth:
                continue  # its updates of the covariance led it astray
            if beyond is None or run == tuning.runs:
                break  # the spectrum is that of the last point, which the message is about
            found, located = search.continue_from(replace(found, best=best), beyond)
            assert found.best is not None
            best = found.best
            if not located:
                break
            spectrum = best.spectrum
    if stop.reason:
        found, spectrum, certificate = found.cut_short(stop.reason), None, None
        best = best.unlocated()
    if fall > escape.min_gain * errordef:
        problem = replace(problem, unsettled=STILL_FALLS.format(fall))
    end = Found(problem, raw, search.cost, replace(found, best=best), spectrum, certificate, recipe=chosen)
    return certify_fit(end, search.began, last)


def _run_migrad(problem: FitProblem, search: MultiStart, theta: HostArray, spectrum: Spectrum) -> Certificate:
    """Run MIGRAD from this point with this spectrum, on the standardised problem.

    EDM is the same in any coordinates, but in raw units MINUIT would compute it from numbers that differ by the square
    of an input's mean over its width, which leaves nothing but rounding. A Hessian knows nothing of kinks, where the
    gradient jumps: there MIGRAD begins where BFGS ends, with the covariance that BFGS has learned on its way.
    """
    cost, inverse_hessian = search.cost, spectrum.inverse_hessian(search.cost.errordef)
    if not problem.network.smooth:
        end, inverse_hessian = problem.tuning.local_search.along_kinks.with_inverse(cost, theta)
        theta = end.theta
    return problem.tuning.certification.migrad.certify(cost, theta, inverse_hessian)


def _compete(problem: FitProblem, number: int) -> bool:
    """Return True if so many starts compete by successive halving."""
    return number >= problem.tuning.multi_start.halving and _can_be_halved(problem)


def _can_be_halved(problem: FitProblem) -> bool:
    """Return True if successive halving can rank the starts of this problem: that needs a small network."""
    return problem.layout.n_parameters <= problem.tuning.small and _can_be_sampled(problem)


def _can_be_sampled(problem: FitProblem) -> bool:
    """Return True if starts can be minimized on a sample of the events.

    That needs a network with hidden units, a lower bound of S, from which a start's distance is measured, and events of
    which a sample can be drawn: a statistic of linear combinations of outputs has none.
    """
    loss, hidden = problem.loss, problem.layout.n_layers > 1
    return hidden and problem.minimizer is None and loss.bounded_below and not loss.has_linear_operator


def _sample(problem: FitProblem, cost: NetworkCost, rng: np.random.Generator) -> NetworkCost | None:
    """Return the cost of a sample of the events, on which starts are minimized first; None where it would gain little.

    Nor is there one without a prior: what a sample does not determine would lead far away. The stream of the starts
    goes on as without it.
    """
    t = problem.tuning.multi_start
    size = max(t.least_sample, t.sample_per_parameter * problem.layout.n_parameters)
    if problem.prior is None or not _can_be_sampled(problem) or cost.objective.n < t.many * size:
        return None
    return cost.sample(size, rng.spawn(1)[0])


def _number_of_starts(options: FitOptions, problem: FitProblem, given: int) -> int:
    """Return the number of starts; by default there are no others where some are given."""
    if options.restarts != "auto":
        return max(int(options.restarts), given)
    if given:
        return given
    tuning, p = problem.tuning.multi_start, problem.layout.n_parameters
    if _can_be_halved(problem):
        return tuning.candidates
    if problem.is_chi_square:
        return tuning.starts
    return int(np.clip(tuning.unknown // p, tuning.least_unknown, tuning.most_unknown))


def _good_enough(problem: FitProblem) -> float:
    """Return a chi-square that no better fit would lower by much, -inf where the errors are unknown."""
    ndof = problem.n_values - problem.layout.n_parameters
    mean, square = problem.weight_moments()  # of a sum of weighted squares of normal numbers
    return (
        mean * ndof + problem.tuning.multi_start.sigmas * np.sqrt(2 * square * ndof)
        if problem.is_chi_square and ndof > 0
        else -np.inf
    )


def _unit(problem: FitProblem, value: float) -> float:
    """Return one standard deviation's rise of S; if errors are unknown, that of residuals with this value of S."""
    errordef = float(problem.loss.errordef)
    if problem.errors_known or not np.isfinite(value):
        return errordef
    return float(errordef * min(1.0, value / problem.n_values))


def _standardised(problem: FitProblem, start: HostArray) -> HostArray:
    """Return a start that the user gave, in standardised units."""
    if len(start) != problem.layout.n_parameters:
        raise ValueError(f"`start` must hold {problem.layout.n_parameters} parameters, got {len(start)}")
    return problem.scaling.to_standard(start)


def _random_starts(problem: FitProblem, number: int, rng: np.random.Generator) -> Iterator[HostArray]:
    small = problem.layout.n_parameters <= problem.tuning.small
    for _ in range(number):
        yield glorot(problem.layout, rng, 1.0 if small else problem.tuning.multi_start.gain)
