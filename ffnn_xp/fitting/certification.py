"""Certification: it decides whether the best point is a minimum, and with which covariance."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from ffnn_xp._lib.limits import INTERRUPTED, stop_if_due, stoppable
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.description import poor_description
from ffnn_xp.fitting.found import Found
from ffnn_xp.fitting.infinity import minimum_at_infinity
from ffnn_xp.fitting.messages import message_of, unidentified
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.fitting.record import FitRecord
from ffnn_xp.minimizers import hesse_errors
from ffnn_xp.uncertainty import LinearBand, MatrixFreeBand

TINY_WIDTH = 1e-4  # part of the median predicted width below which a width is on its way to zero
VANISHING = (
    "a predicted width goes to zero where the curve goes through a value, and the likelihood has no bound there: use a "
    "stronger prior, or fewer units"
)
NOT_FINITE = (
    "S, its gradient or its curvature is not finite here: look for values of x or y that are far from all others, or "
    "for a loss of your own that is not finite somewhere"
)
SAME = 1e-6  # relative difference of S in raw and in standardised units up to which both are the same


def certify_fit(found: Found, began: float, deadline: float = np.inf) -> FitRecord:
    """Make the record of a fit, with the covariance, the band and the message that the found point deserves.

    After the deadline, a `time.monotonic` value, neither HESSE nor points beside the minimum check the covariance.
    """
    raw, search, spectrum = found.raw_cost, found.search, found.spectrum
    p, certificate = found.problem.layout.n_parameters, found.certificate
    theta = found.problem.scaling.to_raw(found.theta)
    S = raw.value_and_gradient(theta)[0]
    if found.problem.loss.predicts_width and any(found.problem.each(_has_vanishing_width, theta)):
        found = replace(found, problem=replace(found.problem, unsettled=VANISHING))
    elif why := _rounding(found, theta, S):
        found = replace(found, problem=replace(found.problem, unsettled=why))
    elif found.certified and not _is_finite(found, S):
        found = replace(found, problem=replace(found.problem, unsettled=NOT_FINITE))
    problem = found.problem
    if search.best is not None and search.best.located and (spectrum is None or not spectrum.n_negative):
        found = _at_infinity(found)
        spectrum = found.spectrum
    if found.certified and (spectrum is not None or not problem.network.smooth):
        with stoppable(deadline) as stop:
            stop_if_due()
            found = replace(found, beside=problem.local_search(found.cost).lower_beside(found.theta, spectrum))
        if stop.reason == INTERRUPTED:
            found = replace(found, search=found.search.cut_short(stop.reason), spectrum=None, certificate=None)
            spectrum = certificate = None
        elif stop.reason and not problem.network.smooth:
            found = replace(found, problem=replace(problem, unsettled=f"S was not tried across kinks: {stop.reason}"))
    good = spectrum if found.certified else None
    factor, errors = None, np.full(p, np.nan)
    if good is not None:
        good = problem.covariance_of(found.cost, found.theta, good)
        factor = problem.scaling.linear(good.factor.T).T
        errors = np.where(unidentified(problem, good), np.inf, np.sqrt(np.sum(factor**2, axis=1)))
    chi2, effective = raw.chi2(theta), float(p)
    if search.located or found.certified:
        effective = problem.effective(found.cost, found.theta)
    if found.infinity is not None and spectrum is not None:
        effective = min(effective, float(spectrum.factor.shape[1]))
    caution, more = poor_description(problem, chi2, problem.n_values - effective)
    if found.infinity is not None:
        caution, more = f"the minimum lies at infinity, since {found.infinity.why}", ""
    if search.stopped and spectrum is not None:
        more += f" Other starts were not tried: {search.stopped}."
    message, source = message_of(found, more)
    band: LinearBand | MatrixFreeBand | None = None
    if good is not None:
        band = LinearBand(found.theta, problem.scaling, good)
    elif found.certified_matrix_free:
        band = MatrixFreeBand(found.theta, problem.scaling, found.cost)
    return FitRecord(
        valid=found.certified,
        message=message,
        fval=S,
        chi2=chi2,
        edm=_edm(found),
        certificate="conjugate gradients" if found.certified_matrix_free else "MIGRAD" if found.certified else "none",
        edm_newton=found.edm_newton,
        hesse_difference=_hesse_difference(found, deadline),
        minuit_calls=0 if certificate is None else certificate.calls,
        n_data=problem.n_values,
        n_effective=effective,
        parameters=theta,
        errors=errors,
        y_error=None if problem.errors_known else problem.root_mean_square_error * problem.scaling.y_scale,
        covariance_source=source,
        n_null=0 if spectrum is None else spectrum.n_unidentified,
        edm_goal=found.goal,
        restarts=list(search.starts),
        hops=search.hops,
        found=search.found,
        seconds=time.monotonic() - began,
        cost=found.cost,
        standardised=np.asarray(found.theta),
        with_matrices=problem.with_matrices or spectrum is not None,
        problem=problem,
        raw_cost=raw,
        spectrum=spectrum,
        factor=factor,
        recipe=found.recipe,
        error_band=band,
        caution=caution if found.certified or found.infinity is not None else "",
    )


def _at_infinity(found: Found) -> Found:
    """Return the point with the spectrum of the limit, if the minimum lies at infinity."""
    edm = float(np.nan_to_num(np.fmax(found.edm_newton, _edm(found)), nan=np.inf))
    infinity = minimum_at_infinity(found.problem, found.cost, found.theta, edm, found.spectrum)
    return found if infinity is None else replace(found, spectrum=infinity.spectrum, infinity=infinity)


def _has_vanishing_width(problem: FitProblem, theta: HostArray) -> bool:
    """Return True if the predicted width of some value is a tiny part of the others', or of the values' own width."""
    expected, k = problem.expected(theta), problem.data.n_values
    width = np.exp(expected[k:]) / problem.scaling.y_scale[:k, None]
    return bool(np.any(width < TINY_WIDTH * np.minimum(1.0, np.median(width, axis=1, keepdims=True))))


def _is_finite(found: Found, raw: float) -> bool:
    """Return True if S, its gradient, and the covariance or a product with the curvature are finite at the point.

    They are those in standardised units; `raw` is S in raw ones.
    """
    cost, theta = found.cost, found.theta
    value, gradient = cost.value_and_gradient(theta)
    if found.spectrum is None:
        product = cost.hessian_product if found.problem.network.smooth else cost.gauss_newton_product
        curvature = product(theta, np.random.default_rng(0).normal(size=len(theta)))
    else:
        curvature = found.spectrum.factor
    return bool(
        np.isfinite(raw) and np.isfinite(value) and np.all(np.isfinite(gradient)) and np.all(np.isfinite(curvature))
    )


def _rounding(found: Found, theta: HostArray, S: float) -> str:
    """Return why S at raw parameters is made of rounding; empty if it is the same in standardised units.

    With kinks it has to be the same beside the parameters too, where all are larger, or smaller, by their last digit:
    with errors of x it jumps where a value crosses a kink.
    """
    if not np.isfinite(S):
        return ""

    def differs(value: float) -> bool:
        return not abs(S - value) <= 2 * SAME * min(abs(S), abs(value)) + 0.1 * found.cost.errordef

    value = float(found.cost(found.theta))
    if not found.problem.loss.predicts_width and differs(value):  # the latter lacks the logarithm of the width of y
        return (
            f"S is {S:.6g} in raw units and {value:.6g} in standardised units, a difference of rounding alone: the "
            "errors of y lie below its last digits, or x varies in its last digits only; check their units, or "
            "subtract an offset from x or y"
        )
    if found.certified and not found.problem.network.smooth:
        for value in (found.raw_cost(np.nextafter(theta, end)) for end in (2 * theta, 0 * theta)):
            if differs(value):
                return (
                    f"S jumps from {S:.6g} to {value:.6g} where the parameters change in their last digits: a value "
                    "lies at a kink of the activation; use a smooth activation, or check the errors of x and y"
                )
    return ""


def _edm(found: Found) -> float:
    """Return MINUIT's EDM, or its upper bound from conjugate gradients."""
    if found.certificate is not None:
        return found.certificate.edm
    return float("nan") if found.bounds is None else found.bounds.upper


def _hesse_difference(found: Found, deadline: float) -> float:
    """Compute the largest relative difference of the errors from MINUIT's HESSE; NaN where HESSE cannot run."""
    problem, spectrum, errors = found.problem, found.spectrum, None
    small = problem.layout.n_parameters <= problem.tuning.small
    if found.certified and spectrum is not None and not spectrum.n_unidentified and problem.network.smooth and small:
        with stoppable(deadline):
            errors = hesse_errors(found.cost, found.theta)
    if spectrum is None or errors is None:
        return float("nan")
    return float(np.max(np.abs(errors / spectrum.errors - 1)))
