"""The meaning of the options of a fit: columns of inputs, targets, errors and weights, the network, and the fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ffnn_xp.cli.categories import Categories, find_categories, input_names, inputs
from ffnn_xp.cli.columns import choose_columns, column_or_number, error_values, input_errors, parts, rows_in_use
from ffnn_xp.cli.tables import Frame, numbers, place, read_table
from ffnn_xp.data import Measurements
from ffnn_xp.losses import get_loss
from ffnn_xp.model import FitResult, Model

ROLES = {
    "weights": "weight",
    "exposure": "exposure",
    "trials": "number of trials",
    "mask": "mask",
    "x-err": "error of an input",
    "error": "target error",
    "target": "target",
}
"""Options that name columns which cannot be inputs, and what these columns are."""

_ROW = re.compile(r"in row (\d+)")


@dataclass(frozen=True)
class FitData:
    """The data of a fit, read from a table.

    Attributes
    ----------
    frame : DataFrame
        The rows in use.
    measurements : Measurements
        What is fitted.
    columns, names : list of str
        The columns that inputs come from, and the names of the inputs; they differ for categories.
    categories : mapping of str to list of str
        The values of columns of categories.
    left_out : mapping of str to str
        Columns that are no inputs since they are not numeric, with the reason.
    """

    frame: Frame
    measurements: Measurements
    columns: list[str]
    names: list[str]
    categories: Categories
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class FitRequest:
    """A requested fit: its data, network and options, as `fit` or a run card has them, checked where it is made.

    Attributes
    ----------
    card : mapping of str to Any
        The options by their names.
    layers : tuple of int
        Units of the hidden layers.
    activation : str or list of str
        One name, or one for each hidden layer.
    prior, restarts
        As `Model.fit` takes them.
    """

    card: Mapping[str, Any]
    layers: tuple[int, ...]
    activation: str | list[str]
    prior: float | str | None
    restarts: int | str

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> FitRequest:
        """Return the request of these options.

        Raises
        ------
        ValueError
            If one has no meaning.
        """
        get_loss(card["loss"])  # unknown names are refused before the table is read
        names = parts([card["activation"]])
        return cls(
            card,
            parse_layers(card["layers"]),
            names if "," in card["activation"] else card["activation"],
            parse_prior(card["prior"]),
            parse_restarts(card["restarts"]),
        )

    @property
    def targets(self) -> list[str]:
        """The columns to describe."""
        return self._several("target")

    def read(self, categories: Categories | None = None) -> FitData:
        """Read the table; categories are those of a saved network, by default those that the rows in use have.

        Raises
        ------
        OSError, ValueError
            If the table cannot be read, a column is missing, does not hold numbers, or an error is not positive.
        """
        frame = rows_in_use(read_table(self.card["table"]), self.card.get("mask"))
        of_categories = parts(self._several("categorical"))
        columns, left_out = choose_columns(
            frame, self.targets, self._roles(frame), self._several("inputs"), of_categories
        )
        if categories is None:
            categories = find_categories(frame, of_categories)
        names = input_names(columns, categories)
        return FitData(frame, self._measurements(frame, columns, categories), columns, names, categories, left_out)

    def model(self, d: int) -> Model:
        """Return a new model for d inputs."""
        where = {name: self.card.get(name) for name in ("output", "backend", "device", "dtype", "seed")}
        return Model((d, *self.layers, None), activation=self.activation, **where)  # type: ignore[arg-type]

    def fit(self, model: Model, data: FitData, **others: Any) -> FitResult:
        """Fit a model to the data; messages count rows as the table does."""
        options: dict[str, Any] = {name: self.card[name] for name in ("loss", "covariance")}
        options |= {"prior": self.prior, "restarts": self.restarts, "max_seconds": self.card.get("max-seconds")}
        with rows_of(data.frame):
            return model.fit(**vars(data.measurements), **(options | others))

    def _roles(self, frame: Frame) -> dict[str, str]:
        """Return the roles of the columns that cannot be inputs, by name."""
        of_names = {
            name: option for option in ROLES for name in self._several(option) if name in frame.columns and name
        }
        return {name: ROLES[option] for name, option in of_names.items()}

    def _several(self, option: str) -> list[str]:
        """Return the values of an option; a card has a single one as it is."""
        value = self.card.get(option, [])
        return [value] if isinstance(value, str) else list(value)

    def _measurements(self, frame: Frame, columns: Sequence[str], categories: Categories) -> Measurements:
        y = numbers(frame, self.targets)
        each = {
            name: column_or_number(frame, self.card[name], f"--{name}")
            for name in ("weights", "exposure", "trials")
            if name in self.card
        }
        x = inputs(frame, columns, categories)
        return Measurements(
            x,
            y[:, 0] if len(self.targets) == 1 else y,
            error_values(frame, self._several("error"), len(self.targets)),
            x_err=input_errors(frame, self._several("x-err"), x.shape[1]),
            **each,
        )


def output_names(targets: Sequence[str], loss: str, k: int) -> list[str]:
    """Return names for k outputs: the targets and their predicted widths, or the classes of one target."""
    if k == len(targets):
        return list(targets)
    if get_loss(loss).outputs(len(targets)) == k:
        return [*targets, *(f"{t}_log_width" for t in targets)]
    return [f"{targets[0]}_{i}" for i in range(k)]


@contextmanager
def rows_of(frame: Frame) -> Iterator[None]:
    """Name rows in messages of the library, which counts those that it was given, as their table does."""
    try:
        yield
    except ValueError as error:
        text = _ROW.sub(lambda found: f"in {place(frame, int(found[1]))}", str(error))
        if text == str(error):
            raise
        raise ValueError(text) from error


def parse_layers(text: str, option: str = "--layers") -> tuple[int, ...]:
    """Parse widths of the hidden layers, such as ``8,7``."""
    try:
        widths = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        widths = (0,)
    if any(h < 1 for h in widths):
        raise ValueError(f"{option} must be positive integers with commas between, such as 8,7; got {text!r}")
    return widths


def parse_restarts(text: str) -> int | str:
    """Parse a number of starts, or ``auto``."""
    if text != "auto" and not (text.isdecimal() and int(text) > 0):
        raise ValueError(f"--restarts must be auto or a positive integer, got {text!r}")
    return text if text == "auto" else int(text)


def parse_prior(text: str) -> float | str | None:
    """Parse a width of the prior, ``auto``, or ``none``."""
    if text in ("auto", "none"):
        return text if text == "auto" else None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--prior must be auto, none or a positive width, got {text!r}") from None
