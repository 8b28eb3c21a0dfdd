"""MIGRAD alone, which takes the gradient from differences of the value: iminuit as most use it."""

from __future__ import annotations

import numpy as np
from iminuit import Minuit

import ffnn_xp as fx

from . import NOISE, Answer, Problem

NAME = "MIGRAD, numerical gradient"
MOST = 2
CALLS = 100_000


def fit(task: Problem, seed: int) -> Answer:
    model = task.student(seed)
    cost = fx.LeastSquares(task.x, task.y, NOISE, model)

    def chi2(theta: np.ndarray) -> float:
        return cost(theta)

    chi2.errordef = Minuit.LEAST_SQUARES
    m = Minuit(chi2, cost.start)
    m.strategy = 0
    m.migrad(ncall=CALLS, iterate=1, use_simplex=False)
    return Answer(model(task.x, np.asarray(m.values)), m.valid, m.fmin.edm)
