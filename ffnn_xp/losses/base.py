r"""What a statistic is: one number for each measured value, its derivatives, and what belongs to them.

S is the sum over events of :math:`s(y, t)`, y the network's output and t what was measured, all as columns
``(..., k, n)``. ``errordef`` is MINUIT's: the rise of S that makes one standard deviation.

Some statistics are computed from what stands before the network's last nonlinearity, their `link`: a count's
:math:`\log\mu` rather than :math:`\mu`, a probability's logit. It is the same S, but exact where the output is zero or
one to all digits, and its second derivative is never negative.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from ffnn_xp._lib.typing import Array, Namespace

Data = tuple[Array, ...]
"""What a statistic wants to see of each event: its own columns, made by `Loss.columns`."""


class Loss(ABC):
    """A statistic with its derivatives in the output, and pulls."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in files and in text."""

    @property
    def display_name(self) -> str:
        """What S is called."""
        return "-2 log L"

    @property
    def errordef(self) -> float:
        """Rise of S at one standard deviation: 1 for a chi-square and for -2 log L."""
        return 1.0

    @property
    def link(self) -> str | None:
        """The output nonlinearity that the statistic contains: it then sees what stands before it."""
        return None

    @property
    def target_kind(self) -> str:
        """What y may be: "real"; a "count"; a "part" of so many trials; a "class", as counts or shares."""
        return "real"

    @property
    def auxiliary(self) -> str | None:
        """What else belongs to each value: "y_err", "y_cov", "exposure", "trials"."""
        return None

    @property
    def is_chi_square(self) -> bool:
        """Whether S is a chi-square, so that its size tells how good a fit is."""
        return False

    @property
    def coupled_outputs(self) -> bool:
        """Whether the outputs of an event mix: then second derivatives are ``(..., k, k, n)``."""
        return False

    @property
    def has_linear_operator(self) -> bool:
        """Whether it sees linear combinations of outputs, made by `linear_operator`."""
        return False

    @property
    def needs_float64(self) -> bool:
        """Whether it takes differences that single precision would lose."""
        return False

    @property
    def as_measured(self) -> bool:
        """Whether `columns` in raw units are y and `auxiliary` themselves, which need not be copied then."""
        return False

    @property
    def separable(self) -> bool:
        """Whether S is a sum over events, so that it can be computed chunk by chunk; else all events are needed at once."""
        return True

    @abstractmethod
    def value_and_first(self, xp: Namespace, y: Array, data: Data) -> tuple[Array, Array]:
        """s and ds/dy of each value, with what they share computed once: this is what a walk asks for."""

    @abstractmethod
    def second(self, xp: Namespace, y: Array, data: Data) -> Array:
        """d2s/dy2, ``(..., k, n)``; where outputs mix ``(..., k, k, n)``."""

    @abstractmethod
    def columns(self, xp: Namespace, y: Array, auxiliary: Array | None, shift: Array, scale: Array) -> Data:
        """What the other methods want to see, for an output that is standardised: y = scale times it, plus shift.

        Parameters
        ----------
        y, extra : array with shape (..., k, n)
            What was measured, and what belongs to it.
        shift, scale : array with shape (k, 1)
            Of the output, or of what stands before the `link`.
        """

    @abstractmethod
    def pulls(self, xp: Namespace, y: Array, measured: Array, auxiliary: Array | None) -> Array:
        """(measured - predicted) over the standard deviation that the statistic gives it, ``(..., k, n)``."""

    def value(self, xp: Namespace, y: Array, data: Data) -> Array:
        """s of each value."""
        return self.value_and_first(xp, y, data)[0]

    def first(self, xp: Namespace, y: Array, data: Data) -> Array:
        """ds/dy of each value, ``(..., k, n)``."""
        return self.value_and_first(xp, y, data)[1]

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Like `second`, but never negative: its expectation, or what makes a step of Gauss and Newton a descent."""
        return self.second(xp, y, data)

    def root(self, xp: Namespace, y: Array, data: Data) -> Array:
        """R with `fisher` = R R^T, ``(..., k, k, n)``; asked for where outputs mix."""
        raise NotImplementedError(f"the outputs of {self.name} do not mix")

    def linear_operator(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Linear combinations of the outputs; the first of them are what was measured."""
        return y

    def adjoint(self, xp: Namespace, u: Array, data: Data) -> Array:
        """The transpose of `linear_operator`."""
        return u

    def diagonal_fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """A diagonal like `fisher`'s in the outputs themselves, for coordinates, where it `has_linear_operator`."""
        return self.fisher(xp, y, data)

    def outputs(self, values: int) -> int:
        """Number of outputs that a network needs for so many measured values of an event."""
        return values

    def ndof_per_event(self, values: int) -> int:
        """How many of the measured values of an event can vary by themselves."""
        return values

    def for_output(self, output: str) -> Loss:
        """The same statistic for a network with this output nonlinearity.

        Raises
        ------
        ValueError
            If the output has a range that the statistic has no use for.
        """
        return self
