"""The options of a fit and of replicas, checked where they are made, and then carried as one object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp._lib.journal import check_file
from ffnn_xp._lib.limits import deadline_of
from ffnn_xp._lib.typing import HostArray, PathLike
from ffnn_xp._lib.validation import Seed, is_number, is_whole_number, seed_numbers, whole_number
from ffnn_xp.fitting.tuning import DEFAULT_TUNING, Tuning
from ffnn_xp.fitting.workers import Workers
from ffnn_xp.losses import LossLike, get_loss
from ffnn_xp.minimizers import MINIMIZERS, Minimizer, get_minimizer

SMALLEST_PRIOR = 1e-8  # widths below hold all weights at zero to all digits, and nothing else has any left
COVARIANCES = ("hessian", "sandwich")
KINDS = ("toys", "bootstrap")


@dataclass(frozen=True, kw_only=True)
class StatisticalOptions:
    """Options that fits and replicas have in common.

    Attributes
    ----------
    loss : str, Loss or callable
        The statistic.
    prior : float, "auto" or None
        Width of the prior on the standardised weights; "auto" is chosen by a fit, and that of the fit in replicas.
    covariance : {"hessian", "sandwich"}
        Whether errors are those of the likelihood, or come from the scatter of the data.
    seed : int, sequence of int or None
        Seed of everything random.
    max_seconds : float or None
        Time after which the best so far is returned.
    executor : concurrent.futures.Executor or None
        Whose workers do what can be done side by side; None is this process.
    checkpoint : path-like or None
        File that keeps what is done, so that the same call goes on from there.
    tuning : Tuning
        The tuned numbers of all algorithms.
    """

    loss: LossLike = "least_squares"
    prior: Any = "auto"
    covariance: str = "hessian"
    seed: Seed = None
    max_seconds: float | None = None
    executor: Executor | None = None
    checkpoint: PathLike | None = None
    tuning: Tuning = DEFAULT_TUNING

    @property
    def own_minimizer(self) -> Minimizer | None:
        """The minimizer that replaces the local search, if the user gave one."""
        return None

    def __post_init__(self) -> None:
        """Check each option."""
        if self.covariance not in COVARIANCES:
            raise ValueError(f"unknown covariance {self.covariance!r}: {did_you_mean(self.covariance, COVARIANCES)}")
        get_loss(self.loss)
        self._check_prior()
        object.__setattr__(self, "seed", seed_numbers(self.seed))
        deadline_of(self.max_seconds, began=0.0)
        Workers(self.executor)
        if self.checkpoint is not None:
            check_file(self.checkpoint)

    @property
    def signed_weights(self) -> bool:
        """True if weights may be negative, since errors come from the scatter of the data."""
        return self.covariance == "sandwich"

    @property
    def prior_width(self) -> float | None:
        """The width of the prior, where it is one number."""
        return float(self.prior) if is_number(self.prior) else None

    def _check_prior(self) -> None:
        if isinstance(self.prior, str):
            if self.prior != "auto":
                hint = did_you_mean(self.prior, ["auto"])
                raise ValueError(f"`prior` must be a positive width, None or 'auto', got {self.prior!r}: {hint}")
            return
        check_prior_width(self.prior)


@dataclass(frozen=True, kw_only=True)
class FitOptions(StatisticalOptions):
    """Options of one fit; see `Model.fit`.

    Attributes
    ----------
    restarts : int or "auto"
        Number of starts.
    minimizer : str or Minimizer
        "auto", or a minimizer by name or as an object.
    callback : callable or None
        Called with a `FitState` at each improvement.
    start : array with shape (p,) or None
        The first start, in raw units on the host.
    """

    restarts: int | str = "auto"
    minimizer: str | Minimizer = "auto"
    callback: Callable[[Any], bool | None] | None = None
    start: HostArray | None = None

    def __post_init__(self) -> None:
        """Check each option."""
        super().__post_init__()
        _check_minimizer(self.minimizer)
        if self.restarts != "auto" and not is_whole_number(self.restarts, 1):
            raise ValueError(f"`restarts` must be 'auto' or a positive integer, got {self.restarts!r}")
        if self.callback is not None and not callable(self.callback):
            raise TypeError(f"`callback` must be a function of a FitState, got {self.callback!r}")

    @property
    def own_minimizer(self) -> Minimizer | None:
        """The minimizer that replaces the local search, if the user gave one."""
        return None if self.minimizer == "auto" else get_minimizer(self.minimizer)


@dataclass(frozen=True, kw_only=True)
class ReplicaOptions(StatisticalOptions):
    """Options of a batch of replicas; see `Model.fit_replicas`. A sequence of priors makes one replica of each.

    Attributes
    ----------
    kind : {"toys", "bootstrap"}
        What the replicas are.
    number : int
        How many.
    """

    kind: str = "toys"
    number: int = 200

    def __post_init__(self) -> None:
        """Check each option."""
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of replicas {self.kind!r}: {did_you_mean(self.kind, KINDS)}")
        whole_number(self.number, "number", 1)
        super().__post_init__()
        if self.covariance == "sandwich" and self.kind != "bootstrap":
            raise ValueError(
                "covariance='sandwich' takes errors from the scatter of the data, which only bootstrap copies have: "
                "use kind='bootstrap'"
            )

    @property
    def priors(self) -> list[float] | None:
        """The widths, where the replicas are those of a sequence of priors."""
        if isinstance(self.prior, Sequence | np.ndarray) and np.ndim(self.prior) == 1:
            return [float(tau) for tau in self.prior]
        return None

    @property
    def signed_weights(self) -> bool:
        """True if weights may be negative, since a bootstrap takes errors from the scatter of the data."""
        return self.kind == "bootstrap"

    def _check_prior(self) -> None:
        many = isinstance(self.prior, Sequence | np.ndarray) and np.ndim(self.prior) == 1
        if many and not len(self.prior):
            raise ValueError("`prior` can be a sequence only for one set of measured values, and must not be empty")
        if not many:
            super()._check_prior()
        for tau in self.prior if many else ():
            check_prior_width(tau, allow_none=False)


def check_prior_width(prior: object, *, allow_none: bool = True) -> None:
    """Raise a ValueError for anything but a width of a prior."""
    if prior is None and allow_none:
        return
    if not (is_number(prior) and 0 < prior < np.inf):  # type: ignore[operator]
        raise ValueError(f"`prior` must be a positive width of the standardised weights, or None, got {prior!r}")
    if prior < SMALLEST_PRIOR:  # type: ignore[operator]
        raise ValueError(
            f"`prior` must be at least {SMALLEST_PRIOR:g}, got {prior!r}: it is the width of the standardised weights, "
            "near 1, and so small a one lets nothing but a constant through"
        )


def _check_minimizer(minimizer: Any) -> None:
    if isinstance(minimizer, str):
        if minimizer not in ("auto", *MINIMIZERS):
            raise ValueError(f"unknown minimizer {minimizer!r}: {did_you_mean(minimizer, ['auto', *MINIMIZERS])}")
    else:
        get_minimizer(minimizer)
