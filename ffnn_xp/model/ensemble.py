"""Fits of many replicas, and the `Ensemble` of their networks.

A replica has the model's network and standardisation, and its own copy of the data (`batch_refit`). All start from the
model's parameters.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.journal import keeping, recorded_seed
from ffnn_xp._lib.limits import deadline_of
from ffnn_xp._lib.text import Page, Shown, stopped
from ffnn_xp._lib.typing import Array, HostArray, Mask, Rows
from ffnn_xp._lib.validation import level
from ffnn_xp.backends import Backend, host_floats
from ffnn_xp.data import Measurements, check_sets, events_in_use, in_order, input_rows, model_for_fit
from ffnn_xp.fitting import (
    REFIT_GOAL,
    FitProblem,
    Refits,
    ReplicaOptions,
    Seeds,
    Workers,
    check_degrees_of_freedom,
    identity_of,
    read_problem,
    refit,
    relative_errors,
    seeds_of,
    settle,
)
from ffnn_xp.network import ModelLike, Network, evaluate
from ffnn_xp.objective import GaussianPrior, network_precision
from ffnn_xp.uncertainty import Predictive

PREDICTIONS = 2**22  # values of a layer that are computed at a time


@quiet
@dataclass(frozen=True, repr=False)
class Ensemble(Shown):
    """An ensemble of r networks of the same widths, fitted to replicas, as `Model.fit_replicas` returns it.

    Attributes
    ----------
    kind : str
        Kind of the replicas: "toys", "bootstrap", "data" or "priors".
    parameters : array with shape (r, p)
        Theta of each in raw units, on the host.
    fval, edm : array with shape (r,)
        Cost and EDM at its end, on the host.
    valid : boolean array with shape (r,)
        Whether EDM is below MINUIT's goal, by the exact Hessian; where that is not positive definite, or S is not
        smooth, by the Gauss-Newton matrix.
    steps : array with shape (r,)
        Gradients that each took.
    seconds : float
        Wall time of all.
    stopped : str
        Why the minimization was cut short, if it was.
    network, backend, input_names
        Those of the model.
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
    input_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.parameters)

    def __call__(self, x: Any) -> Array:
        """Return outputs of all networks on the device, ``(r, n, k)``, or ``(r, n)`` for k = 1.

        Parameters
        ----------
        x : array-like with shape (n, d), (n,) for d = 1, or (d,) for one event
            Inputs.
        """
        backend, xp = self.backend, self.backend.xp
        with backend.context():
            x = in_order(x, self.input_names)
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
        """Return the mean of the valid networks, with their standard deviation or a central interval if requested.

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
        array with shape (n, k), or (n,) for k = 1, on the host; or a tuple of it and the requested arrays.
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
        """The covariance of the valid replicas' parameters, ``(p, p)``, in raw units."""
        return np.atleast_2d(np.cov(self.parameters[self.valid], rowvar=False))

    def _page(self) -> Page:
        widths = "-".join(map(str, self.network.layout.widths))
        at_minimum = f"{int(self.valid.sum())} at a minimum (EDM < {REFIT_GOAL:.1g})"
        pairs = [
            ("cost", f"median {np.median(self.fval):.6g}, from {self.fval.min():.6g} to {self.fval.max():.6g}"),
            ("EDM", f"median {np.median(self.edm):.2g}, largest {self.edm.max():.2g}"),
            ("search", f"{int(self.steps.sum())} gradients in {self.seconds:.2f} s"),
        ]
        title = f"{len(self)} {self.kind} of {widths}, {at_minimum}"
        return Page("Ensemble", title, pairs, notes=[stopped(self.stopped)])


def fit_replicas(
    model: ModelLike,
    measurements: Measurements,
    options: ReplicaOptions,
    prior: HostArray | None,
    density: Predictive | None = None,
) -> Ensemble:
    """Fit many replicas of the measurements; see `Model.fit_replicas`.

    The precisions ``(p,)`` of the prior of the model's own fit are those of ``prior="auto"``. Where no errors of y are
    given, and by the model's `density` the noise depends on x, it does here too.
    """
    began = time.monotonic()
    measurements = replace(measurements, x=in_order(measurements.x, model.input_names))
    measurements = events_in_use(measurements, signed=options.signed_weights)
    own_backend, model = model.backend, model_for_fit(model, measurements)
    backend = model.backend
    own = _sets_of_measurements(own_backend, measurements.y)
    if own is not None and options.priors is not None:
        raise ValueError("`prior` can be a sequence only for one set of measured values, and must not be empty")
    problem = read_problem(model, measurements if own is None else replace(measurements, y=own[0]), options)
    if isinstance(options.prior, str) and prior is not None:
        problem = replace(problem, prior=GaussianPrior(prior))
    if own is not None and not problem.errors_known:
        raise ValueError("replicas of your own need `y_err`: the residuals of their mean are not their errors")
    if own is not None:
        check_sets(backend, own, problem.loss, problem.data.auxiliary)
    theta = backend.to_host(model.parameters)
    standard = problem.scaling.to_standard(theta)
    if not problem.errors_known:
        check_degrees_of_freedom(problem)
        if density is not None and density.width is not None:
            noise = density.noise(problem.network, backend, problem.data.x)
            problem = replace(problem, relative_error=relative_errors(noise, problem.tuning.width.least))
        problem = settle(problem, standard, lambda _: standard)
        if problem.unsettled:
            raise ValueError(f"replicas need errors of y: {problem.unsettled}")
    workers = Workers(options.executor, deadline_of(options.max_seconds, began))
    of_kind = {"kind": options.kind, "number": options.number, "seed": options.seed} if own is None else {"y": own}
    of_priors = {} if options.priors is None else {"prior": options.priors}
    with keeping(options.checkpoint, lambda: identity_of(problem, "replicas", start=standard, **of_kind, **of_priors)):
        kind, replicas = _replicas(problem, own, replace(options, seed=recorded_seed(options.seed)))
        end = refit(Refits(problem, standard, kind), replicas, workers)
    return Ensemble(
        kind=kind,
        parameters=problem.scaling.to_raw(end.theta),
        fval=end.value,
        edm=end.edm,
        valid=end.converged,
        steps=end.steps,
        seconds=time.monotonic() - began,
        stopped=end.stopped,
        network=model.network,
        backend=own_backend,
        input_names=model.input_names,
    )


def _sets_of_measurements(backend: Backend, y: Any) -> HostArray | None:
    """Return the user's own replicas ``(r, n, k)``, if y has a replica axis; else None."""
    if np.ndim(y if not hasattr(y, "ndim") else np.empty((0,) * y.ndim)) != 3:
        return None
    own = host_floats(backend.to_host(y) if backend.owns(y) else y, "y")
    if not own.size:
        raise ValueError(f"`y` must hold at least one replica, got shape {own.shape}")
    return own


def _replicas(problem: FitProblem, own: HostArray | None, options: ReplicaOptions) -> tuple[str, Seeds | HostArray]:
    """Return the kind of the replicas, and what each of them is made of."""
    if options.priors is not None:
        widths = (network_precision(problem.network, tau, problem.loss) for tau in options.priors)
        return "priors", np.stack(list(widths))
    if own is not None:
        return "data", own
    if options.kind == "bootstrap" and not problem.loss.separable:
        raise ValueError("events that `y_cov` correlates cannot be drawn one by one: use kind='toys'")
    return options.kind, seeds_of(options.seed, options.number)
