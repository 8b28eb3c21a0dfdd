"""What was found, put together, and in words what it is worth."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

import iminuit
import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data.standardization import Scaling
from ffnn_xp.fitting.multistart import Search
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.minimizers import Certificate, Distance, at_minimum, hesse_errors, is_certified, preset, unstarted
from ffnn_xp.minimizers.minuit import EDM_FACTOR, TOLERANCE
from ffnn_xp.model.result import FitResult
from ffnn_xp.objective import DataCost
from ffnn_xp.uncertainty import LinearBand, MatrixFreeBand, Predictive, Spectrum, dead_units, sandwich

HESSE_LIMIT = 64  # parameters up to which MINUIT's own inverse of the Hessian is asked for: milliseconds
POOR = 1e-6  # p-value below which a fit is said not to describe the data


@dataclass(frozen=True)
class Outcome:
    """A fit's result, and what the model keeps of it."""

    result: FitResult
    band: LinearBand | MatrixFreeBand | None
    no_band: str
    y_was_column: bool
    predictive: Predictive | None = None


def verdict(
    task: FitProblem,
    raw: DataCost,
    certificate: Certificate | None,
    search: Search,
    shape: Spectrum | None,
    began: float,
    live: iminuit.Minuit | None = None,
) -> Outcome:
    """Put together what was found, and say in words what it is worth.

    `certificate` is the run of MIGRAD whose word counts; `live` one in raw units, if there is one already.
    """
    assert search.theta is not None
    theta = task.scaling.to_raw(search.theta) if live is None else np.asarray(live.values, dtype=np.float64)
    goal = EDM_FACTOR * TOLERANCE * raw.errordef
    certified = bool(
        certificate is not None
        and certificate.certified
        and shape is not None
        and not shape.n_negative
        and shape.factor.shape[1] > 0
    )
    by_products = bool(shape is None and search.distance is not None and search.distance.upper < goal)
    certified = certified or by_products
    good = shape if certified else None
    assert search.theta is not None
    factor, errors = None, np.full(len(theta), np.nan)
    if good is not None and task.sandwich:
        precision = None if task.prior is None else task.prior.precision
        good = sandwich(good, search.problem.scores(search.theta), raw.errordef, precision)
    if good is not None:
        factor = task.scaling.linear(good.factor.T).T
        errors = np.where(_undetermined(task, good), np.inf, np.sqrt(np.sum(factor**2, axis=1)))
    fval = raw.value_and_gradient(theta)[0]
    description = (
        "-".join(str(h) for h in task.layout.widths)
        + ", "
        + ", ".join(dict.fromkeys(a.name for a in task.network.activations))
    )
    chi2 = raw.chi2(theta)
    effective = float(task.layout.n_parameters)
    if search.finished:
        effective = task.effective(search.problem, search.theta, matrices=search.matrices)
    more = _poor(task, chi2, task.n_values - effective)
    if search.stopped and shape is not None:
        more += f" Other starts were not tried: {search.stopped}."
    message, source = _words(task, search, shape, certified, more)
    result = FitResult(
        valid=certified,
        message=message,
        fval=fval,
        chi2=chi2,
        edm=_edm_of(certificate, search),
        certificate="conjugate gradients" if by_products else "MIGRAD" if certified else "none",
        edm_newton=_edm(search, shape),
        hesse_difference=float("nan") if good is None or shape is None else _hesse_difference(task, search, shape),
        minuit_calls=0 if certificate is None else certificate.calls,
        weighted=task.data.weights is not None,
        statistic=task.loss,
        n_data=task.n_values,
        n_effective=effective,
        parameters=theta,
        errors=errors,
        y_error=None if task.errors_known else task.y_error * task.scaling.y_scale,
        covariance_source=source,
        n_null=0 if shape is None else shape.n_unidentified,
        edm_goal=goal,
        make_minuit=partial(in_raw_units, raw, task.scaling, search.theta, shape) if live is None else lambda: live,
        restarts=search.rows,
        seconds=time.monotonic() - began,
        layout=task.layout,
        description=description,
        factor=factor,
        cost=search.problem,
        standardised=np.asarray(search.theta),
        scaling=task.scaling,
        with_matrices=search.matrices,
        task=task,
    )
    band: LinearBand | MatrixFreeBand | None = None
    if good is not None:
        band = LinearBand(task.scaling.to_standard(theta), task.scaling, good)
    elif by_products:
        band = MatrixFreeBand(search.theta, task.scaling, search.problem)
    result = replace(result, error_band=band)
    return Outcome(result, band, message, task.data.y_was_column)


def in_raw_units(raw: DataCost, scaling: Scaling, theta: HostArray, shape: Spectrum | None) -> iminuit.Minuit:
    """A live `Minuit` at a point in standardised theta, with its covariance if there is one.

    It has to have run MIGRAD for HESSE to use our Hessian; in raw units MIGRAD's arithmetic may not be good enough for
    a verdict, and then it has the covariance alone.
    """
    if shape is None or shape.n_negative or not shape.factor.shape[1]:
        return unstarted(raw, scaling.to_raw(theta))
    half = scaling.linear(shape.inverse_hessian(raw.errordef))
    at = scaling.to_raw(theta), scaling.linear(half.T)
    minuit = at_minimum(raw, *at)
    return minuit if is_certified(minuit) else preset(raw, *at)


def _edm_of(certificate: Certificate | None, search: Search) -> float:
    """MINUIT's, or the upper bound from conjugate gradients."""
    if certificate is not None:
        return certificate.edm
    return float("nan") if search.distance is None else search.distance.upper


def _edm(search: Search, shape: Spectrum | None) -> float:
    """EDM = g^T H^-1 g / 2 with our own Hessian, on the directions that it holds; or its lower bound."""
    if shape is None:
        return float("nan") if search.distance is None else search.distance.lower
    assert search.theta is not None
    z = shape.factor.T @ search.problem.value_and_gradient(search.theta)[1]
    return float(z @ z / (4 * search.problem.errordef))


def _hesse_difference(task: FitProblem, search: Search, shape: Spectrum) -> float:
    """Largest relative difference of the errors from those of MINUIT's HESSE; NaN where HESSE cannot be asked."""
    assert search.theta is not None
    if shape.n_unidentified or not task.network.smooth or task.layout.n_parameters > HESSE_LIMIT:
        return float("nan")
    errors = hesse_errors(search.problem, search.theta)
    return float("nan") if errors is None else float(np.max(np.abs(errors / shape.errors - 1)))


def _undetermined(task: FitProblem, shape: Spectrum) -> HostArray:
    """Parameters in raw units that mix in one that the data leave open."""
    if not shape.n_unidentified:
        return np.zeros(task.layout.n_parameters, dtype=bool)
    unit = np.eye(task.layout.n_parameters)[shape.unidentified_parameters]
    return np.asarray(np.any(task.scaling.linear(unit) != 0, axis=0))


def _poor(task: FitProblem, chi2: float, ndof: float) -> str:
    """A sentence for a minimum, however certified, that does not describe the data."""
    if ndof <= 0:
        return " There are as many effective parameters as values, so chi2 says nothing about the fit."
    if not task.is_chi_square or task.data.weights is not None:
        return ""
    if scipy.special.gammainc(ndof / 2, chi2 / 2) < POOR:
        return (
            f" But chi2/ndof = {chi2 / ndof:.3g} is too small: the network overfits, and its band is too narrow (use a "
            "prior, or fewer units), or the errors of y are too large."
        )
    if scipy.special.gammaincc(ndof / 2, chi2 / 2) > POOR:
        return ""
    return (
        f" But chi2/ndof = {chi2 / ndof:.3g} says that the fit does not describe the data within their errors: a local "
        "minimum (try more restarts), too few units, or errors of y that are too small."
    )


def _along(task: FitProblem, shape: Spectrum) -> str:
    """The parameters that the most negative direction is made of."""
    share = np.abs(shape.negative_directions[:, 0])
    order = np.argsort(share)[::-1][:3]
    names = [task.layout.names[i] for i in order if share[i] > 0.2 * share[order[0]]]
    return f" (the most along {', '.join(names)})"


def _words_without_matrices(p: int, distance: Distance | None, certified: bool, more: str) -> str:
    """The message where p x p matrices are not formed."""
    why = f"matrices of {p} x {p} are not formed: there is no covariance"
    if distance is None:
        return f"Not certified: the walk did not arrive; {why}. These are the best parameters so far."
    if distance.negative_directions is not None:
        return f"Not a minimum: S curves down from here (met after {distance.iterations} products); {why}."
    bounds = f"EDM lies between {distance.lower:.2g} and {distance.upper:.2g} (upper bound estimated)"
    if distance.flat:
        bounds += "; S curves down along some direction, but is nowhere lower along it: the bottom of a valley"
    if certified:
        return (
            f"Conjugate gradients on the Hessian certified the minimum: {bounds}; {why}, and an error band takes a "
            f"solve for each output that it is asked for.{more}"
        )
    return f"Not certified: {bounds}; {why}. Call fit again to go on from here, or use a prior."


def _words(task: FitProblem, search: Search, shape: Spectrum | None, certified: bool, more: str) -> tuple[str, str]:
    """The message, and where the covariance comes from."""
    p = task.layout.n_parameters
    if search.stopped and shape is None:
        hint = "These are the best parameters so far; call fit again to go on from them."
        if np.isfinite(search.most):
            hint = "Predictions are the mixture's, which needs no certificate; for one give the prior as a number."
        return f"Stopped before a minimum was certified: {search.stopped}. {hint}", "none"
    if shape is None:
        return _words_without_matrices(p, search.distance, certified, more), "none"
    if shape.n_negative:
        return (
            f"Not a minimum: S still falls along {shape.n_negative} of {p} directions{_along(task, shape)}: a saddle, "
            "or a valley that runs to infinity. Use fewer units, more data, or prior=1.0; more restarts may find "
            "another minimum.",
            "none",
        )
    if not shape.factor.shape[1]:
        return (
            "No parameter has any influence on the output: all units of a layer are off. Use another seed, more "
            "restarts, or an output nonlinearity whose range holds the data.",
            "none",
        )
    if not certified:
        kinks = "" if task.network.smooth else " At the kinks of relu a smooth activation such as softplus helps."
        hold = "; fewer units or a prior would shorten the way" if task.prior is None else ""
        return (
            f"MIGRAD did not certify the point: EDM is above its goal. Call fit again to go on from here{hold}.{kinks}",
            "none",
        )
    matrix = "exact Hessian" if task.network.smooth else "Gauss-Newton matrix (relu has kinks)"
    known = f"inverse of the {matrix}{', prior included' if task.prior is not None else ''}"
    if task.sandwich:
        known = f"sandwich of the gradients' variance and the {known}"
    if not shape.n_unidentified:
        return (
            f"MIGRAD certified the minimum; all {p} directions are determined.{more}",
            f"{known}, all {p} directions",
        )
    hold = "Fewer units would help." if task.prior is not None else "Fewer units or a prior would hold them."
    dead = dead_units(task.layout, search.problem.gauss_newton(search.theta)) if search.theta is not None else []
    named = f" (no influence: {', '.join(dead[:4])}{', ...' if len(dead) > 4 else ''})" if dead else ""
    return (
        f"MIGRAD certified the minimum; {shape.n_unidentified} of {p} directions are not determined by the data{named}: the "
        f"errors of parameters that take part in them are infinite. {hold}{more}",
        f"{known}, on {p - shape.n_unidentified} of {p} directions",
    )
