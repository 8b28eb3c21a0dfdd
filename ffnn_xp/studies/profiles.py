r"""The ends of the profile of a prediction f(x): all values that it has where S is at most :math:`S_{min} + e z^2`.

An end is found as the minimum of :math:`S + e w (f - v)^2`, which has the smallest S of all theta with its f; v is
moved until S has risen by e z^2, and each minimization starts where the one before ended. The minimizations run in the
identified directions in units of their errors, where S is well conditioned, and for many ends together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffnn_xp._lib.limits import StopMinimization, deadline_in_force, stoppable
from ffnn_xp._lib.progress import bar, tick
from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import Array, HostArray, Namespace, Rows
from ffnn_xp.fitting import HERE, Workers
from ffnn_xp.minimizers import AskTellHessian, QuasiNewton, run_batched
from ffnn_xp.network import Network, forward, pull_back
from ffnn_xp.objective import NetworkCost, Replicas
from ffnn_xp.uncertainty import LinearBand

Texts = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class ProfileTuning:
    """The numbers of a profile."""

    rounds: int = tuned(30, "values of v at most; fewer: some ends are not found")
    stiffness: float = tuned(100.0, "w, in units of the curvature of S along f; more: f nearer to v, slower steps")
    farthest: float = tuned(1e4, "standard deviations within which an end must be; more: longer before it is given up")
    tolerance: float = tuned(0.01, "relative precision of the rise of S; larger: fewer values of v")
    deeper: float = tuned(0.01, "decrease of S, in units of errordef, that counts as another minimum")
    steps: int = tuned(300, "steps for one v at most")
    gradient: float = tuned(1e-7, "gradient that ends the minimization for one v")
    batch: int = tuned(64, "ends that are minimised together; more: fewer calls, more memory")


DEFAULT_PROFILE = ProfileTuning()


def profile_predictions(
    cost: NetworkCost,
    known: LinearBand,
    network: Network,
    x: Array,
    z: float,
    linear: tuple[HostArray, HostArray, Texts],
    tuning: ProfileTuning = DEFAULT_PROFILE,
    workers: Workers = HERE,
) -> tuple[HostArray, HostArray, Texts, str]:
    """Find the profile's ends of each output at each point, from the linear ends.

    Parameters
    ----------
    cost : NetworkCost
        The cost of standardised data.
    known : LinearBand
        The minimum, and the curvature there.
    network : Network
        The network of the outputs.
    x : array with shape (d, n)
        Points in raw units, on the device.
    z : float
        Standard deviations.
    linear : tuple of three arrays with shape (k, n)
        The linear ends, low and high, and why there are none: points with such a status are left as they are.
    tuning : ProfileTuning
        The numbers of the method.
    workers : Workers
        Those who find the ends, until a deadline. Ends that were not found by then are NaN.

    Returns
    -------
    low, high, status : arrays with shape (k, n)
        The ends, and what is wrong with them.
    stopped : str
        Why not all ends were sought to the end, if so.
    """
    low, high, status = linear[0].copy(), linear[1].copy(), linear[2].astype("<U40")
    ends = [(i, n, side) for i, n in np.argwhere(status == "").tolist() for side in (-1.0, 1.0)]
    task = _EndsOfProfiles(cost, known, network, _standard(cost, known, x), z, tuning)
    found: dict[_Sought, tuple[float, str]] = {}
    with stoppable(workers.deadline) as stop, bar("profiles", len(ends), "ends") as line:
        for some, stopped in workers.map(task, [ends[i : i + tuning.batch] for i in range(0, len(ends), tuning.batch)]):
            found |= some
            line.advance(len(some))
            if stopped:
                raise StopMinimization(stopped)
    for end in ends:
        i, n, side = end
        (low if side < 0 else high)[i, n], word = found.get(end, (np.nan, stop.reason))
        status[i, n] = status[i, n] or word
    return low, high, status, stop.after(len(found), len(ends), "ends")


_Sought = tuple[int, int, float]
"""The output and the number of the point of an end, and -1 for the lower or 1 for the upper one."""


@dataclass(frozen=True)
class _EndsOfProfiles:
    """Ends of profiles that are sought together: a task for `Workers`, of their outputs, points and sides."""

    cost: NetworkCost
    known: LinearBand
    network: Network
    standard: Array
    z: float
    tuning: ProfileTuning

    def __call__(self, lot: list[_Sought]) -> tuple[dict[_Sought, tuple[float, str]], str]:
        """Find ends; return each with what is wrong with it, and why not all were found, if so."""
        cost, found = self.cost, dict[_Sought, tuple[float, str]]()
        replicas = Replicas(cost.objective, None if cost.prior is None else cost.prior.precision)
        chosen = np.array([i for i, _, _ in lot]), [n for _, n, _ in lot]
        outputs = _Outputs(cost, self.known, self.network, self.standard, *chosen)

        penalised = _Penalised(cost.errordef, replicas.on_host, outputs, len(lot))

        def kept(number: int, end: _Sought) -> AskTellHessian[None]:
            """Find one end and keep it, whatever becomes of the others."""
            found[end] = yield from _end(penalised, number, self.known, end[2] * self.z, self.tuning)

        with stoppable(deadline_in_force()) as stop:
            ends = [kept(number, end) for number, end in enumerate(lot)]
            run_batched(ends, penalised, fixed_shape=replicas.of_one_shape)
        return found, stop.reason


@dataclass
class _Outputs:
    """The raw outputs of which ends are sought, one event each, with derivatives in standardised theta."""

    cost: NetworkCost
    known: LinearBand
    network: Network
    x: Array
    output: Rows
    event: list[int]

    def __call__(self, theta: HostArray, rows: Rows) -> HostArray:
        """Compute outputs and derivatives, ``(r, 1 + p)``, for the ends with these numbers."""
        backend, s = self.cost.objective.backend, self.known.scaling
        output = self.output[rows]
        unit = np.zeros((len(rows), len(s.y_mean), 1))
        unit[np.arange(len(rows)), output, 0] = s.y_scale[output]
        event, chosen = backend.indices(np.array(self.event)[rows]), backend.argument(unit)
        f = backend.bind(_output_and_derivative, self.network)
        found = self.cost.derivatives(lambda theta: f(theta, self.x, event, chosen), theta)
        return found + np.pad(s.y_mean[output][:, None], ((0, 0), (0, theta.shape[1])))


def _output_and_derivative(
    network: Network, xp: Namespace, theta: Array, x: Array, event: Array, chosen: Array
) -> Array:
    """Compute for each of r thetas one output at one event, and its derivative in theta, ``(r, 1 + p)``."""
    here = xp.permute_dims(xp.take(x, event, axis=-1), (1, 0))[:, :, None]
    trace = forward(network, xp, theta, here)
    y = xp.sum(trace.y * chosen, axis=(-2, -1))
    return xp.concat([y[:, None], pull_back(network, xp, trace, chosen)], axis=-1)


@dataclass(frozen=True)
class _Identified:
    """The coordinates theta = theta_0 + F z, with F the root of the covariance on the identified directions."""

    F: HostArray

    def back(self, z: HostArray) -> HostArray:
        return np.asarray(self.F @ z)

    def forth(self, g: HostArray) -> HostArray:
        return np.asarray(self.F.T @ g)


class _Penalised:
    """Rises of S above the minimum, in units of errordef, with a penalty for outputs f that are not v.

    Parameters
    ----------
    errordef : float
        The unit of S.
    S, outputs : callable
        Called with points ``(r, p)`` and the numbers of ends; return S and gradients, outputs and derivatives.
    r : int
        The number of ends.

    Attributes
    ----------
    S0, v, stiffness : array with shape (r,)
        S at the minimum, and of each end v and the factor of the penalty.
    last : array with shape (r, 2 + 2 p)
        S, its gradient, f and its derivative at the last point of each end.
    """

    def __init__(
        self,
        errordef: float,
        S: Callable[[HostArray, Rows], tuple[HostArray, HostArray]],
        outputs: Callable[[HostArray, Rows], HostArray],
        r: int,
    ) -> None:
        self.errordef, self._S, self._outputs = errordef, S, outputs
        self.S0, self.v, self.stiffness, self.last = np.zeros(r), np.zeros(r), np.zeros(r), np.empty((r, 0))

    def __call__(self, theta: HostArray, rows: Rows) -> tuple[HostArray, HostArray]:
        """Compute penalised rises ``(r,)`` and their gradients ``(r, p)``."""
        tick()
        S, g = self._S(theta, rows)
        found = np.concatenate([S[:, None], g, self._outputs(theta, rows)], axis=1)
        if not self.last.shape[1]:
            self.last = np.zeros((len(self.S0), found.shape[1]))
        self.last[rows] = found
        return self.of(found, rows)

    def of(self, found: HostArray, rows: Rows) -> tuple[HostArray, HostArray]:
        """Compute them from what was `last` found at some points of these ends."""
        p, w = found.shape[1] // 2 - 1, self.stiffness[rows]
        away = found[:, p + 1] - self.v[rows]
        rise = (found[:, 0] - self.S0[rows]) / self.errordef + w * away**2
        g = found[:, 1 : p + 1] / self.errordef + (2 * w * away)[:, None] * found[:, p + 2 :]
        finite = np.isfinite(rise)
        return np.where(finite, rise, np.inf), np.where(finite[:, None], g, 0.0)


def _end(
    penalised: _Penalised, number: int, known: LinearBand, signed_z: float, tuning: ProfileTuning
) -> AskTellHessian[tuple[float, str]]:
    """Find one end: the value of f at which the profile of S has risen by e z^2, and what is wrong with it."""
    F, theta, p, e, rows = known.spectrum.factor, known.theta, len(known.theta), penalised.errordef, np.array([number])
    side, z = float(np.sign(signed_z)), abs(signed_z)
    yield theta
    S0, f0 = penalised.last[number, [0, p + 1]].tolist()
    along = F.T @ penalised.last[number, p + 2 :]
    std = float(np.linalg.norm(along))
    if std == 0:
        return f0, ""
    theta, v, inside, outside = theta + F @ (side * z * along / std), f0 + side * z * std, f0, np.inf * side
    penalised.S0[number], penalised.stiffness[number] = S0, tuning.stiffness / std**2
    yield theta
    last = penalised.last[number].copy()
    for _ in range(tuning.rounds):
        penalised.v[number] = v
        (value,), (g,) = penalised.of(last[None], rows)
        there, _, _ = yield from QuasiNewton().steps(_Identified(F), theta, float(value), g, _KeepGoing(tuning))
        yield there
        found = penalised.last[number].copy()
        rise, y = (float(found[0]) - S0) / e, float(found[p + 1])
        if rise < -tuning.deeper:
            return np.nan, "a deeper minimum was found"
        if not np.isfinite(rise):
            return side * np.inf, "no end: S overflows before it rises enough"
        if abs(rise / z**2 - 1) < tuning.tolerance:
            return y, ""
        if rise < z**2:
            inside, theta, last = y, there, found
        else:
            outside = y
        step = f0 + (y - f0) * float(np.clip(np.sqrt(z**2 / max(rise, 1e-12)), 0.5, 2.0))
        between = side * (step - inside) > 0 and side * (outside - step) > 0
        v += (step if between else 0.5 * (inside + outside)) - y  # f does not quite reach v
        if abs(outside - inside) < tuning.tolerance * std:
            return y, "S jumps to another minimum there"
        if abs(v - f0) > tuning.farthest * std:
            return side * np.inf, "no end: S does not rise enough"
    return np.nan, "no end of the profile was found"


@dataclass
class _KeepGoing:
    """A function that is called after each step; it returns True while the gradient is not small."""

    tuning: ProfileTuning
    steps: int = -1

    def __call__(self, value: float, edm: float, largest: float, evaluations: int) -> bool:
        self.steps += 1
        return self.steps < self.tuning.steps and largest > self.tuning.gradient


def _standard(cost: NetworkCost, known: LinearBand, x: Array) -> Array:
    backend, s = cost.objective.backend, known.scaling
    with backend.context():
        return (x - backend.to_device(s.x_mean[:, None])) / backend.to_device(s.x_scale[:, None])
