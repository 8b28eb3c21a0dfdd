"""`FitRecord`: the numbers of a fit on the host, which `model.result.FitResult` presents to users."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.floating_point import quiet
from ffnn_xp._lib.typing import HostArray
from ffnn_xp.data import Scaling
from ffnn_xp.fitting.prior_selection import PriorSelection
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.fitting.search_result import Restart
from ffnn_xp.losses import Loss
from ffnn_xp.network import Layout
from ffnn_xp.objective import DataCost, NetworkCost
from ffnn_xp.uncertainty import LinearBand, MatrixFreeBand, Predictive, Spectrum


@quiet
@dataclass(frozen=True, repr=False)
class FitRecord:
    """The numbers of a fit.

    Attributes
    ----------
    valid : bool
        Whether a minimum was certified: EDM below MINUIT's goal, and no direction of negative curvature.
    message : str
        The reason for that or, if not valid, what to do.
    fval : float
        The cost at the end, prior included.
    chi2 : float
        The data's part of it.
    edm : float
        MINUIT's estimated vertical distance to the minimum; where no matrices are formed, its upper bound from
        conjugate gradients.
    certificate : str
        What `valid` rests on: "MIGRAD", "conjugate gradients" (beyond MINUIT's memory), or "none".
    n_data : int
        Number of measured values.
    n_effective : float
        Effective number of parameters: the directions that the data determine, less what the prior determines.
    parameters, errors : array with shape (p,)
        Theta and its standard deviations; infinite where a parameter is unidentified, NaN without a covariance.
    y_error : array with shape (k,) or None
        The errors of y, if they were estimated from the residuals; with ``prior="auto"`` from held-out ones.
    covariance_source : str
        Which matrix the covariance is the inverse of.
    n_null : int
        Number of unidentified directions, which the data do not determine.
    edm_newton : float
        EDM by our own Hessian, g^T H^-1 g / 2 on the identified directions: independent of MINUIT.
    hesse_difference : float
        Largest relative difference between our errors and those of MINUIT's HESSE, which inverts the exact Hessian by
        its own means; NaN where HESSE is not run (non-smooth activations, unidentified directions, more than 64
        parameters).
    minuit_calls : int
        Calls that MIGRAD took to certify.
    edm_goal : float
        MIGRAD's goal for EDM.
    restarts : list of Restart
        One row for each start.
    hops, found : int
        Networks that basin hopping minimized after the starts, and how many of all came to the best minimum.
    seconds : float
        Wall time.
    cost : NetworkCost
        The cost of standardised data, which was minimized.
    standardised : array with shape (p,)
        Theta of its minimum.
    with_matrices : bool
        Whether p x p matrices were formed.
    problem : FitProblem
        The data, checked and on the device, their statistic and prior; toys are drawn from it.
    raw_cost : DataCost
        The same cost in raw units.
    spectrum : Spectrum or None
        The spectrum of the Hessian at the minimum, in standardised units.
    factor : array with shape (p, r) or None
        F with covariance F F^T in raw units; None without a covariance.
    recipe : PriorSelection or None
        The choice of ``prior="auto"``.
    no_prior : str
        Why ``prior="auto"`` chose none; empty if it chose one, or was not asked for.
    error_band : LinearBand, MatrixFreeBand or None
        The band that `Model.predict` uses.
    predictive : Predictive or None
        The density of new measurements, if there is one.
    caution : str
        Why the fit has to be used with care, in a few words: its minimum lies at infinity, or it does not describe its
        data; empty for most fits.
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
    edm_goal: float
    restarts: list[Restart]
    seconds: float
    cost: NetworkCost
    standardised: HostArray
    with_matrices: bool
    problem: FitProblem
    raw_cost: DataCost
    spectrum: Spectrum | None = None
    factor: HostArray | None = None
    recipe: PriorSelection | None = None
    error_band: LinearBand | MatrixFreeBand | None = None
    predictive: Predictive | None = None
    no_prior: str = ""
    caution: str = ""
    hops: int = 0
    found: int = 0

    @property
    def layout(self) -> Layout:
        """The layout of the parameters."""
        return self.problem.layout

    @property
    def scaling(self) -> Scaling:
        """The map between standardised and raw units."""
        return self.problem.scaling

    @property
    def statistic(self) -> Loss:
        """The statistic that S sums."""
        return self.problem.loss

    @property
    def weighted(self) -> bool:
        """True if events had weights."""
        return self.problem.data.weighted

    @property
    def description(self) -> str:
        """The widths and activations, such as "1-10-1, tanh, identity", after the network's name if it has one."""
        return self.problem.network.description

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return self.layout.names

    @property
    def ndof(self) -> float:
        """The degrees of freedom, n_data - n_effective."""
        return self.n_data - self.n_effective

    @property
    def p_value(self) -> float:
        """The probability of a larger chi-square if the model is right; NaN if S is none, or errors are estimated."""
        if self.y_error is not None or self.weighted or self.ndof <= 0 or not self.statistic.is_chi_square:
            return float("nan")
        return float(scipy.special.gammaincc(self.ndof / 2, self.chi2 / 2))

    @cached_property
    def covariance(self) -> HostArray | None:
        """The covariance of the parameters ``(p, p)`` on the identified directions; None if there is none.

        Its diagonal is finite also where `errors` are infinite.
        """
        return None if self.factor is None else np.asarray(self.factor @ self.factor.T)

    @cached_property
    def log_evidence(self) -> float:
        r"""The logarithm of the evidence in Laplace's approximation, up to a constant that depends on the data alone.

        .. math:: \log Z = -\frac{S}{2e} + \frac12 \sum_i \log P_i + \frac12 \log\det\Sigma

        (D. J. C. MacKay, Neural Computation 4 (1992) 448, sec. 2.) P are the prior's precisions on the standardised
        parameters, 1 for output biases, which have no prior. Errors of y that were estimated add their
        :math:`-n \log\sigma`. Only this minimum counts, not the others, its copies included. Differences between fits
        of the same data compare priors and networks. It is NaN without a prior or a covariance, and where directions
        are unidentified.
        """
        prior, band = self.problem.prior, self.error_band
        if prior is None or not isinstance(band, LinearBand) or self.n_null or self.problem.sandwich:
            return float("nan")
        P = np.where(prior.precision > 0, prior.precision, 1.0)
        value = -self.fval / (2 * self.statistic.errordef) + 0.5 * float(np.sum(np.log(P)))
        value += float(np.linalg.slogdet(band.spectrum.factor)[1])
        if self.y_error is not None:
            value -= self.problem.data.n * float(np.sum(np.log(self.problem.y_error)))
            value -= 0.0 if self.problem.relative_error is None else float(np.sum(np.log(self.problem.relative_error)))
        return value
