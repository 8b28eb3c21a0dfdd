r"""From second derivatives to a covariance, and from there to bands; what the data do not determine is said.

At a minimum with Hessian H the covariance is :math:`\Sigma = 2 e H^{-1}` (e = errordef). Networks have directions that
no data determine (units that are off everywhere, exact copies): their eigenvalues of H are zero up to rounding. They
are not invented: Sigma is the inverse on the directions that *are* determined, parameters that take part in a null
direction get an infinite error, and so does a prediction that depends on one. A negative eigenvalue means that the
point is no minimum, and there is no covariance at all; unless S does not really fall along it (`walk`): then it is
the flat bottom of a valley, and undetermined too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy  # its submodules load when they are first used

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.network.layout import Layout

NULL = 4500.0  # epsilons: an eigenvalue of less than this share of the largest (1e-12 in float64) is rounding
TOUCHES = 1e-6  # squared share of a null direction in a parameter or prediction that makes it undetermined


@dataclass(frozen=True)
class Spectrum:
    """The eigen-decomposition of a Hessian at the end of a walk, and what follows from it.

    Attributes
    ----------
    factor : array with shape (p, r)
        F with Sigma = F F^T on the r determined directions.
    null : array with shape (p, m)
        The m null directions, an orthonormal basis in scaled coordinates.
    scale : array with shape (p,)
        1/sqrt of the Hessian's diagonal: what the coordinates of `null` were scaled by.
    falling : array with shape (p, q)
        Directions along which S curves down, the steepest first; in the coordinates of `null`.
    """

    factor: HostArray
    null: HostArray
    scale: HostArray
    negative_directions: HostArray

    @property
    def n_negative(self) -> int:
        """Number of directions along which S curves down: at a minimum, none."""
        return int(self.negative_directions.shape[1])

    @property
    def negative_directions_in_theta(self) -> HostArray:
        """The falling directions as steps of the parameters, ``(p, q)``."""
        return np.asarray(self.scale[:, None] * self.negative_directions)

    def without_negative_directions(self) -> Spectrum:
        """The same with the falling directions taken for undetermined ones, where S is found not to fall for real."""
        empty = self.negative_directions[:, :0]
        return replace(
            self, null=np.concatenate([self.null, self.negative_directions], axis=1), negative_directions=empty
        )

    @property
    def n_null(self) -> int:
        """Number of directions that the data do not determine."""
        return int(self.null.shape[1])

    @property
    def covariance(self) -> HostArray:
        """Sigma on the determined directions, ``(p, p)``."""
        return np.asarray(self.factor @ self.factor.T)

    @property
    def undetermined(self) -> HostArray:
        """Which parameters take part in a null direction, boolean ``(p,)``."""
        return np.asarray(np.sum(self.null**2, axis=1) > TOUCHES)

    @property
    def errors(self) -> HostArray:
        """Standard deviations, ``(p,)``; infinite where undetermined."""
        return np.where(self.undetermined, np.inf, np.sqrt(np.sum(self.factor**2, axis=1)))

    def inverse_hessian(self, errordef: float) -> HostArray:
        """A positive definite H^-1 to start MIGRAD with: null directions get the variance of their scale."""
        lift = self.scale[:, None] * self.null
        return np.asarray(self.covariance / (2 * errordef) + lift @ lift.T)


def curvature(H: HostArray, errordef: float, epsilon: float = 2.2e-16) -> Spectrum:
    """What a Hessian ``(p, p)`` that was computed with this relative precision says.

    Where all directions are determined, its Cholesky factor tells everything; else its eigenvectors.

    Examples
    --------
    >>> c = curvature(np.diag([2.0, 8.0, 0.0]), errordef=1.0)
    >>> c.errors, c.n_null
    (array([1. , 0.5, inf]), 1)
    """
    M, scale, cut = _scaled(H, epsilon)
    inverse_root = _inverse_root(M, cut)
    if inverse_root is not None:
        nothing = np.zeros((len(M), 0))
        return Spectrum(np.sqrt(2 * errordef) * scale[:, None] * inverse_root, nothing, scale, nothing)
    w, V = scipy.linalg.eigh(M, check_finite=False)
    cut = _cut(abs(float(w[-1])), len(w), epsilon)
    held = w > cut
    negative_directions = w < -cut
    factor = scale[:, None] * V[:, held] * np.sqrt(2 * errordef / w[held])
    return Spectrum(
        factor=factor,
        null=V[:, ~held & ~negative_directions],
        scale=scale,
        negative_directions=V[:, negative_directions],
    )


def sandwich(shape: Spectrum, scores: HostArray, errordef: float, precision: HostArray | None) -> Spectrum:
    r"""The same with the covariance :math:`H^{-1} B H^{-1}`, B the variance of the gradient as the data show it.

    It holds where the statistic is not the true likelihood: weighted events, wrong errors, outliers. (P. J. Huber,
    Proc. 5th Berkeley Symp. 1 (1967) 221; for weighted events C. Langenbruch, Eur. Phys. J. C 82 (2022) 393.) With
    S/(2e) for -log L and each event's weight in its gradient, :math:`B = \sum_n g_n g_n^T / (4 e^2)`, to which a prior
    adds its precision, as if it were a measurement.

    Parameters
    ----------
    shape : Curvature
        At the minimum.
    scores : array with shape (p, p)
        :math:`\sum_n g_n g_n^T`.
    errordef : float
        e.
    precision : array with shape (p,), optional
        Of the prior.

    Examples
    --------
    >>> c = curvature(np.diag([2.0, 8.0]), errordef=1.0)
    >>> sandwich(c, np.diag([4.0, 64.0]), 1.0, None).errors
    array([1., 1.])
    """
    B = scores / (4 * errordef**2)
    if precision is not None:
        B = B + np.diag(precision)
    w, V = scipy.linalg.eigh(shape.factor.T @ B @ shape.factor, check_finite=False)
    return replace(shape, factor=shape.factor @ (V * np.sqrt(np.maximum(w, 0.0))))


def rank(H: HostArray, epsilon: float = 2.2e-16) -> int:
    """How many directions a positive semidefinite matrix holds.

    Examples
    --------
    >>> rank(np.diag([2.0, 8.0, 0.0]))
    2
    """
    M, _, cut = _scaled(H, epsilon)
    if _all_above(M, cut):
        return len(M)
    w = scipy.linalg.eigvalsh(M, check_finite=False)
    return int(np.sum(w > _cut(abs(float(w[-1])), len(w), epsilon)))


def _scaled(H: HostArray, epsilon: float) -> tuple[HostArray, HostArray, float]:
    """H with a diagonal of one, what scales it so, and a bound on what rounding makes of an eigenvalue of zero."""
    H = 0.5 * (H + H.T)
    diagonal = np.abs(np.diag(H))
    scale = 1 / np.sqrt(np.where(diagonal > 0, np.maximum(diagonal, 1e-30 * diagonal.max(initial=0.0)), 1.0))
    M = H * (scale[:, None] * scale)
    return M, scale, _cut(float(np.max(np.sum(np.abs(M), axis=0))), len(M), epsilon)


def _cut(largest: float, p: int, epsilon: float) -> float:
    """What an eigenvalue has to exceed to be more than rounding, where the largest one is this."""
    return NULL * epsilon * max(largest, 1e-300) * max(1.0, p / 100)


def _inverse_root(M: HostArray, cut: float) -> HostArray | None:
    """F with F F^T = M^-1 if all eigenvalues are above `cut`, else None: the short way without eigenvectors."""
    if not _all_above(M, cut):
        return None
    try:
        L = scipy.linalg.cholesky(M, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    inverse, _ = scipy.linalg.lapack.dtrtri(L, lower=1, overwrite_c=1)
    return np.asarray(inverse.T)


def _all_above(M: HostArray, cut: float) -> bool:
    """Whether all eigenvalues are: if and only if M - cut 1 has a Cholesky factor."""
    try:
        scipy.linalg.cholesky(M - cut * np.eye(len(M)), lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return False
    return True


def dead_units(layout: Layout, H: HostArray) -> list[str]:
    """Hidden units whose parameters have no influence at all: every element of their rows of H is zero.

    Returned as ``"unit 3 of layer 2"``, counted from 0 and from layer 1 = inputs as in the parameters' names.
    """
    active = np.any(H != 0, axis=1)
    names = []
    for l, (start, (rows, columns)) in enumerate(zip(layout.offsets, layout.shapes[:-1], strict=False)):
        alive = np.any(active[start : start + rows * columns].reshape(rows, columns), axis=1)
        names += [f"unit {i} of layer L{l + 2}" for i in np.flatnonzero(~alive)]
    return names
