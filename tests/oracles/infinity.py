"""Minima at infinity without hidden layers, by a linear programme: for tests and for `benchmarks/infinity.py`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy

OUTPUTS = {"poisson": ("exp", 1), "binomial": ("logistic", 1), "multinomial": ("softmax", 3)}


@dataclass(frozen=True, eq=False)
class FewEvents:
    """Events for a network without hidden layers: x ``(n, d)``, counts, successes or labels, and trials."""

    loss: str
    x: np.ndarray
    y: np.ndarray
    trials: np.ndarray

    @property
    def output(self) -> str:
        """The output nonlinearity that belongs to the statistic."""
        return OUTPUTS[self.loss][0]

    @property
    def k(self) -> int:
        """The number of outputs."""
        return OUTPUTS[self.loss][1]

    @property
    def options(self) -> dict[str, Any]:
        """What `fit` is told beside the statistic."""
        return {"trials": self.trials} if self.loss == "binomial" else {}

    @cached_property
    def recedes(self) -> bool:
        """True if S falls for ever along a direction c: by a linear programme.

        Each count of a class, success, failure or event wants its linear predictor not to fall: (z_i c) >= 0, and for
        some it rises without end (A. Albert and J. A. Anderson, 1984). The number of these is maximised.
        """
        Z, rows = np.column_stack([self.x, np.ones(len(self.x))]), []
        for z, t, n in zip(Z, self.y, self.trials, strict=True):
            if self.loss == "poisson":
                rows += [-z, *([z] if t > 0 else [])]
            elif self.loss == "binomial":
                rows += [*([z] if t > 0 else []), *([-z] if t < n else [])]
            else:
                for other in {0, 1, 2} - {int(t)}:
                    row = np.zeros((3, Z.shape[1]))
                    row[int(t)], row[other] = z, -z
                    rows.append(row.ravel())
        A = np.array(rows)
        m, p = A.shape
        cost, bounds = np.append(np.zeros(p), -np.ones(m)), [(None, None)] * p + [(0, 1)] * m
        found = scipy.optimize.linprog(cost, A_ub=np.hstack([-A, np.eye(m)]), b_ub=np.zeros(m), bounds=bounds)
        return bool(-found.fun > 0.5)


def few_events(loss: str, seed: int, most_trials: int) -> FewEvents:
    """Draw so few events that classes are often separated, and counts often missing."""
    rng = np.random.default_rng([seed, len(loss)])
    d, n = int(rng.integers(1, 4)), int(rng.integers(8, 40))
    x = rng.normal(size=(n, d))
    x = np.where(rng.random((n, d)) < 0.5, np.round(x), x)
    s = x @ rng.normal(size=d) * rng.choice([0.5, 2.0, 5.0]) + rng.normal()
    trials = rng.integers(1, most_trials + 1, n)
    if loss == "poisson":
        y = rng.poisson(np.exp(np.clip(s - 2, -20, 6)))
    elif loss == "binomial":
        y = rng.binomial(trials, 1 / (1 + np.exp(-s)))
    else:
        y = np.argmax(np.stack([s, -s, 0 * s]) + rng.gumbel(size=(3, n)), axis=0)
        y[:3] = 0, 1, 2  # each class has an event
    return FewEvents(loss, x, y.astype(np.float64), trials.astype(np.float64))
