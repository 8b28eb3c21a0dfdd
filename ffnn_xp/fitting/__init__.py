"""A fit from measurements to a certified minimum.

- `pipeline`: `fit`, all steps in their order; begin to read here.
- `options`, `tuning`: what users may ask for, checked; all numbers that were tuned.
- `problem`: `FitProblem`, the checked data with their statistic, scaling and prior.
- `in_parts`: the problem of events in parts, and its objective.
- `multistart`, `search_log`, `search_result`: random starts, which of them are refined, and the table of them.
- `minima`: which starts came to the same minimum.
- `local_search`: the stages of one start; `successive_halving`: many starts at once.
- `prior_selection`, `regularization_path`, `folds`: the prior's width by cross-validation, and an ensemble of networks.
- `y_error`: errors of y from the residuals, where none are given.
- `found`, `certification`, `messages`, `record`: the point that was found, whether it is a minimum, and the words for
  that; `FitRecord`, the numbers of a fit.
- `infinity`, `description`: minima that are no point, because S falls for ever; fits that do not describe their data.
- `batch_refit`: refits of toys and other replicas, in lots.
- `identity`: what a computation is of, to which its checkpoint belongs.
- `workers`: independent tasks, done here or by the workers of an executor.
- `progress`: what a fit tells its progress bar and the user's callback.
"""

from ffnn_xp.fitting.batch_refit import Refits, Seeds, fit_toys, refit, seeds_of
from ffnn_xp.fitting.identity import identity_of
from ffnn_xp.fitting.local_search import LocalMinimum
from ffnn_xp.fitting.multistart import MultiStart
from ffnn_xp.fitting.options import FitOptions, ReplicaOptions
from ffnn_xp.fitting.pipeline import fit
from ffnn_xp.fitting.prior_selection import FEWEST_TO_CHOOSE
from ffnn_xp.fitting.problem import FitProblem, check_degrees_of_freedom, read_problem
from ffnn_xp.fitting.record import FitRecord
from ffnn_xp.fitting.search_result import FitState, Restart
from ffnn_xp.fitting.tuning import DEFAULT_TUNING, REFIT_GOAL, Tuning
from ffnn_xp.fitting.width_selection import relative_errors
from ffnn_xp.fitting.workers import HERE, Workers
from ffnn_xp.fitting.y_error import residual_width, settle

__all__ = [
    "DEFAULT_TUNING",
    "FEWEST_TO_CHOOSE",
    "HERE",
    "REFIT_GOAL",
    "FitOptions",
    "FitProblem",
    "FitRecord",
    "FitState",
    "LocalMinimum",
    "MultiStart",
    "Refits",
    "ReplicaOptions",
    "Restart",
    "Seeds",
    "Tuning",
    "Workers",
    "check_degrees_of_freedom",
    "fit",
    "fit_toys",
    "identity_of",
    "read_problem",
    "refit",
    "relative_errors",
    "residual_width",
    "seeds_of",
    "settle",
]
