"""Ways to walk to a minimum, one file each, all on host vectors: they see a `Problem` and no events."""

from .asking import Asking, answer, answered, in_lockstep, steps_in, translated
from .batched_levenberg_marquardt import batched_levenberg_marquardt
from .by_products import distance, walk_by_products
from .conjugate_gradients import Distance, edm_by_products
from .kronecker import KroneckerCoordinates
from .kronecker_lbfgs import kronecker_lbfgs, kronecker_steps
from .lbfgs import lbfgs
from .levenberg_marquardt import levenberg_marquardt
from .lockstep_lbfgs import lockstep_lbfgs
from .migrad import Certificate, at_minimum, certify, hesse_errors, is_certified, migrad_alone, preset, unstarted
from .preconditioned_lbfgs import preconditioned_lbfgs, preconditioned_steps
from .problem import Arrival, Problem, StopWalk, Walk
from .replica_problem import BatchArrival
from .saddles import FLAT, WORTH, lower_point, round_saddles

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
