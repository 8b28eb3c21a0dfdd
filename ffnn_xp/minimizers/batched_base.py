"""The interface of minimizers of many replicas: `ReplicaProblem` and `BatchResult`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ffnn_xp._lib.typing import Array, HostArray, Mask, Namespace, Rows
from ffnn_xp.minimizers.base import Status, Units


class ReplicaProblem(Units, Protocol):
    """Value and derivatives of r functions of their own theta, on the device; `rows` are numbers of these functions."""

    @property
    def xp(self) -> Namespace:
        """The arrays' namespace."""

    def value_and_gradient(self, theta: Array, rows: Rows) -> Array:
        """Return S and its gradient packed, ``(r, 1 + p)``."""

    def gauss_newton(self, theta: Array, rows: Rows) -> Array:
        """Return Gauss-Newton matrices, ``(r, p, p)``."""

    def hessian(self, theta: Array, rows: Rows) -> Array:
        """Return exact Hessians, ``(r, p, p)``; used by `BatchedLBFGS` only."""

    def on_host(self, theta: HostArray, rows: Rows) -> tuple[HostArray, HostArray]:
        """Return S ``(r,)`` and its gradients ``(r, p)`` at host vectors; used by `BatchedLBFGS` only."""

    @property
    def of_one_shape(self) -> bool:
        """True if all functions should be computed each time, so that shapes stay the same."""

    @property
    def dual(self) -> bool:
        """True if there are fewer values than parameters."""

    def residual_rows(self, theta: Array, rows: Rows) -> Array:
        """Return residuals and their derivatives, ``(r, m, 1 + p)``, without the prior; used if `dual`."""

    def prior_curvature(self, rows: Rows) -> Array:
        """Return the diagonal second derivatives of the priors, ``(r, p)``."""

    def numbers(self, a: Array) -> HostArray:
        """Copy a few numbers of each replica to the host."""

    def on_device(self, a: HostArray) -> Array:
        """Copy host numbers to the device."""

    def take(self, a: Array, rows: Rows) -> Array:
        """Return some rows of an array."""

    @property
    def compiles(self) -> bool:
        """True if each new number of replicas costs a compilation."""

    def bound(self, f: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """Return ``f(*static, xp, ...)`` as a function of arrays, compiled where the library can."""


@dataclass(frozen=True)
class BatchResult:
    """The result of the minimizations of r replicas.

    Attributes
    ----------
    theta : array with shape (r, p)
        Their last points, on the device.
    value, edm : array with shape (r,)
        S and EDM there, on the host; infinite where a start had no finite value.
    converged : boolean array with shape (r,)
        Whether EDM is below the goal.
    steps : array with shape (r,)
        Gradients that each took.
    status : tuple of Status
        How each ended; `Status.MINIMUM` says that EDM is below the goal.
    stopped : str
        Why the batch was ended from outside, if it was.
    """

    theta: Array
    value: HostArray
    edm: HostArray
    converged: Mask
    steps: Rows
    status: tuple[Status, ...]
    stopped: str = ""
