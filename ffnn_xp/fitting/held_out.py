"""Residuals of events that were held out: what networks that do not know them are wrong by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ffnn_xp._lib.limits import stop_if_due
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.backends import Backend
from ffnn_xp.data import Events, Scaling
from ffnn_xp.fitting.folds import Fold
from ffnn_xp.fitting.members import MOST_EFFECTIVE, network_covariance
from ffnn_xp.fitting.problem import FitProblem, effective_number
from ffnn_xp.fitting.width_selection import HeldOut
from ffnn_xp.fitting.y_error import held_out_width
from ffnn_xp.network import Network, evaluate
from ffnn_xp.objective import GaussianPrior
from ffnn_xp.uncertainty import LinearBand

MOST_SCATTER = 0.5  # of the square of held-out residuals: the most that an ensemble is taken to be better

FoldWithNetworks = tuple[Fold, list[HostArray]]
"""A fold, and the standardised parameters of networks that were fitted without its held-out events."""


def hold_out(problem: FitProblem, folds: Sequence[FoldWithNetworks], precision: HostArray) -> HeldOut:
    """Return the held-out residuals, in units of the errors of y if they are known, else with each fold's own errors.

    They are those of the mean of each fold's networks. The ensemble is the mean of more networks, and so its residuals
    are smaller: by the scatter of the folds' networks they are scaled down to these.
    """
    backend, network = problem.model.backend, problem.network
    d, k, scaling = len(problem.scaling.x_mean), len(problem.scaling.y_mean), problem.scaling
    plain = Scaling(network.layout, np.zeros(d), np.ones(d), np.zeros(k), np.ones(k))
    all_of: list[tuple[HostArray, ...]] = []
    for part, networks in folds:
        theta, outside = networks[0], part.outside.events
        cost = part.cost(precision)
        G = cost.gauss_newton(theta)
        y_error = np.ones((k, 1))
        if not problem.errors_known:
            (r,), weights = residuals(problem, part.inside.events, [theta]), _weights(backend, part.inside.events)
            free = max(
                r.shape[1] - effective_number(G, 1.0, GaussianPrior(precision)) / k,
                (1 - MOST_EFFECTIVE) * r.shape[1],
            )
            y_error = np.sqrt(r.shape[1] / free) * held_out_width(problem, r, weights)[:, None]
        covariance = network_covariance(problem, cost, theta, G, float(np.mean(y_error**2)))
        band = LinearBand(theta, plain, covariance)
        stop_if_due()
        std = backend.to_host(band.std(network, backend, outside.x[:d, :]) * outside.data[1])
        w = _weights(backend, outside)
        more = 1.0 if w is None or problem.sandwich else np.sqrt(w)  # errors are smaller by its square root
        of_each = more * residuals(problem, outside, networks)
        outputs = _on_host(backend, network, networks, outside)
        apart = [np.var(a, axis=0, ddof=len(networks) > 1) for a in (of_each, outputs)]
        number, root = np.full_like(std, len(networks)), np.ones((1, std.shape[1])) * more
        x = backend.to_host(outside.x[:d, :])
        all_of.append(
            (np.mean(of_each, axis=0), *apart, number, y_error + 0 * std, more * std, np.mean(outputs, axis=0), x, root)
        )
    residual, scatter, apart_, each, y_error, bands, predictions, x, roots = (
        np.concatenate(a, axis=1) for a in zip(*all_of, strict=True)
    )
    residual = residual * _share_that_remains(residual, scatter, each, sum(len(networks) for _, networks in folds))
    predictions = predictions * scaling.y_scale[:, None] + scaling.y_mean[:, None]
    unit = np.ones((k, 1)) if problem.errors_known else scaling.y_scale[:, None]
    x = x * scaling.x_scale[:, None] + scaling.x_mean[:, None]
    largest = np.sqrt(np.max(apart_, axis=1)) * scaling.y_scale
    largest[~np.isfinite(largest)] = 0.0
    return HeldOut(residual * unit, y_error * unit, bands * unit, predictions, x, largest, roots[0])


def _share_that_remains(residual: HostArray, scatter: HostArray, each: HostArray, total: int) -> HostArray:
    """Return the factors of residuals ``(k, n)`` of so many networks each that make them those of the ensemble.

    The variance between networks is known where there are several for an event.
    """
    factor, several = np.ones_like(residual), each[0] > 1
    if np.any(several):
        variance = np.mean(scatter[:, several], axis=1)
        for number in np.unique(each):
            some = each[0] == number
            square = np.maximum(np.mean(residual[:, some] ** 2, axis=1), np.finfo(float).tiny)
            less = variance * (1 / number - 1 / total)
            factor[:, some] = np.sqrt(1 - np.minimum(less / square, MOST_SCATTER))[:, None]
    return factor


def held_out_error(problem: FitProblem, folds: Sequence[FoldWithNetworks]) -> HostArray:
    """Return the errors of the standardised outputs from the held-out residuals ``(k,)``; ones if they are known.

    They are those in units of relative errors, where the problem has these.
    """
    if problem.errors_known or problem.loss.auxiliary != "y_err":
        return np.ones(problem.data.n_values)
    outside = [(part.outside.events, networks[:1]) for part, networks in folds]
    found = np.concatenate([residuals(problem, *pair)[0] for pair in outside], axis=1)
    if problem.relative_error is not None:
        found = found / problem.relative_error[:, np.concatenate([part.out for part, _ in folds])]
    weights = [w for events, _ in outside if (w := _weights(problem.model.backend, events)) is not None]
    return held_out_width(problem, found, np.concatenate(weights) if weights else None)


def residuals(problem: FitProblem, events: Events, networks: Sequence[HostArray]) -> HostArray:
    """Return residuals of standardised data in units of the errors, ``(m, k, n)``, of each network."""
    backend = problem.model.backend
    with backend.context():
        y, error = (backend.to_host(a) for a in events.data[:2])
    return np.asarray((y - _on_host(backend, problem.network, networks, events)) * error)


def _on_host(backend: Backend, network: Network, networks: Sequence[HostArray], events: Events) -> HostArray:
    """Return the standardised outputs ``(m, k, n)`` of networks."""
    with backend.context():
        return np.stack([backend.to_host(evaluate(network, backend, backend.to_device(a), events.x)) for a in networks])


def _weights(backend: Backend, events: Events) -> HostArray | None:
    """Return the weights of the events, ``(n,)``, if they have any."""
    return None if events.weights is None else backend.to_host(events.weights)[0]
