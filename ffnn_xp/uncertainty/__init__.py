"""Errors at a minimum: covariances, error bands of predictions, densities of new measurements.

- `covariance`: a Hessian's `Spectrum`, the sandwich covariance, ranks, dead units.
- `linear_band`: the `LinearBand` of a fit with matrices.
- `matrix_free_band`: the `MatrixFreeBand` of a fit without.
- `predictive`: the density of a new measurement, from one network or an ensemble, and its calibration.
- `varying_width`: the width of the noise where it depends on x.

A band is computed from a spectrum or from a minimizer's problem; the package knows no cost and no fit.
"""

from ffnn_xp.uncertainty.covariance import TOUCHES, Spectrum, dead_units, rank, sandwich, without_rounding
from ffnn_xp.uncertainty.linear_band import LinearBand
from ffnn_xp.uncertainty.matrix_free_band import DifferentiableProblem, MatrixFreeBand
from ffnn_xp.uncertainty.predictive import Calibration, Member, Predictive, bounded, calibrate
from ffnn_xp.uncertainty.varying_width import VaryingWidth, width_inputs, width_network

__all__ = [
    "TOUCHES",
    "Calibration",
    "DifferentiableProblem",
    "LinearBand",
    "MatrixFreeBand",
    "Member",
    "Predictive",
    "Spectrum",
    "VaryingWidth",
    "bounded",
    "calibrate",
    "dead_units",
    "rank",
    "sandwich",
    "width_inputs",
    "width_network",
    "without_rounding",
]
