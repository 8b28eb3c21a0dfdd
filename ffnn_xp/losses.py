r"""Per-event statistics, each with its first and second derivative in the network's output.

A loss sees the output y and its data, all ``(..., k, n)``, and returns one number per value; the objective sums.
``errordef`` is MINUIT's: the rise of S that makes one standard deviation (1 for chi-square, 1/2 for -log L).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ._typing import Array, Namespace
from .errors import did_you_mean


class Loss(Protocol):
    """What the objective asks of a statistic. `data` is what the loss itself wants to see of each event."""

    @property
    def name(self) -> str:
        """What it is called in files and in text."""

    @property
    def errordef(self) -> float:
        """Rise of S at one standard deviation."""

    def value(self, xp: Namespace, y: Array, data: tuple[Array, ...]) -> Array:
        """s of each value, ``(..., k, n)``."""

    def first(self, xp: Namespace, y: Array, data: tuple[Array, ...]) -> Array:
        """ds/dy, ``(..., k, n)``."""

    def value_and_first(self, xp: Namespace, y: Array, data: tuple[Array, ...]) -> tuple[Array, Array]:
        """Both, with what they share computed once: this is what a walk asks for."""

    def second(self, xp: Namespace, y: Array, data: tuple[Array, ...]) -> Array:
        """d2s/dy2, ``(..., k, n)``; the outputs do not mix."""


@dataclass(frozen=True)
class LeastSquaresLoss:
    r"""Chi-square with known errors, :math:`s = ((y - t)/\sigma)^2`; its data are t and :math:`1/\sigma`.

    Examples
    --------
    >>> import numpy as np
    >>> float(LeastSquaresLoss().value(np, np.array(3.0), (np.array(2.0), np.array(2.0))))
    4.0
    """

    name: str = "least_squares"
    errordef: float = 1.0

    def value(self, xp: Namespace, y: Array, data: tuple[Array, ...]) -> Array:
        """The squared pull."""
        pull = (y - data[0]) * data[1]
        return pull * pull

    def first(self, xp: Namespace, y: Array, data: tuple[Array, ...]) -> Array:
        """Twice the pull over the error."""
        target, inverse_error = data
        return 2 * (y - target) * (inverse_error * inverse_error)

    def value_and_first(self, xp: Namespace, y: Array, data: tuple[Array, ...]) -> tuple[Array, Array]:
        """The squared pull, and twice the pull over the error."""
        pull = (y - data[0]) * data[1]
        first = pull * data[1]
        first *= 2
        return pull * pull, first

    def second(self, xp: Namespace, y: Array, data: tuple[Array, ...]) -> Array:
        """Twice the inverse variance."""
        return 2 * data[1] * data[1]


LOSSES: Mapping[str, Loss] = {"least_squares": LeastSquaresLoss()}


def loss(name: str) -> Loss:
    """The loss of this name.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> loss("least_squares").errordef
    1.0
    """
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}: {did_you_mean(name, LOSSES)}")
    return LOSSES[name]
