"""`Parts`, the interface of events in parts, and what a fit needs to know of them before its first sum."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, NoReturn, Protocol, TypeVar

import numpy as np

from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp.data import CheckedData, Dataset, Measurements, Moments, moments_of, read
from ffnn_xp.losses import Loss, LossLike
from ffnn_xp.network import ModelLike

Result = TypeVar("Result")


class ProblemWithoutData(Protocol):
    """A problem that becomes that of a part of the events where these are."""

    def alone(self) -> Any:
        """Return the problem without its parts, to be pickled."""

    def of_part(self, data: Dataset) -> Any:
        """Return the problem of these events, which are in main memory."""


class Recipe(ABC):
    """The recipe of the measurements of some events, small and to be pickled, so that they can be made anywhere."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The part's name, for messages."""

    @abstractmethod
    def read(self) -> Measurements:
        """Return the measurements."""

    def pieces(self) -> Iterator[tuple[str, Measurements]]:
        """Yield the measurements with the part's name, or with names in smaller pieces, for which less memory does."""
        yield self.name, self.read()


@dataclass(frozen=True)
class PartSummary:
    """The properties of a part of the events that a fit needs to know.

    Attributes
    ----------
    name : str
        The part's name, for messages.
    n, n_inputs, n_values : int
        Numbers of events, inputs and measured values.
    loss : Loss
        The statistic.
    known : bool
        Whether errors of y were given, or are those of the statistic.
    has : tuple of str
        The arrays that are there beside x and y.
    y_was_column : bool
        Whether y came as ``(n, 1)``.
    columns_of_event : int
        Columns of x for each event.
    input_names, target_names : tuple of str or None
        Names of columns.
    moments : Moments
        What the scaling is made of.
    weights : float
        Sum of the weights; the number of events without weights.
    classes : array with shape (k,)
        Events of each class, for classes; else empty.
    checksum : str
        A checksum of all values.
    """

    name: str
    n: int
    n_inputs: int
    n_values: int
    loss: Loss
    known: bool
    has: tuple[str, ...]
    y_was_column: bool
    columns_of_event: int
    input_names: tuple[str, ...] | None
    target_names: tuple[str, ...] | None
    moments: Moments
    weights: float
    classes: HostArray
    checksum: str

    @property
    def kind(self) -> dict[str, Any]:
        """The properties that all parts must share, by their names in messages."""
        return {
            "inputs": self.n_inputs,
            "measured values": self.n_values,
            "names of inputs": self.input_names,
            "names of values": self.target_names,
            "arrays": self.has,
        }


@dataclass(frozen=True)
class PartsTuning:
    """Numbers that decide which arrays are streamed from a scratch file, and the size of its blocks.

    Parameters
    ----------
    copies : int
        Copies of the data that a fit in memory has at a time: raw and standardised, as rows and as columns.
    share : float
        Share of the free memory for them; a larger share leaves less for temporaries.
    always_fit : int
        Bytes of these copies that fit into any memory, whatever the system says.
    block_bytes : int
        Bytes of a block: small beside the memory, large beside what Python needs for it.
    """

    copies: int = 5
    share: float = 0.8
    always_fit: int = 2**24
    block_bytes: int = 2**23

    def has_room(self, values: int, free_memory: Callable[[], int | None]) -> bool:
        """Return True if a fit of so many values has room in the free bytes, if the system tells these."""
        needed = 8 * self.copies * values
        return needed <= self.always_fit or (free := free_memory()) is None or needed <= self.share * free


@dataclass(frozen=True)
class Reader:
    """Reads and checks the measurements of a part, where that part is.

    Parameters
    ----------
    model : ModelLike
        The model, with a backend in main memory.
    loss : str, Loss or callable
        The statistic.
    signed : bool
        Whether weights may be negative.
    tuning : PartsTuning
        The size of blocks.
    """

    model: ModelLike
    loss: LossLike
    signed: bool
    tuning: PartsTuning = PartsTuning()

    def __call__(self, name: str, measurements: Measurements) -> tuple[Dataset, PartSummary | None]:
        """Return the data of a part and their summary, which is None if no event is in use.

        Raises
        ------
        TypeError, ValueError
            If they cannot be used; the message names the part.
        """
        try:
            checked = read(self.model, measurements, self.loss, signed=self.signed, to_fit=False)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"in {name}: {error}") from error
        return checked.data, self._summary(checked, name) if checked.data.n else None

    def _summary(self, checked: CheckedData, name: str) -> PartSummary:
        data, backend, loss = checked.data, self.model.backend, checked.loss
        network = self.model.network_for(data.n_inputs, loss.outputs(data.n_values))
        weights = float(data.n if data.weights is None else np.sum(backend.to_host(data.weights)))
        counts = backend.to_host(data.y).sum(axis=-1) if loss.target_kind == "class" else np.empty(0)
        arrays = {"errors of y": data.inverse_error, "weights": data.weights, "auxiliary values": data.auxiliary}
        return PartSummary(
            name=name,
            n=data.n,
            n_inputs=data.n_inputs,
            n_values=data.n_values,
            loss=loss,
            known=checked.errors_known,
            has=tuple(of for of, a in arrays.items() if a is not None),
            y_was_column=data.y_was_column,
            columns_of_event=data.columns_of_event,
            input_names=data.input_names,
            target_names=data.target_names,
            moments=moments_of(network, backend, data, loss),
            weights=weights,
            classes=counts,
            checksum=_checksum(leaves(data).values()),
        )


def leaves(data: Dataset) -> dict[str, Array]:
    """Return the arrays of data with a column for each event, or several, by name."""
    names = ("inputs", "y", "inverse_error", "auxiliary", "weights", "x_error")
    return {name: a for name in names if (a := getattr(data, name)) is not None}


def _checksum(arrays: Iterable[HostArray]) -> str:
    """Return a checksum of all values."""
    total = hashlib.blake2b(digest_size=16)
    for a in arrays:
        total.update(np.ascontiguousarray(a).data)
    return total.hexdigest()


class Parts(ABC):
    """Events in parts, wherever these are.

    Attributes
    ----------
    summaries : sequence of PartSummary
        Of what was read, in order, where there are events.
    sizes : sequence of int
        Events of each part that tasks are called for.
    """

    summaries: Sequence[PartSummary]
    sizes: Sequence[int]

    def __reduce__(self) -> NoReturn:
        raise TypeError("events in parts stay where they are, and cannot be pickled with a fit: save the model")

    @abstractmethod
    def each(
        self,
        problem: ProblemWithoutData,
        task: Callable[..., Result],
        args: tuple[Any, ...] = (),
        of_parts: Sequence[tuple[Any, ...]] | None = None,
    ) -> list[Result]:
        """Return the results of a function of each part's problem, in the order of the parts.

        Parameters
        ----------
        problem : ProblemWithoutData
            The problem; one object for all calls that it is the same in.
        task : callable
            A function at the top of a module, called with the problem of a part and the arguments.
        args : tuple
            Arguments for all parts.
        of_parts : sequence of tuple, optional
            Further arguments for each part.
        """

    def each_objective(
        self, problem: ProblemWithoutData, raw: bool, task: Callable[..., Result], args: tuple[Any, ...]
    ) -> list[Result]:
        """Return the results of a function of each part's objective, in raw or standardised units, as `each` does."""
        return self.each(problem, _with_objective, (raw, task, *args))

    @property
    @abstractmethod
    def where(self) -> str:
        """The place of the parts, for messages."""

    def summary(self) -> PartSummary:
        """Return the summary of all parts.

        Raises
        ------
        ValueError
            If there is no event, or the parts do not go together; the message names two that differ.
        """
        if not self.summaries:
            raise ValueError("`x` holds no events: a fit needs at least one row")
        first = self.summaries[0]
        for other in self.summaries[1:]:
            for what, value in first.kind.items():
                if other.kind[what] != value:
                    raise ValueError(
                        f"all parts must have the same {what}, got {value} in {first.name} and {other.kind[what]} in "
                        f"{other.name}"
                    )
        total = replace(
            first,
            n=sum(s.n for s in self.summaries),
            moments=reduce(add, (s.moments for s in self.summaries)),
            weights=sum(s.weights for s in self.summaries),
            classes=np.sum([s.classes for s in self.summaries], axis=0),
            checksum=hashlib.sha256("".join(s.checksum for s in self.summaries).encode()).hexdigest(),
        )
        if not total.weights > 0:
            raise ValueError("`weights` must have a positive sum: otherwise there is no minimum")
        if missing := np.flatnonzero(total.classes == 0).tolist():
            raise ValueError(f"`y` must hold events of each class, got none of class {missing[0]}")
        return total


def _with_objective(problem: Any, raw: bool, task: Callable[..., Result], *args: Any) -> Result:
    """Call a task with the objective of a part."""
    return task(problem.objective_in(raw), *args)


@dataclass(frozen=True)
class DataInParts:
    """The data of a fit whose events are in parts: their numbers and names. Asked for events, it says where they are.

    Attributes
    ----------
    n, n_inputs, n_values, weighted, y_was_column, columns_of_event, input_names, target_names, bins, nodes
        As those of `Dataset`.
    where : str
        Where the events are.
    checksum : str
        A checksum of all values.
    """

    n: int
    n_inputs: int
    n_values: int
    weighted: bool
    y_was_column: bool
    columns_of_event: int
    input_names: tuple[str, ...] | None
    target_names: tuple[str, ...] | None
    where: str
    checksum: str
    bins: None = None
    nodes: None = None

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise TypeError(
            f"this needs all {self.n} events at once, and they are in parts, {self.where}: fit a sample of them that "
            "fits into memory for pictures, pulls, toys and bands by replicas"
        )
