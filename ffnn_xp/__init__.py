"""Fit small neural networks the way physicists fit everything else: with MINUIT, on any array library."""

from ffnn_xp import export as export
from ffnn_xp._lib.errors import (
    BackendFallbackWarning,
    BackendUnavailableError,
    FfnnXpWarning,
    FileFormatError,
    FitWarning,
    NotFittedError,
    WorkerError,
)
from ffnn_xp._lib.version import __version__ as __version__
from ffnn_xp.backends import Backend, get_backend, to_numpy
from ffnn_xp.costs import Binomial, LeastSquares, Multinomial, Normal, PlusFunction, Poisson
from ffnn_xp.data import Bins
from ffnn_xp.distributed import EventFiles
from ffnn_xp.fitting import FitState, Restart
from ffnn_xp.losses import HuberLoss, Loss, SoftL1Loss, StudentTLoss
from ffnn_xp.model import Ensemble, FitResult, Model, load
from ffnn_xp.network import Activation
from ffnn_xp.objective import GaussianPrior
from ffnn_xp.studies import Classification, Coverage, Goodness, Interval, Report

__all__ = [
    "Activation",
    "Backend",
    "BackendFallbackWarning",
    "BackendUnavailableError",
    "Binomial",
    "Bins",
    "Classification",
    "Coverage",
    "Ensemble",
    "EventFiles",
    "FfnnXpWarning",
    "FileFormatError",
    "FitResult",
    "FitState",
    "FitWarning",
    "GaussianPrior",
    "Goodness",
    "HuberLoss",
    "Interval",
    "LeastSquares",
    "Loss",
    "Model",
    "Multinomial",
    "Normal",
    "NotFittedError",
    "PlusFunction",
    "Poisson",
    "Report",
    "Restart",
    "SoftL1Loss",
    "StudentTLoss",
    "WorkerError",
    "get_backend",
    "load",
    "to_numpy",
]


def __dir__() -> list[str]:
    """Return the public names, without the packages behind them."""
    return list(__all__)
