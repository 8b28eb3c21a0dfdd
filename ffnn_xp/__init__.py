"""Fit small neural networks the way physicists fit everything else: with MINUIT, on any array library."""

from .activations import Activation
from .backends import Backend, get_backend, to_numpy
from .bins import Bins
from .costs import Binomial, LeastSquares, Multinomial, Normal, Poisson
from .errors import (
    BackendFallbackWarning,
    BackendUnavailableError,
    FfnnXpWarning,
    FileFormatError,
    FitWarning,
    NotFittedError,
)
from .files import load
from .losses import HuberLoss, SoftL1Loss, StudentTLoss
from .model import Model
from .parametric import PlusFunction
from .prior import GaussianPrior
from .result import FitResult
from .walk import FitState

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "Backend",
    "BackendFallbackWarning",
    "BackendUnavailableError",
    "Binomial",
    "Bins",
    "FfnnXpWarning",
    "FileFormatError",
    "FitResult",
    "FitState",
    "FitWarning",
    "GaussianPrior",
    "HuberLoss",
    "LeastSquares",
    "Model",
    "Multinomial",
    "Normal",
    "NotFittedError",
    "PlusFunction",
    "Poisson",
    "SoftL1Loss",
    "StudentTLoss",
    "get_backend",
    "load",
    "to_numpy",
]
