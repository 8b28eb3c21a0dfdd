r"""Bounds on EDM without a matrix, by conjugate gradients.

EDM = g^T H^-1 g / 2, and conjugate gradients started at zero add to it in each step: their sum is a lower bound. The
rest has an upper bound by Gauss-Radau quadrature (G. Meurant and P. Tichy, Numerical Algorithms 62 (2013) 163, eq. 18),
for a lower bound mu of the spectrum: the one that a prior guarantees (`least`), or, if that is smaller, the smallest
Ritz value with a margin, which approaches the smallest eigenvalue from above. The lower bound of EDM is rigorous. The
upper bound is rigorous for a Gauss-Newton matrix with a prior on all parameters but the output's biases, which the data
determine. It is an estimate without a prior, and with the exact Hessian, whose eigenvalues the residuals may lower
below the prior's precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray

ROUNDING = 1e-26  # relative square norm of the residual at which nothing is left but rounding
HUGE = 1e150  # of a step's length or the residual's growth: beyond it the matrix overflows, and the bounds so far stay
CHECK_EVERY = 5  # iterations between estimates of the upper bound
RITZ_MARGIN = 0.5  # share of the smallest Ritz value, which is too large, that is taken for the smallest eigenvalue


@dataclass(frozen=True)
class EDMBounds:
    """Bounds on EDM, with the results of the conjugate gradients that computed them.

    Attributes
    ----------
    step : array with shape (p,)
        The approximate H^-1 g; Newton's step to the minimum is its negative.
    lower, upper : float
        Bounds of EDM; the upper one is infinite where the matrix is not positive.
    iterations : int
        Products that it took.
    negative_direction : array with shape (p,) or None
        A direction along which the matrix is not positive, if one was found.
    weakly_determined : bool
        Whether such a direction was found in a random search, and S is nowhere lower along it.
    """

    step: HostArray
    lower: float
    upper: float
    iterations: int
    negative_direction: HostArray | None = None
    weakly_determined: bool = False


@dataclass(frozen=True)
class ConjugateGradients:
    """Conjugate gradients that compute bounds on EDM, with their options.

    Parameters
    ----------
    tolerance : float
        Share of the upper bound by which the bounds may differ at the end.
    max_iterations : int
        Upper limit of products.

    Examples
    --------
    >>> H, g = np.diag([1.0, 4.0, 9.0]), np.array([1.0, 2.0, 3.0])
    >>> found = ConjugateGradients(tolerance=1e-9).bounds(lambda v: H @ v, g, lambda v: v)
    >>> round(found.lower, 6), round(found.upper, 6)
    (1.5, 1.5)
    """

    tolerance: float = 0.1
    max_iterations: int = 300

    def bounds(
        self,
        product: Callable[[HostArray], HostArray],
        g: HostArray,
        precondition: Callable[[HostArray], HostArray],
        *,
        enough: float = 0.0,
        least: float = np.inf,
    ) -> EDMBounds:
        """Return bounds on the EDM of a gradient.

        Parameters
        ----------
        product : callable
            Multiplies by a symmetric positive matrix H ``(p, p)``.
        g : array with shape (p,)
            The gradient.
        precondition : callable
            Multiplies by a symmetric positive matrix near H^-1.
        enough : float
            Upper bound that is low enough to end.
        least : float
            A lower bound of the eigenvalues of the preconditioned matrix, if one is known.
        """
        x, r = np.zeros_like(g), g.copy()
        z = precondition(r)
        d, rho = z.copy(), float(r @ z)
        gammas: list[float] = []
        deltas: list[float] = []
        lower, upper = 0.0, np.inf
        least_rho = ROUNDING * rho
        while rho > least_rho and len(gammas) < self.max_iterations:
            Hd = product(d)
            bend = float(d @ Hd)
            if not bend > 0:
                return EDMBounds(x, lower, np.inf, len(gammas) + 1, d)
            gamma = rho / bend
            if not 1 / HUGE < gamma < HUGE:
                break
            x += gamma * d
            r -= gamma * Hd
            lower += 0.5 * gamma * rho
            z = precondition(r)
            rho, before = float(r @ z), rho
            if not rho < HUGE * before:
                break
            gammas.append(gamma)
            deltas.append(rho / before)
            d = z + deltas[-1] * d
            if len(gammas) % CHECK_EVERY == 0:
                upper = lower + 0.5 * _radau(gammas, deltas, least) * max(rho, 0.0)
                if upper - lower < self.tolerance * upper or upper < enough:
                    break
        return EDMBounds(x, lower, max(lower, lower if rho <= least_rho else upper), len(gammas))


def _radau(gammas: list[float], deltas: list[float], least: float) -> float:
    """Return the factor from the residual's square norm to a bound on the rest."""
    mu = min(least, RITZ_MARGIN * _smallest_ritz(gammas, deltas))
    factor = 1 / mu
    for gamma, delta in zip(gammas, deltas, strict=True):
        rest = factor - gamma
        factor = rest / (mu * rest + delta) if rest > 0 else 1 / mu
    return factor


def _smallest_ritz(gammas: list[float], deltas: list[float]) -> float:
    """Return the smallest eigenvalue of the Lanczos matrix that belongs to conjugate gradients."""
    a, b = np.asarray(gammas), np.asarray(deltas)
    diagonal = 1 / a
    diagonal[1:] += b[:-1] / a[:-1]
    if len(a) == 1:
        return float(diagonal[0])
    off = np.sqrt(b[:-1]) / a[:-1]
    w = scipy.linalg.eigvalsh_tridiagonal(diagonal, off, select="i", select_range=(0, 0))
    return max(float(w[0]), 1e-300)
