"""Fit small neural networks the way physicists fit everything else: with MINUIT, on any array library."""

from ffnn_xp._lib.errors import (
    BackendFallbackWarning,
    BackendUnavailableError,
    FfnnXpWarning,
    FileFormatError,
    FitWarning,
    NotFittedError,
)
from ffnn_xp.backends import Backend, get_backend, to_numpy
from ffnn_xp.costs.catalogue import Binomial, LeastSquares, Multinomial, Normal, Poisson
from ffnn_xp.costs.plus_function import PlusFunction
from ffnn_xp.data.bins import Bins
from ffnn_xp.fitting.multistart import FitState
from ffnn_xp.io import load
from ffnn_xp.losses import HuberLoss, SoftL1Loss, StudentTLoss
from ffnn_xp.model.ensemble import Ensemble
from ffnn_xp.model.model import Model
from ffnn_xp.model.result import FitResult
from ffnn_xp.network import Activation
from ffnn_xp.objective import GaussianPrior
from ffnn_xp.studies import Classification, Coverage, Goodness, Interval, Report

__version__ = "0.1.0"

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
    "Model",
    "Multinomial",
    "Normal",
    "NotFittedError",
    "PlusFunction",
    "Poisson",
    "Report",
    "SoftL1Loss",
    "StudentTLoss",
    "get_backend",
    "load",
    "to_numpy",
]
