"""What a minimizer of many replicas sees of them, and where their walks ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ffnn_xp._lib.typing import Array, HostArray, Mask, Namespace, Rows


class ReplicaProblem(Protocol):
    """Value and derivatives of r functions of their own theta, on the device; rows say which of the r are asked."""

    @property
    def xp(self) -> Namespace:
        """The arrays' namespace."""

    @property
    def errordef(self) -> float:
        """Rise at one standard deviation."""

    @property
    def epsilon(self) -> float:
        """Relative precision of the numbers."""

    def value_and_gradient(self, theta: Array, rows: Rows) -> Array:
        """S and its gradient packed, ``(r, 1 + p)``."""

    def gauss_newton(self, theta: Array, rows: Rows) -> Array:
        """Positive semidefinite matrices, ``(r, p, p)``."""

    def hessian(self, theta: Array, rows: Rows) -> Array:
        """Exact second derivatives, ``(r, p, p)``; asked for by `batched_lbfgs`."""

    def on_host(self, theta: HostArray, rows: Rows) -> tuple[HostArray, HostArray]:
        """S ``(r,)`` and its gradients ``(r, p)`` at host vectors; asked for by that too."""

    @property
    def of_one_shape(self) -> bool:
        """Whether all are better asked for together each time."""

    @property
    def dual(self) -> bool:
        """Whether there are fewer values than parameters."""

    def residual_rows(self, theta: Array, rows: Rows) -> Array:
        """Residuals and their derivatives, ``(r, m, 1 + p)``, the prior left out; asked for if `dual`."""

    def prior_curvature(self, rows: Rows) -> Array:
        """Second derivative of the priors, ``(r, p)``: a diagonal."""

    def numbers(self, a: Array) -> HostArray:
        """A few numbers for each replica, on the host."""

    def on_device(self, a: HostArray) -> Array:
        """And the way back: dampings."""

    def take(self, a: Array, rows: Rows) -> Array:
        """Some rows of an array."""

    @property
    def compiles(self) -> bool:
        """Whether each new number of replicas costs a compilation."""

    def bound(self, f: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """``f(*static, xp, ...)`` as a function of arrays, compiled where the library can."""


@dataclass(frozen=True)
class BatchResult:
    """Where r walks ended.

    Attributes
    ----------
    theta : array with shape (r, p)
        On the device.
    value, edm : array with shape (r,)
        On the host; infinite where a start had no finite value.
    converged : boolean array with shape (r,)
        Whether EDM is below the goal.
    steps : array with shape (r,)
        Gradients that each took.
    status : list of str
        "converged", "no gain", "saddle", "hopeless", "no finite value", "stopped" or "step limit".
    stopped : str
        Why the walk was ended from outside, if it was.
    """

    theta: Array
    value: HostArray
    edm: HostArray
    converged: Mask
    steps: Rows
    status: list[str]
    stopped: str = ""
