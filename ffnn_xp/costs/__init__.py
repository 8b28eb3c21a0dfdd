"""The costs for `iminuit.Minuit`.

- `least_squares`, `catalogue`: one cost for each kind of data: `LeastSquares`; `Poisson`, `Binomial`, `Multinomial`,
  `Normal`.
- `measured`: their common part: the arrays, which can be set again.
- `plus_function`: `PlusFunction`, a network plus a function with parameters of its own.

The gradient, the Hessian and sums of costs are in `objective`: `DataCost`, `NetworkCost`, `CostSum`.
"""

from ffnn_xp.costs.catalogue import Binomial, Multinomial, Normal, Poisson
from ffnn_xp.costs.least_squares import LeastSquares
from ffnn_xp.costs.plus_function import PlusFunction

__all__ = [
    "Binomial",
    "LeastSquares",
    "Multinomial",
    "Normal",
    "PlusFunction",
    "Poisson",
]
