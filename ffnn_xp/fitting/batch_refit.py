"""Toys of a fit: new measurements around its prediction, all fitted again in one batch, from where the fit ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ffnn_xp._lib.typing import HostArray, Mask
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.losses.sampling import draw
from ffnn_xp.minimizers import BatchResult, batched_lbfgs, batched_levenberg_marquardt
from ffnn_xp.minimizers.minuit import EDM_FACTOR
from ffnn_xp.objective import Replicas
from ffnn_xp.uncertainty import Spectrum

EDM_GOAL = 0.1 * EDM_FACTOR  # in units of errordef: MINUIT's at its default tolerance
SMALL = 64  # parameters up to which a step by a matrix costs little more than a gradient
SHORT, NON_SMOOTH = 100, 300  # steps by matrices, where something else follows and where nothing can
DAMPING = 1e-4  # first mu: the start is near


@dataclass(frozen=True)
class ToyFits:
    """Refitted toys.

    Attributes
    ----------
    measured : array with shape (r, k, n)
        Their values.
    theta : array with shape (r, p)
        Where they ended, standardised.
    chi2 : array with shape (r,)
        The data's part of S there.
    valid : boolean array with shape (r,)
        Whether they arrived.
    """

    measured: HostArray
    theta: HostArray
    chi2: HostArray
    valid: Mask


def fit_toys(task: FitProblem, theta: HostArray, number: int, rng: np.random.Generator) -> ToyFits:
    """Toys around the prediction of raw theta ``(p,)``, each fitted with the task's prior."""
    backend, cost = task.model.backend, task.cost()
    measured = measure_again(task, theta, number, rng)
    precision = None if cost.prior is None else cost.prior.precision
    problem = Replicas(replace(cost.objective, events=task.events(backend.to_device(measured))), precision)
    end = refit(problem, task.scaling.to_standard(theta), number)
    chi2 = problem.chi2(end.theta, np.arange(number))
    return ToyFits(measured, backend.to_host(end.theta), chi2, end.converged)


def refit(
    problem: Replicas, theta: HostArray, number: int, watch: Callable[[float, int], None] | None = None
) -> BatchResult:
    """All replicas walked from the same standardised theta.

    At first in steps by matrices, where these cost little, and to the end as single fits are.
    """
    goal, objective = EDM_GOAL * problem.errordef, problem.objective
    starts, smooth = np.broadcast_to(theta, (number, len(theta))), objective.network.smooth

    def negative_directions(H: HostArray) -> HostArray:
        return Spectrum.of_hessian(H, problem.errordef, problem.epsilon).negative_directions_in_parameters

    with objective.backend.context():
        if smooth and not (len(theta) <= SMALL or objective.backend.on_gpu):
            return batched_lbfgs(problem, starts, edm_goal=goal, watch=watch, negative_directions=negative_directions)
        first = batched_levenberg_marquardt(
            problem,
            problem.on_device(starts),
            edm_goal=goal,
            max_iterations=SHORT if smooth else NON_SMOOTH,
            damping=DAMPING,
            watch=watch,
        )
        if not smooth or first.stopped:
            return first
        end = batched_lbfgs(
            problem, problem.numbers(first.theta), edm_goal=goal, watch=watch, negative_directions=negative_directions
        )
        return replace(end, steps=first.steps + end.steps)


def measure_again(task: FitProblem, theta: HostArray, number: int, rng: np.random.Generator) -> HostArray:
    """New measurements ``(r, k, n)`` around the prediction of raw theta ``(p,)``, in raw units."""
    backend, data = task.model.backend, task.data_with_errors()
    predicted = task.expected(theta)
    auxiliary = data.inverse_error if task.loss.auxiliary == "y_err" else data.auxiliary
    number_of = np.ones((1, 1)) if auxiliary is None else backend.to_host(auxiliary)
    if task.loss.target_kind == "class":  # as many as there were
        number_of = backend.to_host(data.y).sum(axis=0, keepdims=True)
    return draw(task.loss, rng, np.broadcast_to(predicted, (number, *predicted.shape)), number_of)
