"""Statistics: which one the data at hand ask for, each with its derivatives and pulls.

| data | loss |
| --- | --- |
| measured values with errors, known or not | "least_squares" |
| the same, at inputs with errors of their own | "least_squares", with x_err |
| measured values, some of them wrong by many sigma | "soft_l1", "huber", "student_t" |
| values whose width changes in an unknown way | "normal": the network predicts mean and log width |
| counts | "poisson", with output="exp" or another positive one |
| k out of N; yes or no | "binomial", with output="logistic" |
| one of k classes | "multinomial", with output="softmax" |
"""

from __future__ import annotations

from collections.abc import Mapping

from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp.losses.added import AddedLoss
from ffnn_xp.losses.base import Data, Loss
from ffnn_xp.losses.correlated import BlockCorrelatedLoss, CorrelatedLoss, IntegratedLoss
from ffnn_xp.losses.counts import BinomialLoss, Poisson, PoissonLogLoss, PoissonLoss
from ffnn_xp.losses.effective_variance import EffectiveVarianceLoss
from ffnn_xp.losses.multinomial import MultinomialLoss
from ffnn_xp.losses.normal import LeastSquaresLoss, Measured, NormalLoss
from ffnn_xp.losses.robust import HuberLoss, Robust, SoftL1Loss, StudentTLoss

__all__ = [
    "LOSSES",
    "AddedLoss",
    "BinomialLoss",
    "BlockCorrelatedLoss",
    "CorrelatedLoss",
    "Data",
    "EffectiveVarianceLoss",
    "HuberLoss",
    "IntegratedLoss",
    "LeastSquaresLoss",
    "Loss",
    "Measured",
    "MultinomialLoss",
    "NormalLoss",
    "Poisson",
    "PoissonLogLoss",
    "PoissonLoss",
    "Robust",
    "SoftL1Loss",
    "StudentTLoss",
    "loss",
]

LOSSES: Mapping[str, Loss] = {
    one.name: one
    for one in (
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


def loss(name: str | Loss) -> Loss:
    """The loss of this name; or the one that is given, say ``StudentTLoss(nu=3)``.

    Raises
    ------
    TypeError, ValueError
        If it is no loss, or the name is unknown.

    Examples
    --------
    >>> loss("least_squares").errordef
    1.0
    >>> loss(StudentTLoss(nu=3)).name
    'student_t'
    """
    if isinstance(name, Loss):
        return name
    if not isinstance(name, str):
        raise TypeError(f"`loss` must be a name or a Loss such as StudentTLoss(nu=3), got {name!r}")
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}: {did_you_mean(name, LOSSES)}")
    return LOSSES[name]
