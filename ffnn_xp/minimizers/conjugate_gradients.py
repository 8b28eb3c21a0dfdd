r"""EDM without a matrix: conjugate gradients, with bounds on what they have not yet found.

EDM = g^T H^-1 g / 2, and conjugate gradients started at zero add to it in each step: what they have is a lower bound
that only grows. The rest has an upper bound by Gauss-Radau quadrature (G. Meurant and P. Tichy, Numerical Algorithms 62
(2013) 163, eq. 18), for a lower bound mu of the spectrum: what a prior guarantees (`least`), or the smallest Ritz value
with a margin, which comes down to the smallest eigenvalue from above, if that is smaller. The lower bound is rigorous.
The upper bound is so for a Gauss-Newton matrix with a prior on all parameters but the output's biases, which the data
determine; with the exact Hessian, whose residuals may bend it below the prior's precision, or without a prior, it is an
estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.tuning import tuned
from ffnn_xp._lib.typing import HostArray

ROUNDING = 1e-26  # fall of the residual's square norm after which there is nothing left but rounding
LOOK_EVERY = 5  # iterations between estimates of the upper bound


@dataclass(frozen=True)
class EDMBounds:
    """Bounds on EDM, and what conjugate gradients found on the way.

    Attributes
    ----------
    step : array with shape (p,)
        H^-1 g, as far as it went; the way to the minimum is its negative.
    lower, upper : float
        Bounds of EDM; the upper one is infinite where the matrix is not positive.
    iterations : int
        Products that it took.
    negative_direction : array with shape (p,) or None
        A direction along which the matrix is not positive, if one was met.
    weakly_determined : bool
        Whether such a direction was met in a random search, and S is nowhere lower along it.
    """

    step: HostArray
    lower: float
    upper: float
    iterations: int
    negative_direction: HostArray | None = None
    weakly_determined: bool = False


@dataclass(frozen=True)
class ConjugateGradients:
    """Bounds on EDM by products with a matrix.

    Parameters
    ----------
    tolerance : float
        Ends where upper and lower bound differ by less than this share of the upper.
    max_iterations : int
        Upper limit of products.
    ritz_margin : float
        Share of the smallest Ritz value that stands for the smallest eigenvalue.

    Examples
    --------
    >>> H, g = np.diag([1.0, 4.0, 9.0]), np.array([1.0, 2.0, 3.0])
    >>> found = ConjugateGradients(tolerance=1e-9).bounds(lambda v: H @ v, g, lambda v: v)
    >>> round(found.lower, 6), round(found.upper, 6)
    (1.5, 1.5)
    """

    tolerance: float = tuned(0.1, "larger: fewer products, and an upper bound that is too high by so much")
    max_iterations: int = tuned(300, "more: tighter bounds where H is nearly singular, more products")
    ritz_margin: float = tuned(0.5, "larger: a tighter upper bound, which is more often too low")

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
            Times a symmetric positive matrix H ``(p, p)``.
        g : array with shape (p,)
            The gradient.
        precondition : callable
            Times a symmetric positive matrix near H^-1.
        enough : float
            Ends as soon as the upper bound is below it: it need not be known better.
        least : float
            Below all eigenvalues of the preconditioned matrix, if such a number is known.
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
            x += gamma * d
            r -= gamma * Hd
            lower += 0.5 * gamma * rho
            z = precondition(r)
            rho, before = float(r @ z), rho
            gammas.append(gamma)
            deltas.append(rho / before)
            d = z + deltas[-1] * d
            if len(gammas) % LOOK_EVERY == 0:
                upper = lower + 0.5 * self._radau(gammas, deltas, least) * max(rho, 0.0)
                if upper - lower < self.tolerance * upper or upper < enough:
                    break
        return EDMBounds(x, lower, max(lower, upper if rho > least_rho else lower), len(gammas))

    def _radau(self, gammas: list[float], deltas: list[float], least: float) -> float:
        """Return the factor from the residual's square norm to a bound on the rest."""
        mu = min(least, self.ritz_margin * _smallest_ritz(gammas, deltas))
        factor = 1 / mu
        for gamma, delta in zip(gammas, deltas, strict=True):
            rest = factor - gamma
            factor = rest / (mu * rest + delta) if rest > 0 else 1 / mu
        return factor


def _smallest_ritz(gammas: list[float], deltas: list[float]) -> float:
    """Return the smallest eigenvalue of the Lanczos matrix that conjugate gradients leave behind."""
    a, b = np.asarray(gammas), np.asarray(deltas)
    diagonal = 1 / a
    diagonal[1:] += b[:-1] / a[:-1]
    if len(a) == 1:
        return float(diagonal[0])
    off = np.sqrt(b[:-1]) / a[:-1]
    w = scipy.linalg.eigvalsh_tridiagonal(diagonal, off, select="i", select_range=(0, 0))
    return max(float(w[0]), 1e-300)
