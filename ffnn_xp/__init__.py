"""Fit small neural networks the way physicists fit everything else: with MINUIT, on any array library."""

from .activations import Activation
from .backends import Backend, get_backend, to_numpy
from .cost import LeastSquares
from .errors import (
    BackendFallbackWarning,
    BackendUnavailableError,
    FfnnXpWarning,
    FileFormatError,
    FitWarning,
    NotFittedError,
)
from .files import load
from .model import Model
from .prior import GaussianPrior
from .result import FitResult
from .walk import FitState

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "Backend",
    "BackendFallbackWarning",
    "BackendUnavailableError",
    "FfnnXpWarning",
    "FileFormatError",
    "FitResult",
    "FitState",
    "FitWarning",
    "GaussianPrior",
    "LeastSquares",
    "Model",
    "NotFittedError",
    "get_backend",
    "load",
    "to_numpy",
]
