"""model."""

from ffnn_xp.model.ensemble import Ensemble
from ffnn_xp.model.model import Model, load
from ffnn_xp.model.result import FitResult

__all__ = [
    "Ensemble",
    "FitResult",
    "Model",
    "load",
]
