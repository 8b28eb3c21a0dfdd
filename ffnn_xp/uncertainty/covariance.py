r"""Covariances from Hessians, with unidentified directions kept apart.

At a minimum with Hessian H the covariance is :math:`\Sigma = 2 e H^{-1}` (e = errordef). Networks have directions that
no data determine (units that are off everywhere, exact copies): their eigenvalues of H are zero up to rounding. No
variance is invented for them. Sigma is the inverse on the identified directions; parameters that take part in an
unidentified direction get an infinite error, and so does a prediction that depends on one. A negative eigenvalue means
that the point is no minimum, and there is no covariance at all. The exception is a direction along which S was computed
and is not lower by more than rounding: it is degenerate, and counts as unidentified too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.limits import before_eigenvectors
from ffnn_xp._lib.typing import HostArray, Mask
from ffnn_xp.network import Layout

ROUNDING = 4500.0
"""Rounding floor, in epsilons of the largest eigenvalue (1e-12 in float64): smaller eigenvalues count as zero."""
NO_INFLUENCE = 100.0
"""Epsilons of the largest derivative of predictions below which that by another parameter is rounding."""
TOUCHES = 1e-6
"""Squared share of the unidentified directions above which a parameter or a prediction depends on them."""


@dataclass(frozen=True)
class Spectrum:
    """The eigen-decomposition of a Hessian, sorted into identified, unidentified and negative directions.

    Attributes
    ----------
    factor : array with shape (p, r)
        F with Sigma = F F^T on the r identified directions.
    unidentified : array with shape (p, m)
        The m unidentified directions, an orthonormal basis in scaled coordinates.
    scale : array with shape (p,)
        1/sqrt of the Hessian's diagonal, which leads from scaled coordinates to parameters.
    negative_directions : array with shape (p, q)
        Directions of negative curvature in scaled coordinates, the most negative first.
    """

    factor: HostArray
    unidentified: HostArray
    scale: HostArray
    negative_directions: HostArray

    @classmethod
    def of_hessian(cls, H: HostArray, errordef: float, epsilon: float = 2.2e-16) -> Spectrum:
        """Decompose a Hessian ``(p, p)`` that was computed with this relative precision.

        If all directions are identified, its Cholesky factor is enough; otherwise its eigenvectors are computed.

        Examples
        --------
        >>> spectrum = Spectrum.of_hessian(np.diag([2.0, 8.0, 0.0]), errordef=1.0)
        >>> spectrum.errors, spectrum.n_unidentified
        (array([1. , 0.5, inf]), 1)
        """
        M, scale, cut = _scaled(H, epsilon)
        inverse_root = _inverse_root(M, cut)
        if inverse_root is not None:
            nothing = np.zeros((len(M), 0))
            return cls(np.sqrt(2 * errordef) * scale[:, None] * inverse_root, nothing, scale, nothing)
        before_eigenvectors(len(M))
        w, V = scipy.linalg.eigh(M, check_finite=False)
        cut = _cut(abs(float(w[-1])), len(w), epsilon)
        identified = w > cut
        negative = w < -cut
        factor = scale[:, None] * V[:, identified] * np.sqrt(2 * errordef / w[identified])
        return cls(factor, V[:, ~identified & ~negative], scale, V[:, negative])

    @property
    def n_negative(self) -> int:
        """The number of directions of negative curvature; a minimum has none."""
        return int(self.negative_directions.shape[1])

    @property
    def negative_directions_in_parameters(self) -> HostArray:
        """The directions of negative curvature as steps of the parameters, ``(p, q)``."""
        return np.asarray(self.scale[:, None] * self.negative_directions)

    def edm(self, gradient: HostArray, errordef: float) -> float:
        """Return EDM, by how much S falls by Newton's step from this gradient ``(p,)`` on the identified directions."""
        z = self.factor.T @ gradient
        return float(z @ z / (4 * errordef))

    def with_negative_directions_unidentified(self) -> Spectrum:
        """Return the spectrum with directions of negative curvature as unidentified: S is not lower along them."""
        unidentified = np.concatenate([self.unidentified, self.negative_directions], axis=1)
        return replace(self, unidentified=unidentified, negative_directions=self.negative_directions[:, :0])

    def without(self, part: HostArray, errordef: float) -> Spectrum:
        """Return the spectrum with directions as unidentified that owe most of their curvature to this part of H.

        Examples
        --------
        >>> spectrum = Spectrum.of_hessian(np.diag([2.0, 8.0]), errordef=1.0)
        >>> spectrum.without(np.diag([0.1, 7.9]), errordef=1.0).errors
        array([ 1., inf])
        """
        if not self.factor.shape[1]:
            return self
        share, U = scipy.linalg.eigh(self.factor.T @ part @ self.factor / (2 * errordef), check_finite=False)
        owing = share > 0.5
        if not owing.any():
            return self
        gone = self.factor @ U[:, owing] / self.scale[:, None]
        whole = np.concatenate([self.unidentified, gone / np.sqrt(np.sum(gone**2, axis=0))], axis=1)
        return replace(self, factor=self.factor @ U[:, ~owing], unidentified=scipy.linalg.orth(whole))

    @property
    def n_unidentified(self) -> int:
        """The number of directions that the data do not determine."""
        return int(self.unidentified.shape[1])

    @property
    def columns(self) -> HostArray:
        """The columns of F, or one of zeros where no direction is identified."""
        return self.factor if self.factor.shape[1] else np.zeros((len(self.factor), 1))

    @property
    def covariance(self) -> HostArray:
        """The covariance on the identified directions, ``(p, p)``."""
        return np.asarray(self.factor @ self.factor.T)

    @property
    def unidentified_parameters(self) -> Mask:
        """The parameters that take part in an unidentified direction, boolean ``(p,)``."""
        return np.asarray(np.sum(self.unidentified**2, axis=1) > TOUCHES)

    @property
    def errors(self) -> HostArray:
        """The standard deviations, ``(p,)``; infinite where a parameter is unidentified."""
        return np.where(self.unidentified_parameters, np.inf, np.sqrt(np.sum(self.factor**2, axis=1)))

    def inverse_hessian(self, errordef: float) -> HostArray:
        """Return a positive definite H^-1 for MIGRAD's start, with the scale's variance in unidentified directions."""
        lift = self.scale[:, None] * self.unidentified
        return np.asarray(self.covariance / (2 * errordef) + lift @ lift.T)


def sandwich(spectrum: Spectrum, scores: HostArray, errordef: float, precision: HostArray | None) -> Spectrum:
    r"""Replace the covariance by :math:`H^{-1} B H^{-1}`, with B the variance of the gradient in the data.

    It is right where the statistic is not the true likelihood: weighted events, wrong errors, outliers. (P. J. Huber,
    Proc. 5th Berkeley Symp. 1 (1967) 221; for weighted events C. Langenbruch, Eur. Phys. J. C 82 (2022) 393.) With
    S/(2e) for -log L and each event's weight in its gradient, :math:`B = \sum_n g_n g_n^T / (4 e^2)`, to which a prior
    adds its precision, as if it were a measurement.

    Parameters
    ----------
    spectrum : Spectrum
        The spectrum of the Hessian at the minimum.
    scores : array with shape (p, p)
        The sum :math:`\sum_n g_n g_n^T`.
    errordef : float
        The rise e of S at one standard deviation.
    precision : array with shape (p,), optional
        The prior's precisions 1/tau^2.

    Examples
    --------
    >>> spectrum = Spectrum.of_hessian(np.diag([2.0, 8.0]), errordef=1.0)
    >>> sandwich(spectrum, np.diag([4.0, 64.0]), 1.0, None).errors
    array([1., 1.])
    """
    if not spectrum.factor.shape[1]:
        return spectrum
    B = scores / (4 * errordef**2)
    if precision is not None:
        B = B + np.diag(precision)
    w, V = scipy.linalg.eigh(spectrum.factor.T @ B @ spectrum.factor, check_finite=False)
    return replace(spectrum, factor=spectrum.factor @ (V * np.sqrt(np.maximum(w, 0.0))))


def without_rounding(H: HostArray, gauss_newton: Callable[[], HostArray], epsilon: float) -> HostArray:
    """Return an exact Hessian with zeros for parameters that move predictions by no more than rounding.

    Of a unit that reacts to no event its curvatures are the differences of numbers that have rounded to one: they may
    come out as zero, or as anything of either sign. Which it is may not decide whether the unit counts as determined.

    Parameters
    ----------
    H : array with shape (p, p)
        The Hessian.
    gauss_newton : callable
        Returns the Gauss-Newton matrix, the products of the predictions' derivatives; called if it is needed.
    epsilon : float
        The relative precision of the numbers.

    Examples
    --------
    >>> without_rounding(np.diag([2.0, 1e-15]), lambda: np.diag([2.0, 1e-33]), 2.2e-16).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    >>> without_rounding(np.diag([2.0, 1e-15]), lambda: np.diag([2.0, 1e-15]), 2.2e-16).tolist()
    [[2.0, 0.0], [0.0, 1e-15]]
    """
    least, diagonal = NO_INFLUENCE * epsilon, np.abs(np.diag(H))
    small = diagonal <= least * np.max(diagonal)
    if not np.any(small & (diagonal > 0)):
        return H
    first = np.abs(np.diag(gauss_newton()))
    off = small & (first <= least**2 * np.max(first))
    return np.where(off[:, None] | off, 0.0, H)


def rank(H: HostArray, epsilon: float = 2.2e-16) -> int:
    """Count the directions that a positive semidefinite matrix identifies.

    Examples
    --------
    >>> rank(np.diag([2.0, 8.0, 0.0]))
    2
    """
    M, _, cut = _scaled(H, epsilon)
    if _all_above(M, cut):
        return len(M)
    before_eigenvectors(len(M))
    w = scipy.linalg.eigvalsh(M, check_finite=False)
    return int(np.sum(w > _cut(abs(float(w[-1])), len(w), epsilon)))


def _scaled(H: HostArray, epsilon: float) -> tuple[HostArray, HostArray, float]:
    """Scale H to a diagonal of one; return it, the scale, and a bound on the rounding of an eigenvalue of 0."""
    H = 0.5 * (H + H.T)
    diagonal = np.abs(np.diag(H))
    scale = 1 / np.sqrt(np.where(diagonal > 0, np.maximum(diagonal, 1e-30 * diagonal.max(initial=0.0)), 1.0))
    M = H * (scale[:, None] * scale)
    return M, scale, _cut(float(np.max(np.sum(np.abs(M), axis=0))), len(M), epsilon)


def _cut(largest: float, p: int, epsilon: float) -> float:
    """Return the bound above which an eigenvalue is more than rounding, from the largest eigenvalue."""
    return ROUNDING * epsilon * max(largest, 1e-300) * max(1.0, p / 100)


def _inverse_root(M: HostArray, cut: float) -> HostArray | None:
    """Return F with F F^T = M^-1 if all eigenvalues are above `cut`, else None; it needs no eigenvectors."""
    if not _all_above(M, cut):
        return None
    try:
        L = scipy.linalg.cholesky(M, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    inverse, _ = scipy.linalg.lapack.dtrtri(L, lower=1, overwrite_c=1)
    return np.asarray(inverse.T)


def _all_above(M: HostArray, cut: float) -> bool:
    """Return True if all eigenvalues are above `cut`, that is if M - cut 1 has a Cholesky factor."""
    try:
        scipy.linalg.cholesky(M - cut * np.eye(len(M)), lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return False
    return True


def dead_units(layout: Layout, H: HostArray) -> list[str]:
    """Name the hidden units whose parameters have no influence: every element of their rows of H is zero.

    The names are as in ``"unit 3 of layer L2"``, counted from 0 and from layer L1 = inputs as in the parameters' names.
    """
    active = np.any(H != 0, axis=1)
    names = []
    for l, (start, (rows, columns)) in enumerate(zip(layout.offsets, layout.shapes[:-1], strict=False)):
        alive = np.any(active[start : start + rows * columns].reshape(rows, columns), axis=1)
        names += [f"unit {i} of layer L{l + 2}" for i in np.flatnonzero(~alive)]
    return names
