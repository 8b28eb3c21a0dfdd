"""Points next to a minimum: S must not be lower within a hundredth of a standard deviation.

There S is a parabola, or the covariance says nothing. EDM and curvatures are those of one point: they see neither the
other side of a kink, nor third derivatives that lead down. A unit that is off at all events has no standard deviation:
S may fall where its bias turns it on. Where no matrices are formed, S is tried along gradients a little aside.
"""

from __future__ import annotations

import numpy as np

from ffnn_xp._lib.limits import stop_if_due
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.minimizers import Problem, SaddleEscape
from ffnn_xp.objective import NetworkCost
from ffnn_xp.uncertainty import Spectrum

STEPS = (1e-2, 1e-3, 1e-5, 1e-9)  # standard deviations; what S changes by at the last is rounding
DIRECTIONS = 2  # of all parameters by their errors, and as many by their errors where the others are known
ROUNDING = 10.0  # times the change at the last step
ASIDE = 1e-3  # of theta's length: how far from a point between kinks gradients are taken


def lower_beside(cost: Problem, theta: HostArray, spectrum: Spectrum, fall: float) -> HostArray | None:
    """Return the lowest of some random points next to a minimum ``(p,)``, None if S is nowhere lower by `fall`.

    Examples
    --------
    >>> class Cubic:
    ...     errordef = 1.0
    ...
    ...     def value_and_gradient(self, t):
    ...         return t[0] ** 2 + 1e4 * t[0] ** 3, None
    >>> spectrum = Spectrum.of_hessian(np.diag([2.0]), errordef=1.0)  # one standard deviation is 1
    >>> beside = lower_beside(Cubic(), np.zeros(1), spectrum, fall=1e-3)
    >>> -0.03 < float(beside[0]) < 0
    True
    """
    value, rng = cost.value_and_gradient(theta)[0], np.random.default_rng(0)
    known = np.sqrt(2 * cost.errordef) * spectrum.scale
    ahead = [
        spectrum.factor @ rng.normal(size=(spectrum.factor.shape[1], DIRECTIONS)),
        known[:, None] * rng.normal(size=(len(known), DIRECTIONS)),
    ]
    ways = np.concatenate([*ahead, *(-a for a in ahead)], axis=1).T
    rises = np.empty((len(STEPS), len(ways)))
    for row, step in zip(rises, STEPS, strict=True):
        for i, way in enumerate(ways):
            stop_if_due()
            row[i] = cost.value_and_gradient(theta + step * way)[0] - value
    rises = np.where(np.isnan(rises), np.inf, rises)
    at, way = np.unravel_index(np.argmin(rises), rises.shape)
    lower = rises[at, way] < -max(fall, ROUNDING * float(np.max(np.abs(rises[-1]))))
    return theta + STEPS[at] * ways[way] if lower else None


def biases_of_units_that_are_off(cost: NetworkCost, theta: HostArray) -> HostArray:
    """Return the directions ``(p, q)`` of the biases of units with a kink that are off at all events."""
    network, diagonal = cost.network, np.diag(cost.gauss_newton(theta))
    ends = [
        range(place.start + columns - 1, place.stop, columns)
        for (place, (_, columns)), f in zip(network.layout.places, network.activations, strict=True)
        if not f.smooth
    ]
    return np.eye(len(theta))[:, [i for biases in ends for i in biases if diagonal[i] == 0]]


def lower_aside(cost: Problem, theta: HostArray, escape: SaddleEscape, fall: float) -> HostArray | None:
    """Return a point ``(p,)`` where S is lower by `fall`, along the gradients on two sides of theta; else None."""
    value, size = cost.value_and_gradient(theta)[0], max(1.0, float(np.linalg.norm(theta)))
    aside = ASIDE * size / np.sqrt(len(theta)) * np.random.default_rng(0).normal(size=len(theta))
    for point in (theta + aside, theta - aside):
        gradient = cost.value_and_gradient(point)[1]
        lower = escape.lower_point(cost, point, value, gradient, fall) if np.any(gradient) else None
        if lower is not None:
            return lower
    return None
