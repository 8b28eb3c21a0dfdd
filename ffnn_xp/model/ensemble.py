"""Fits of many replicas in one batch, and the stack of networks that comes of it.

A replica has the model's network and standardisation, and its own copy of the data: a toy (new measurements around
the model's prediction), a bootstrap copy (events drawn with replacement), measurements that the user brings, or the
same data with another prior. All start from the model's parameters and walk together (`toy_fits.refit`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp._lib.typing import Array, HostArray, Mask, Rows
from ffnn_xp._lib.validation import level, whole_number
from ffnn_xp.backends import Backend
from ffnn_xp.backends.conversion import host_floats
from ffnn_xp.data.errors_in_x import with_errors
from ffnn_xp.data.events import Events
from ffnn_xp.data.reading import dataset, input_rows
from ffnn_xp.data.standardization import relative_weights, standardization
from ffnn_xp.data.statistic import find_statistic
from ffnn_xp.data.streaming import host_resident
from ffnn_xp.fitting.batch_refit import EDM_GOAL, measure_again, refit
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.fitting.y_error import residual_width
from ffnn_xp.losses import Loss
from ffnn_xp.minimizers import StopMinimization
from ffnn_xp.network import ModelLike, Network, evaluate
from ffnn_xp.objective import GaussianPrior, NetworkCost, Replicas, network_precision

KINDS = ("toys", "bootstrap")
PREDICTIONS = 2**22  # numbers of a layer that are in memory at a time


@dataclass(frozen=True, repr=False)
class Ensemble:
    """r networks of the same widths, fitted to replicas of the data; what `Model.fit_replicas` returns.

    Attributes
    ----------
    kind : str
        What the replicas are: "toys", "bootstrap", "data" or "priors".
    parameters : array with shape (r, p)
        Theta of each in raw units, on the host.
    fval, edm : array with shape (r,)
        Cost and EDM at its end, on the host.
    valid : boolean array with shape (r,)
        Whether EDM is below MINUIT's goal, by the exact Hessian; where that is not positive definite, or with kinks, by
        the Gauss-Newton matrix.
    steps : array with shape (r,)
        Gradients that each took.
    seconds : float
        Wall time of all.
    stopped : str
        Why the walk was cut short, if it was.
    """

    kind: str
    parameters: HostArray
    fval: HostArray
    edm: HostArray
    valid: Mask
    steps: Rows
    seconds: float
    stopped: str
    network: Network
    backend: Backend

    def __len__(self) -> int:
        return len(self.parameters)

    def __call__(self, x: Any) -> Array:
        """Outputs of all networks on the device, ``(r, n, k)``, or ``(r, n)`` for k = 1.

        Parameters
        ----------
        x : array-like with shape (n, d), (n,) for d = 1, or (d,) for one event
            Inputs.
        """
        backend, xp = self.backend, self.backend.xp
        with backend.context():
            rows, _ = input_rows(backend, x, self.network.layout.widths[0])
            columns = xp.matrix_transpose(rows)
            size = max(1, PREDICTIONS // (max(self.network.layout.widths) * max(1, int(columns.shape[-1]))))
            parts = [
                evaluate(self.network, backend, backend.to_device(self.parameters[i : i + size]), columns)
                for i in range(0, len(self), size)
            ]
            y = xp.matrix_transpose(xp.concat(parts, axis=0))
            return y[:, :, 0] if y.shape[-1] == 1 else y

    def predict(self, x: Any, *, return_std: bool = False, cl: float | None = None) -> Any:
        """Mean of the valid networks, with their standard deviation or a central interval if asked for.

        Parameters
        ----------
        x : array-like with shape (n, d), (n,) for d = 1, or (d,) for one event
            Inputs.
        return_std : bool
            Also return the standard deviation over networks.
        cl : float, optional
            Also return the ends of the central interval that holds this share of the networks, ``(low, high)``.

        Returns
        -------
        array with shape (n, k), or (n,) for k = 1, on the host; or a tuple with what was asked for.
        """
        if cl is not None:
            cl = level(cl)
        if self.valid.sum() < 2:
            raise ValueError(
                f"{int(self.valid.sum())} of {len(self)} replicas reached a minimum, which is no ensemble: fit the "
                "model itself first, with a prior or fewer units"
            )
        y = self.backend.to_host(replace(self, parameters=self.parameters[self.valid])(x))
        out: list[Any] = [y.mean(axis=0)]
        if return_std:
            out.append(y.std(axis=0, ddof=1))
        if cl is not None:
            out.append(tuple(np.quantile(y, [(1 - cl) / 2, (1 + cl) / 2], axis=0)))
        return out[0] if len(out) == 1 else tuple(out)

    @property
    def covariance(self) -> HostArray:
        """Covariance of the valid replicas' parameters, ``(p, p)``, in raw units."""
        return np.atleast_2d(np.cov(self.parameters[self.valid], rowvar=False))

    def __repr__(self) -> str:
        widths = "-".join(map(str, self.network.layout.widths))
        cut = f"\n  stopped: {self.stopped}" if self.stopped else ""
        return (
            f"Ensemble: {len(self)} {self.kind} of {widths}, {int(self.valid.sum())} at a minimum "
            f"(EDM < {EDM_GOAL:.1g})\n"
            f"  cost         median {np.median(self.fval):.6g}, from {self.fval.min():.6g} to {self.fval.max():.6g}\n"
            f"  EDM          median {np.median(self.edm):.2g}, largest {self.edm.max():.2g}\n"
            f"  walk         {int(self.steps.sum())} gradients in {self.seconds:.2f} s{cut}"
        )


def fit_replicas(
    model: ModelLike,
    x: Any,
    y: Any,
    y_err: Any,
    *,
    kind: str,
    number: int,
    loss: str | Loss,
    weights: Any,
    x_err: Any,
    extras: Mapping[str, Any],
    prior: float | Sequence[float] | None,
    seed: int | None,
    max_seconds: float | None,
) -> Ensemble:
    """See `Model.fit_replicas`."""
    began = time.monotonic()
    model = host_resident(model, x, y)
    backend, layout = model.backend, model.network.layout
    d, k = layout.widths[0], layout.widths[-1]
    x = with_errors(x, x_err)
    statistic, auxiliary = find_statistic(loss, model.activations[-1], extras, x, y)
    own, priors = _own(backend, y, y_err, statistic), None
    if isinstance(prior, Sequence | np.ndarray) and np.ndim(prior) == 1:
        priors = [_positive(tau) for tau in prior]
        if own is not None or not priors:
            raise ValueError("`prior` can be a sequence only for one set of measured values, and must not be empty")
    kind, number = _what(kind, number, own, priors)
    with backend.context():
        data = dataset(
            backend, x, y if own is None else own[0], y_err, weights, d=d, k=k, loss=statistic, auxiliary=auxiliary
        )
    known = y_err is not None or statistic.auxiliary != "y_err"
    if not known and weights is not None:
        data = relative_weights(backend, data)
    tau = None if prior is None or priors is not None else _positive(prior)
    P = None if tau is None else GaussianPrior(network_precision(model.network, tau))
    scaling = standardization(model.network, backend, data, statistic)
    task = FitProblem(model, model.network, statistic, data, scaling, P, np.ones(k), known)
    theta = backend.to_host(model.parameters)
    if not known:
        task = task.with_y_error(residual_width(task, task.scaling.to_standard(theta), float(layout.n_parameters)))
    cost = task.cost()
    events, precision = _replicas(task, cost, theta, kind, number, own, priors, np.random.default_rng(seed))
    deadline = np.inf if max_seconds is None else began + max_seconds

    def watch(value: float, step: int) -> None:
        if time.monotonic() > deadline:
            raise StopMinimization("the time given by max_seconds is up")

    problem = Replicas(replace(cost.objective, events=events), precision)
    end = refit(problem, task.scaling.to_standard(theta), number, watch)
    return Ensemble(
        kind=kind,
        parameters=task.scaling.to_raw(backend.to_host(end.theta)),
        fval=end.value,
        edm=end.edm,
        valid=end.converged,
        steps=end.steps,
        seconds=time.monotonic() - began,
        stopped=end.stopped,
        network=model.network,
        backend=backend,
    )


def _own(backend: Backend, y: Any, y_err: Any, loss: Loss) -> HostArray | None:
    """Replicas that the user brings, ``(r, n, k)``."""
    if np.ndim(y if not hasattr(y, "ndim") else np.empty((0,) * y.ndim)) != 3:
        return None
    own = host_floats(backend.to_host(y) if backend.owns(y) else y, "y")
    if not own.size or not np.all(np.isfinite(own)):
        raise ValueError(f"`y` must hold finite values in at least one replica, got shape {own.shape}")
    if y_err is None and loss.auxiliary == "y_err":
        raise ValueError("replicas of your own need `y_err`: the residuals of their mean are not their errors")
    return own


def _what(kind: str, number: int, own: HostArray | None, priors: list[float] | None) -> tuple[str, int]:
    """What the replicas are, and how many."""
    if own is not None:
        return "data", len(own)
    if priors is not None:
        return "priors", len(priors)
    if kind not in KINDS:
        raise ValueError(f"unknown kind of replicas {kind!r}: {did_you_mean(kind, KINDS)}")
    return kind, whole_number(number, "number", 1)


def _positive(tau: Any) -> float:
    if isinstance(tau, bool | str) or not 0 < tau < np.inf:
        raise ValueError(f"`prior` must be a positive width of the standardised weights, or None, got {tau!r}")
    return float(tau)


def _replicas(
    task: FitProblem,
    cost: NetworkCost,
    theta: HostArray,
    kind: str,
    number: int,
    own: HostArray | None,
    priors: Sequence[float] | None,
    rng: np.random.Generator,
) -> tuple[Events, HostArray | None]:
    """Events in standardised units, with a replica axis where they differ; and the precisions of the priors."""
    backend, events = task.model.backend, cost.objective.events
    precision = None if cost.prior is None else cost.prior.precision
    if priors is not None:
        return events, np.stack([network_precision(task.network, tau) for tau in priors])
    if kind == "bootstrap" and not task.loss.separable:
        raise ValueError("events whose values are correlated cannot be drawn one by one: use kind='toys'")
    if kind == "bootstrap":
        counts = rng.multinomial(events.n, np.full(events.n, 1 / events.n), size=number)[:, None, :]
        weights = backend.to_device(counts.astype(np.float64))
        return replace(events, weights=weights if events.weights is None else weights * events.weights), precision
    measured = np.swapaxes(own, 1, 2) if own is not None else measure_again(task, theta, number, rng)
    return task.events(backend.to_device(measured)), precision
