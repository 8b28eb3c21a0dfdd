"""What a fit found, in numbers and in print: on the host, in NumPy; readable at 16 and at 20,000 parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from html import escape

import iminuit
import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data.standardization import Scaling
from ffnn_xp.fitting.multistart import Restart
from ffnn_xp.fitting.prior_selection import PriorSelection
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.losses import Loss
from ffnn_xp.network import Layout
from ffnn_xp.objective import NetworkCost
from ffnn_xp.uncertainty import LinearBand, MatrixFreeBand


@dataclass(frozen=True, repr=False)
class Summary:
    """The numbers of a fit.

    Attributes
    ----------
    valid : bool
        Whether a minimum was certified (EDM below MINUIT's goal) and no direction leads further down.
    message : str
        What that rests on or, if not valid, what to do.
    fval : float
        The cost at the end, prior included.
    chi2 : float
        The data's part of it.
    edm : float
        MINUIT's estimated vertical distance to the minimum; where no matrices are formed, its upper bound from
        conjugate gradients.
    certificate : str
        Whose word `valid` is: "MIGRAD", "conjugate gradients" (beyond MINUIT's memory), or "none".
    n_data : int
        Number of measured values.
    n_effective : float
        Effective number of parameters: the directions that the data determine, less what a prior holds up.
    parameters, errors : array with shape (p,)
        Theta and its standard deviations; infinite where the data leave a parameter open, NaN without a covariance.
    y_error : array with shape (k,) or None
        The errors of y, if they were estimated from the residuals; with ``prior="auto"`` from held-out ones.
    covariance_source : str
        Which matrix the covariance is the inverse of.
    edm_newton : float
        The same from our own Hessian, g^T H^-1 g / 2 on the directions that it holds: independent of MINUIT.
    hesse_difference : float
        Largest relative difference between our errors and those of MINUIT's HESSE, which inverts the exact Hessian by
        its own means; NaN where that is not asked (kinks, undetermined directions, more than 64 parameters).
    minuit_calls : int
        Calls that MIGRAD took to certify.
    weighted : bool
        Whether events had weights.
    statistic : Loss
        What was summed.
    edm_goal : float
        MIGRAD's goal for EDM.
    restarts : list of Restart
        One row for each start.
    seconds : float
        Wall time.
    cost : NetworkCost
        What was minimised: the cost of standardised data.
    standardised : array with shape (p,)
        Where its minimum is.
    scaling : Scaling
        From there to raw units.
    with_matrices : bool
        Whether p x p matrices were formed.
    task : Task
        The data, checked and on the device, their statistic and prior: what toys are made of.
    recipe : Recipe or None
        What ``prior="auto"`` chose, and by what.
    error_band : LinearBand, MatrixFreeBand or None
        What `Model.predict` makes its errors of.
    """

    valid: bool
    message: str
    fval: float
    chi2: float
    edm: float
    certificate: str
    n_data: int
    n_effective: float
    parameters: HostArray
    errors: HostArray
    y_error: HostArray | None
    covariance_source: str
    n_null: int
    edm_newton: float
    hesse_difference: float
    minuit_calls: int
    weighted: bool
    statistic: Loss
    edm_goal: float
    make_minuit: Callable[[], iminuit.Minuit]
    restarts: list[Restart]
    seconds: float
    layout: Layout
    description: str
    cost: NetworkCost
    standardised: HostArray
    scaling: Scaling
    with_matrices: bool
    task: FitProblem
    factor: HostArray | None = field(default=None)
    recipe: PriorSelection | None = field(default=None)
    error_band: LinearBand | MatrixFreeBand | None = field(default=None)

    @cached_property
    def minuit(self) -> iminuit.Minuit:
        """Live, in raw units: MINOS, contours, fixed parameters and all the rest.

        Made when it is first asked for. (The certificate is computed in standardised units, where nothing is lost to
        rounding.) It knows no infinite errors: where `errors` are infinite, its own are those of the step that it was
        given.
        """
        return self.make_minuit()

    @property
    def ndof(self) -> float:
        """Degrees of freedom, n_data - n_effective."""
        return self.n_data - self.n_effective

    @property
    def p_value(self) -> float:
        """Chance of a chi-square this large if the model is right; NaN if it is none, or errors are estimated."""
        if self.y_error is not None or self.weighted or self.ndof <= 0 or not self.statistic.is_chi_square:
            return float("nan")
        return float(scipy.special.gammaincc(self.ndof / 2, self.chi2 / 2))

    @cached_property
    def log_evidence(self) -> float:
        r"""Logarithm of the evidence in Laplace's approximation, up to what depends on the data alone.

        .. math:: \log Z = -\frac{S}{2e} + \frac12 \sum_i \log P_i + \frac12 \log\det\Sigma

        (D. J. C. MacKay, Neural Computation 4 (1992) 448, sec. 2.) P are the prior's precisions on the standardised
        parameters, 1 for output biases, which are free. Errors of y that were estimated add their
        :math:`-n \log\sigma`. One minimum counts: that there are others, copies of it included, does not. Differences
        between fits of the same data compare priors and networks. NaN without a prior or a covariance, and where
        directions are undetermined.
        """
        prior, band = self.task.prior, self.error_band
        if prior is None or not isinstance(band, LinearBand) or self.n_null or self.task.sandwich:
            return float("nan")
        P = np.where(prior.precision > 0, prior.precision, 1.0)
        value = -self.fval / (2 * self.statistic.errordef) + 0.5 * float(np.sum(np.log(P)))
        value += float(np.linalg.slogdet(band.spectrum.factor)[1])
        if self.y_error is not None:
            value -= self.task.data.n * float(np.sum(np.log(self.task.y_error)))
        return value

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self.layout.names

    @cached_property
    def covariance(self) -> HostArray | None:
        """Covariance of the parameters ``(p, p)`` on the directions that are determined; None if there is none.

        Its diagonal is finite also where `errors` are infinite.
        """
        return None if self.factor is None else np.asarray(self.factor @ self.factor.T)

    def _lines(self) -> list[tuple[str, str]]:
        ratio = self.chi2 / self.ndof if self.ndof > 0 else float("nan")
        word = f"{self.statistic.display_name} / ndof"
        given = word, f"{self.chi2:.6g} / ({self.n_data} - {self.n_effective:.5g}) = {ratio:.4g}"
        if not np.isnan(self.p_value):
            given = given[0], f"{given[1]}, p-value {self.p_value:.2g}"
        best = min(self.restarts, key=lambda r: r.fval).start if self.restarts else 0
        calls = sum(r.calls for r in self.restarts)
        starts = f"{len(self.restarts)} start{'s' * (len(self.restarts) != 1)}"
        walk = f"{starts}, the best is number {best}; {calls} gradient calls"
        minima = [r.minimum for r in self.restarts if r.minimum]
        if len(minima) > 1:
            found = f"{max(minima)} minima, {minima.count(1)} at" if max(minima) > 1 else "the same minimum"
            walk += f"; {len(minima)} arrived at {found}{' the best' if max(minima) > 1 else ''}"
        asked = not np.isnan(self.hesse_difference)
        check = f"; HESSE's errors agree to {self.hesse_difference:.1g}" if asked else ""
        lines = [
            given,
            (
                "EDM",
                (
                    f"between {self.edm_newton:.2g} and {self.edm:.2g} by conjugate gradients "
                    if self.certificate == "conjugate gradients"
                    else f"{self.edm:.2g} by MINUIT, {self.edm_newton:.2g} by Newton's step "
                )
                + f"(goal: {self.edm_goal:.2g})",
            ),
            ("covariance", self.covariance_source + check),
            ("errors of y", self._errors_of_y()),
            ("walk", f"{walk if self.restarts else 'none'}; MINUIT {self.minuit_calls} calls; {self.seconds:.2f} s"),
        ]
        if self.recipe is not None:
            lines.insert(1, ("recipe", self.recipe.words()))
        if not np.isnan(self.log_evidence):
            lines.insert(1, ("evidence", f"log Z = {self.log_evidence:.6g} by Laplace; differences of it compare fits"))
        if self.fval != self.chi2:
            lines.insert(1, ("cost", f"{self.fval:.6g}, of which the prior {self.fval - self.chi2:.4g}"))
        return lines

    def _errors_of_y(self) -> str:
        if self.y_error is not None:
            return f"from {'the' if self.recipe is None else 'held-out'} residuals: {_few(self.y_error)}"
        given = self.statistic.auxiliary in ("y_err", "y_cov")
        return "as given" if given else f"those of the statistic: {self.statistic.name}"

    def _layers(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for l, (start, (r, c)) in enumerate(zip(self.layout.offsets, self.layout.shapes, strict=False), start=1):
            theta, errors = self.parameters[start : start + r * c], self.errors[start : start + r * c]
            open_ = int(np.sum(np.isinf(errors)))
            known = errors[np.isfinite(errors)]
            median = f"{np.median(known):.2g}" if len(known) else "-"
            rows.append(
                (
                    f"L{l} -> L{l + 1}",
                    f"{r} x {c}",
                    str(r * c),
                    f"{np.sqrt(np.mean(theta**2)):.3g}",
                    median,
                    str(open_),
                )
            )
        return rows

    def __repr__(self) -> str:
        head = f"FitResult: {'valid minimum' if self.valid else 'NOT VALID'} of {self.description}"
        out = [head, *(f"  {key:<12} {text}" for key, text in self._lines())]
        table = [_HEADER, *self._layers()]
        widths = [max(len(row[i]) for row in table) for i in range(len(_HEADER))]
        out += ["  " + "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in table]
        return "\n".join([*out, f"  {self.message}"])

    def _repr_html_(self) -> str:
        color = "#2e7d32" if self.valid else "#c62828"
        head = (
            f'<p><b style="color:{color}">{"Valid minimum" if self.valid else "Not valid"}</b> of '
            f"{escape(self.description)}</p>"
        )
        cell = 'style="text-align:left"'
        facts = "".join(f"<tr><th {cell}>{escape(k)}</th><td {cell}>{escape(t)}</td></tr>" for k, t in self._lines())
        header = "".join(f"<th>{escape(c)}</th>" for c in _HEADER)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in row)}</tr>" for row in self._layers())
        return f"{head}<table>{facts}</table><table><tr>{header}</tr>{rows}</table><p>{escape(self.message)}</p>"


_HEADER = ("layer", "matrix", "parameters", "rms", "median error", "undetermined")


def _few(values: HostArray) -> str:
    shown = ", ".join(f"{v:.3g}" for v in values[:4])
    return shown + (f", ... ({len(values)} outputs)" if len(values) > 4 else "")
