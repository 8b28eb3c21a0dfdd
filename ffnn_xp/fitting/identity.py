"""What a computation is of, as digests by names: a checkpoint belongs to these data, this network, these options."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ffnn_xp._lib.digest import digest
from ffnn_xp.fitting.problem import FitProblem


def identity_of(problem: FitProblem, call: str, **options: Any) -> dict[str, str]:
    """Return digests of all that the result of a computation follows from.

    Parameters
    ----------
    problem : FitProblem
        The problem, with data, network, statistic and prior.
    call : str
        The kind of the computation.
    **options
        Its own options.
    """
    backend, network, data = problem.model.backend, problem.network, problem.data
    columns = {f.name: getattr(data, f.name) for f in fields(data)}
    host = {name: backend.to_host(value) if backend.owns(value) else value for name, value in columns.items()}
    parts = {
        "kind of call": call,
        "data": host,
        "layers": network.layout.widths,
        "activations": network.activations,
        "backend or dtype": (backend.name, str(backend.dtype)),
        "`loss`": problem.loss,
        "`prior`": None if problem.prior is None else problem.prior.precision,
        "errors of y": problem.y_error,
        "`covariance`": problem.sandwich,
        "`minimizer`": problem.minimizer,
        "`tuning`": problem.tuning,
    }
    named = {f"`{name}`": value for name, value in options.items()}
    return {name: digest(value) for name, value in (parts | named).items()}
