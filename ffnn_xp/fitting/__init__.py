"""fitting."""

from ffnn_xp.fitting.batch_refit import fit_toys, measure_again, refit
from ffnn_xp.fitting.local_search import LocalMinimum
from ffnn_xp.fitting.multistart import FitState, MultiStart, Restart
from ffnn_xp.fitting.options import FitOptions, ReplicaOptions
from ffnn_xp.fitting.pipeline import fit
from ffnn_xp.fitting.problem import FitProblem, read_problem
from ffnn_xp.fitting.record import FitRecord
from ffnn_xp.fitting.tuning import DEFAULT_TUNING, REFIT_GOAL, Tuning
from ffnn_xp.fitting.y_error import residual_width

__all__ = [
    "DEFAULT_TUNING",
    "REFIT_GOAL",
    "FitOptions",
    "FitProblem",
    "FitRecord",
    "FitState",
    "LocalMinimum",
    "MultiStart",
    "ReplicaOptions",
    "Restart",
    "Tuning",
    "fit",
    "fit_toys",
    "measure_again",
    "read_problem",
    "refit",
    "residual_width",
]
