r"""MINUIT on a subset of the parameters of a fit, with the others fixed or profiled.

MINUIT's matrices are k x k for a subset of k, so this works at any number p of parameters. The profile is a function of
the subset's values alone, whatever was computed before: the others are followed from the minimum along the straight
line to these values. Each step of the line starts from the derivatives of the others,
:math:`d\theta_o/d\theta_s = -H_{oo}^{-1} H_{os}`, and ends with a refit; steps whose refit gains much are halved.

The derivative of the profile is the gradient in the subset alone (envelope theorem), and its curvature at the minimum
is the inverse of the subset's covariance, :math:`\Sigma_{ss} = 2 e\, (H^{-1})_{ss}`, one solve for each parameter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import iminuit
import numpy as np

from ffnn_xp._lib.errors import FitWarning, did_you_mean, nearest, outside_the_package
from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.progress import bar
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data import Scaling
from ffnn_xp.minimizers import EDMBounds, SaddleEscape, at_minimum, rounding_error
from ffnn_xp.network import Network
from ffnn_xp.objective import CostWithGradient, NetworkCost
from ffnn_xp.studies.other_parameters import DEFAULT, OtherParameters, ProfileCostTuning, symmetric

Others = Literal["fixed", "profiled"]
OTHERS = ("fixed", "profiled")
MOST = 500  # parameters of a subset at most: each costs a solve, and MINUIT's matrices are k x k

LEAST_EIGENVALUE = 1e-12  # of a correlation matrix, at which it is singular up to rounding
UNDETERMINED = "without a minimum in them there are no errors; a prior, or fewer units, would determine them"


@quiet
class SubsetCost(CostWithGradient):
    """S as a function of a subset of the parameters in raw units, with the others fixed or profiled.

    Parameters
    ----------
    cost : NetworkCost
        The cost in standardised theta.
    scaling : Scaling
        The map between standardised and raw units.
    standardised : array with shape (p,)
        The minimum of the cost.
    names : sequence of str
        The parameters of the subset.
    others : {"fixed", "profiled"}
        Whether the other parameters are fixed or profiled.
    tuning : ProfileCostTuning
        The numbers of the method.

    Attributes
    ----------
    deeper : array with shape (p,) or None
        All parameters in raw units at the deepest point found below the minimum, if there was one.
    """

    has_g2 = True

    def __init__(
        self,
        cost: NetworkCost,
        scaling: Scaling,
        standardised: HostArray,
        names: Sequence[str],
        others: Others,
        tuning: ProfileCostTuning = DEFAULT,
    ) -> None:
        self._subset = _positions(cost.objective.network.layout.names, names)
        if others not in OTHERS:
            raise ValueError(f"`others` must be 'fixed' or 'profiled', got {others!r}: {did_you_mean(others, OTHERS)}")
        value, gradient = cost.value_and_gradient(standardised)
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            raise ValueError(f"S is {value} or its derivatives overflow at these parameters: there is no minimum here")
        self._cost, self._scaling = cost, scaling
        self._unit = np.zeros((len(self._subset), len(standardised)))
        self._unit[np.arange(len(self._subset)), self._subset] = 1.0
        self._rows = scaling.transpose(self._unit)  # derivatives of the subset's values in standardised theta
        self._others, self.tuning = OtherParameters(cost, standardised, self._rows, tuning), tuning
        super().__init__(dict.fromkeys(names), 0)
        self._minimum, self._profiled = standardised, others == "profiled"
        self.inverse_hessian = self._profiled_inverse() if self._profiled else self._fixed_inverse()
        if self._profiled:
            self._minimum = self._others.refit(standardised)[0]
            self._metric = np.linalg.inv(2 * self.errordef * self.inverse_hessian)
        self._raw = scaling.to_raw(self._minimum)
        self._nodes: dict[bytes, list[HostArray]] = {}
        self._last: tuple[bytes, float, HostArray] = b"", np.inf, np.empty(0)
        self._fitted = self._deepest = cost.value_and_gradient(self._minimum)[0]
        self.deeper: HostArray | None = None

    @property
    def network(self) -> Network:
        """The network whose parameters the cost has."""
        return self._cost.network

    @property
    def start(self) -> HostArray:
        """The subset's values at the minimum, ``(k,)``."""
        return np.asarray(self._raw[self._subset])

    def value_and_gradient(self, v: HostArray) -> tuple[float, HostArray]:
        """Compute S and its gradient at values ``(k,)`` of the subset.

        Raises
        ------
        ValueError
            If a value is not finite.
        RuntimeError
            If the refit of the other parameters does not converge.

        Warns
        -----
        FitWarning
            If S is lower than at the minimum; the point is kept as `deeper`.
        """
        v = np.ascontiguousarray(v, dtype=np.float64)
        if self._last[0] != v.tobytes():
            phi = self._at(v)
            value, g = self._cost.value_and_gradient(phi)
            self._last = v.tobytes(), value, self._scaling.inverse_transpose(g)[self._subset]
            self._keep_if_deeper(phi, value)
        return self._last[1], self._last[2].copy()

    def parameters(self, v: HostArray) -> HostArray:
        """Return all parameters in raw units, ``(p,)``, for these values of the subset."""
        return self._scaling.to_raw(self._at(np.asarray(v, dtype=np.float64)))

    def g2(self, *args: float) -> HostArray:
        """Return the diagonal of the second derivative at the minimum, ``(k,)``."""
        return np.diag(np.linalg.inv(self.inverse_hessian)).copy()

    def _at(self, v: HostArray) -> HostArray:
        """Return standardised parameters with these values of the subset."""
        if not np.all(np.isfinite(v)):
            raise ValueError(f"values of parameters must be finite, got {self._place(v)}")
        change = v - self.start
        if not self._profiled:
            return self._minimum + self._scaling.inverse(change @ self._unit)
        distance = float(np.sqrt(change @ self._metric @ change))
        if distance == 0:
            return self._minimum
        if not np.isfinite(distance):
            raise RuntimeError(f"no profile at {self._place(v)}: it is too far from the minimum for any number")
        try:
            node, begin = self._node_before(change / distance, distance)
            return self._followed(node, change * (1 - begin / distance), v)
        except np.linalg.LinAlgError as error:
            raise RuntimeError(f"no profile at {self._place(v)}: derivatives of S overflow") from error

    def _node_before(self, unit: HostArray, distance: float) -> tuple[HostArray, float]:
        """Return the last node of a straight line before a distance in standard deviations, and the node's distance.

        Nodes depend on the direction alone, so that those of the last two are kept: one parameter has no more.
        """
        key = unit.tobytes()
        if key not in self._nodes:
            self._nodes = dict([*self._nodes.items()][-1:]) | {key: [self._minimum]}
        nodes, begin, step, i = self._nodes[key], 0.0, self.tuning.first_step, 0
        while begin + step < distance:
            if len(nodes) == i + 1:
                nodes.append(self._followed(nodes[i], step * unit, self.start + (begin + step) * unit))
            begin, step, i = begin + step, step * self.tuning.growth, i + 1
        return nodes[i], begin

    def _followed(self, phi: HostArray, change: HostArray, v: HostArray) -> HostArray:
        """Return the refitted parameters after a straight change of the subset's values, which ends at v.

        A step whose refit fails or gains much is halved. Where even the shortest one's gains much, the minimum that was
        followed has ended, and S falls to another one.
        """
        others, shift = self._others, self._others.shift(change)
        done, step, move = 0.0, 1.0, others.following(phi, shift)
        while done < 1.0:
            last = step <= self.tuning.least_step
            most = np.inf if last else self.tuning.most_gain * self.errordef
            there, failure = others.refit(phi + step * others.W.back(move), most)
            if not failure:
                phi, done = there, done + step
                step = min(2 * step, 1.0 - done)
                move = others.following(phi, shift) if done < 1.0 else move
            elif last:
                raise RuntimeError(f"no profile at {self._place(v)}: the refit of the other parameters {failure}")
            else:
                step /= 2
        return phi

    def _keep_if_deeper(self, phi: HostArray, value: float) -> None:
        """Keep the deepest point below the minimum, and say so at the first."""
        least = max(self.tuning.edm_allowed * self.errordef, rounding_error(self._cost.epsilon, self._fitted))
        if value >= min(self._deepest, self._fitted - least):
            return
        first, self._deepest, self.deeper = self.deeper is None, value, self._scaling.to_raw(phi)
        if first:
            warnings.warn(
                f"S is lower by {self._fitted - value:.3g} at {self._place(self.deeper[self._subset])} than at the "
                "fit's minimum, which is not the deepest: fit(..., start=minuit.cost.deeper) goes on from there",
                FitWarning,
                stacklevel=outside_the_package(),
            )

    def _place(self, v: HostArray) -> str:
        return ", ".join(f"{name} = {value:.6g}" for name, value in zip(self._parameters, v, strict=True))

    def _fixed_inverse(self) -> HostArray:
        """Compute the inverse Hessian of S with the others fixed, at the minimum, ``(k, k)``."""
        product = self._others.product(self._minimum, exact=self._others.smooth)
        moves = self._scaling.inverse(self._unit)
        columns = [self._scaling.inverse_transpose(product(move))[self._subset] for move in moves]
        H = symmetric(np.stack(columns))
        if not _is_positive(H):
            raise ValueError(f"S does not rise along each of {list(self._parameters)}: {UNDETERMINED}")
        return np.asarray(np.linalg.inv(H), dtype=np.float64)

    def _profiled_inverse(self) -> HostArray:
        """Compute the inverse Hessian of the profile at the minimum, ``(k, k)``."""
        solved = self._covariances(exact=self._others.smooth)
        down = [found.negative_direction for found in solved if found.negative_direction is not None]
        if down:  # weakly determined if S is nowhere lower, as in the fit: then the Gauss-Newton matrix replaces it
            value, escape = self._cost.value_and_gradient(self._minimum)[0], SaddleEscape()
            fall = escape.negligible_fall * self._cost.errordef
            if any(escape.lower_point(self._cost, self._minimum, value, v, fall) is not None for v in down):
                raise ValueError("S falls along some direction here: a point that is no minimum has no profile")
            solved = self._covariances(exact=False)
            down = [found.negative_direction for found in solved if found.negative_direction is not None]
        covariance = symmetric(np.stack([found.step for found in solved]) @ self._rows.T)
        if down or not _is_positive(covariance):
            raise ValueError(f"the data do not determine all of {list(self._parameters)}: {UNDETERMINED}")
        return covariance

    def _covariances(self, *, exact: bool) -> list[EDMBounds]:
        """Solve with H for the derivative of each of the subset's values."""
        times = self._others.product(self._minimum, exact=exact)
        found, precondition = [], self._others.W.precondition
        with bar("profiled errors", len(self._rows), "parameters") as line:
            for row in self._rows:
                found.append(self.tuning.solve_covariance.bounds(times, row, precondition))
                line.advance()
        return found

    def _errordef(self) -> float:
        return float(self._cost.errordef)

    def _ndata(self) -> int:
        return int(self._cost.ndata)


def minuit_of_subset(
    cost: NetworkCost, scaling: Scaling, standardised: HostArray, names: Sequence[str], others: Others
) -> iminuit.Minuit:
    """Return a live `Minuit` of the subset at the minimum, with its covariance; MIGRAD has run."""
    subset = SubsetCost(cost, scaling, standardised, names, others)
    return at_minimum(subset, subset.start, subset.inverse_hessian)


def _positions(known: Sequence[str], names: Sequence[str]) -> list[int]:
    if isinstance(names, str) or not len(names):
        raise ValueError(f"`names` must be one or more names of parameters, as a list, got {names!r}")
    if len(names) > MOST:
        raise ValueError(f"`names` may hold at most {MOST} parameters, got {len(names)}")
    where = {name: i for i, name in enumerate(known)}
    for name in names:
        if name not in where:
            raise ValueError(f"there is no parameter {name!r}: {nearest(name, known)}`fit.names` lists them all")
    if len(set(names)) < len(names):
        raise ValueError(f"`names` has a parameter twice: {list(names)}")
    return [where[name] for name in names]


def _is_positive(A: HostArray) -> bool:
    """Return True if a symmetric matrix is positive definite by more than rounding, whatever the units of its rows."""
    if not (np.all(np.isfinite(A)) and np.all(np.diag(A) > 0)):
        return False
    root = np.sqrt(np.diag(A))
    return bool(np.linalg.eigvalsh(A / np.outer(root, root))[0] > LEAST_EIGENVALUE)
