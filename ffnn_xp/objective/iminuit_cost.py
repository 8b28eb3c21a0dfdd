"""Costs for iminuit with gradients, and sums of costs that share parameters by name, with second derivatives.

iminuit's own sum adds values and gradients; MINUIT would then compute the diagonal of the Hessian numerically, with
thousands of calls for a network. This one adds second derivatives too, if all parts have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import iminuit.cost
import numpy as np

from ffnn_xp._lib.text import Pair, counted, first_names, titled_html, titled_text
from ffnn_xp._lib.typing import HostArray
from ffnn_xp._lib.validation import vector
from ffnn_xp.minimizers import as_minuit_reads_it, calling_minuit
from ffnn_xp.network import Network


class Readable:
    """Base class of costs that say in text and HTML what they are made of."""

    def _title(self) -> str:
        """Return the first line."""
        raise NotImplementedError

    def _pairs(self) -> list[Pair]:
        """Return what is below it, as pairs of key and value."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return titled_text(self._title(), self._pairs())

    def _repr_html_(self) -> str:
        return titled_html(self._title(), self._pairs())


class CostWithGradient(Readable, iminuit.cost.Cost):
    """A cost that computes value and gradient together, by its `value_and_gradient`."""

    @property
    def network(self) -> Network:
        """The network whose parameters the cost has."""
        raise NotImplementedError

    def value_and_gradient(self, v: HostArray) -> tuple[float, HostArray]:
        """Compute S and its gradient ``(p,)``."""
        raise NotImplementedError

    def _title(self) -> str:
        return f"{type(self).__name__}: {_size(self)}"

    def _pairs(self) -> list[Pair]:
        return [("network", self.network.description), ("parameters", first_names(list(self._parameters)))]

    def _value(self, args: Sequence[Any]) -> float:
        return self.value_and_gradient(vector(args, self.npar))[0]

    def _grad(self, args: Sequence[Any]) -> HostArray:
        return self.value_and_gradient(vector(args, self.npar))[1]

    def _has_grad(self) -> bool:
        return True

    def __add__(self, rhs: Any) -> CostSum:
        return CostSum(self, rhs)

    def __radd__(self, lhs: Any) -> CostSum:
        return CostSum(lhs, self)


class CostSum(Readable, iminuit.cost.CostSum):
    """The sum ``cost + other``, in which each part is divided by its errordef.

    Parts may be this library's costs, `iminuit.cost.NormalConstraint`, any other cost of iminuit, and numbers.
    Parameters of the same name are the same parameter: two costs of one model are a simultaneous fit. Networks of
    different models need names, ``Model(..., name="signal")``, so that their parameters are not the same; names
    given by ``name=``, and those of added functions, may be shared. The parts are the elements of the sum.

    Raises
    ------
    ValueError
        If networks of different models have parameters of the same name.

    Examples
    --------
    >>> import ffnn_xp as fx
    >>> from iminuit.cost import NormalConstraint
    >>> model = fx.Model((1, 1), seed=1)
    >>> cost = fx.LeastSquares([0.0, 1.0], [1.0, 3.0], 0.1, model) + NormalConstraint("b_L1_L2[0]", 1.0, 0.01)
    >>> cost.npar, cost.hessian([2.0, 1.0]).shape
    (2, (2, 2))
    """

    def __init__(self, *items: Any) -> None:
        super().__init__(*items)
        owners: dict[str, Network] = {}
        for item in self._items:
            for name in item.network.layout.names if isinstance(item, CostWithGradient) else ():
                if name not in item._parameters:
                    continue  # the user gave it another name
                if owners.setdefault(name, item.network) is not item.network:
                    called = item.network.layout.name
                    raise ValueError(
                        f"two different networks in one sum have the parameter {name!r}: "
                        + (f"both are called {called!r}, " if called else "neither has a name, ")
                        + "give each a name of its own, as in Model(..., name='signal'); for a simultaneous fit of one "
                        "network make all costs with the same Model object"
                    )

    @property
    def start(self) -> HostArray:
        """The start values of all parameters, ``(p,)``: those of the parts, and the values of normal constraints.

        Raises
        ------
        ValueError
            If a parameter has none.
        """
        known: dict[str, float] = {}
        for item in sorted(self._items, key=lambda item: not isinstance(item, CostWithGradient)):
            if (values := getattr(item, "start", getattr(item, "value", None))) is not None:
                known = dict(zip(item._parameters, np.atleast_1d(values), strict=False)) | known
        missing = [name for name in self._parameters if name not in known]
        if missing:
            raise ValueError(
                f"the sum has no start values for {missing}, which are in no network: hand all to Minuit by name, "
                "Minuit(total, **{name: value, ...})"
            )
        return np.array([known[name] for name in self._parameters], dtype=np.float64)

    @property
    def has_hessian(self) -> bool:
        """True if every part has its second derivative in closed form."""
        return all(_has_hessian(item) for item in self._items)

    @property
    def has_g2(self) -> bool:
        """True if MINUIT should call `g2`; next to a Hessian it would only warn."""
        return not self.has_hessian

    def _title(self) -> str:
        return f"CostSum of {counted(len(self), 'part')}: {_size(self)}"

    def _pairs(self) -> list[Pair]:
        return [_line(item) for item in self._items]

    def _value(self, args: Sequence[Any]) -> float:
        return float(super()._value(vector(args, self.npar)))

    def _grad(self, args: Sequence[Any]) -> HostArray:
        return np.asarray(super()._grad(vector(args, self.npar)))

    def g2(self, *args: Any) -> HostArray:
        """Compute the second derivative's diagonal, ``(p,)``, by differences for parts without a closed form."""
        theta = vector(args, self.npar)
        total = np.zeros(self.npar)
        for item, indices in zip(self._items, self._maps, strict=True):
            part = theta[list(indices)]
            diagonal = np.diag(_hessian(item, part)) if _has_hessian(item) else _numerical_g2(item, part)
            total[list(indices)] += diagonal / item.errordef
        return total

    def hessian(self, *args: Any) -> HostArray:
        """Compute the second derivative of the sum, ``(p, p)``.

        Raises
        ------
        ValueError
            If a part has no closed form.
        """
        theta = vector(args, self.npar)
        H = self._assemble(theta, "hessian")
        minuit = calling_minuit()
        if minuit is None:
            return H
        return as_minuit_reads_it(H, lambda: self._assemble(theta, "gauss_newton"), minuit, theta, self._grad((theta,)))

    def _assemble(self, theta: HostArray, method: str) -> HostArray:
        """Add up the parts' matrices by this method, each at the positions of its parameters."""
        total = np.zeros((self.npar, self.npar))
        for item, indices in zip(self._items, self._maps, strict=True):
            if not _has_hessian(item):
                raise ValueError(f"{type(item).__name__} has no second derivative in closed form; use g2")
            total[np.ix_(indices, indices)] += _hessian(item, theta[list(indices)], method) / item.errordef
        return total

    def __add__(self, rhs: Any) -> CostSum:
        return CostSum(self, rhs)

    def __radd__(self, lhs: Any) -> CostSum:
        return CostSum(lhs, self)


def _line(item: Any) -> Pair:
    """Describe a part of a sum by its type, and in a few words."""
    of = type(item).__name__
    if isinstance(item, iminuit.cost.Constant):
        return of, f"{item.value:g}"
    network = isinstance(item, CostWithGradient)
    return of, f"{_size(item)}: {item.network.description if network else first_names(list(item._parameters))}"


def _size(cost: iminuit.cost.Cost) -> str:
    """Say how many data and parameters a cost has."""
    return f"{counted(cost.ndata, 'value')}, {counted(cost.npar, 'parameter')}"


def _has_hessian(item: Any) -> bool:
    """Return True if a part has its second derivative in closed form."""
    if isinstance(item, iminuit.cost.NormalConstraint | iminuit.cost.Constant):
        return True
    return bool(getattr(item, "has_hessian", False))


def _hessian(item: Any, theta: HostArray, method: str = "hessian") -> HostArray:
    """Compute a part's second derivative."""
    if isinstance(item, iminuit.cost.Constant):
        return np.zeros((0, 0))
    if isinstance(item, iminuit.cost.NormalConstraint):
        covariance = np.asarray(item.covariance, dtype=np.float64)
        precision = np.linalg.inv(np.diag(covariance) if covariance.ndim == 1 else covariance)
        return np.asarray(2 * precision, dtype=np.float64)
    return np.asarray(item.matrix(method, theta))


def _numerical_g2(item: Any, theta: HostArray) -> HostArray:
    """Estimate the diagonal by central differences; MIGRAD starts from it, and its covariance does not use it."""
    f0 = item._value(tuple(theta))
    diagonal = np.empty(len(theta))
    for i, step in enumerate(1e-4 * np.maximum(np.abs(theta), 1e-2)):
        shift = np.zeros(len(theta))
        shift[i] = step
        diagonal[i] = (item._value(tuple(theta + shift)) - 2 * f0 + item._value(tuple(theta - shift))) / step**2
    return np.abs(diagonal)
