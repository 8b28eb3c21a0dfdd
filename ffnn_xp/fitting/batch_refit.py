"""Refits of many replicas in one batch from where a fit ended, and toys: new measurements around its prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ffnn_xp._lib.typing import HostArray, Mask
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.fitting.tuning import DEFAULT_TUNING, RefitTuning
from ffnn_xp.minimizers import (
    UNLIMITED,
    BatchResult,
    Budget,
)
from ffnn_xp.objective import Replicas
from ffnn_xp.uncertainty import Spectrum


@dataclass(frozen=True)
class ToyFits:
    """Toys and their fits.

    Attributes
    ----------
    measured : array with shape (r, k, n)
        Their values.
    theta : array with shape (r, p)
        The points where the fits ended, standardised.
    chi2 : array with shape (r,)
        The data's part of S there.
    valid : boolean array with shape (r,)
        Whether EDM is below the goal.
    """

    measured: HostArray
    theta: HostArray
    chi2: HostArray
    valid: Mask


def fit_toys(problem: FitProblem, theta: HostArray, number: int, rng: np.random.Generator) -> ToyFits:
    """Draw toys around the prediction of raw theta ``(p,)``, and fit each with the prior."""
    backend, cost = problem.model.backend, problem.cost()
    measured = measure_again(problem, theta, number, rng)
    precision = None if cost.prior is None else cost.prior.precision
    replicas = Replicas(replace(cost.objective, events=problem.events(backend.to_device(measured))), precision)
    end = refit(replicas, problem.scaling.to_standard(theta), number, tuning=problem.tuning.refit)
    chi2 = replicas.chi2(end.theta, np.arange(number))
    return ToyFits(measured, backend.to_host(end.theta), chi2, end.converged)


def refit(
    replicas: Replicas,
    theta: HostArray,
    number: int,
    budget: Budget = UNLIMITED,
    tuning: RefitTuning = DEFAULT_TUNING.refit,
) -> BatchResult:
    """Minimise all replicas from the same standardised theta ``(p,)``.

    The first steps use matrices, where these cost little; the last ones are those of single fits.
    """
    objective = replicas.objective
    starts, smooth = np.broadcast_to(theta, (number, len(theta))), objective.network.smooth

    def negative_directions(H: HostArray) -> HostArray:
        return Spectrum.of_hessian(H, replicas.errordef, replicas.epsilon).negative_directions_in_parameters

    with objective.backend.context():
        if not smooth:
            return tuning.non_smooth.run(replicas, replicas.on_device(starts), budget)
        if len(theta) > tuning.first_up_to and not objective.backend.on_gpu:
            return tuning.last.run(replicas, starts, budget, negative_directions=negative_directions)
        first = tuning.first.run(replicas, replicas.on_device(starts), budget)
        if first.stopped:
            return first
        starts = replicas.numbers(first.theta)
        end = tuning.last.run(replicas, starts, budget, negative_directions=negative_directions)
        return replace(end, steps=first.steps + end.steps)


def measure_again(problem: FitProblem, theta: HostArray, number: int, rng: np.random.Generator) -> HostArray:
    """Draw new measurements ``(r, k, n)`` around the prediction of raw theta ``(p,)``, in raw units.

    A weight is the number of times that an event was measured: measured values have errors smaller by its square root,
    counts are the mean of so many. (With a sandwich covariance weights say nothing about the scatter.)
    """
    backend, data = problem.model.backend, problem.data_with_errors()
    predicted = problem.expected(theta)
    with backend.context():
        number_of = backend.to_host(data.auxiliary_of(backend.xp, problem.loss))
    around = np.broadcast_to(predicted, (number, *predicted.shape))
    if data.weights is None or problem.sandwich:
        return problem.loss.sample(rng, around, number_of)
    times = backend.to_host(data.weights)
    if problem.loss.target_kind == "real":
        measured = problem.loss.sample(rng, around, number_of)
        mean = predicted[: measured.shape[-2]]
        return np.asarray(mean + (measured - mean) / np.sqrt(times))
    if problem.loss.target_kind != "count" and np.any(times != np.round(times)):
        raise ValueError("toys need `weights` that are whole numbers: use fit_replicas with kind='bootstrap'")
    return problem.loss.sample(rng, around, number_of * times) / times
