"""Ways to walk to a minimum, one file each, all on host vectors: they see a `Problem` and no events."""

from .lbfgs import lbfgs
from .levenberg_marquardt import levenberg_marquardt
from .migrad import certify, migrad_alone, unstarted
from .problem import Problem, StopWalk, Walk

__all__ = ["Problem", "StopWalk", "Walk", "certify", "lbfgs", "levenberg_marquardt", "migrad_alone", "unstarted"]
