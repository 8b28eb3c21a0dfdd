"""The costs for `iminuit.Minuit`.

- `catalogue`: one cost for each kind of data: `LeastSquares`, `Poisson`, `Binomial`, `Multinomial`, `Normal`.
- `plus_function`: `PlusFunction`, a network plus a function with parameters of its own.

The gradient, the Hessian and sums of costs are in `objective`: `DataCost`, `NetworkCost`, `CostSum`.
"""

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
