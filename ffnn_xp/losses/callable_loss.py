r"""A statistic that the user gives as a function of squared pulls, as iminuit's and SciPy's `loss` take one.

Its derivatives are differences of :math:`f(z) = \rho(z^2)`, which is defined on both sides of zero, with five points at
distances of h and errors of order :math:`h^4`. With :math:`h = \epsilon^{1/5}(1 + |z|)`, rounding and the neglected
terms are of one size: in double precision the first derivative has twelve digits, the second one nine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.losses.base import Data, RobustLoss

NEAR_ZERO = 1e-6  # pulls below which rho'(z) / z is rho''(0): of rho'(z) too few digits are left


@dataclass(frozen=True)
class CallableLoss(RobustLoss):
    r"""The statistic :math:`\rho(z^2)` of a function :math:`\rho` of squared pulls.

    Parameters
    ----------
    function : callable
        It takes squared pulls, an array of the model's library, and returns an array of the same shape. It should rise,
        and be twice differentiable.

    Raises
    ------
    TypeError, ValueError
        When it is computed, if the function does not take arrays of the model's library, or returns no array of the
        shape that it got.

    Examples
    --------
    >>> import numpy as np
    >>> cauchy = CallableLoss(np.log1p)
    >>> value, first = cauchy.value_and_first(np, np.array(2.0), (np.array(0.0), np.array(1.0)))
    >>> round(float(value), 12), round(float(first), 12)  # log 5, and 2 z / (1 + z^2)
    (1.609437912434, 0.8)
    """

    function: Callable[[Array], Array]
    name = "callable"
    needs_float64 = True

    def rho(self, xp: Namespace, z: Array) -> tuple[Array, Array]:
        """Compute rho, and its weight from differences."""
        h = self._step(xp, z)
        (near, far), middle = self._differences(z, h), self._of(z)
        first = (8 * near[0] - far[0]) / (12 * h)
        second = (16 * near[1] - far[1] - 30 * middle) / (12 * h * h)
        at_zero = xp.abs(z) < NEAR_ZERO
        return middle, xp.where(at_zero, second, first / xp.where(at_zero, xp.ones_like(z), z))

    def rho_second(self, xp: Namespace, z: Array) -> Array:
        """Compute rho'' from differences."""
        h = self._step(xp, z)
        near, far = self._differences(z, h)
        return (16 * near[1] - far[1] - 30 * self._of(z)) / (12 * h * h)

    def fisher(self, xp: Namespace, y: Array, data: Data) -> Array:
        """Compute the weight over sigma^2, or zero where the function falls."""
        weight = super().fisher(xp, y, data)
        return xp.maximum(weight, xp.zeros_like(weight))

    def _of(self, z: Array) -> Array:
        """Compute the function of the squared pulls."""
        square = z * z
        try:
            value = self.function(square)
        except TypeError as error:
            raise TypeError(
                "the function given as `loss` must compute with arrays of the model's library, such as jax.numpy.log1p "
                f"for JAX; of {type(square).__name__} it says: {error}"
            ) from error
        if getattr(value, "shape", None) != square.shape:
            raise ValueError(
                f"the function given as `loss` must return an array of the shape of the squared pulls, {square.shape}, "
                f"one value for each, got {getattr(value, 'shape', type(value).__name__)}"
            )
        return value

    def _differences(self, z: Array, h: Array) -> list[tuple[Array, Array]]:
        """Return f(z + s) - f(z - s) and f(z + s) + f(z - s) for s = h and 2 h."""
        ends = [(self._of(z + s), self._of(z - s)) for s in (h, 2 * h)]
        return [(up - down, up + down) for up, down in ends]

    def _step(self, xp: Namespace, z: Array) -> Array:
        return float(xp.finfo(z.dtype).eps) ** 0.2 * (1 + xp.abs(z))
