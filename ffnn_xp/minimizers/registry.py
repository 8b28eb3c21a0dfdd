"""The table of minimizers by name, and a check of a user's own minimizer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ffnn_xp._lib.errors import did_you_mean
from ffnn_xp.minimizers.base import Minimizer
from ffnn_xp.minimizers.kronecker_lbfgs import KroneckerLBFGS
from ffnn_xp.minimizers.lbfgs import ScipyLBFGS
from ffnn_xp.minimizers.levenberg_marquardt import LevenbergMarquardt
from ffnn_xp.minimizers.matrix_free import MatrixFree
from ffnn_xp.minimizers.minuit import Migrad
from ffnn_xp.minimizers.preconditioned_lbfgs import PreconditionedLBFGS

MINIMIZERS: Mapping[str, Minimizer] = MappingProxyType(
    {
        "lbfgs": ScipyLBFGS(ftol=1e-12),
        "levenberg_marquardt": LevenbergMarquardt(),
        "preconditioned_lbfgs": PreconditionedLBFGS(),
        "kronecker_lbfgs": KroneckerLBFGS(),
        "matrix_free": MatrixFree(),
        "migrad": Migrad(),
    }
)
"""The minimizers by their names."""


def get_minimizer(minimizer: str | Minimizer) -> Minimizer:
    """Return the minimizer of this name, or the object that was given.

    Examples
    --------
    >>> get_minimizer("levenberg_marquardt").damping
    0.001
    >>> get_minimizer(LevenbergMarquardt(damping=0.1)).damping
    0.1
    """
    if isinstance(minimizer, str):
        if minimizer not in MINIMIZERS:
            raise ValueError(f"unknown minimizer {minimizer!r}: {did_you_mean(minimizer, MINIMIZERS)}")
        return MINIMIZERS[minimizer]
    if isinstance(minimizer, type) or not callable(getattr(minimizer, "run", None)):
        raise TypeError(
            f"`minimizer` must be a name or an object with a method run(problem, theta, budget), got {minimizer!r}"
        )
    return minimizer
