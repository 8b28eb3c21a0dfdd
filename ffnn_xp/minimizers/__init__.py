"""Ways to walk to a minimum, one file each, all on host vectors: they see a `Problem` and no events."""

from ffnn_xp.minimizers.ask_tell import Asking, answer, answered, in_lockstep, steps_in, translated
from ffnn_xp.minimizers.base import Arrival, Problem, StopWalk, Walk
from ffnn_xp.minimizers.batched_base import BatchArrival
from ffnn_xp.minimizers.batched_lbfgs import lockstep_lbfgs
from ffnn_xp.minimizers.batched_levenberg_marquardt import batched_levenberg_marquardt
from ffnn_xp.minimizers.conjugate_gradients import Distance, edm_by_products
from ffnn_xp.minimizers.kronecker import KroneckerCoordinates
from ffnn_xp.minimizers.kronecker_lbfgs import kronecker_lbfgs, kronecker_steps
from ffnn_xp.minimizers.lbfgs import lbfgs
from ffnn_xp.minimizers.levenberg_marquardt import levenberg_marquardt
from ffnn_xp.minimizers.matrix_free import distance, walk_by_products
from ffnn_xp.minimizers.minuit import (
    Certificate,
    at_minimum,
    certify,
    hesse_errors,
    is_certified,
    migrad_alone,
    preset,
    unstarted,
)
from ffnn_xp.minimizers.negative_curvature import FLAT, WORTH, lower_point, round_saddles
from ffnn_xp.minimizers.preconditioned_lbfgs import preconditioned_lbfgs, preconditioned_steps

__all__ = [
    "FLAT",
    "WORTH",
    "Arrival",
    "Asking",
    "BatchArrival",
    "Certificate",
    "Distance",
    "KroneckerCoordinates",
    "Problem",
    "StopWalk",
    "Walk",
    "answer",
    "answered",
    "at_minimum",
    "batched_levenberg_marquardt",
    "certify",
    "distance",
    "edm_by_products",
    "hesse_errors",
    "in_lockstep",
    "is_certified",
    "kronecker_lbfgs",
    "kronecker_steps",
    "lbfgs",
    "levenberg_marquardt",
    "lockstep_lbfgs",
    "lower_point",
    "migrad_alone",
    "preconditioned_lbfgs",
    "preconditioned_steps",
    "preset",
    "round_saddles",
    "steps_in",
    "translated",
    "unstarted",
    "walk_by_products",
]
