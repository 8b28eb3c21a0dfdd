"""costs."""

from ffnn_xp.costs.catalogue import Binomial, LeastSquares, Multinomial, Normal, Poisson
from ffnn_xp.costs.plus_function import PlusFunction

__all__ = [
    "Binomial",
    "LeastSquares",
    "Multinomial",
    "Normal",
    "PlusFunction",
    "Poisson",
]
