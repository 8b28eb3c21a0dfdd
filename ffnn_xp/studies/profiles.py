r"""The ends of the profile of a prediction f(x): all values that it has where S is at most :math:`S_{min} + e z^2`.

An end is sought as the minimum of :math:`S + e w (f - v)^2`, which has the smallest S of all theta with its f; v is
moved until S has risen by e z^2, and each minimization begins where the one before ended. They are done in the
directions that the data determine, in units of their errors, where S is nearly round; those of many ends together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Namespace, Rows
from ffnn_xp.minimizers import AskTell, QuasiNewton, map_answers, run_batched
from ffnn_xp.network import Network, forward, pull_back
from ffnn_xp.objective import NetworkCost, Replicas
from ffnn_xp.uncertainty import LinearBand

ROUNDS = 30  # of v
STIFF = 100.0  # w, in units of what S itself rises by for f
FAR = 1e4  # standard deviations within which an end must be
CLOSE = 0.01  # of the rise of S
NEW = 0.01  # fall of S, in units of errordef, that is another minimum
ITERATIONS = 300  # steps for one v
MEMORY = 10  # steps
GTOL, FTOL = 1e-7, 1e-12  # gradient, and relative gain of a step, that end them before
LOT = 64  # ends that are sought side by side


def profile_predictions(
    cost: NetworkCost,
    known: LinearBand,
    network: Network,
    x: Array,
    z: float,
    low: HostArray,
    high: HostArray,
    status: HostArray,
) -> tuple[HostArray, HostArray, HostArray]:
    """The ends of each output at each point, where there is a linear one to start from.

    Parameters
    ----------
    cost : NetworkCost
        Of standardised data.
    known : LinearBand
        The minimum, and the curvature there.
    network : Network
        Whose output it is about.
    x : array with shape (d, n)
        Points, raw, on the device.
    z : float
        Standard deviations.
    low, high, status : arrays with shape (k, n)
        The linear ends, and why there are none; a status that is not empty is left as it is.
    """
    low, high, status = low.copy(), high.copy(), status.astype("<U40")
    sought = [(i, n, side) for i, n in np.argwhere(status == "").tolist() for side in (-1.0, 1.0)]
    replicas = Replicas(cost.objective, None if cost.prior is None else cost.prior.precision)
    standard = _standard(cost, known, x)
    for first in range(0, len(sought), LOT):
        lot = sought[first : first + LOT]
        outputs = _Outputs(cost, known, network, standard, np.array([i for i, _, _ in lot]), [n for _, n, _ in lot])

        def evaluate(theta: HostArray, rows: Rows, outputs: _Outputs = outputs) -> tuple[HostArray, HostArray]:
            values, gradients = replicas.on_host(theta, rows)
            return values, np.concatenate([gradients, outputs(theta, rows)], axis=1)

        ends = run_batched(
            [_end(cost.errordef, known, side, z) for _, _, side in lot], evaluate, fixed_shape=replicas.of_one_shape
        )
        for (i, n, side), (end, word) in zip(lot, ends, strict=True):
            (low if side < 0 else high)[i, n] = end
            status[i, n] = status[i, n] or word
    return low, high, status


@dataclass
class _Outputs:
    """Raw outputs, each of a standardised event of its own, and their derivatives in standardised theta."""

    cost: NetworkCost
    known: LinearBand
    network: Network
    x: Array
    output: Rows
    event: list[int]

    def __call__(self, theta: HostArray, rows: Rows) -> HostArray:
        """For some of the ends, ``(r, 1 + p)``."""
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
    """Of each of r thetas one output at an event of its own, and its derivative in theta, ``(r, 1 + p)``."""
    here = xp.permute_dims(xp.take(x, event, axis=-1), (1, 0))[:, :, None]
    trace = forward(network, xp, theta, here)
    y = xp.sum(trace.y * chosen, axis=(-2, -1))
    return xp.concat([y[:, None], pull_back(network, xp, trace, chosen)], axis=-1)


@dataclass(frozen=True)
class _Determined:
    """Theta = theta_0 + F z, F being the root of the covariance on the directions that are determined."""

    F: HostArray

    def back(self, z: HostArray) -> HostArray:
        return np.asarray(self.F @ z)

    def forth(self, g: HostArray) -> HostArray:
        return np.asarray(self.F.T @ g)


def _end(e: float, known: LinearBand, side: float, z: float) -> AskTell[tuple[float, str]]:
    """The value of f where S, least for that value, has risen by e z^2; and what is wrong with it.

    Asks for S and for its gradient followed by f and its derivative, ``(2 p + 1,)``.
    """
    F, theta, p = known.spectrum.factor, known.theta, len(known.theta)
    S0, told = yield theta
    f0, along = float(told[p]), F.T @ told[p + 1 :]
    std = float(np.linalg.norm(along))
    if std == 0:
        return f0, ""
    stiff = STIFF / std**2
    theta, v, inside, outside = theta + F @ (side * z * along / std), f0 + side * z * std, f0, np.inf * side
    last = yield theta
    for _ in range(ROUNDS):
        penalised = _penalised(S0, e, stiff, v, p)
        steps = QuasiNewton(MEMORY).steps(_Determined(F), theta, *penalised(*last), _KeepGoing())
        there, _, _ = yield from map_answers(steps, penalised)
        S, found = yield there
        rise, y = (S - S0) / e, float(found[p])
        if rise < -NEW:
            return np.nan, "a deeper minimum was found"
        if not np.isfinite(rise):
            return side * np.inf, "no end: S overflows before it rises enough"
        if abs(rise / z**2 - 1) < CLOSE:
            return y, ""
        if rise < z**2:
            inside, theta, last = y, there, (S, found)
        else:
            outside = y
        step = f0 + (y - f0) * float(np.clip(np.sqrt(z**2 / max(rise, 1e-12)), 0.5, 2.0))
        between = side * (step - inside) > 0 and side * (outside - step) > 0
        v += (step if between else 0.5 * (inside + outside)) - y  # f stays somewhat behind v
        if abs(outside - inside) < CLOSE * std:
            return y, "S jumps to another minimum there"
        if abs(v - f0) > FAR * std:
            return side * np.inf, "no end: S does not rise enough"
    return np.nan, "the profile has no end that was found"


def _penalised(
    S0: float, e: float, stiff: float, v: float, p: int
) -> Callable[[float, HostArray], tuple[float, HostArray]]:
    """Return what is minimised, made of what is evaluated: the rise of S in units of e, and w (f - v)^2."""

    def penalised(S: float, found: HostArray) -> tuple[float, HostArray]:
        g, y, dy = found[:p], found[p], found[p + 1 :]
        total = (S - S0) / e + stiff * (y - v) ** 2
        return (float(total), g / e + 2 * stiff * (y - v) * dy) if np.isfinite(total) else (np.inf, np.zeros(p))

    return penalised


@dataclass
class _KeepGoing:
    """Called after each step, it returns True as long as steps gain and the gradient is not small."""

    steps: int = -1
    before: float = np.inf

    def __call__(self, value: float, u: HostArray, evaluations: int) -> bool:
        self.steps += 1
        little = self.before - value <= FTOL * max(abs(value), 1.0)
        self.before = value
        return not little and self.steps < ITERATIONS and float(np.max(np.abs(u))) > GTOL


def _standard(cost: NetworkCost, known: LinearBand, x: Array) -> Array:
    backend, s = cost.objective.backend, known.scaling
    with backend.context():
        return (x - backend.to_device(s.x_mean[:, None])) / backend.to_device(s.x_scale[:, None])
