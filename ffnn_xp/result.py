"""`FitResult`: what a fit found, on the host, in NumPy; readable at 16 and at 20,000 parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any, Literal

import iminuit
import numpy as np
import scipy  # its submodules load when they are first used

from ._typing import Array, HostArray
from .bands import METHODS, NUMBER, Interval, band, covariance_root, other_minima, predicted, prior_share
from .cost import NetworkCost
from .coverage import Coverage, coverage
from .errors import NotFittedError, did_you_mean
from .goodness import Goodness, goodness
from .inputs import input_rows
from .layout import Layout
from .losses import Loss
from .prediction import Band
from .product_band import ProductBand
from .propagation import propagate
from .recipe import Recipe
from .report import Report, report
from .scaling import Scaling
from .subset import Others, minuit_of_subset
from .task import Task
from .walk import Restart


@dataclass(frozen=True, repr=False)
class FitResult:
    """The outcome of `Model.fit`.

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
    noise : array with shape (k,)
        Errors of the standardised outputs, if they were estimated; else ones.
    recipe : Recipe or None
        What ``prior="auto"`` chose, and by what.
    error_band : Band, ProductBand or None
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
    task: Task
    noise: HostArray
    factor: HostArray | None = field(default=None)
    recipe: Recipe | None = field(default=None)
    error_band: Band | ProductBand | None = field(default=None)

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
        if self.y_error is not None or self.weighted or self.ndof <= 0 or not self.statistic.absolute:
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
        if prior is None or not isinstance(band, Band) or self.n_null or self.task.sandwich:
            return float("nan")
        P = np.where(prior.precision > 0, prior.precision, 1.0)
        value = -self.fval / (2 * self.statistic.errordef) + 0.5 * float(np.sum(np.log(P)))
        value += float(np.linalg.slogdet(band.curvature.factor)[1])
        if self.y_error is not None:
            value -= self.task.data.n * float(np.sum(np.log(self.noise)))
        return value

    def prior_share(self, x: Any) -> HostArray:
        r"""By how much the prior, and not the data, holds up each prediction: from 0, the data alone, to 1.

        What is known of the parameters is G from the data (the Gauss-Newton matrix) and P from the prior; a prediction
        with derivatives j has the variance :math:`v = j^T A j`, :math:`A = (G + P)^{-1}`, and the share is
        :math:`j^T A P A j / v`: what the prediction owes to an assumption.

        Parameters
        ----------
        x : array-like with shape (n, d), or (n,) for d = 1
            Where.

        Returns
        -------
        array with shape (n,) or (n, k)
            In the shape of `Model.predict`; zeros without a prior.

        Raises
        ------
        NotFittedError
            If the fit is not valid, or formed no matrices.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-1, 1, 50)
        >>> fit = fx.Model((1, 3, 1), seed=1).fit(x, np.tanh(2 * x), 0.1, prior=1.0)
        >>> near, far = fit.prior_share([0.0, 4.0])
        >>> bool(0 < near < far < 1)
        True
        """
        known = self._known_band()
        if not isinstance(known, Band):
            raise NotFittedError("the prior's share of a prediction needs matrices, which were not formed")
        share = prior_share(self.task, self.cost, known, self._columns(x))
        return share[0] if len(share) == 1 else share.T

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

    def minuit_of(self, names: Sequence[str], others: Others = "profiled") -> iminuit.Minuit:
        """A live `Minuit` of some of the parameters, at any size of the network.

        Parameters
        ----------
        names : sequence of str
            The parameters, as in `names`.
        others : {"profiled", "fixed"}
            Whether the other parameters follow to their best values for each value of these, so that errors and MINOS
            intervals are those of the whole fit, or stay where they are.

        Returns
        -------
        iminuit.Minuit
            In raw units, after MIGRAD, with the subset's covariance. ``minuit.fcn.parameters(values)`` gives all
            parameters for values of the subset.

        Raises
        ------
        ValueError
            For names that there are not, and at a point around which there is no minimum of the others.

        Notes
        -----
        With "profiled" each call of MINUIT is a refit of the others by Newton's steps from where they were last, of
        tens of Hessian products each.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> fit = fx.Model((1, 2, 1), seed=1).fit(x, np.tanh(2 * x), 0.1, prior=3.0)
        >>> m = fit.minuit_of(["b_L2_L3[0]"])
        >>> m.valid, bool(np.isclose(m.errors[0], fit.errors[-1], rtol=1e-3))
        (True, True)
        """
        return minuit_of_subset(self.cost, self.scaling, self.standardised, names, others)

    def band(
        self,
        x: Any,
        *,
        cl: float = 0.683,
        method: Literal["linear", "profile", "replicas", "mixture"] = "linear",
        number: int | None = None,
        seed: int | None = None,
    ) -> Interval:
        """The band of the fitted function: linear, by the profile of each prediction, by toys, or by other minima.

        Parameters
        ----------
        x : array-like with shape (n, d), or (n,) for d = 1
            Where.
        cl : float
            Confidence level.
        method : {"linear", "profile", "replicas", "mixture"}
            See `bands`. A profile takes about half a second for each end at 31 parameters (`benchmarks/bands.py`); toys
            as many refits. Where random starts end in different minima only "mixture" knows of it.
        number : int, optional
            Toys of "replicas" (200), starts of "mixture" (8, this fit's included).
        seed : int, optional
            Of the toys and starts.

        Raises
        ------
        NotFittedError
            If the fit is not valid.
        ValueError
            If the level is not between 0 and 1, or the method is unknown, or a profile would need matrices that were
            not formed.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> fit = fx.Model((1, 2, 1), seed=1).fit(x, np.tanh(2 * x), 0.1, prior=3.0)
        >>> linear, profile = (fit.band([0.0], method=method) for method in ("linear", "profile"))
        >>> bool(np.isclose(linear.high[0], profile.high[0], rtol=0.1))
        True
        """
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}: {did_you_mean(method, METHODS)}")
        if not 0 < cl < 1:
            raise ValueError(f"`cl` must lie between 0 and 1, got {cl!r}")
        known = self._known_band()
        if method in ("profile", "mixture") and not isinstance(known, Band):
            raise ValueError(f"a {method} needs the p x p covariance, which was not formed: use method='linear'")
        number = NUMBER.get(method, 0) if number is None else number
        if isinstance(number, bool) or int(number) != number or number < (method in NUMBER):
            raise ValueError(f"`number` must be a positive integer, got {number!r}")
        columns, rng = self._columns(x), np.random.default_rng(seed)
        minima: list[Band] = []
        if method == "mixture":
            assert isinstance(known, Band)
            key = int(number), seed
            if key not in self._minima:
                self._minima[key] = other_minima(self.task, self.noise, known, int(number), rng)
            minima = self._minima[key]
        parts = band(self.task, self.noise, self.cost, known, columns, float(cl), method, int(number), rng, minima)
        mean, low, high, status = (a[0] if len(a) == 1 else a.T for a in parts)
        return Interval(mean, low, high, float(cl), method, status.astype(np.str_))

    def propagate(self, function: Callable[[HostArray], Any], x: Any) -> tuple[HostArray, HostArray]:
        """A function of predictions, and its covariance: averages, differences, ratios, integrals.

        Parameters
        ----------
        function : callable
            Of the predictions at all x, in the shape of `Model.predict`; returns a number or a vector (m,).
        x : array-like with shape (n, d), or (n,) for d = 1
            Where.

        Returns
        -------
        value : array with shape () or (m,)
        covariance : array with shape () or (m, m)
            Linear in the predictions, whose covariance J Sigma J^T counts with all its correlations.

        Raises
        ------
        NotFittedError
            If the fit is not valid, or formed no covariance.
        ValueError
            If a prediction depends on a direction that the fit does not determine.

        Examples
        --------
        The slope of a straight line from two predictions, and the integral between them:

        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(0, 1, 50)
        >>> fit = fx.Model((1, 1), seed=1).fit(x, 2 * x + 1, 0.1)
        >>> slope, variance = fit.propagate(lambda y: y[1] - y[0], [0.0, 1.0])
        >>> round(float(slope), 6), bool(np.isclose(variance, fit.errors[0] ** 2))
        (2.0, True)
        >>> area, variance = fit.propagate(lambda y: np.trapezoid(y, dx=0.1), np.linspace(0, 1, 11))
        >>> round(float(area), 6), round(float(np.sqrt(variance)), 4)
        (2.0, 0.0141)
        """
        known = self._known_band()
        if not isinstance(known, Band):
            raise NotFittedError("no covariance of predictions: matrices were not formed")
        backend, network = self.task.model.backend, self.task.network
        columns = self._columns(x)
        A = covariance_root(network, known, backend, columns)
        if not np.all(np.isfinite(A)):
            raise ValueError("a prediction depends on a direction that the fit does not determine: use a prior")
        return propagate(function, predicted(network, backend, self.parameters, columns), A)

    @cached_property
    def _minima(self) -> dict[tuple[int, int | None], list[Band]]:
        """Those of each mixture that was asked for, by number and seed: they serve for all bands."""
        return {}

    def _columns(self, x: Any) -> Array:
        """Inputs as columns on the device, checked."""
        backend = self.task.model.backend
        with backend.context():
            return backend.xp.matrix_transpose(input_rows(backend, x, self.layout.widths[0])[0])

    def _known_band(self) -> Band | ProductBand:
        if self.error_band is None:
            raise NotFittedError(f"no error band: {self.message}")
        return self.error_band

    def goodness(self, number: int = 0, *, seed: int | None = None) -> Goodness:
        """Whether the fit describes the data: chi-square, toys of it, pulls and their runs, calibration.

        Parameters
        ----------
        number : int
            Toys, each fitted again; 0 is none. Where S is not a chi-square (few counts, yes and no) only they give a
            p-value.
        seed : int, optional
            Of the toys.

        Raises
        ------
        ValueError
            If `number` is no natural number.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> counts = np.random.default_rng(1).poisson(np.exp(np.sin(2 * x)))
        >>> fit = fx.Model((1, 3, 1), output="exp", seed=1).fit(x, counts, loss="poisson", prior=3.0)
        >>> good = fit.goodness(100, seed=1)
        >>> good.n_toys, bool(0.05 < good.p_toys < 0.95)
        (100, True)
        """
        if isinstance(number, bool) or int(number) != number or number < 0:
            raise ValueError(f"`number` must be 0 or a positive integer, got {number!r}")
        return goodness(
            self.task,
            self.noise,
            self.parameters,
            self.chi2,
            self.ndof,
            self.p_value,
            int(number),
            np.random.default_rng(seed),
        )

    def coverage(
        self,
        x: Any = None,
        *,
        cl: float | Sequence[float] = (0.683, 0.954),
        number: int = 200,
        seed: int | None = None,
    ) -> Coverage:
        """Claimed against measured coverage of the linear band, by toys around this fit; bias apart from spread.

        Parameters
        ----------
        x : array-like with shape (m, d), or (m,) for d = 1, optional
            Where; by default at the data, at most 200 of them.
        cl : float or sequence of float
            Confidence levels.
        number : int
            Toys.
        seed : int, optional
            Of the toys.

        Raises
        ------
        NotFittedError
            If the fit is not valid.
        ValueError
            If levels are not between 0 and 1, or fewer than two toys have a band.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> fit = fx.Model((1, 2, 1), seed=1).fit(x, np.tanh(2 * x), 0.1, prior=3.0)
        >>> measured = fit.coverage(number=100, seed=1)
        >>> measured.n_toys > 90, bool(abs(measured.averaged[0] - 0.683) < 0.1)
        (True, True)
        """
        if not self.valid or not self.with_matrices:
            raise NotFittedError(f"no error band: {self.message}")
        levels = np.atleast_1d(np.asarray(cl, dtype=np.float64))
        if levels.ndim != 1 or not np.all((levels > 0) & (levels < 1)):
            raise ValueError(f"`cl` must lie between 0 and 1, got {cl!r}")
        if isinstance(number, bool) or int(number) != number or number < 2:
            raise ValueError(f"`number` must be an integer of at least 2, got {number!r}")
        backend = self.task.model.backend
        with backend.context():
            if x is None:
                columns = self.task.data.measured_x(backend.xp)[:, :: max(1, self.task.data.n // 200)]
            else:
                columns = self._columns(x)
        rng = np.random.default_rng(seed)
        return coverage(self.task, self.noise, self.parameters, columns, levels, int(number), rng)

    def report(self) -> Report:
        """Which directions the data hold, effective parameters by layer, dead, saturated, constant and copied units.

        Takes about as long as one Gauss-Newton matrix and its eigenvalues.

        Examples
        --------
        >>> import numpy as np
        >>> import ffnn_xp as fx
        >>> x = np.linspace(-2, 2, 50)
        >>> two = np.stack([x, 1 - 2 * x], axis=1)
        >>> fit = fx.Model((2, 2, 1), seed=1).fit(two, np.tanh(2 * x), 0.1, prior=3.0)
        >>> fit.report().copies
        (('input 0', 'input 1'),)
        """
        return report(self.cost, self.standardised, self.description, matrices=self.with_matrices)

    def _lines(self) -> list[tuple[str, str]]:
        ratio = self.chi2 / self.ndof if self.ndof > 0 else float("nan")
        word = f"{self.statistic.word} / ndof"
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
        given = self.statistic.extra in ("y_err", "y_cov")
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
