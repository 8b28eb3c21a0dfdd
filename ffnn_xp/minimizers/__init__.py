"""Ways to walk to a minimum, one file each, all on host vectors: they see a `Problem` and no events."""

from .batched_levenberg_marquardt import BatchArrival, batched_levenberg_marquardt
from .lbfgs import lbfgs
from .levenberg_marquardt import levenberg_marquardt
from .migrad import certify, hesse_errors, is_certified, migrad_alone, preset, unstarted
from .preconditioned_lbfgs import preconditioned_lbfgs
from .problem import Arrival, Problem, StopWalk, Walk

__all__ = [
    "Arrival",
    "BatchArrival",
    "Problem",
    "StopWalk",
    "Walk",
    "batched_levenberg_marquardt",
    "certify",
    "hesse_errors",
    "is_certified",
    "lbfgs",
    "levenberg_marquardt",
    "migrad_alone",
    "preconditioned_lbfgs",
    "preset",
    "unstarted",
]
