"""Certification: it decides whether the best point is a minimum, with which covariance, and writes the message."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ffnn_xp._lib.limits import INTERRUPTED, stop_if_due, stoppable
from ffnn_xp._lib.text import first_names
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.description import poor_description
from ffnn_xp.fitting.infinity import Infinity, minimum_at_infinity
from ffnn_xp.fitting.local_search import NEWTON
from ffnn_xp.fitting.prior_selection import PriorSelection
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.fitting.record import FitRecord
from ffnn_xp.fitting.search_result import SearchResult
from ffnn_xp.minimizers import Certificate, EDMBounds, edm_goal, hesse_errors
from ffnn_xp.objective import DataCost, NetworkCost
from ffnn_xp.uncertainty import LinearBand, MatrixFreeBand, Spectrum, dead_units

TINY_WIDTH = 1e-4  # part of the median predicted width below which a width is on its way to zero
VANISHING = (
    "a predicted width goes to zero where the curve goes through a value, and the likelihood has no bound there: use a "
    "stronger prior, or fewer units"
)
SAME = 1e-6  # relative difference of S in raw and in standardised units up to which both are the same
ASIDE = 1e-8  # length of a step in standardised units that leaves a kink, and nothing else


@dataclass(frozen=True)
class Found:
    """A point to be certified, with all that is known about it.

    Attributes
    ----------
    problem : FitProblem
        The problem that was fitted.
    raw_cost : DataCost
        Its cost in raw units.
    cost : NetworkCost
        The same cost in standardised units, which was minimized.
    search : SearchResult
        The best point, and the starts it comes from.
    spectrum : Spectrum or None
        The spectrum of the Hessian there, if it is known.
    certificate : Certificate or None
        The run of MIGRAD that counts.
    recipe : PriorSelection or None
        The choice of the prior, with ``prior="auto"``.
    infinity : Infinity or None
        What the data lack, if the minimum lies at infinity.
    beside : array with shape (p,) or None
        A point next to it where S is lower than a minimum may be, if there is one (`beside.lower_beside`).
    """

    problem: FitProblem
    raw_cost: DataCost
    cost: NetworkCost
    search: SearchResult
    spectrum: Spectrum | None
    certificate: Certificate | None
    recipe: PriorSelection | None = None
    infinity: Infinity | None = None
    beside: HostArray | None = None

    @property
    def theta(self) -> HostArray:
        """The best point, in standardised units."""
        assert self.search.best is not None
        return self.search.best.theta

    @property
    def bounds(self) -> EDMBounds | None:
        """The bounds of EDM from conjugate gradients, where no matrices are formed."""
        return None if self.search.best is None else self.search.best.bounds

    @property
    def goal(self) -> float:
        """MIGRAD's goal for EDM."""
        return edm_goal(self.raw_cost.errordef)

    @property
    def certified_matrix_free(self) -> bool:
        """True if the bounds of EDM certify the minimum."""
        if self.spectrum is not None or self.bounds is None or self.problem.unsettled or self.infinity is not None:
            return False
        return self.bounds.upper < self.goal

    @property
    def certified(self) -> bool:
        """True if the point is a minimum, by MIGRAD and the Hessian or by the bounds of EDM."""
        spectrum, certificate = self.spectrum, self.certificate
        if spectrum is None or certificate is None:
            return self.certified_matrix_free
        if not certificate.certified or spectrum.n_negative or not spectrum.factor.shape[1] or self.problem.unsettled:
            return False
        if self.beside is not None:
            return False
        return self.edm_newton < NEWTON * self.goal if self.problem.network.smooth else not self._falls

    @cached_property
    def _falls(self) -> bool:
        """True if S, which has kinks, is lower along Newton's step, or at once along gradients to the right and left.

        At a kink the gradient is that of one side, and may vanish where S falls on the other.
        """
        assert self.spectrum is not None
        cost, factor, scale = self.cost, self.spectrum.factor, self.spectrum.scale
        escape = self.problem.tuning.local_search.escape
        at_once = replace(escape, line_steps=escape.line_steps[:1])
        value, gradient = cost.value_and_gradient(self.theta)
        aside = ASIDE * np.random.default_rng(0).normal(size=len(scale))
        lines = [(escape, factor @ (factor.T @ gradient))]
        lines += [(at_once, scale**2 * cost.value_and_gradient(self.theta + d)[1]) for d in (aside, -aside)]
        fall = escape.min_gain * cost.errordef
        return any(e.lower_point(cost, self.theta, value, along, fall) is not None for e, along in lines if along.any())

    @cached_property
    def edm_newton(self) -> float:
        """EDM = g^T H^-1 g / 2 with our own Hessian on the identified directions, or its lower bound.

        MIGRAD's EDM rests on a covariance that it has updated, which may be far too small along some direction.
        """
        if self.spectrum is None:
            return float("nan") if self.bounds is None else self.bounds.lower
        return self.spectrum.edm(self.cost.value_and_gradient(self.theta)[1], self.cost.errordef)


def certify_fit(found: Found, began: float, deadline: float = np.inf) -> FitRecord:
    """Make the record of a fit, with the covariance, the band and the message that the found point deserves.

    After the deadline, a `time.monotonic` value, neither HESSE nor points beside the minimum check the covariance.
    """
    raw, search, spectrum = found.raw_cost, found.search, found.spectrum
    p, certificate = found.problem.layout.n_parameters, found.certificate
    theta = found.problem.scaling.to_raw(found.theta)
    if found.problem.loss.predicts_width and any(found.problem.each(_has_vanishing_width, theta)):
        found = replace(found, problem=replace(found.problem, unsettled=VANISHING))
    elif why := _rounding(found, raw.value_and_gradient(theta)[0]):
        found = replace(found, problem=replace(found.problem, unsettled=why))
    problem = found.problem
    if search.best is not None and search.best.located and (spectrum is None or not spectrum.n_negative):
        found = _at_infinity(found)
        spectrum = found.spectrum
    if found.certified and spectrum is not None:
        with stoppable(deadline) as stop:
            stop_if_due()
            found = replace(found, beside=problem.local_search(found.cost).lower_beside(found.theta, spectrum))
        if stop.reason == INTERRUPTED:
            found = replace(found, search=found.search.cut_short(stop.reason), spectrum=None, certificate=None)
            spectrum = certificate = None
    good = spectrum if found.certified else None
    factor, errors = None, np.full(p, np.nan)
    if good is not None:
        good = problem.covariance_of(found.cost, found.theta, good)
        factor = problem.scaling.linear(good.factor.T).T
        errors = np.where(_unidentified(problem, good), np.inf, np.sqrt(np.sum(factor**2, axis=1)))
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
    message, source = _words(found, more)
    band: LinearBand | MatrixFreeBand | None = None
    if good is not None:
        band = LinearBand(found.theta, problem.scaling, good)
    elif found.certified_matrix_free:
        band = MatrixFreeBand(found.theta, problem.scaling, found.cost)
    return FitRecord(
        valid=found.certified,
        message=message,
        fval=raw.value_and_gradient(theta)[0],
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
        y_error=None if problem.errors_known else problem.y_error * problem.scaling.y_scale,
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


def _rounding(found: Found, raw: float) -> str:
    """Return why S is made of rounding; empty if it is the same in raw units, `raw`, and in standardised ones."""
    value = float(found.cost(found.theta))
    if found.problem.loss.predicts_width:  # its standardised S lacks the logarithm of the width of y
        return ""
    if not abs(raw - value) > SAME * (abs(raw) + abs(value)) + 0.1 * found.cost.errordef:
        return ""
    return (
        f"S is {raw:.6g} in raw units and {value:.6g} in standardised units, a difference of rounding alone: the "
        "errors of y lie below its last digits, or x varies in its last digits only; check their units, or subtract "
        "an offset from x or y"
    )


def _edm(found: Found) -> float:
    """Return MINUIT's EDM, or its upper bound from conjugate gradients."""
    if found.certificate is not None:
        return found.certificate.edm
    return float("nan") if found.bounds is None else found.bounds.upper


def _hesse_difference(found: Found, deadline: float) -> float:
    """Compute the largest relative difference of the errors from MINUIT's HESSE; NaN where HESSE cannot run."""
    problem, spectrum, errors = found.problem, found.spectrum, None
    small = problem.layout.n_parameters <= problem.tuning.certification.hesse_limit
    if found.certified and spectrum is not None and not spectrum.n_unidentified and problem.network.smooth and small:
        with stoppable(deadline):
            errors = hesse_errors(found.cost, found.theta)
    if spectrum is None or errors is None:
        return float("nan")
    return float(np.max(np.abs(errors / spectrum.errors - 1)))


def _unidentified(problem: FitProblem, spectrum: Spectrum) -> HostArray:
    """Return which raw parameters depend on a parameter that is unidentified, boolean ``(p,)``."""
    if not spectrum.n_unidentified:
        return np.zeros(problem.layout.n_parameters, dtype=bool)
    unit = np.eye(problem.layout.n_parameters)[spectrum.unidentified_parameters]
    return np.asarray(np.any(problem.scaling.linear(unit) != 0, axis=0))


def _along(problem: FitProblem, spectrum: Spectrum) -> str:
    """Name the parameters that the most negative direction is made of."""
    share = np.abs(spectrum.negative_directions[:, 0])
    order = np.argsort(share)[::-1][:3]
    names = [problem.layout.names[i] for i in order if share[i] > 0.2 * share[order[0]]]
    return f" (the most along {', '.join(names)})"


def _words_without_matrices(p: int, bounds: EDMBounds | None, certified: bool, more: str) -> str:
    """Return the message where p x p matrices are not formed."""
    if bounds is None:
        return "Not certified: the minimization did not come to an end. These are the best parameters so far."
    why = f"matrices of {p} x {p} are not formed: there is no covariance"
    if bounds.negative_direction is not None:
        return f"Not a minimum: S curves down from here (met after {bounds.iterations} products); {why}."
    known = f"EDM lies between {bounds.lower:.2g} and {bounds.upper:.2g} (upper bound estimated)"
    if bounds.weakly_determined:
        known += "; S curves down along some direction, but is nowhere lower along it: a degenerate minimum"
    if certified:
        return (
            f"Conjugate gradients on the Hessian certified the minimum: {known}; {why}, and an error band takes a "
            f"solve for each output that it is asked for.{more}"
        )
    return f"Not certified: {known}; {why}. fit(..., start='current') goes on from here; or use a prior."


def _steps(found: Found) -> list[str]:
    """Name the hidden units that react to no event: their steps lie between events, and may be ever steeper."""
    widths = found.problem.layout.widths[1:-1]
    names = [f"unit {i} of layer L{l}" for l, width in enumerate(widths, start=2) for i in range(width)]
    return [name for name, active in zip(names, found.cost.active_events(found.theta), strict=True) if not active]


def _source(problem: FitProblem, identified: str) -> str:
    """Return which matrix the covariance is the inverse of, on the identified directions."""
    matrix = "exact Hessian" if problem.network.smooth else "Gauss-Newton matrix (S is not smooth)"
    known = f"inverse of the {matrix}{', prior included' if problem.prior is not None else ''}, {identified}"
    return f"sandwich of the gradients' variance and the {known}" if problem.sandwich else known


def _words(found: Found, more: str) -> tuple[str, str]:
    """Return the message, and where the covariance comes from."""
    problem, search, shape, certified = found.problem, found.search, found.spectrum, found.certified
    p = problem.layout.n_parameters
    if search.stopped and shape is None:
        hint = "These are the best parameters so far; fit(..., start='current') goes on from them."
        if found.recipe is not None and found.recipe.predictive is not None:
            hint = "Predictions are the ensemble's, which needs no certificate; for one give the prior as a number."
        return f"Stopped before a minimum was certified: {search.stopped}. {hint}", "none"
    if found.infinity is not None:
        open_ = np.zeros(p, dtype=bool) if shape is None else _unidentified(problem, shape)
        message = found.infinity.message([problem.layout.names[i] for i in np.flatnonzero(open_)], certified)
        if shape is None or not certified:
            return message, "none"
        return message, _source(problem, f"on {shape.factor.shape[1]} of {p} directions")
    if shape is None:
        return _words_without_matrices(p, found.bounds, certified, more), "none"
    if shape.n_negative:
        return (
            f"Not a minimum: S still falls along {shape.n_negative} of {p} directions{_along(problem, shape)}: a "
            "saddle point, or a minimum at infinity. Use fewer units, more data, or prior=1.0; more restarts may find "
            "another minimum.",
            "none",
        )
    if not shape.factor.shape[1]:
        return (
            "No parameter has any influence on the output: all units of a layer are off. Use another seed, more "
            "restarts, or an output nonlinearity whose range holds the data.",
            "none",
        )
    if problem.unsettled:
        return f"Not certified: {problem.unsettled}.", "none"
    if found.beside is not None:
        gain = found.cost(found.theta) - found.cost(found.beside)
        return (
            f"Not a minimum: S is lower by {gain:.2g} within a hundredth of a standard deviation, so that "
            "no covariance describes it. Use a narrower prior, more restarts, another seed, or a smooth activation.",
            "none",
        )
    if not certified:
        smooth = "" if problem.network.smooth else " S is not smooth: an activation such as softplus helps."
        fewer = "; fewer units or a prior would make it converge sooner" if problem.prior is None else ""
        return (
            "MIGRAD did not certify the point: EDM is above its goal. fit(..., start='current') goes on from "
            f"here{fewer}.{smooth}",
            "none",
        )
    if not shape.n_unidentified:
        return (
            f"MIGRAD certified the minimum; all {p} directions are determined.{more}",
            _source(problem, f"all {p} directions"),
        )
    hint = "Fewer units would help." if problem.prior is not None else "Fewer units or a prior would hold them."
    dead = dead_units(problem.layout, found.cost.gauss_newton(found.theta))
    kinds = {"no influence": dead, "steps between events": [name for name in _steps(found) if name not in dead]}
    named = "; ".join(f"{kind}: {first_names(names)}" for kind, names in kinds.items() if names)
    named = f" ({named})" if named else ""
    unidentified = shape.n_unidentified
    return (
        f"MIGRAD certified the minimum; {unidentified} of {p} directions are not determined by the data{named}: the "
        f"errors of parameters that take part in them are infinite. {hint}{more}",
        _source(problem, f"on {p - unidentified} of {p} directions"),
    )
