r"""What a fit's parameters are worth: which directions the data hold, and units and inputs that do nothing for it.

All of it is read from the Gauss-Newton matrix G of the standardised problem, which is what the data alone say (the
exact Hessian has the residuals' own curvature in it), and from the first and second moments of every layer's values.
With a prior P, the share of the data in a direction v is :math:`v^T G v / v^T (G + P) v`; the sum of these shares over
the eigenvectors of the pair is the effective number of parameters, :math:`\mathrm{tr}\, G (G + P)^{-1}` (J. Moody,
NIPS 1991), and the diagonal of that matrix tells how it is spread over the layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.text import pair_html, pair_lines
from ffnn_xp._lib.typing import HostArray, Mask, Rows
from ffnn_xp.minimizers import KroneckerCoordinates
from ffnn_xp.network.layout import Layout
from ffnn_xp.network.symmetries import canonical
from ffnn_xp.objective.host import NetworkCost
from ffnn_xp.uncertainty.covariance import curvature

CONSTANT = 1e-4  # relative width over the events below which a unit is a second bias
COPY = 1e-6  # of correlation that two units may lack to be called copies of each other
SATURATED = 0.01  # share of the events at which a unit still reacts
SHOWN = 4  # names, and weakest directions


@dataclass(frozen=True)
class Direction:
    """An eigenvector of the data's matrix: its eigenvalue, the data's share in it, and the parameters that lead in it.

    The eigenvalue is in units in which the diagonal of the matrix is 1.
    """

    eigenvalue: float
    share: float
    parameters: tuple[tuple[str, float], ...]


@dataclass(frozen=True, repr=False)
class Report:
    """What `FitResult.report` returns; its text is what to read.

    Attributes
    ----------
    eigenvalues : array with shape (p,) or None
        Of the Gauss-Newton matrix of the data, scaled to a diagonal of 1, ascending. None where no p x p matrix is
        formed.
    n_held : int or None
        How many of them are not zero up to rounding: directions that the data determine, however weakly.
    shares : array with shape (p,) or None
        Share of the data, against that of the prior, in the eigenvectors of the pair; without a prior 1 or 0.
    weakest : tuple of Direction
        The smallest eigenvalues that are held.
    undetermined : tuple of (str, float)
        The parameters that take part in directions which are not held, and how much: 1 is wholly. The most open first.
    effective : tuple of float
        Effective number of parameters of each layer.
    dead : tuple of str
        Hidden units whose inputs do not reach the output at any event: always off, or going nowhere.
    constant : tuple of str
        Inputs and living units with the same value at every event: they serve as a second bias.
    saturated : tuple of str
        Units that react at less than 1 % of the events: steps, whose place and height the data hardly know.
    copies : tuple of tuple of str
        Inputs or units of a layer that are affine functions of each other at all events.
    ranks : tuple of (int, int)
        For the inputs and each hidden layer, how many independent functions of the event there are, the constant
        included, and how many there could be.
    active : tuple of array
        For each hidden layer the share of events at which each unit reacts (absolute slope above 0.0025).
    canonical : array with shape (p,)
        The standardised network with order, signs and scales of its units fixed (`canonical.canonical`).
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

    @property
    def healthy(self) -> bool:
        """Whether nothing was found that a smaller network would not have."""
        return not (self.dead or self.constant or self.saturated or self.copies) and self.n_held in (
            None,
            self.layout.n_parameters,
        )

    def _lines(self) -> list[tuple[str, str]]:
        p, lines = self.layout.n_parameters, []
        if self.eigenvalues is not None and self.shares is not None:
            held = f"{self.n_held} of {p} are determined by the data"
            if self.with_prior:
                held += f"; in {int(np.sum(self.shares > 0.5))} they weigh more than the prior"
            lines.append(("directions", held))
            lines.append(("spectrum", _decades(self.eigenvalues, self.n_held or 0)))
            for i, d in enumerate(self.weakest):
                along = ", ".join(f"{name} {share:+.2f}" for name, share in d.parameters)
                data = f", data {100 * d.share:.2g} %" if self.with_prior else ""
                lines.append(("weakest" if i == 0 else "", f"{d.eigenvalue:.1e}{data}: {along}"))
            if self.undetermined:
                parts = [f"{name} {part:.2f}" for name, part in self.undetermined[: 2 * SHOWN]]
                more = ", ..." if len(self.undetermined) > len(parts) else ""
                lines.append(("undetermined", ", ".join(parts) + more))
        else:
            lines.append(("directions", f"no spectrum: matrices of {p} x {p} are not formed"))
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

    def __repr__(self) -> str:
        return "\n".join([f"Report of {self.description}", *pair_lines(self._lines())])

    def _repr_html_(self) -> str:
        return f"<p><b>Report</b> of {escape(self.description)}</p>{pair_html(self._lines())}"


def report(cost: NetworkCost, theta: HostArray, description: str, *, matrices: bool) -> Report:
    """Examine a point ``(p,)`` of a cost, both standardised; without `matrices` no p x p matrix is formed."""
    network = cost.objective.network
    layout = network.layout
    factors = cost.kronecker_factors(theta)
    events = cost.objective.events.n
    active = _layers(cost.active_events(theta) / events, layout.widths[1:-1])
    if matrices:
        values, held, shares, weakest, open_, each = _spectrum(cost, theta)
        effective = tuple(float(np.sum(A)) for A in layout.matrices(np, each))
    else:
        values, held, shares, weakest, open_ = None, None, None, (), ()
        effective = KroneckerCoordinates(factors).effective_by_layer
    reached = [np.diag(G) > 0 for G, _, _ in factors]
    outgoing = [np.any(B[:, :-1] != 0, axis=0) for B in layout.matrices(np, theta)]
    dead, constant, saturated, ranks = [], [], [], []
    copies: list[tuple[str, ...]] = []
    for l, (_, A, _) in enumerate(factors, start=1):
        flat: Mask = _constant(A)
        lost = np.zeros_like(flat)
        if l > 1:
            asleep = active[l - 2] < SATURATED
            lost = ~reached[l - 2] & (flat | ~outgoing[l - 1] | ~asleep)
            dead += [_name(l, i) for i in np.flatnonzero(lost)]
            saturated += [_name(l, i) for i in np.flatnonzero(asleep & ~lost & ~flat)]
        constant += [_name(l, i) for i in np.flatnonzero(flat & ~lost)]
        copies += [tuple(_name(l, i) for i in group) for group in _copies(A, np.flatnonzero(~flat & ~lost))]
        ranks.append((_rank(A), len(A)))
    return Report(
        layout=layout,
        description=description,
        eigenvalues=values,
        n_held=held,
        shares=shares,
        weakest=weakest,
        undetermined=open_,
        effective=effective,
        dead=tuple(dead),
        constant=tuple(constant),
        saturated=tuple(saturated),
        copies=tuple(copies),
        ranks=tuple(ranks),
        active=active,
        canonical=canonical(network, theta),
        with_prior=cost.prior is not None,
    )


def _spectrum(
    cost: NetworkCost, theta: HostArray
) -> tuple[HostArray, int, HostArray, tuple[Direction, ...], tuple[tuple[str, float], ...], HostArray]:
    """The fields of `Report` that a p x p matrix gives, and the effective number of each parameter."""
    names, p = cost.objective.network.layout.names, len(theta)
    H = cost.gauss_newton(theta)
    own = np.zeros(p) if cost.prior is None else 2 * cost.errordef * cost.prior.precision
    G = H - np.diag(own)
    diagonal = np.diag(G)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, V = scipy.linalg.eigh(G * (scale[:, None] * scale), check_finite=False)
    n_held = curvature(G, cost.errordef, cost.epsilon).factor.shape[1]
    F = curvature(H, cost.errordef, cost.epsilon).factor
    each = np.sum(F * (G @ F), axis=1) / (2 * cost.errordef)
    shares = np.zeros(p)
    shares[p - F.shape[1] :] = scipy.linalg.eigvalsh(F.T @ G @ F / (2 * cost.errordef), check_finite=False)
    weakest = []
    for i in range(p - n_held, min(p, p - n_held + SHOWN)):
        v, direction = V[:, i], scale * V[:, i]
        share = float(direction @ (G @ direction)) / float(direction @ (H @ direction))
        lead = [j for j in np.argsort(-np.abs(v))[:SHOWN].tolist() if abs(v[j]) > 0.1]
        weakest.append(Direction(float(values[i]), share, tuple((names[j], float(v[j])) for j in lead)))
    part = np.sum(V[:, : p - n_held] ** 2, axis=1)
    order = [j for j in np.argsort(-part, kind="stable").tolist() if part[j] > 0.01]
    open_ = tuple((names[j], float(part[j])) for j in order)
    return values, n_held, np.clip(shares, 0.0, 1.0), tuple(weakest), open_, each


def _constant(A: HostArray) -> Mask:
    """Which of the values whose second moments, the constant 1 included, are A ``(c, c)`` do not vary."""
    mean, square = A[:-1, -1], np.diag(A)[:-1]
    return np.asarray(square - mean**2 <= CONSTANT**2 * np.maximum(square, CONSTANT**2))


def _copies(A: HostArray, among: Rows) -> list[Rows]:
    """Groups of values that are affine functions of each other."""
    if len(among) < 2:
        return []
    mean = A[among, -1]
    C = A[np.ix_(among, among)] - np.outer(mean, mean)
    width = np.sqrt(np.diag(C))
    number, group = scipy.sparse.csgraph.connected_components(np.abs(C) > (1 - COPY) * np.outer(width, width))
    return [among[group == i] for i in range(number) if np.sum(group == i) > 1]


def _rank(A: HostArray) -> int:
    """Of second moments, up to the rounding of sums of squares."""
    scale = np.sqrt(np.maximum(np.diag(A), 1e-300))
    w = scipy.linalg.eigvalsh(A / np.outer(scale, scale), check_finite=False)
    return int(np.sum(w > 1e-13 * len(A) * w[-1]))


def _layers(flat: HostArray, widths: tuple[int, ...]) -> tuple[HostArray, ...]:
    return tuple(np.split(flat, np.cumsum(widths)[:-1])) if widths else ()


def _name(l: int, i: int | np.integer[Any]) -> str:
    return f"input {i}" if l == 1 else f"unit {i} of layer L{l}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[: 2 * SHOWN]) + (", ..." if len(names) > 2 * SHOWN else "")


def _decades(values: HostArray, held: int) -> str:
    """How many eigenvalues lie in each decade, the largest first."""
    positive = values[len(values) - held :]
    if not len(positive):
        return "all zero"
    decade = np.floor(np.log10(positive)).astype(int)
    numbers, counts = np.unique(decade, return_counts=True)
    text = ", ".join(f"{c} in 1e{d:+d}" for d, c in zip(numbers[::-1], counts[::-1], strict=True))
    return text + (f", {len(values) - held} zero" if held < len(values) else "")
