"""The host side of an objective: iminuit's cost, and the only device-to-host transfers of a minimization.

``Minuit(cost, cost.start)`` needs no keywords: it finds value, gradient, Hessian, errordef, number of data and
parameter names on the cost. Theta is a float64 NumPy vector; value and gradient are returned together, in one copy from
the device, and each matrix in one. The costs of each kind of data are in `costs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp._lib.validation import column_names, vector
from ffnn_xp.minimizers import as_minuit_reads_it, calling_minuit
from ffnn_xp.network import Network
from ffnn_xp.objective.iminuit_cost import CostWithGradient
from ffnn_xp.objective.objective import Objective
from ffnn_xp.objective.prior import GaussianPrior


@dataclass(frozen=True)
class HostTuning:
    """Tuned numbers of the host side."""

    single_precision_from: float = tuned(
        4 * 10**4, "events times parameters from which there is a float32 stage; smaller: also where it gains nothing"
    )
    single_precision_from_loop: float = tuned(
        3 * 10**5, "the same where the alternative is a compiled loop in float64; smaller: also where it is slower"
    )
    cached_points: int = tuned(
        4, "points whose value and gradient are kept; larger: fewer evaluations, as MIGRAD needs gradients later"
    )
    cached_bytes: int = tuned(
        2**19, "bytes that all cached points but one may take; smaller: memory that is used again stays in the cache"
    )


TUNING = HostTuning()


class NetworkCost(CostWithGradient):
    """The cost of an objective and an optional prior, on host vectors, with the interface of iminuit's costs.

    Parameters
    ----------
    objective : Objective
        S on the device.
    prior : GaussianPrior, optional
        A prior, added to S on the host, times errordef.
    n_values : int
        Number of measured values.
    verbose : int
        1 prints every call.
    name : sequence of str, optional
        Names of the parameters in place of the network's, as in iminuit's costs.
    tuning : HostTuning
        Tuned numbers.
    """

    _cannot_be_set: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("x", "y", "yerror", "mask", "loss", "weights", "exposure", "trials"),
        "its data are those of a fit: make a cost of your own, such as LeastSquares(x, y, yerror, model, mask=mask)",
    )
    has_hessian = True
    has_g2 = False  # MINUIT takes the Hessian's diagonal, and warns if it is offered both

    def __init__(
        self,
        objective: Objective,
        *,
        n_values: int,
        prior: GaussianPrior | None = None,
        verbose: int = 0,
        name: Sequence[str] | None = None,
        tuning: HostTuning = TUNING,
    ) -> None:
        p = objective.network.layout.n_parameters
        if prior is not None and not isinstance(prior, GaussianPrior):
            raise TypeError(
                f"`prior` of a cost must be a GaussianPrior, as `fit.raw_cost.prior` is one, got {prior!r}: a width "
                "belongs to standardised weights, which only a fit has"
            )
        if prior is not None and prior.precision.shape != (p,):
            raise ValueError(f"`prior` must have a precision for each of {p} parameters, got {prior.precision.shape}")
        self.__dict__.pop("_packed", None)  # of an objective before this one
        self.objective = objective
        self.prior = prior
        self._n_values = n_values
        self.tuning = tuning
        self._cached: tuple[tuple[bytes, float, HostArray], ...] = ()
        self._others = min(tuning.cached_points, max(1, tuning.cached_bytes // (16 * p))) - 1
        self._matrices: dict[str, tuple[bytes, HostArray]] = {}
        names = column_names(name, "name", p) or objective.network.layout.names
        if len(set(names)) < p:
            raise ValueError(f"`name` must have {p} different names, one for each parameter, got {tuple(names)}")
        super().__init__(dict.fromkeys(names), verbose)

    @property
    def network(self) -> Network:
        """The network whose parameters the cost has."""
        return self.objective.network

    @property
    def precision(self) -> float | None:
        """The relative precision of the values, for MINUIT; None (its default) in float64."""
        return None if self.objective.backend.dtype == "float64" else 8 * self.epsilon

    @property
    def epsilon(self) -> float:
        """The relative precision of the numbers that are computed with."""
        return self.objective.backend.epsilon

    def sample(self, size: int, rng: np.random.Generator) -> NetworkCost:
        """Return the cost of so many events, drawn at random, beside which the prior weighs as much as beside all."""
        n = self.objective.n
        objective = self.objective.select(np.sort(rng.choice(n, size, replace=False)))
        prior = None if self.prior is None else replace(self.prior, precision=self.prior.precision * (size / n))
        return NetworkCost(objective, n_values=self._n_values * size // n, prior=prior, tuning=self.tuning)

    def in_single_precision(self) -> NetworkCost | None:
        """Copy the cost to float32; None if it is in float32, or if the copy would not be faster or accurate."""
        backend, events = self.objective.backend, self.objective.n
        tuning, loop = self.tuning, self.objective.is_one_loop
        least = tuning.single_precision_from_loop if loop else tuning.single_precision_from
        small, inaccurate = events * self.npar < least, self.objective.loss.needs_float64
        unfit = backend.compiles or not self.objective.has_single_precision
        if self.precision is not None or unfit or small or inaccurate:
            return None
        with np.errstate(all="ignore"):  # an overflow becomes infinite, and minimizers reject infinite values
            objective = self.objective.in_single_precision()
        return NetworkCost(objective, n_values=self._n_values, prior=self.prior, tuning=self.tuning)

    def value_and_gradient(self, theta: HostArray) -> tuple[float, HostArray]:
        """Compute S and dS/dtheta ``(p,)``; the last points are cached.

        Each call returns a fresh copy of the gradient, so that callers may write into it.
        """
        key = np.ascontiguousarray(theta, dtype=np.float64).tobytes()
        cached = self._cached
        for known, value, gradient in cached:
            if known == key:
                return value, gradient.copy()
        theta = np.frombuffer(key)  # a read-only copy
        packed = self._packed(theta)
        value, gradient = float(packed[0]), packed[1:]
        if self.prior is not None:
            own, slope = self.prior.value_and_gradient(theta)
            value += self.errordef * own
            gradient = gradient + self.errordef * slope
        cached = ((key, value, gradient), *cached[: self._others])
        object.__setattr__(self, "_cached", cached)  # replaced as a whole, as threads may share it; skips our check
        return value, gradient.copy()

    def chi2(self, theta: HostArray) -> float:
        """Compute the data's part of S, without the prior."""
        theta = np.ascontiguousarray(theta, dtype=np.float64)
        value = self.value_and_gradient(theta)[0]
        return value if self.prior is None else value - self.errordef * self.prior.value(theta)

    def gauss_newton(self, *args: Any) -> HostArray:
        """Compute the Gauss-Newton matrix J^T C J, prior included, ``(p, p)``; it is positive semidefinite."""
        return self.matrix("gauss_newton", vector(args, self.npar))

    def hessian(self, *args: Any) -> HostArray:
        """Compute the exact second derivative of S, prior included, ``(p, p)``.

        Parameters
        ----------
        *args : array with shape (p,), or p floats
            Theta.

        Notes
        -----
        A `Minuit` object that calls it gets the matrix in an order in which it reads the right elements also when
        parameters are fixed, and the Gauss-Newton matrix if the exact one has a negative diagonal (see
        `minuit_workarounds`).
        """
        theta = vector(args, self.npar)
        H = self.matrix("hessian", theta)
        minuit = calling_minuit()
        if minuit is None:
            return H
        return as_minuit_reads_it(H, lambda: self.gauss_newton(theta), minuit, theta, self.grad(theta))

    def g2(self, *args: Any) -> HostArray:
        """Compute the diagonal of the Gauss-Newton matrix, ``(p,)``."""
        return np.diag(self.gauss_newton(*args)).copy()

    def matrix(self, name: str, theta: HostArray) -> HostArray:
        """Compute the matrix called "hessian" or "gauss_newton", ``(p, p)``; the last of each is cached."""
        key, H = self._matrices.get(name, (b"", np.empty(0)))
        if key != theta.tobytes():
            H = self._on_device(getattr(self.objective, name), theta)
            if self.prior is not None:
                H = H + self.errordef * self.prior.hessian()
            self._matrices[name] = theta.tobytes(), H
        return H.copy()

    def hessian_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """Multiply the exact Hessian by v, ``(p,)``, without the matrix."""
        return self._product(self.objective.hessian_product, theta, v)

    def gauss_newton_product(self, theta: HostArray, v: HostArray) -> HostArray:
        """Multiply the Gauss-Newton matrix by v, ``(p,)``, without the matrix."""
        return self._product(self.objective.gauss_newton_product, theta, v)

    def kronecker_factors(self, theta: HostArray) -> list[tuple[HostArray, HostArray, HostArray]]:
        """Compute for each layer G ``(h, h)``, A / n ``(c, c)``, and the prior's part of the diagonal ``(h, c)``.

        The Kronecker product of G and A / n (n columns) approximates the Gauss-Newton matrix of the layer. A prior on
        other coordinates than theta's own is left out: the factors serve as coordinates, which need not be exact.
        """
        packed = self._on_device(self.objective.kronecker_factors, theta)
        layout, n = self.objective.network.layout, self.objective.n * self.objective.nodes
        sizes = [h for h, _ in layout.shapes] + [c for _, c in layout.shapes]
        ends = np.cumsum([s * s for s in sizes])[:-1]
        squares = [a.reshape(s, s) for a, s in zip(np.split(packed, ends), sizes, strict=True)]
        own = np.zeros(layout.n_parameters)
        if self.prior is not None and self.prior.scaling is None:
            own = 2 * self.errordef * self.prior.precision
        L = layout.n_layers
        return [(squares[l], squares[L + l] / n, P) for l, P in enumerate(layout.matrices(np, own))]

    def derivatives(self, f: Callable[[Array], Array], theta: HostArray) -> HostArray:
        """Call f with theta on the device; return its result, a few numbers for each parameter, on the host."""
        with self.objective.backend.context():
            return self._on_device(f, theta)

    def scores(self, theta: HostArray) -> HostArray:
        """Sum the outer products of the events' gradients, without the prior's, ``(p, p)``."""
        return self._on_device(self.objective.scores, theta)

    def active_events(self, theta: HostArray) -> HostArray:
        """Count the events at which each hidden unit reacts, layer after layer; an event's nodes share its count."""
        return self._on_device(self.objective.active_events, theta) / self.objective.nodes

    def _product(self, f: Callable[[Array, Array], Array], theta: HostArray, v: HostArray) -> HostArray:
        """Compute a product with v, the prior's included."""
        product = self._on_device(f, theta, v)
        return product if self.prior is None else product + self.errordef * self.prior.product(v)

    def _on_device(self, f: Callable[..., Array], *vectors: HostArray) -> HostArray:
        """Call f with host vectors on the device; return its result on the host. Minimizers reject overflows."""
        return self.objective.backend.host_function(f)(*vectors)

    @cached_property
    def _packed(self) -> Callable[[HostArray], HostArray]:
        """The value and gradient as a function of host vectors, bound once since it is called so often."""
        return self.objective.backend.host_function(self.objective.value_and_gradient)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle the cost without the bound `_packed`, which is made again when it is needed."""
        self.__dict__.pop("_packed", None)
        return super().__reduce_ex__(protocol)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._cannot_be_set and not hasattr(type(self), name):
            raise AttributeError(f"`{name}` has no place in {type(self).__name__}: {self._cannot_be_set[name]}")
        super().__setattr__(name, value)

    def _errordef(self) -> float:
        return self.objective.loss.errordef

    def _ndata(self) -> int:
        return self._n_values
