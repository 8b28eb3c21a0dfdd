"""The choice of the hidden layers: a larger network is taken where it describes held-out data better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ffnn_xp._lib.typing import HostArray
from ffnn_xp.fitting.folds import Fold
from ffnn_xp.fitting.problem import FitProblem
from ffnn_xp.fitting.regularization_path import PathMinimizer, follow_path, shape_of_prior
from ffnn_xp.network import glorot
from ffnn_xp.objective import NetworkCost, output_bias_precision

CONSTANT = 1e-12  # S per event below which the values themselves are constant


class Followed(NamedTuple):
    """A problem whose folds have followed the path, and what they found: see `follow_path`."""

    problem: FitProblem
    whole: NetworkCost
    P: HostArray
    unit: float
    strengths: HostArray
    parts: list[Fold]
    at: int
    scores: list[float]
    thetas: list[HostArray]
    joined: list[HostArray]

    @property
    def score(self) -> float:
        """S of each held-out value."""
        return self.scores[self.at]


def _follow(problem: FitProblem, fold: HostArray, rng: np.random.Generator, path: PathMinimizer) -> Followed:
    """Let the folds of a problem follow the path."""
    n, tuning = problem.data.n, problem.tuning.prior_selection
    whole = replace(problem, prior=None, y_error=np.ones(problem.data.n_values)).cost()
    P = shape_of_prior(problem.network, output_bias_precision(problem.network, problem.loss))
    zero = np.zeros(whole.npar)
    unit = max(whole.chi2(zero) / n, CONSTANT * whole.errordef)  # of a constant prediction
    strengths: HostArray = 2.0 * unit * np.logspace(0, 1 - tuning.steps, tuning.steps, base=2.0)
    parts = [
        Fold(whole, np.flatnonzero(fold != f), np.flatnonzero(fold == f))
        for f in range(tuning.folds if n < tuning.one_fold else 1)
    ]
    number = tuning.few_members if n < tuning.many_events else tuning.fewest_members
    m = len(parts)
    starts = [glorot(problem.layout, rng) for _ in range(-(-number // m) * m)]
    found = follow_path(parts, starts[:m], starts[m:], strengths, P, path)
    return Followed(problem, whole, P, unit, strengths, parts, *found)


def follow_best(
    problems: Sequence[FitProblem], fold: HostArray, rng: np.random.Generator, path: PathMinimizer
) -> tuple[Followed, list[Followed]]:
    """Let the problems follow the path one after another, as long as larger networks gain.

    Return the best, and all that were tried.
    """
    best = _follow(problems[0], fold, rng, path)
    tried = [best]
    for problem in problems[1:]:
        if path.stopped:
            break
        tried.append(_follow(problem, fold, rng, path))
        if not _is_taken(tried[-1], best, path):
            break
        best = tried[-1]
    return best, tried


def _is_taken(larger: Followed, smaller: Followed, path: PathMinimizer) -> bool:
    """Return True if a larger network describes held-out values so much better than a smaller one that it is taken."""
    least = larger.problem.tuning.prior_selection.larger * abs(smaller.score)
    return not path.stopped and smaller.score - larger.score > least
