r"""From second derivatives to a covariance, and from there to bands; what the data do not determine is said.

At a minimum with Hessian H the covariance is :math:`\Sigma = 2 e H^{-1}` (e = errordef). Networks have directions that
no data determine (units that are off everywhere, exact copies): their eigenvalues of H are zero up to rounding. They
are not invented: Sigma is the inverse on the directions that *are* determined, parameters that take part in a null
direction get an infinite error, and so does a prediction that depends on one. A negative eigenvalue means that the
point is no minimum, and there is no covariance at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ._typing import HostArray
from .layout import Layout

NULL = 1e-12  # eigenvalue over the largest, of the Hessian scaled to unit diagonal: below, it is rounding
TOUCHES = 1e-6  # squared share of a null direction in a parameter or prediction that makes it undetermined


@dataclass(frozen=True)
class Curvature:
    """The eigen-decomposition of a Hessian at the end of a walk, and what follows from it.

    Attributes
    ----------
    factor : array with shape (p, r)
        F with Sigma = F F^T on the r determined directions.
    null : array with shape (p, m)
        The m null directions, an orthonormal basis in scaled coordinates.
    scale : array with shape (p,)
        1/sqrt of the Hessian's diagonal: what the coordinates of `null` were scaled by.
    n_negative : int
        Number of directions along which S falls.
    steepest : array with shape (p,) or None
        The most negative direction.
    """

    factor: HostArray
    null: HostArray
    scale: HostArray
    n_negative: int
    steepest: HostArray | None

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


def curvature(H: HostArray, errordef: float) -> Curvature:
    """Decompose a Hessian ``(p, p)``.

    Examples
    --------
    >>> c = curvature(np.diag([2.0, 8.0, 0.0]), errordef=1.0)
    >>> c.errors, c.n_null
    (array([1. , 0.5, inf]), 1)
    """
    H = 0.5 * (H + H.T)
    diagonal = np.abs(np.diag(H))
    scale = 1 / np.sqrt(np.where(diagonal > 0, np.maximum(diagonal, 1e-30 * diagonal.max(initial=0.0)), 1.0))
    w, V = scipy.linalg.eigh(H * (scale[:, None] * scale), check_finite=False)
    cut = NULL * max(abs(w[-1]), 1e-300) * max(1.0, len(w) / 100)
    held = w > cut
    falling = w < -cut
    factor = scale[:, None] * V[:, held] * np.sqrt(2 * errordef / w[held])
    return Curvature(
        factor=factor,
        null=V[:, ~held & ~falling],
        scale=scale,
        n_negative=int(np.sum(falling)),
        steepest=scale * V[:, 0] if falling[0] else None,
    )


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
