r"""The cost of a network plus a function with parameters of its own, such as a smooth background and a peak.

.. math:: S(\theta, \phi) = \sum_n s\big(y(x_n; \theta) + f(x_n; \phi),\, t_n\big)

The function is an ordinary one of NumPy arrays, and stays on the host: its values for all events and their derivatives
are copied to the device, where one sweep computes both parts of the gradient, :math:`\partial S/\partial\phi = \sum_n
s'_n\, \partial f_n/\partial\phi`. Second derivatives in theta are exact; those with phi are differences of the
gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from iminuit.util import describe

from ffnn_xp._lib.text import Pair
from ffnn_xp._lib.typing import Array, HostArray
from ffnn_xp._lib.validation import vector
from ffnn_xp.data import Dataset, in_order
from ffnn_xp.losses import AddedLoss
from ffnn_xp.minimizers import as_minuit_reads_it, calling_minuit
from ffnn_xp.network import Network, evaluate
from ffnn_xp.objective import CostWithGradient, Curve, DataCost, Objective, draw_cost

STEP = 6e-6  # step of central differences, relative to a parameter: the third root of epsilon
SECOND = 5.0  # factor on the step for second derivatives, differences of gradients that may be differences too


def _of_cost(name: str) -> Any:
    """Return a property that is one of the network's cost."""
    return property(
        lambda self: getattr(self.cost, name),
        lambda self, value: setattr(self.cost, name, value),
        None,
        f"The cost's `{name}`.",
    )


class PlusFunction(CostWithGradient):
    r"""The cost of the sum of a network and a function with parameters of its own, such as a background and a peak.

    Parameters
    ----------
    cost : DataCost
        The cost of the network alone, `LeastSquares` or `Poisson`, with its prior, if any.
    function : callable
        ``function(x, amplitude, mean, ...)`` of the inputs, ``(n,)`` for d = 1, else ``(n, d)``, in units of the
        network's output: ``(n,)``, or ``(n, k)``. Limits can be given as for iminuit, by `typing.Annotated`.
    grad : callable, optional
        Its derivative in its parameters, ``(q, n)``; by central differences if it is not given.
    **start : float
        The start of each of the function's parameters.

    Attributes
    ----------
    start : array with shape (p + q,)
        The network's parameters now, and the function's, as start values for MINUIT.
    x, y, yerror, mask, loss, weights, exposure
        Those of `cost`, which can be set.

    Raises
    ------
    ValueError
        If a start is missing, shapes do not fit, or the statistic is of probabilities.

    Notes
    -----
    MINUIT starts from the network's parameters: fit the network alone first, to the events outside of the peak. In a
    sum put this cost first; add `iminuit.cost.NormalConstraint` for a known nuisance parameter. A flexible network can
    describe a part of the peak; the errors include that, as far as a single minimum allows.

    Examples
    --------
    >>> import numpy as np
    >>> import ffnn_xp as fx
    >>> from iminuit import Minuit
    >>> def peak(x, height, position):
    ...     return height * np.exp(-0.5 * (x - position) ** 2)
    >>> x = np.linspace(-5.0, 5.0, 40)
    >>> background = fx.LeastSquares(x, 1 + 0.1 * x + peak(x, 3.0, 0.5), 0.1, fx.Model((1, 1), seed=1))
    >>> cost = fx.PlusFunction(background, peak, height=1.0, position=0.0)
    >>> m = Minuit(cost, cost.start).migrad()
    >>> m.valid, round(m.values["height"], 4), round(m.values["position"], 4)
    (True, 3.0, 0.5)
    """

    has_hessian = True
    has_g2 = False
    _data: Dataset | None = None
    x, y, yerror, mask, loss, weights, exposure = map(
        _of_cost, ("x", "y", "yerror", "mask", "loss", "weights", "exposure")
    )

    def __init__(
        self, cost: DataCost, function: Callable[..., Any], *, grad: Callable[..., Any] | None = None, **start: float
    ) -> None:
        if not isinstance(cost, DataCost):
            raise TypeError(
                f"`cost` must be one of a network, such as LeastSquares or Poisson, got {type(cost).__name__}"
            )
        limits = dict(list(describe(function, annotations=True).items())[1:])
        _check_names(list(limits), start, cost)
        self.cost, self.function = cost, function
        self._function_gradient = grad
        self._backend, self._p = cost.objective.backend, cost.npar
        self._start = np.array([float(start[name]) for name in limits])
        super().__init__(dict.fromkeys(cost._parameters) | limits, cost.verbose)
        self._update()
        self._columns(self._start)  # checks the function's values before any minimization

    def _update(self) -> None:
        """Take the data of the network's cost, if they are others than before."""
        cost, data = self.cost, self.cost.data
        if self._data is data:
            return
        refused = _cannot_be_added_to(cost)
        if refused is not None:
            raise ValueError(f"a function can be added to measured values and to counts at points x, not to {refused}")
        statistic = AddedLoss(cost.statistic.for_output("identity"))
        with self._backend.context():
            plain = data.events(self._backend, statistic.inner)
            rows = self._backend.to_host(data.x).T
        self._plain = Objective(cost.model.network, statistic, plain, self._backend)
        self._x = rows[:, 0] if rows.shape[1] == 1 else rows
        self._shape = tuple(int(s) for s in data.y.shape)
        self._cached: tuple[bytes, float, HostArray] = b"", np.inf, np.empty(0)
        self._data = data

    @property
    def network(self) -> Network:
        """The network whose parameters the cost has."""
        return self.cost.network

    @property
    def start(self) -> HostArray:
        """The network's parameters now, and the function's start values, ``(p + q,)``."""
        return np.concatenate([self.cost.start, self._start])

    def value_and_gradient(self, v: HostArray) -> tuple[float, HostArray]:
        """Compute S and its gradient in the parameters of network and function, ``(p + q,)``."""
        self._update()
        v = np.ascontiguousarray(v, dtype=np.float64)
        if self._cached[0] != v.tobytes():
            theta, phi = v[: self._p], v[self._p :]
            objective = self._at(phi, self._derivatives(phi))
            packed = self._backend.host_function(objective.value_and_both_gradients)(theta)
            value, gradient = float(packed[0]), packed[1:]
            prior, e = self.cost.prior, self.errordef
            if prior is not None:
                value += e * prior.value(theta)
                gradient = gradient + e * np.append(prior.gradient(theta), np.zeros(len(phi)))
            self._cached = v.tobytes(), value, gradient
        return self._cached[1], self._cached[2].copy()

    def hessian(self, *args: Any) -> HostArray:
        """Compute the second derivative of S, ``(p + q, p + q)``, for MINUIT in the order in which it reads it."""
        v = vector(args, self.npar)
        H = self.matrix("hessian", v)
        minuit = calling_minuit()
        if minuit is None:
            return H
        return as_minuit_reads_it(H, lambda: self.matrix("gauss_newton", v), minuit, v, self._grad((v,)))

    def matrix(self, name: str, v: HostArray) -> HostArray:
        """Compute the matrix called "hessian" or "gauss_newton"; they differ in the network's part."""
        self._update()
        p, phi = self._p, v[self._p :]
        H = np.empty((len(v), len(v)))
        part = self._backend.host_function(getattr(self._at(phi), name))(v[:p])
        H[:p, :p] = part if self.cost.prior is None else part + self.errordef * self.cost.prior.hessian()
        for j, step in enumerate(SECOND * _steps(phi), start=p):
            shift = np.zeros(len(v))
            shift[j] = step
            H[:, j] = (self.value_and_gradient(v + shift)[1] - self.value_and_gradient(v - shift)[1]) / (2 * step)
        H[p:, :p] = H[:p, p:].T
        H[p:, p:] = 0.5 * (H[p:, p:] + H[p:, p:].T)
        return H

    def g2(self, *args: Any) -> HostArray:
        """Compute the diagonal of the Gauss-Newton matrix, ``(p + q,)``."""
        return np.diag(self.matrix("gauss_newton", vector(args, self.npar))).copy()

    def parts(self, args: Sequence[float], x: Any = None) -> tuple[HostArray, HostArray]:
        """Return the predictions of network and function at all events, or at other x, each in the shape of y."""
        self._update()
        v, backend = vector((args,), self.npar), self._backend
        rows = self.cost.x if x is None else in_order(x, self.cost.model.input_names)
        rows = np.asarray(rows, dtype=np.float64)
        rows = rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 1 else rows
        columns = np.ascontiguousarray(np.atleast_2d(rows.T))
        y = evaluate(self.cost.model.network, backend, backend.to_device(v[: self._p]), backend.to_device(columns))
        function = self._values(rows, v[self._p :], columns.shape[1])
        return self.cost._in_shape_of_y(backend.to_host(y).T), self.cost._in_shape_of_y(function.T)

    def prediction(self, args: Sequence[float]) -> HostArray:
        """Return the sum of network and function at each event, ``(n,)`` or ``(n, k)``."""
        network, function = self.parts(args)
        return np.asarray(network + function)

    def pulls(self, args: Sequence[float]) -> HostArray:
        """Return (measured - predicted) / standard deviation, in the shape of y, as those of the network's cost."""
        return self.cost._squeeze(self.cost._pulls_of(self._predicted(args)))

    def visualize(self, args: Sequence[float], model_points: int | Sequence[float] = 0) -> Any:
        """Draw data, the sum, and its parts into the current axes of matplotlib; see `LeastSquares.visualize`.

        The network alone is a dashed line, and what the function adds to it an area.
        """
        names = self.cost.column_labels()._replace(function=getattr(self.function, "__name__", "function"))

        def curve(x: HostArray) -> Curve:
            network, function = (a.reshape(len(x), -1) for a in self.parts(args, x))
            return Curve(network + function, None, network)

        return draw_cost(self.cost._drawn(self._predicted(args)), curve, model_points, names)

    def _predicted(self, args: Sequence[float]) -> Array:
        """Return the sum at the events in use, ``(k, n)`` on the device."""
        rows, used = self.prediction(args), self.cost._used
        with self._backend.context():
            return self._backend.to_device(np.atleast_2d((rows if used is None else rows[used]).T))

    def _pairs(self) -> list[Pair]:
        of = ", ".join(list(self._parameters)[self._p :])
        return [*self.cost._pairs(), ("function", f"{getattr(self.function, '__name__', 'function')}(x, {of})")]

    def _at(self, phi: HostArray, *more: HostArray) -> Objective:
        """Return the objective with the function's values, after `more` columns, as first data of the events."""
        events = self._plain.events
        added = map(self._backend.argument, (*more, self._columns(phi)))
        return self._plain.with_events(replace(events, data=(*added, *events.data)))

    def _columns(self, phi: HostArray) -> HostArray:
        return self._values(self._x, phi, self._shape[1])

    def _values(self, x: HostArray, phi: HostArray, n: int) -> HostArray:
        """Compute the function at inputs, ``(k, n)``."""
        with np.errstate(all="ignore"):
            f = np.asarray(self.function(x, *phi), dtype=np.float64)
        return self._checked(f, n, "the function")

    def _checked(self, f: HostArray, n: int, what: str) -> HostArray:
        k = self._shape[0]
        f = f[:, None] if f.shape == (n,) else f
        if f.shape not in ((n, 1), (n, k)):
            expected = f"({n},)" + (f" or ({n}, {k})" if k > 1 else "")
            raise ValueError(f"{what} must give an array of shape {expected} for {n} events, got {f.shape}")
        return np.ascontiguousarray((f if f.shape[1] == k else np.broadcast_to(f, (n, k))).T)

    def _derivatives(self, phi: HostArray) -> HostArray:
        """Return the derivatives of the function in its parameters at the events, ``(q k, n)``."""
        n = self._shape[1]
        if self._function_gradient is not None:
            G = np.asarray(self._function_gradient(self._x, *phi), dtype=np.float64)
            if len(G) != len(phi):
                raise ValueError(f"`grad` must give an array for each of {len(phi)} parameters, got {G.shape}")
            return np.concatenate([self._checked(g, n, "`grad`") for g in G])
        columns: list[HostArray] = []
        for j, step in enumerate(_steps(phi)):
            shift = np.zeros(len(phi))
            shift[j] = step
            columns.append((self._columns(phi + shift) - self._columns(phi - shift)) / (2 * step))
        return np.concatenate(columns)

    def _errordef(self) -> float:
        return float(self.cost.errordef)

    def _ndata(self) -> int:
        return int(self.cost.ndata)


def _cannot_be_added_to(cost: DataCost) -> str | None:
    """Name the kind of data of a cost to which no function can be added; None if one can."""
    if cost.statistic.auxiliary == "y_cov":
        return "correlated values"
    if cost.data.x_error is not None:
        return "measured values with errors in x"
    if cost.statistic.has_linear_operator:
        return "integrals over bins"
    return None if cost.statistic.auxiliary in ("y_err", "exposure") else repr(cost.statistic.name)


def _steps(phi: HostArray) -> HostArray:
    return np.asarray(STEP * np.where(phi == 0, 1.0, np.abs(phi)))


def _check_names(names: list[str], start: dict[str, float], cost: DataCost) -> None:
    if not names:
        raise ValueError("the function must have parameters after x: function(x, amplitude, mean, ...)")
    both = [n for n in names if n in cost._parameters]
    if both:
        raise ValueError(f"the function and the network both have the parameters {both}: give those of one other names")
    missing, unknown = [n for n in names if n not in start], [n for n in start if n not in names]
    if missing or unknown:
        raise ValueError(
            f"a start is needed for each of the function's parameters {names}"
            + (f"; missing: {missing}" if missing else "")
            + (f"; unknown: {unknown}" if unknown else "")
        )
