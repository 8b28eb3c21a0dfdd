"""Fits of events in parts: the problem, and the objective that is the sum of those of the parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial, reduce
from typing import Any, NoReturn

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray, Rows
from ffnn_xp.backends import get_backend
from ffnn_xp.data import Dataset, Events, Measurements, ModelOnBackend, in_double_precision
from ffnn_xp.distributed import DataInParts, Parts, Reader, opened
from ffnn_xp.fitting.options import FitOptions
from ffnn_xp.fitting.problem import FitProblem, Result, problem_of
from ffnn_xp.network import ModelLike
from ffnn_xp.objective import DataCost, GaussianPrior, Objective


@dataclass(frozen=True)
class ProblemOfPart(FitProblem):
    """The problem of a part of the events, where these are.

    Attributes
    ----------
    first : dict
        The objective of each kind with the most events so far, whose kernels the others share.
    """

    first: dict[bool, Objective] = field(default_factory=dict, kw_only=True, repr=False, compare=False)
    _objectives: dict[bool, Objective] = field(default_factory=dict, init=False, repr=False, compare=False)

    def objective_in(self, raw: bool) -> Objective:
        """Return the objective in raw or in standardised units."""
        if raw not in self._objectives:
            own, known = self.raw_cost().objective if raw else self.objective, self.first.get(raw)
            if known is None or own.n > known.n:
                self.first[raw] = known = own
            self._objectives[raw] = own if known is own else known.with_events(own.events)
        return self._objectives[raw]


@dataclass(frozen=True)
class ProblemInParts(FitProblem):
    """The problem of events in parts; `FitProblem.each` is where their problems are.

    Attributes
    ----------
    parts : Parts
        The parts.
    computes : ModelLike
        The model, with the backend that computes the parts' sums.
    mean_weight : float
        What weights are divided by.
    """

    parts: Parts | None = field(kw_only=True)
    computes: ModelLike = field(kw_only=True)
    mean_weight: float = field(default=1.0, kw_only=True)
    _first: dict[bool, Objective] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def in_parts(self) -> bool:
        """True."""
        return True

    def each(self, task: Callable[..., Result], *args: Any) -> list[Result]:
        """Return the results of a function of the problem of each part, in their order."""
        assert self.parts is not None
        return self.parts.each(self, task, args)

    def alone(self) -> ProblemInParts:
        """Return the problem without its parts, as it goes to where these are."""
        return replace(self, parts=None)

    def of_part(self, data: Dataset) -> ProblemOfPart:
        """Return the problem of a part, whose data are in main memory."""
        backend = self.computes.backend
        if data.weights is not None and self.mean_weight != 1.0:
            data = replace(data, weights=data.weights / self.mean_weight)
        if not backend.host_arrays:
            arrays = {f.name: getattr(data, f.name) for f in fields(data)}
            moved = {name: backend.to_device(a) for name, a in arrays.items() if isinstance(a, np.ndarray)}
            data = replace(data, **moved)
        inherited = {f.name: getattr(self, f.name) for f in fields(FitProblem)}
        return ProblemOfPart(**{**inherited, "model": self.computes, "data": data}, first=self._first)

    @cached_property
    def objective(self) -> Objective:
        """The objective in standardised units, a sum over the parts."""
        return ObjectiveInParts.of(self, raw=False)

    def raw_cost(self) -> DataCost:
        """Return the cost in raw units."""
        prior = None if self.prior is None else GaussianPrior(self.prior.precision, self.scaling)
        return DataCost.of_objective(ObjectiveInParts.of(self, raw=True), self.data, self.model, self.loss, prior)


@dataclass(frozen=True)
class EventsInParts(Events):
    """In place of the events of an objective in parts: their number."""

    number: int = field(default=0, kw_only=True)

    @property
    def n(self) -> int:
        """The number of events."""
        return self.number


@dataclass(frozen=True)
class ObjectiveInParts(Objective):
    """The sum of the objectives of parts of the events, on the host.

    Attributes
    ----------
    problem : ProblemInParts
        The problem of all events.
    raw : bool
        Whether theta has raw units.
    """

    problem: ProblemInParts = field(kw_only=True)
    raw: bool = field(kw_only=True)

    @classmethod
    def of(cls, problem: ProblemInParts, *, raw: bool) -> ObjectiveInParts:
        """Return the objective of a problem."""
        none = np.empty((problem.data.n_inputs + 1, 0))
        events = EventsInParts(none, (), nodes=problem.data.columns_of_event, number=problem.data.n)
        return cls(problem.network, problem.loss, events, problem.model.backend, problem=problem, raw=raw)

    @property
    def has_single_precision(self) -> bool:
        """False: parts keep one form of their events."""
        return False

    def total(self, kernel: Callable[..., Array], *args: Array) -> HostArray:
        """Sum a kernel that returns one array, in the order of the parts."""
        return self._added(_total, kernel, *args)

    def matrix(self, kernel: Callable[..., Any], theta: Array) -> HostArray:
        """Sum a kernel that returns a block matrix, and assemble the matrix."""
        return self._added(_matrix, kernel, theta)

    def _added(self, task: Callable[..., HostArray], *args: Any) -> HostArray:
        """Add the sums of parts, one after another."""
        parts = self.problem.parts
        assert parts is not None
        sums = parts.each_objective(self.problem, self.raw, task, args)
        return reduce(np.add, sums[1:], sums[0])

    def select(self, rows: Rows) -> Objective:
        """Return the objective of the events with these numbers, in increasing order, in main memory."""
        parts = self.problem.parts
        assert parts is not None
        ends = np.cumsum(parts.sizes)
        own = [
            (np.asarray(some) - begin,)
            for some, begin in zip(np.split(rows, np.searchsorted(rows, ends[:-1])), [0, *ends[:-1]], strict=True)
        ]
        found = parts.each(self.problem, _selected, (self.raw,), own)
        x, weights, *data = (
            None if some[0] is None else np.concatenate(some, axis=-1) for some in zip(*found, strict=True)
        )
        events = Events(x, tuple(data), weights, self.nodes)
        return Objective(self.network, self.loss, events, get_backend("numpy"))

    def in_memory(self) -> Objective:
        """Return the objective of all events, in main memory."""
        return self.select(np.arange(self.n))

    def residual_rows(self, theta: Array) -> NoReturn:
        """Refuse to make a row for each event."""
        raise TypeError(
            "this minimizer needs a row for each event, and these are in parts: use minimizer='auto', 'lbfgs', "
            "'preconditioned_lbfgs', 'kronecker_lbfgs' or 'matrix_free'"
        )


def _total(objective: Objective, kernel: Callable[..., Array], *args: HostArray) -> HostArray:
    """Sum a kernel over the events of a part."""
    return objective.backend.host_function(partial(objective.total, kernel))(*args)


def _matrix(objective: Objective, kernel: Callable[..., Any], theta: HostArray) -> HostArray:
    """Sum a matrix over the events of a part."""
    return objective.backend.host_function(partial(objective.matrix, kernel))(theta)


def _selected(problem: ProblemOfPart, raw: bool, rows: Rows) -> tuple[HostArray | None, ...]:
    """Return the arrays of some events of a part."""
    objective = problem.objective_in(raw)
    events, backend = objective.events, objective.backend
    if len(rows):
        return tuple(None if a is None else backend.to_host(a) for a in objective.select(rows).events.leaves)
    return tuple(None if a is None else np.empty((*a.shape[:-1], 0)) for a in events.leaves)


def read_in_parts(model: ModelLike, measurements: Measurements, options: FitOptions) -> ProblemInParts:
    """Read and standardise measurements that are in parts, and add the prior; the model stays as it is.

    Raises
    ------
    TypeError, ValueError
        If data cannot be used, or options do not go with events in parts.
    """
    if options.executor is not None:
        raise TypeError(
            "`executor` has no place in a fit of events in parts, all of which each sum needs: starts go one by one"
        )
    on_host = ModelOnBackend(model, get_backend("numpy"))
    parts = opened(measurements, Reader(on_host, options.loss, options.signed_weights, options.tuning.parts))
    summary = parts.summary()
    loss = summary.loss
    if not summary.known and loss.median_pull() is not None:
        raise ValueError(f"loss {loss.name!r} estimates errors of y from medians, for events in memory: give y_err")
    weighted = "weights" in summary.has
    data = DataInParts(
        n=summary.n,
        n_inputs=summary.n_inputs,
        n_values=summary.n_values,
        weighted=weighted,
        y_was_column=summary.y_was_column,
        columns_of_event=summary.columns_of_event,
        input_names=summary.input_names,
        target_names=summary.target_names,
        where=parts.where,
        checksum=summary.checksum,
    )
    return problem_of(
        partial(
            ProblemInParts,
            parts=parts,
            computes=in_double_precision(model),
            mean_weight=summary.weights / summary.n if weighted and not summary.known else 1.0,
        ),
        on_host,
        loss,
        data,
        summary.moments,
        errors_known=summary.known,
        options=options,
    )
