"""Ways to walk to a minimum, one file each, all on host vectors: they see a `Problem` and no events."""

from ffnn_xp.minimizers.ask_tell import AskTell, answer, answered, run_batched, steps_in, translated
from ffnn_xp.minimizers.base import MinimizerResult, Problem, StopMinimization, Tracker
from ffnn_xp.minimizers.batched_base import BatchResult
from ffnn_xp.minimizers.batched_lbfgs import batched_lbfgs
from ffnn_xp.minimizers.batched_levenberg_marquardt import batched_levenberg_marquardt
from ffnn_xp.minimizers.conjugate_gradients import Distance, edm_by_products
from ffnn_xp.minimizers.kronecker import KroneckerCoordinates
from ffnn_xp.minimizers.kronecker_lbfgs import kronecker_lbfgs, kronecker_steps
from ffnn_xp.minimizers.lbfgs import lbfgs
from ffnn_xp.minimizers.levenberg_marquardt import levenberg_marquardt
from ffnn_xp.minimizers.matrix_free import distance, minimize_matrix_free
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
from ffnn_xp.minimizers.negative_curvature import FLAT, WORTH, escape_saddles, lower_point
from ffnn_xp.minimizers.preconditioned_lbfgs import preconditioned_lbfgs, preconditioned_steps

__all__ = [
    "FLAT",
    "WORTH",
    "MinimizerResult",
    "AskTell",
    "BatchResult",
    "Certificate",
    "Distance",
    "KroneckerCoordinates",
    "Problem",
    "StopMinimization",
    "Tracker",
    "answer",
    "answered",
    "at_minimum",
    "batched_levenberg_marquardt",
    "certify",
    "distance",
    "edm_by_products",
    "hesse_errors",
    "run_batched",
    "is_certified",
    "kronecker_lbfgs",
    "kronecker_steps",
    "lbfgs",
    "levenberg_marquardt",
    "batched_lbfgs",
    "lower_point",
    "migrad_alone",
    "preconditioned_lbfgs",
    "preconditioned_steps",
    "preset",
    "escape_saddles",
    "steps_in",
    "translated",
    "unstarted",
    "minimize_matrix_free",
]
