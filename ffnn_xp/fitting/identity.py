"""Digests tell which data, network and options a checkpoint belongs to, each by its name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ffnn_xp._lib.digests import digest
from ffnn_xp.data import Dataset
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
    columns: Any = data  # events in parts have a checksum
    if isinstance(data, Dataset):
        columns = {f.name: getattr(data, f.name) for f in fields(data)}
        columns = {name: backend.to_host(a) if backend.owns(a) else a for name, a in columns.items()}
    parts = {
        "kind of call": call,
        "data": columns,
        "layers": network.layout.widths,
        "activations": network.activations,
        "backend or dtype": (backend.name, str(backend.dtype), backend.compiled),
        "`loss`": problem.loss,
        "`prior`": None if problem.prior is None else problem.prior.precision,
        "errors of y": problem.y_error,
        "relative errors of y": problem.relative_error,
        "`covariance`": problem.sandwich,
        "`minimizer`": problem.minimizer,
        "`tuning`": problem.tuning,
    }
    named = {f"`{name}`": value for name, value in options.items()}
    return {name: digest(value) for name, value in (parts | named).items()}
