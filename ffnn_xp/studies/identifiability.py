r"""Identifiability: the directions of parameters that data determine, and units and inputs that contribute nothing.

It is computed from the Gauss-Newton matrix G of the standardised problem, the information of the data alone (the exact
Hessian includes the residuals' own curvature), and from the first and second moments of every layer's values. With a
prior P, the share of the data in a direction v is :math:`v^T G v / v^T (G + P) v`; the sum of these shares over the
eigenvectors of the pair is the effective number of parameters, :math:`\mathrm{tr}\, G (G + P)^{-1}` (J. Moody, NIPS
1991), and the diagonal of that matrix divides it among the layers. The same P gives the prior's share of the posterior
precision of each prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.text import Page, Shown
from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import Array, HostArray, Mask, Rows
from ffnn_xp.minimizers import KroneckerCoordinates
from ffnn_xp.network import Layout, canonical
from ffnn_xp.objective import NetworkCost
from ffnn_xp.studies.fitted_problem import FittedProblem
from ffnn_xp.uncertainty import LinearBand, Spectrum

SHOWN = 4  # names, and weakest directions, that a report lists


@dataclass(frozen=True)
class ReportThresholds:
    """Thresholds at which a report names a unit or an input."""

    constant: float = tuned(1e-4, "relative width over the events; larger: more units are called constant")
    copy: float = tuned(1e-6, "1 less the correlation of copies; larger: more units are called copies")
    saturated: float = tuned(0.01, "share of events at which a unit reacts; larger: more units are called saturated")


THRESHOLDS = ReportThresholds()


@dataclass(frozen=True)
class Direction:
    """An eigenvector of the data's matrix, with its eigenvalue, the data's share in it, and its largest parameters.

    The eigenvalue is in units in which the diagonal of the matrix is 1.
    """

    eigenvalue: float
    share: float
    parameters: tuple[tuple[str, float], ...]


@dataclass(frozen=True, repr=False)
class Report(Shown):
    """A report on the parameters that the data determine, as `FitResult.report` returns it; printing it shows a text.

    Attributes
    ----------
    eigenvalues : array with shape (p,) or None
        Eigenvalues of the data's Gauss-Newton matrix, scaled to a diagonal of 1, ascending. None where no p x p matrix
        is formed, or where derivatives of S overflow.
    n_held : int or None
        Number of eigenvalues that are not zero up to rounding: directions that the data determine, however weakly.
    shares : array with shape (p,) or None
        Share of the data, against that of the prior, in the eigenvectors of the pair; without a prior 1 or 0.
    weakest : tuple of Direction
        The smallest eigenvalues that are not zero.
    undetermined : tuple of (str, float)
        The parameters that take part in unidentified directions, and their shares in these, from 0 to 1, the largest
        first.
    effective : tuple of float
        Effective number of parameters of each layer.
    dead : tuple of str
        Hidden units without influence on the output at any event: always off, or without outgoing weights.
    constant : tuple of str
        Inputs and units, not dead, with the same value at every event: each is a second bias.
    saturated : tuple of str
        Units that react at less than 1 % of the events: steps, whose position and height the data hardly determine.
    copies : tuple of tuple of str
        Inputs or units of a layer that are affine functions of each other at all events.
    ranks : tuple of (int, int)
        For the inputs and each hidden layer, the number of independent functions of the event, the constant included,
        and the largest possible number.
    active : tuple of array
        For each hidden layer the share of events at which each unit reacts (absolute slope above 0.0025).
    canonical : array with shape (p,)
        The standardised network with order, signs and scales of its units fixed (`network.canonical`).
    caution : str
        Why the fit has to be used with care (`FitRecord`): where its minimum lies at infinity, directions whose
        curvature vanishes there may count as determined.
    overflows : bool
        Whether derivatives of S or values of units overflow at these parameters, which are then no minimum: nothing is
        said of directions, and effective parameters are NaN.
    """

    layout: Layout
    description: str
    eigenvalues: HostArray | None
    n_held: int | None
    shares: HostArray | None
    weakest: tuple[Direction, ...]
    undetermined: tuple[tuple[str, float], ...]
    effective: tuple[float, ...]
    dead: tuple[str, ...]
    constant: tuple[str, ...]
    saturated: tuple[str, ...]
    copies: tuple[tuple[str, ...], ...]
    ranks: tuple[tuple[int, int], ...]
    active: tuple[HostArray, ...]
    canonical: HostArray
    with_prior: bool
    overflows: bool = False
    caution: str = ""

    def _lines(self) -> list[tuple[str, str]]:
        """Return the lines of the text, each with its heading."""
        p, lines = self.layout.n_parameters, [("but", self.caution)] if self.caution else []
        lines += self._directions()
        parts = [
            f"L{l} -> L{l + 1} {e:.1f} of {size}"
            for l, (e, size) in enumerate(zip(self.effective, self.layout.sizes, strict=True), start=1)
        ]
        lines.append(("effective", f"{sum(self.effective):.1f} of {p} parameters: {', '.join(parts)}"))
        for name, found in (
            ("dead", self.dead),
            ("constant", self.constant),
            ("saturated", self.saturated),
            ("copies", tuple(" = ".join(group) for group in self.copies)),
        ):
            lines.append((name, f"{len(found)}: {_some(found)}" if found else "none"))
        short = [
            f"{'inputs' if l == 1 else f'layer L{l}'} {r} of {most}"
            for l, (r, most) in enumerate(self.ranks, start=1)
            if r < most
        ]
        lines.append(("functions", f"not independent: {', '.join(short)}" if short else "all independent"))
        return lines

    def _directions(self) -> list[tuple[str, str]]:
        """Return the lines on the directions of the parameters."""
        p = self.layout.n_parameters
        if self.eigenvalues is None or self.shares is None:
            formed = f"matrices of {p} x {p} are not formed"
            overflow = "S or its derivatives overflow at these parameters, which are no minimum: choose other units"
            return [("directions", f"no spectrum: {overflow if self.overflows else formed}")]
        identified = f"{self.n_held} of {p} are determined by the data"
        if self.with_prior:
            identified += f"; in {int(np.sum(self.shares > 0.5))} they weigh more than the prior"
        lines = [("directions", identified), ("spectrum", _decades(self.eigenvalues, self.n_held or 0))]
        for i, d in enumerate(self.weakest):
            along = ", ".join(f"{name} {share:+.2f}" for name, share in d.parameters)
            data = f", data {100 * d.share:.2g} %" if self.with_prior else ""
            lines.append(("weakest" if i == 0 else "", f"{d.eigenvalue:.1e}{data}: {along}"))
        if self.undetermined:
            parts = [f"{name} {part:.2f}" for name, part in self.undetermined[: 2 * SHOWN]]
            more = ", ..." if len(self.undetermined) > len(parts) else ""
            lines.append(("unidentified", ", ".join(parts) + more))
        return lines

    def _page(self) -> Page:
        return Page("Report", self.description, self._lines())


def report(
    cost: NetworkCost,
    theta: HostArray,
    description: str,
    *,
    matrices: bool,
    input_names: Sequence[str] | None = None,
    caution: str = "",
    thresholds: ReportThresholds = THRESHOLDS,
) -> Report:
    """Report on a point ``(p,)`` of a cost, both standardised; without `matrices` no p x p matrix is formed."""

    def called(l: int, i: int | np.integer[Any]) -> str:
        if l > 1:
            return f"unit {i} of layer L{l}"
        return f"input {i if input_names is None else input_names[int(i)]}"

    network = cost.objective.network
    layout = network.layout
    factors = cost.kronecker_factors(theta)
    events = cost.objective.n
    active = _layers(cost.active_events(theta) / events, layout.widths[1:-1])
    H = cost.gauss_newton(theta) if matrices else None
    overflows = not all(np.all(np.isfinite(M)) for M in chain(*factors, () if H is None else (H,)))
    held = None if H is None or overflows else Spectrum.of_hessian(H, cost.errordef, cost.epsilon).factor
    overflows = overflows or not (held is None or np.all(np.isfinite(held)))
    if H is not None and held is not None and not overflows:
        values, n_identified, shares, weakest, unidentified, by_parameter = _spectrum(cost, H, held)
        effective = tuple(float(np.sum(A)) for A in layout.matrices(np, by_parameter))
    else:
        values, n_identified, shares, weakest, unidentified = None, None, None, (), ()
        unknown = (float("nan"),) * layout.n_layers
        effective = unknown if overflows else KroneckerCoordinates(factors).effective_by_layer
    reached = [np.diag(G) > 0 for G, _, _ in factors]
    outgoing = [np.any(B[:, :-1] != 0, axis=0) for B in layout.matrices(np, theta)]
    dead, constant, saturated, ranks = [], [], [], []
    copies: list[tuple[str, ...]] = []
    for l, (_, A, _) in enumerate(factors, start=1):
        A = A if np.all(np.isfinite(A)) else np.eye(len(A))  # of values that overflow nothing is known
        same: Mask = _constant(A, thresholds.constant)
        is_dead = np.zeros_like(same)
        if l > 1:
            rarely = active[l - 2] < thresholds.saturated
            is_dead = ~reached[l - 2] & (same | ~outgoing[l - 1] | ~rarely)
            dead += [called(l, i) for i in np.flatnonzero(is_dead)]
            saturated += [called(l, i) for i in np.flatnonzero(rarely & ~is_dead & ~same)]
        constant += [called(l, i) for i in np.flatnonzero(same & ~is_dead)]
        groups = _copies(A, np.flatnonzero(~same & ~is_dead), thresholds.copy)
        copies += [tuple(called(l, i) for i in group) for group in groups]
        ranks.append((_rank(A), len(A)))
    return Report(
        layout=layout,
        description=description,
        eigenvalues=values,
        n_held=n_identified,
        shares=shares,
        weakest=weakest,
        undetermined=unidentified,
        effective=effective,
        dead=tuple(dead),
        constant=tuple(constant),
        saturated=tuple(saturated),
        copies=tuple(copies),
        ranks=tuple(ranks),
        active=active,
        canonical=canonical(network, theta),
        with_prior=cost.prior is not None,
        overflows=overflows,
        caution=caution,
    )


def prior_share(fitted: FittedProblem, known: LinearBand, x: Array) -> HostArray:
    """Compute the prior's share of the posterior precision of predictions at raw columns x ``(d, n)``, ``(k, n)``.

    See `FitResult.prior_share`.
    """
    problem, cost, backend = fitted.problem, fitted.cost, fitted.problem.model.backend
    precision = np.zeros(len(known.theta)) if problem.prior is None else problem.prior.precision
    spectrum = Spectrum.of_hessian(cost.gauss_newton(known.theta), cost.errordef, cost.epsilon)
    band = replace(known, spectrum=spectrum)
    return backend.to_host(band.prior_share(problem.network, backend, x, precision))


def _spectrum(
    cost: NetworkCost, H: HostArray, F: HostArray
) -> tuple[HostArray, int, HostArray, tuple[Direction, ...], tuple[tuple[str, float], ...], HostArray]:
    """Compute the fields of `Report` that need a p x p matrix, and each parameter's part of the effective number.

    H is the Gauss-Newton matrix with the prior, and F the factor of its inverse.
    """
    names, p = cost.objective.network.layout.names, len(H)
    own = np.zeros(p) if cost.prior is None else 2 * cost.errordef * cost.prior.precision
    G = H - np.diag(own)
    data = Spectrum.of_hessian(G, cost.errordef, cost.epsilon)
    scale, n_identified = data.scale, data.factor.shape[1]
    values, V = scipy.linalg.eigh(G * (scale[:, None] * scale), check_finite=False)
    by_parameter = np.sum(F * (G @ F), axis=1) / (2 * cost.errordef)
    shares = np.zeros(p)
    if F.shape[1]:
        shares[p - F.shape[1] :] = scipy.linalg.eigvalsh(F.T @ G @ F / (2 * cost.errordef), check_finite=False)
    weakest = []
    for i in range(p - n_identified, min(p, p - n_identified + SHOWN)):
        v, direction = V[:, i], scale * V[:, i]
        whole = float(direction @ (H @ direction))  # zero where it underflows
        share = float(direction @ (G @ direction)) / whole if whole else 0.0
        lead = [j for j in np.argsort(-np.abs(v))[:SHOWN].tolist() if abs(v[j]) > 0.1]
        weakest.append(Direction(float(values[i]), share, tuple((names[j], float(v[j])) for j in lead)))
    part = np.sum(V[:, : p - n_identified] ** 2, axis=1)
    order = [j for j in np.argsort(-part, kind="stable").tolist() if part[j] > 0.01]
    unidentified = tuple((names[j], float(part[j])) for j in order)
    return values, n_identified, np.clip(shares, 0.0, 1.0), tuple(weakest), unidentified, by_parameter


def _constant(A: HostArray, width: float) -> Mask:
    """Find the values that do not vary, from second moments A ``(c, c)`` of all values and the constant 1."""
    mean, square = A[:-1, -1], np.diag(A)[:-1]
    return np.asarray(square - mean**2 <= width**2 * np.maximum(square, width**2))


def _copies(A: HostArray, among: Rows, lack: float) -> list[Rows]:
    """Find groups of values that are affine functions of each other: their correlations are 1 up to `lack`."""
    if len(among) < 2:
        return []
    mean = A[among, -1]
    C = A[np.ix_(among, among)] - np.outer(mean, mean)
    width = np.sqrt(np.diag(C))
    number, group = scipy.sparse.csgraph.connected_components(np.abs(C) > (1 - lack) * np.outer(width, width))
    return [among[group == i] for i in range(number) if np.sum(group == i) > 1]


def _rank(A: HostArray) -> int:
    """Compute the rank of second moments, up to the rounding of sums of squares."""
    scale = np.sqrt(np.maximum(np.diag(A), 1e-300))
    w = scipy.linalg.eigvalsh(A / np.outer(scale, scale), check_finite=False)
    return int(np.sum(w > 1e-13 * len(A) * w[-1]))


def _layers(values: HostArray, widths: tuple[int, ...]) -> tuple[HostArray, ...]:
    """Split one vector into the parts of the layers."""
    return tuple(np.split(values, np.cumsum(widths)[:-1])) if widths else ()


def _some(names: tuple[str, ...]) -> str:
    """List the first names."""
    return ", ".join(names[: 2 * SHOWN]) + (", ..." if len(names) > 2 * SHOWN else "")


def _decades(values: HostArray, n_identified: int) -> str:
    """Count the eigenvalues in each decade, the largest first; weights of both signs make some of them negative."""
    positive = values[len(values) - n_identified :]
    positive = positive[positive > 0]
    if not len(positive):
        return "all zero"
    decade = np.floor(np.log10(positive)).astype(int)
    numbers, counts = np.unique(decade, return_counts=True)
    text = ", ".join(f"{c} in 1e{d:+d}" for d, c in zip(numbers[::-1], counts[::-1], strict=True))
    return text + (f", {len(values) - len(positive)} zero" if len(positive) < len(values) else "")
