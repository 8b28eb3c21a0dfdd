"""The message of a fit: whether its point is a minimum, what the data determine, and what to do."""

from __future__ import annotations

import numpy as np

from ffnn_xp._lib.text import counted, first_names
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.found import Found
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.minimizers import EDMBounds
from ffnn_xp.uncertainty import Spectrum, dead_units

STEEP = 100.0  # weights of a unit, in units of the spread of what comes into it: it is a step for nearly all events


def unidentified(problem: FitProblem, spectrum: Spectrum) -> HostArray:
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
        return f"Not certified: the minimization did not come to an end.{more} These are the best parameters so far."
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
    return f"Not certified: {known}; {why}.{more} fit(..., start='current') goes on from here; or use a prior."


def _steps(found: Found) -> list[str]:
    """Name the hidden units that react to no event: their steps lie between events, and may be ever steeper."""
    widths = found.problem.layout.widths[1:-1]
    names = [f"unit {i} of layer L{l}" for l, width in enumerate(widths, start=2) for i in range(width)]
    return [name for name, active in zip(names, found.cost.active_events(found.theta), strict=True) if not active]


def _growing(found: Found) -> str:
    """Say along which units' weights S falls as they grow, where no prior ends that and no spectrum tells it."""
    problem, layout, names = found.problem, found.problem.layout, list[str]()
    if problem.prior is not None or problem.in_parts:
        return ""
    g = found.cost.grad(found.theta)
    for l, (A, slopes) in enumerate(zip(*(layout.matrices(np, v)[:-1] for v in (found.theta, g)), strict=True)):
        if not (problem.network.activations[l].homogeneous or problem.network.activations[l].linear):
            steep = (np.sqrt(np.sum(A[:, :-1] ** 2, axis=1)) > STEEP) & (np.sum(A * slopes, axis=1) < 0)
            names += [f"unit {i} of layer L{l + 2}" for i in np.flatnonzero(steep)]
    if not names:
        return ""
    many = counted(len(names), "unit")
    return f" S falls as the weights of {many} grow ({first_names(names)}), maybe for ever; a prior ends that."


def _source(problem: FitProblem, identified: str) -> str:
    """Return which matrix the covariance is the inverse of, on the identified directions."""
    matrix = "exact Hessian" if problem.network.smooth else "Gauss-Newton matrix (S is not smooth)"
    known = f"inverse of the {matrix}{', prior included' if problem.prior is not None else ''}, {identified}"
    return f"sandwich of the gradients' variance and the {known}" if problem.sandwich else known


def message_of(found: Found, more: str) -> tuple[str, str]:
    """Return the message, and where the covariance comes from."""
    problem, search, shape, certified = found.problem, found.search, found.spectrum, found.certified
    p = problem.layout.n_parameters
    if search.stopped and shape is None:
        hint = "These are the best parameters so far; fit(..., start='current') goes on from them."
        if found.recipe is not None and found.recipe.predictive is not None:
            hint = "Predictions are the ensemble's, which needs no certificate; for one give the prior as a number."
        return f"Stopped before a minimum was certified: {search.stopped}.{_growing(found)} {hint}", "none"
    if found.infinity is not None:
        open_ = np.zeros(p, dtype=bool) if shape is None else unidentified(problem, shape)
        message = found.infinity.message([problem.layout.names[i] for i in np.flatnonzero(open_)], certified)
        if shape is None or not certified:
            return message, "none"
        return message, _source(problem, f"on {shape.factor.shape[1]} of {p} directions")
    if found.beside is not None:
        gain = found.cost(found.theta) - found.cost(found.beside)
        where = "within a hundredth of a standard deviation" if problem.network.smooth else "nearby, across a kink"
        return (
            f"Not a minimum: S is lower by {gain:.2g} {where}, so that no covariance describes it. Use a narrower "
            "prior, more restarts, another seed, or a smooth activation.",
            "none",
        )
    unsettled = f"Not certified: {problem.unsettled}."
    if shape is None:
        if problem.unsettled:
            return unsettled, "none"
        return _words_without_matrices(p, found.bounds, certified, more if certified else _growing(found)), "none"
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
        return unsettled, "none"
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
    open_ends = shape.n_unidentified
    return (
        f"MIGRAD certified the minimum; {open_ends} of {p} directions are not determined by the data{named}: the "
        f"errors of parameters that take part in them are infinite. {hint}{more}",
        _source(problem, f"on {p - open_ends} of {p} directions"),
    )
