"""Keyword arguments of scikit-learn's MLPRegressor and MLPClassifier, so that their scripts run here.

An argument with an equivalent is honoured: `alpha` is the width of the prior, `solver` the minimizer, `max_iter` the
limit of its steps. One without is refused where it is given, with a sentence of what to do.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from ffnn_xp._lib.validation import is_number, whole_number
from ffnn_xp.fitting import DEFAULT_TUNING, Tuning
from ffnn_xp.minimizers import ConjugateGradients, Minimizer, get_minimizer

_STOCHASTIC = "it is an option of stochastic gradient descent, and here each step takes all rows: leave it out"
_HELD_OUT = "prior='auto', the default, chooses by rows that are held out how smooth the network is: leave it out"
_CERTIFIED = "a fit ends where MINUIT certifies a minimum: leave it out, or limit a fit by `max_iter` or `max_seconds`"

REFUSED = {
    **dict.fromkeys(("batch_size", "learning_rate", "learning_rate_init", "power_t", "shuffle"), _STOCHASTIC),
    **dict.fromkeys(("momentum", "nesterovs_momentum", "beta_1", "beta_2", "epsilon"), _STOCHASTIC),
    **dict.fromkeys(("early_stopping", "validation_fraction"), _HELD_OUT),
    **dict.fromkeys(("tol", "n_iter_no_change"), _CERTIFIED),
    "max_fun": "`max_iter` limits the steps: leave it out",
}
"""Arguments of scikit-learn's networks that have no equivalent, and what to do."""

LIMITS = ("max_iterations", "max_rounds", "max_evaluations", "max_calls", "evaluations", "last_evaluations")
"""Fields of the minimizers, and of what runs them, that limit the steps of one minimization."""

SEARCHES = ("local_search", "halving", "hopping", "path")
"""Fields of `Tuning` that are the minimizations of a fit; those of its studies have limits of their own."""

PRIOR_OF_FEW = 1.0  # then each unit's input varies as much as a standardised input does, whatever the rows say

Init = TypeVar("Init", bound=Callable[..., None])


def refusing_others(init: Init) -> Init:
    """Decorate a constructor: arguments of scikit-learn's networks that it cannot honour raise a TypeError."""

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **options: Any) -> None:
        for name in options.keys() & REFUSED.keys():
            raise TypeError(f"{type(self).__name__} has no option `{name}`: {REFUSED[name]}")
        init(self, *args, **options)

    return checked  # type: ignore[return-value]


def prior_of(prior: Any, alpha: Any, *, too_few: bool) -> Any:
    """Return the prior of a fit: as it is given, from scikit-learn's penalty `alpha`, or by default for too few rows.

    Raises
    ------
    ValueError
        If both are given, or `alpha` is negative.

    Examples
    --------
    >>> prior_of("auto", None, too_few=False), prior_of("auto", None, too_few=True), prior_of(2.0, None, too_few=True)
    ('auto', 1.0, 2.0)
    >>> prior_of("auto", 0.25, too_few=False), prior_of("auto", 0, too_few=False)
    (2.0, None)
    """
    automatic = isinstance(prior, str) and prior == "auto"
    if alpha is None:
        return PRIOR_OF_FEW if automatic and too_few else prior
    if not automatic:
        raise ValueError(f"give `prior` or `alpha`, not both: got prior={prior!r} and alpha={alpha!r}")
    if not (is_number(alpha) and 0 <= alpha < math.inf):
        raise ValueError(f"`alpha` must be 0 or positive, and finite, got {alpha!r}")
    return float(alpha) ** -0.5 if alpha else None


def minimizer_of(solver: Any, max_iter: Any) -> str | Minimizer:
    """Return the minimizer of this name, or the object that was given, with at most `max_iter` steps.

    Raises
    ------
    ValueError
        For scikit-learn's stochastic solvers, for unknown names, and for limits of a minimizer that has none.
    TypeError
        If it is no minimizer.

    Examples
    --------
    >>> minimizer_of("lbfgs", 7).max_iterations, minimizer_of("auto", 7)
    (7, 'auto')
    """
    if isinstance(solver, str) and solver in ("adam", "sgd"):
        raise ValueError(
            f"solver={solver!r} is stochastic gradient descent, which has no minimum to certify: leave `solver` "
            "out, or use 'lbfgs'"
        )
    if isinstance(solver, str) and solver == "auto":
        return solver
    minimizer: Any = get_minimizer(solver)
    if max_iter is None:
        return minimizer  # type: ignore[no-any-return]
    if not (is_dataclass(minimizer) and any(f.name in LIMITS for f in fields(minimizer))):
        raise ValueError(f"`max_iter` cannot limit the steps of {minimizer!r}: leave it out, and limit them there")
    return _limited(minimizer, max_iter)  # type: ignore[no-any-return]


def tuning_of(max_iter: Any) -> Tuning:
    """Return the tuned numbers of a fit in which no minimization takes more than `max_iter` steps.

    Examples
    --------
    >>> tuning_of(7).local_search.coarse.max_iterations, tuning_of(None) is DEFAULT_TUNING
    (7, True)
    """
    if max_iter is None:
        return DEFAULT_TUNING
    return replace(DEFAULT_TUNING, **{name: _limited(getattr(DEFAULT_TUNING, name), max_iter) for name in SEARCHES})


def _limited(numbers: Any, max_iter: Any) -> Any:
    """Return a dataclass whose limits of steps, and those of the minimizers in it, are not above `max_iter`."""
    changes, most = {}, whole_number(max_iter, "max_iter", 1)
    for f in fields(numbers):
        value = getattr(numbers, f.name)
        if f.name in LIMITS:
            changes[f.name] = min(value, most)
        elif is_dataclass(value) and not isinstance(value, ConjugateGradients):  # which compute bounds at a point
            changes[f.name] = _limited(value, most)
    return replace(numbers, **changes)
