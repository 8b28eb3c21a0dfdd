"""Statistics, each with its derivatives, its pulls, its toys, and its estimate of errors of y.

| data | loss |
| --- | --- |
| measured values with errors, known or not | "least_squares" |
| measured values at inputs with errors | "least_squares", with x_err |
| measured values, some of them wrong by many sigma | "soft_l1", "huber", "student_t", or a function of squared pulls |
| values whose width changes in an unknown way | "normal": the network predicts mean and log width |
| counts | "poisson", with output="exp" or another positive one |
| k out of N; yes or no | "binomial", with output="logistic" |
| one of k classes | "multinomial", with output="softmax" |

To add a statistic, write one file with a subclass of `Loss` (`base`); if users name it, add it to `LOSSES` here. Of
correlated values (`correlated`, `block_correlated`), uncertain inputs (`effective_variance`), contents of bins
(`integrated`) and sums with a function (`added`) users need no names; the last two wrap another one (`wrapped`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp.losses.added import AddedLoss
from ffnn_xp.losses.base import Data, Loss
from ffnn_xp.losses.binomial import BinomialLoss
from ffnn_xp.losses.block_correlated import BlockCorrelatedLoss
from ffnn_xp.losses.callable_loss import CallableLoss
from ffnn_xp.losses.correlated import CorrelatedLoss
from ffnn_xp.losses.effective_variance import EffectiveVarianceLoss
from ffnn_xp.losses.huber import HuberLoss
from ffnn_xp.losses.integrated import IntegratedLoss
from ffnn_xp.losses.least_squares import LeastSquaresLoss
from ffnn_xp.losses.multinomial import MultinomialLoss
from ffnn_xp.losses.normal import NormalLoss
from ffnn_xp.losses.poisson import PoissonLogLoss, PoissonLoss, WeightedPoissonLoss
from ffnn_xp.losses.scatter import ScatterLoss
from ffnn_xp.losses.soft_l1 import SoftL1Loss
from ffnn_xp.losses.student_t import StudentTLoss

__all__ = [
    "LOSSES",
    "AddedLoss",
    "BinomialLoss",
    "BlockCorrelatedLoss",
    "CallableLoss",
    "CorrelatedLoss",
    "Data",
    "EffectiveVarianceLoss",
    "HuberLoss",
    "IntegratedLoss",
    "LeastSquaresLoss",
    "Loss",
    "LossLike",
    "MultinomialLoss",
    "NormalLoss",
    "PoissonLogLoss",
    "PoissonLoss",
    "ScatterLoss",
    "SoftL1Loss",
    "StudentTLoss",
    "WeightedPoissonLoss",
    "get_loss",
]

LOSSES: Mapping[str, Loss] = {
    loss.name: loss
    for loss in (
        LeastSquaresLoss(),
        SoftL1Loss(),
        HuberLoss(),
        StudentTLoss(),
        NormalLoss(),
        PoissonLoss(),
        BinomialLoss(),
        MultinomialLoss(),
    )
}
"""The statistics by the names that users give."""

ALIASES: Mapping[str, str] = {"linear": "least_squares"}
"""Names of iminuit and SciPy for statistics that have another one here."""


LossLike: TypeAlias = str | Loss | Callable[[Any], Any]
"""The kinds of `loss` that users may give: a name, a `Loss`, or a function of squared pulls."""


def get_loss(name: LossLike) -> Loss:
    """Return the loss of this name, or the one that is given, such as ``StudentTLoss(nu=3)``.

    A function of squared pulls, as iminuit and SciPy take one, becomes a `CallableLoss`.

    Raises
    ------
    TypeError, ValueError
        If it is no loss, or the name is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> get_loss("least_squares").errordef
    1.0
    >>> get_loss(StudentTLoss(nu=3)).name, get_loss("linear").name, get_loss(np.log1p).name
    ('student_t', 'least_squares', 'callable')
    """
    if isinstance(name, Loss):
        return name
    if callable(name) and not isinstance(name, type):
        return CallableLoss(name)
    if not isinstance(name, str):
        raise TypeError(
            f"`loss` must be a name, a Loss such as StudentTLoss(nu=3), or a function of squared pulls, got {name!r}"
        )
    name = ALIASES.get(name, name)
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}: {did_you_mean(name, [*ALIASES, *LOSSES])}")
    return LOSSES[name]
