r"""Minima at infinity: S falls for ever as some parameters grow, because the data say nothing about a direction.

Without counts, between classes that do not overlap, or where measured values lie at the edge of the range of the output
nonlinearity, S has no minimum: it falls towards a limit that it never reaches (A. Albert and J. A. Anderson, Biometrika
71 (1984) 1; for counts S. J. Haberman, The Analysis of Frequency Data, 1974). Minimizers stop where it falls by less
than they are asked for. There the events in question have stopped to matter: their statistic hardly changes if the
argument of their output nonlinearity, a logarithm of a rate or a logit, changes by one. The other events alone say what
is determined in the limit (C. J. Geyer, Electron. J. Statist. 3 (2009) 259), and a direction that owes its curvature to
events that have stopped to matter is unidentified. In an ordinary minimum such events, far in the tail of a rate say,
add nothing to directions that others determine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ffnn_xp._lib.text import first_names
from ffnn_xp._lib.typing import Array, HostArray, Mask, Namespace
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.losses import AddedLoss, Loss
from ffnn_xp.network import Activation, evaluate
from ffnn_xp.objective import NetworkCost, Objective
from ffnn_xp.uncertainty import LinearBand, Spectrum

FAR = 1e3  # a logit in units of one, beyond which probabilities are 0 and 1 in float64


@dataclass(frozen=True)
class Infinity:
    """A minimum at infinity.

    Attributes
    ----------
    spectrum : Spectrum or None
        The spectrum of the Hessian, with directions to infinity as unidentified; None where no matrices are formed.
    why : str
        What the data lack.
    hint : str
        What to do.
    """

    spectrum: Spectrum | None
    why: str
    hint: str

    def message(self, names: Sequence[str], certified: bool) -> str:
        """Return the message to the user.

        Parameters
        ----------
        names : sequence of str
            The parameters that go to infinity, or depend on one that does; none if they are not known.
        certified : bool
            Whether MIGRAD certified a minimum along the other directions.
        """
        some = first_names(names) if names else "the parameters"
        begin = f"The minimum lies at infinity, since {self.why}: S falls for ever as {some} go there"
        p, determined = (0, 0) if self.spectrum is None else self.spectrum.factor.shape
        if not certified:
            also = ", and MIGRAD did not certify a minimum along the other directions" if determined else ""
            return f"{begin}{also}. There are no errors: {self.hint}."
        return (
            f"{begin}. Their errors, and those of predictions that depend on them, are infinite: {self.hint}. MIGRAD "
            f"certified the minimum along the other {determined} of {p} directions."
        )


def minimum_at_infinity(
    problem: FitProblem, cost: NetworkCost, theta: HostArray, edm: float, spectrum: Spectrum | None
) -> Infinity | None:
    """Return the minimum at infinity that a minimization from this point leads to; None if the minimum is a point.

    Without a spectrum it is found if no event has any effect.

    Parameters
    ----------
    problem : FitProblem
        The problem.
    cost : NetworkCost
        Its cost in standardised units.
    theta : array with shape (p,)
        Where the minimization ended.
    edm : float
        EDM there, infinite if it is not known. S falls exponentially: on the way to infinity, EDM is of the size of
        what the events in question still add to S.
    spectrum : Spectrum or None
        The spectrum of the Hessian there, or of the Gauss-Newton matrix where S is not smooth, without negative
        directions; None where no matrices are formed.
    """
    output = problem.network.activations[-1]
    if output.linear or output.homogeneous:
        return None
    if problem.prior is not None and np.all(problem.prior.precision > 0):
        return None
    tuning = problem.tuning.certification
    most = np.clip(tuning.unnoticed * edm / cost.errordef, np.sqrt(cost.epsilon), tuning.most_unnoticed)
    level = _level(np.concatenate(problem.each(_small_effects, theta, most * cost.errordef)), most * cost.errordef)
    if level < 0:
        return None
    if not problem.loss.separable and not all(problem.each(_all_small, theta, level)):
        return None  # correlated values matter together
    if spectrum is not None:
        spectrum = spectrum.without(np.asarray(sum(problem.each(_part, theta, level))), cost.errordef)
    elif not all(problem.each(_all_small, theta, level)):
        return None
    found = problem.each(_undetermined, theta, level, spectrum)
    number = sum(int(part.some.sum()) for part in found)
    if not number:
        return None
    whole = found[0] if len(found) == 1 else None
    why = (
        f"{number} of {problem.n_values} values have no effect on it"
        if whole is None
        else problem.loss.without_end(whole.measured, whole.possible, whole.some)
    )
    hints = ["prior=1.0"] if problem.prior is None else []
    if problem.loss.target_kind == "real":
        hints.append("an output nonlinearity whose range holds the data")
    elif problem.prior is not None:
        hints.append("output='exp', whose bias has a prior too")
    return Infinity(spectrum, why, f"use {', or '.join(hints)}")


class _Undetermined(NamedTuple):
    """Measured values, what was possible, and the predictions that the data do not determine, each ``(k, n)``."""

    measured: HostArray
    possible: HostArray
    some: Mask


def _level(effects: HostArray, most: float) -> float:
    """Return the largest effect such that all up to it do not add up to more; -1 if there is none."""
    values, counts = np.unique(effects, return_counts=True)
    fitting = values[np.cumsum(values * counts) < most]
    return float(fitting[-1]) if len(fitting) else -1.0


def _small_effects(problem: FitProblem, theta: HostArray, most: float) -> HostArray:
    """Return the smallest effects, as many as do not add up to more, and those that equal the last of them."""
    effects = np.sort(_effects(problem, theta)[0], axis=None)
    number = int(np.sum(np.cumsum(effects) < most))
    return effects[:number] if not number else effects[effects <= effects[number - 1]]


def _all_small(problem: FitProblem, theta: HostArray, level: float) -> bool:
    """Return True if no value has a larger effect than this."""
    return bool(np.all(_effects(problem, theta)[0] <= level))


def _effects(problem: FitProblem, theta: HostArray) -> tuple[HostArray, HostArray]:
    """Return by how much each argument of the output nonlinearity matters to S, and where S falls, both ``(k, n)``."""
    backend, events, network = problem.model.backend, problem.objective.events, problem.network
    with backend.context():
        z = evaluate(network.before_output(), backend, backend.to_device(theta), events.x)
        kernel = backend.bind(_derivatives, network.activations[-1], problem.loss, events.nodes)
        size, first = backend.to_host(kernel(z, events.weights, *events.data))
    if problem.loss.coupled_outputs and problem.loss.link is None:  # an event matters with all of its outputs
        size = np.broadcast_to(np.sum(size, axis=0), size.shape)
    return size, -np.sign(first)


def _derivatives(
    output: Activation, loss: Loss, nodes: int, xp: Namespace, z: Array, weights: Array | None, *data: Array
) -> Array:
    """Return the sum of the first and second derivative of the statistic in z, both absolute, and the first.

    Both are summed over the nodes of an event; the result is ``(2, k, n)``.
    """
    y = z if loss.link is not None else output.f(xp, z)
    first = loss.adjoint(xp, loss.first(xp, loss.linear_operator(xp, y, data), data), data)
    second = loss.diagonal_fisher(xp, y, data) if loss.has_linear_operator else loss.fisher(xp, y, data)
    if loss.coupled_outputs and not loss.has_linear_operator:
        second = xp.stack([second[i, i, :] for i in range(second.shape[0])])
    if loss.link is None:
        slope = output.df(xp, z, y)
        second = second * slope * slope + xp.abs(first * output.d2f(xp, z, y))
        first = first * slope
    both = xp.stack([xp.abs(first) + second, first])
    both = xp.sum(xp.reshape(both, (2, z.shape[0], -1, nodes)), axis=-1)
    return both if weights is None else both * xp.abs(weights)


def _part(problem: FitProblem, theta: HostArray, level: float) -> HostArray:
    """Return the part of the Hessian, or of the Gauss-Newton matrix, that values of small effect contribute.

    A softmax couples an event's values: there it is what is lost where their arguments go to the limit, downhill.
    """
    objective, backend, loss = problem.objective, problem.model.backend, problem.loss
    effects, downhill = _effects(problem, theta)
    small = effects <= level

    def of(objective: Objective) -> HostArray:
        kind = "hessian" if objective.network.smooth else "gauss_newton"
        return NetworkCost(objective, n_values=small.size).matrix(kind, theta)

    if small.all():
        return of(objective)
    if objective.events.nodes == 1:
        rows = np.flatnonzero(small.any(axis=0))
        objective, small, downhill = objective.select(rows), small[:, rows], downhill[:, rows]
    events = objective.events
    with backend.context():
        if loss.coupled_outputs and loss.link is not None:
            far = backend.to_device(np.where(small, FAR * downhill, 0.0))
            limit = replace(objective, loss=AddedLoss(loss), events=replace(events, data=(far, *events.data)))
            return np.asarray(of(objective) - of(limit))
        weights = backend.to_device((small[:1] if loss.coupled_outputs else small).astype(np.float64))
    weights = weights if events.weights is None else weights * events.weights
    return of(replace(objective, events=replace(events, weights=weights)))


def _undetermined(problem: FitProblem, theta: HostArray, level: float, spectrum: Spectrum | None) -> _Undetermined:
    """Find the predictions of small effect that depend on an unidentified direction; all, without a spectrum."""
    backend, data = problem.model.backend, problem.data
    some = _effects(problem, theta)[0] <= level
    if spectrum is not None:
        std = backend.to_host(
            LinearBand(theta, problem.scaling, spectrum).std(problem.network, backend, problem.data.x)
        )
        some &= np.any(np.isinf(std).reshape(len(std), data.n, -1), axis=-1)
    with backend.context():
        possible = data.auxiliary_of(backend.xp, problem.loss)
    return _Undetermined(backend.to_host(data.y), backend.to_host(possible), some)
