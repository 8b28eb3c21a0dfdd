"""Minimizers, one file each, all on host vectors: they need a `Problem` and no events.

Each is a frozen object with its options as fields, and `run(problem, theta, budget)` returns a `MinimizerResult`.

- `base`: `Problem`, `Budget`, `Tracker`, `MinimizerResult`; `ask_tell`: minimizers as generators.
- `registry`: the table of minimizers by name; add one there.
- `lbfgs`: SciPy's L-BFGS; `quasi_newton`: our own, in coordinates that a preconditioner makes.
- `preconditioned_lbfgs`, `kronecker_lbfgs`: L-BFGS preconditioned by a Hessian, or by Kronecker factors (`kronecker`).
- `levenberg_marquardt`: Levenberg-Marquardt; `bfgs`: BFGS with weak Wolfe steps; both also for non-smooth functions.
- `matrix_free`: minimization without p x p matrices; `conjugate_gradients`: bounds on EDM from products.
- `negative_curvature`: escape from saddle points.
- `descents`: the steps of `quasi_newton` of many replicas at once, as arrays; `together`: many minimizations at once.
- `batched_base`, `batched_lbfgs`, `batched_levenberg_marquardt`: many replicas together.
- `minuit`, `minuit_workarounds`: MIGRAD as a certificate or alone; what MINUIT needs of a user's Hessian.
"""

from ffnn_xp._lib.limits import StopMinimization
from ffnn_xp.minimizers.ask_tell import (
    AskTell,
    AskTellHessian,
    Evaluate,
    HessianRequest,
    evaluate_request,
    run_ask_tell,
)
from ffnn_xp.minimizers.base import (
    UNLIMITED,
    Budget,
    Minimizer,
    MinimizerResult,
    Problem,
    Prune,
    Status,
    Tracker,
    Units,
    is_lower,
    rounding_error,
)
from ffnn_xp.minimizers.batched_base import BatchResult, ReplicaProblem
from ffnn_xp.minimizers.batched_lbfgs import BatchedLBFGS
from ffnn_xp.minimizers.batched_levenberg_marquardt import BatchedLevenbergMarquardt, PruneReplicas
from ffnn_xp.minimizers.bfgs import BFGS
from ffnn_xp.minimizers.conjugate_gradients import ConjugateGradients, EDMBounds
from ffnn_xp.minimizers.kronecker import KroneckerCoordinates
from ffnn_xp.minimizers.kronecker_lbfgs import KroneckerLBFGS
from ffnn_xp.minimizers.lbfgs import ScipyLBFGS
from ffnn_xp.minimizers.levenberg_marquardt import LevenbergMarquardt
from ffnn_xp.minimizers.matrix_free import MatrixFree
from ffnn_xp.minimizers.minuit import (
    Certificate,
    Migrad,
    at_minimum,
    edm_goal,
    hesse_errors,
    is_certified,
    preset,
    unstarted,
)
from ffnn_xp.minimizers.minuit_workarounds import as_minuit_reads_it, calling_minuit
from ffnn_xp.minimizers.negative_curvature import NegativeDirections, SaddleEscape
from ffnn_xp.minimizers.preconditioned_lbfgs import PreconditionedLBFGS
from ffnn_xp.minimizers.quasi_newton import Coordinates, LineSearch, QuasiNewton
from ffnn_xp.minimizers.registry import MINIMIZERS, get_minimizer
from ffnn_xp.minimizers.together import run_batched

__all__ = [
    "BFGS",
    "MINIMIZERS",
    "UNLIMITED",
    "AskTell",
    "AskTellHessian",
    "BatchResult",
    "BatchedLBFGS",
    "BatchedLevenbergMarquardt",
    "Budget",
    "Certificate",
    "ConjugateGradients",
    "Coordinates",
    "EDMBounds",
    "Evaluate",
    "HessianRequest",
    "KroneckerCoordinates",
    "KroneckerLBFGS",
    "LevenbergMarquardt",
    "LineSearch",
    "MatrixFree",
    "Migrad",
    "Minimizer",
    "MinimizerResult",
    "NegativeDirections",
    "PreconditionedLBFGS",
    "Problem",
    "Prune",
    "PruneReplicas",
    "QuasiNewton",
    "ReplicaProblem",
    "SaddleEscape",
    "ScipyLBFGS",
    "Status",
    "StopMinimization",
    "Tracker",
    "Units",
    "as_minuit_reads_it",
    "at_minimum",
    "calling_minuit",
    "edm_goal",
    "evaluate_request",
    "get_minimizer",
    "hesse_errors",
    "is_certified",
    "is_lower",
    "preset",
    "rounding_error",
    "run_ask_tell",
    "run_batched",
    "unstarted",
]
